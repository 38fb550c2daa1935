//! The three settings and the one call of glibc's allocator that are needed. They have no safe wrapper, and are the only unsafe code of the hub's binary.

use libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, c_int};

/// At most so many arenas.
pub fn arenas(most: usize) {
    set(M_ARENA_MAX, most);
}

/// Blocks of so many bytes and more are mappings of their own.
pub fn map_from(bytes: usize) {
    set(M_MMAP_THRESHOLD, bytes);
}

/// Free memory at the end of an arena goes back when it is more than this.
pub fn keep(bytes: usize) {
    set(M_TRIM_THRESHOLD, bytes);
}

/// Gives back what is free, also between blocks that are in use.
#[expect(unsafe_code, reason = "the call is one to C")]
pub fn give_back() {
    // SAFETY: it takes a number, and the locks that it needs; it touches no block that is in use.
    unsafe { libc::malloc_trim(0) };
}

#[expect(unsafe_code, reason = "the call is one to C")]
fn set(parameter: c_int, value: usize) {
    let Ok(value) = c_int::try_from(value) else { return };
    // SAFETY: it takes two numbers; a value that does not suit it changes nothing.
    unsafe { libc::mallopt(parameter, value) };
}
