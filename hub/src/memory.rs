//! How much memory glibc's allocator keeps that nobody uses.
//!
//! By itself it opens eight arenas for each processor, and raises, up to 32 MiB, the size from which a block is a mapping of its own that goes back to the kernel
//! when it is freed; at the end of each arena it then keeps twice as much. What lies free between blocks that are still in use it never gives back. A hundred
//! thousand alerts fired, and two thirds of what the hub held afterwards was of that kind.

mod glibc;

use std::{fs, thread, time::Duration};

use tokio_util::sync::CancellationToken;

/// From so much on a block is a mapping of its own. Filling a buffer of 4 MiB takes the hub ten milliseconds and more, mapping it about one; frames and most
/// requests are smaller, and pay nothing.
const MAPPED: usize = 4 << 20;
/// Free memory that stays at the end of an arena; less than two blocks that are just not mapped would come and go with each of them.
const KEPT: usize = 16 << 20;
/// Free memory is looked for this often.
const SPELL: Duration = Duration::from_secs(2);
/// The process rests when it computes for less than this in a spell: giving back stops the threads that allocate meanwhile, for some milliseconds.
const RESTS: Duration = Duration::from_millis(400);
/// Growth that is worth the effort.
const WORTH: u64 = 8 << 20;
/// Spells after which memory is given back also of a process that never rests.
const AT_LAST: u32 = 300;
/// Spells after which memory is given back once more: some rooms let go of what a burst left only when they have rested for a while.
const ONCE_MORE: u32 = 3;

/// Sets bounds to what the allocator keeps. Before any thread starts: arenas are made for threads as these come. What the environment says counts more.
pub fn bound() {
    let tuned = std::env::var("GLIBC_TUNABLES").is_ok_and(|tunables| tunables.contains("glibc.malloc."));
    let free = |variable: &str| !tuned && std::env::var_os(variable).is_none();
    if free("MALLOC_ARENA_MAX") {
        // Not more than can be at work at once: a thread that finds its arena taken waits for nanoseconds.
        let at_work = thread::available_parallelism().map_or(2, usize::from);
        glibc::arenas(at_work.max(2));
    }
    if free("MALLOC_MMAP_THRESHOLD_") {
        glibc::map_from(MAPPED);
    }
    if free("MALLOC_TRIM_THRESHOLD_") {
        glibc::keep(KEPT);
    }
}

/// Gives back after each burst what it has left behind, until the token is cancelled.
pub async fn keep_small(token: CancellationToken) {
    let mut watch = Watch::default();
    while token.run_until_cancelled(tokio::time::sleep(SPELL)).await.is_some() {
        let Some(look) = Look::now().filter(|look| watch.wants_back(*look)) else {
            continue;
        };
        if let Err(error) = tokio::task::spawn_blocking(glibc::give_back).await {
            tracing::debug!(%error, "memory was not given back");
        }
        watch.gave_back(Look::now().unwrap_or(look));
    }
}

/// What the process has at one moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Resident memory, bytes.
    resident: u64,
    /// Computing time since it began.
    computed: Duration,
}

impl Look {
    fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Self::read(&status, &stat)
    }

    fn read(status: &str, stat: &str) -> Option<Self> {
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = resident.split_whitespace().next()?.parse().ok()?;
        // Behind the program's name, which may hold anything.
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        // The kernel's USER_HZ is 100 on every Linux platform that Rust supports.
        let computed = Duration::from_millis((ticks()? + ticks()?) * 10);
        Some(Self {
            resident: kib << 10,
            computed,
        })
    }
}

/// When it is time to give memory back.
#[derive(Debug, Default)]
struct Watch {
    /// Resident memory after it was given back last.
    floor: u64,
    computed: Duration,
    /// Spells in which it had grown and did not rest.
    busy: u32,
    /// Spells until memory is given back once more; none when there was no burst.
    once_more: u32,
}

impl Watch {
    fn wants_back(&mut self, look: Look) -> bool {
        let rests = look.computed.saturating_sub(self.computed) < RESTS;
        self.computed = look.computed;
        self.floor = self.floor.min(look.resident);
        if look.resident >= self.floor + WORTH {
            self.busy += 1;
            self.once_more = ONCE_MORE + 1;
            return rests || self.busy >= AT_LAST;
        }
        self.busy = 0;
        self.once_more = self.once_more.saturating_sub(u32::from(rests));
        rests && self.once_more == 1
    }

    fn gave_back(&mut self, look: Look) {
        self.floor = look.resident;
        self.computed = look.computed;
        self.busy = 0;
        self.once_more = self.once_more.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn look(mib: u64, computed_ms: u64) -> Look {
        Look {
            resident: mib * MIB,
            computed: Duration::from_millis(computed_ms),
        }
    }

    #[test]
    fn memory_is_given_back_after_a_burst_and_not_while_it_goes_on() {
        let mut watch = Watch::default();
        assert!(watch.wants_back(look(100, 100)), "after the start");
        watch.gave_back(look(80, 110));
        assert!(!watch.wants_back(look(85, 120)), "that is nothing");
        assert!(!watch.wants_back(look(300, 2000)), "it works");
        assert!(!watch.wants_back(look(400, 4000)), "it works");
        assert!(watch.wants_back(look(400, 4100)), "it rests");
        watch.gave_back(look(150, 4110));
        assert!(!watch.wants_back(look(150, 4120)), "what is left is in use");
        assert!(
            !watch.wants_back(look(150, 9000)),
            "what comes late waits until it rests"
        );
        assert!(
            watch.wants_back(look(150, 9010)),
            "something may have been let go of meanwhile"
        );
        watch.gave_back(look(140, 9020));
        let more = (0..99).filter(|_| watch.wants_back(look(140, 9020))).count();
        assert_eq!(more, 0, "that was all");
        assert!(!watch.wants_back(look(100, 9130)), "that went by itself");
        assert!(watch.wants_back(look(120, 9140)), "what comes then counts from there");
    }

    #[test]
    fn a_process_that_never_rests_gives_memory_back_at_last() {
        let mut watch = Watch::default();
        watch.gave_back(look(100, 0));
        let mut spells = 0;
        while !watch.wants_back(look(200, 2000 * (spells + 1))) {
            spells += 1;
        }
        assert_eq!(spells + 1, u64::from(AT_LAST));
    }

    #[test]
    fn the_kernel_is_understood() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 5 0";
        let look = Look::read("Name:\ta\nVmRSS:\t  2048 kB\n", stat).unwrap();
        assert_eq!((look.resident, look.computed), (2 * MIB, Duration::from_secs(3)));
        assert!(Look::now().is_some_and(|look| look.resident > MIB));
    }

    #[test]
    fn what_a_burst_leaves_behind_goes_back() {
        // Blocks of a size that is not a mapping of its own; every other one stays, so that nothing goes back by itself.
        let mut blocks: Vec<Option<Vec<u8>>> = (0..4096).map(|_| Some(vec![1; 32 << 10])).collect();
        let full = Look::now().unwrap().resident;
        blocks.iter_mut().step_by(2).for_each(|block| *block = None);
        glibc::give_back();
        let freed = full.saturating_sub(Look::now().unwrap().resident);
        assert!(freed > 32 * MIB, "{freed} bytes of 64 MiB");
        assert_eq!(blocks.iter().flatten().count(), 2048);
    }
}
