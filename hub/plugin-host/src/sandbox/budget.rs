//! What one instance may take: memory, tables, instances, and computing time per call.

use wasmtime::ResourceLimiter;

/// Entries of all tables of an instance; indirect calls of a large guest need some hundreds.
const MAX_TABLE: usize = 10_000;

/// Limits of one instance, and what it uses.
#[derive(Debug)]
pub(crate) struct Budget {
    memory_limit: usize,
    memory: usize,
    ticks: u32,
}

/// The instance wanted more than it may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverBudget {
    #[error("memory limit of {} MiB reached", limit >> 20)]
    Memory { limit: usize },
    #[error("table limit of {MAX_TABLE} entries reached")]
    Table,
}

impl Budget {
    pub(crate) const fn new(memory_limit: usize) -> Self {
        Self {
            memory_limit,
            memory: 0,
            ticks: 0,
        }
    }

    /// Bytes of memory in use.
    pub(crate) const fn memory(&self) -> usize {
        self.memory
    }

    /// A new call with this many ticks of computing time.
    pub(crate) const fn refill(&mut self, ticks: u32) {
        self.ticks = ticks;
    }

    /// Takes one tick; false when there was none left.
    pub(crate) const fn spend_tick(&mut self) -> bool {
        self.ticks = self.ticks.saturating_sub(1);
        self.ticks > 0
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // All memories of the instance together.
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit {
            // A trap with a name, instead of an allocation failure inside the guest that says nothing.
            return Err(OverBudget::Memory {
                limit: self.memory_limit,
            }
            .into());
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > MAX_TABLE {
            Err(OverBudget::Table.into())
        } else {
            Ok(true)
        }
    }

    // A component is a handful of core instances, tables and memories: its module, its shims and its adapters. Python's interpreter is
    // linked of libraries when it is instantiated, with 38 instances; QuickJS has a memory of its own for what stands in for WASI.
    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        20
    }

    fn memories(&self) -> usize {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut budget = Budget::new(100);
        assert!(budget.memory_growing(0, 60, None).unwrap());
        assert!(budget.memory_growing(0, 30, None).unwrap());
        assert_eq!(budget.memory(), 90);
        let error = budget.memory_growing(60, 71, None).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&OverBudget::Memory { limit: 100 }));
        assert_eq!(budget.memory(), 90);
    }

    #[test]
    fn ticks_run_out() {
        let mut budget = Budget::new(0);
        assert!(!budget.spend_tick());
        budget.refill(2);
        assert!(budget.spend_tick());
        assert!(!budget.spend_tick());
    }
}
