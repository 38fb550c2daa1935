#!/usr/bin/env bash
# Makes `cargo build --target wasm32-unknown-unknown` work for the active toolchain; plugins are built for that target.
#   1. it works already: nothing to do
#   2. `rustup target add`, with a time limit
#   3. where rustup's servers cannot be reached: the standard library built once from Debian's source package of exactly
#      this compiler version, kept under target/wasm-target and reused
# WASM_TARGET_NO_RUSTUP=1 skips step 2, RUST_SRC_SUITE names another Debian suite.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

target=wasm32-unknown-unknown
suite=${RUST_SRC_SUITE:-trixie-backports}
cache=${CARGO_TARGET_DIR:-$PWD/target}/wasm-target
sysroot=$(rustc --print sysroot)
version=$(rustc -vV | sed -n 's/^release: //p')
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
installed=$sysroot/lib/rustlib/$target
sources=$sysroot/lib/rustlib/src
work=$(mktemp -d)
linked=

tidy_up() {
  if [ -n "$linked" ]; then rm -f "$sources/rust"; rmdir "$sources" 2>/dev/null || :; fi
  rm -rf "$work"
}
trap tidy_up EXIT
trap 'exit 130' INT TERM

# What a plugin is: a library that uses std, linked with fat LTO. A bare "is the folder there" would not notice a library of another compiler.
works() {
  cat >"$work/probe.rs" <<'RUST'
#[unsafe(no_mangle)]
pub extern "C" fn probe(x: u32) -> u32 { std::collections::HashMap::from([(x, x)])[&x] }
RUST
  env -u RUSTFLAGS -u RUSTC_BOOTSTRAP rustc --edition 2024 --crate-type cdylib --target "$target" -O -Clto -Cpanic=abort \
    -o "$work/probe.wasm" "$work/probe.rs" 2>"$work/probe.log"
}

by_hand() {
  cat >&2 <<TEXT
error: the Rust target $target is missing and could not be made here: $1
  with rustup:        rustup target add $target
  with a distribution's Rust: install its package of the standard library for WebAssembly
                      (Debian and Ubuntu: libstd-rust-dev-wasm32; Fedora: rust-std-static-$target)
  then run this again.
TEXT
  exit 1
}

if works; then exit 0; fi

# Cargo's own build folders must use the same toolchain, whatever directory they run in.
case $sysroot in */toolchains/*) export RUSTUP_TOOLCHAIN=${sysroot##*/} ;; esac
# A library that this script made for another compiler stands in rustup's way; one of rustup's own is listed in `components`.
grep -qx "rust-std-$target" "$sysroot/lib/rustlib/components" 2>/dev/null || rm -rf "$installed"

if [ -z "${WASM_TARGET_NO_RUSTUP:-}" ] && command -v rustup >/dev/null; then
  step "adding the target $target with rustup"
  if timeout -k 5 "${WASM_TARGET_RUSTUP_TIMEOUT:-60}" rustup target add "$target" >"$work/rustup.log" 2>&1 && works; then exit 0; fi
  say "    rustup could not add it; building its standard library from Debian's sources instead"
fi

archive=$cache/std-$target-$version-${commit:0:9}.tar.gz
fetch_sources() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || by_hand "rustup could not fetch it, and this is not Debian or Ubuntu"
  local mirror keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -r "$keys" ] || by_hand "rustup could not fetch it, and Debian's archive keys are missing (package debian-archive-keyring)"
  # The mirror that this machine uses already. Own apt folders: the machine's package lists stay as they are.
  mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' | sed -n 1p || :)
  [ -n "$mirror" ] || by_hand "rustup could not fetch it, and /etc/apt names no Debian mirror"
  mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/src"
  echo "deb [signed-by=$keys] $mirror $suite main" >"$work/apt/sources.list"
  own_apt() {
    apt-get -q -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$work/apt/lists" \
      -o Dir::Cache="$work/apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
  }
  own_apt update >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; by_hand "Debian's package list could not be read"; }
  (cd "$work" && own_apt download "rust-src=$version*" >>"$work/apt.log" 2>&1) ||
    { cat "$work/apt.log" >&2; by_hand "Debian $suite has no rust-src $version"; }
  dpkg-deb --fsys-tarfile "$work"/rust-src_*.deb | tar -x -C "$work/src" --wildcards './usr/src/*/library/*'
  local library
  library=$(echo "$work"/src/usr/src/*/library)
  [ -f "$library/std/Cargo.toml" ] || by_hand "Debian's rust-src has an unexpected layout"
  rm -f "$sources/rust" 2>/dev/null || :
  mkdir -p "$sources"; linked=1; ln -s "${library%/library}" "$sources/rust"
}

build_std() {
  [ -e "$sources/rust/library/std/Cargo.toml" ] || fetch_sources
  mkdir -p "$work/std/src" "$work/out/$target/lib"; : >"$work/std/src/lib.rs"
  printf '[package]\nname="std-probe"\nversion="0.0.0"\nedition="2024"\n[profile.release]\ncodegen-units=1\n' >"$work/std/Cargo.toml"
  # Bitcode, because plugins are linked with LTO; remapped paths, so that no folder of this machine ends up in a plugin's panic messages.
  local flags="-Cembed-bitcode=yes --remap-path-prefix=$sources/rust=/rustc/${commit:-$version}"
  flags="$flags --remap-path-prefix=$work/src=/rustc --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/cargo"
  (cd "$work/std" && quiet env -u CARGO_ENCODED_RUSTFLAGS -u __CARGO_TEST_CHANNEL_OVERRIDE_DO_NOT_USE_THIS -u CARGO_UNSTABLE_FEATURE_UNIFICATION \
    -u CARGO_RESOLVER_FEATURE_UNIFICATION RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$work/target" CARGO_INCREMENTAL=0 RUSTFLAGS="$flags" \
    cargo build -q --release -Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test --target "$target")
  cp "$work/target/$target"/release/deps/lib*.rlib "$work/out/$target/lib/"
  rm -f "$work/out/$target"/lib/libstd_probe-*.rlib
  mkdir -p "$cache"
  tar -C "$work/out" -czf "$archive.$$" "$target" && mv "$archive.$$" "$archive"
}

if [ -s "$archive" ]; then
  step "the standard library for $target, from $cache"
  mkdir -p "$work/out"; tar -xzf "$archive" -C "$work/out"
else
  step "building the standard library for $target (about a minute, once)"
  build_std
fi
mkdir -p "$(dirname "$installed")" 2>/dev/null && [ -w "$(dirname "$installed")" ] ||
  by_hand "$(dirname "$installed") cannot be written by this user"
rm -rf "$installed.new" "$installed"
# The work folder may be on another file system: copy beside the final place, then one rename.
cp -r "$work/out/$target" "$installed.new" && mv "$installed.new" "$installed"
works || { cat "$work/probe.log" >&2; fail "the standard library was built, but a plugin cannot be compiled with it"; }
step "$target is ready for rustc $version"
