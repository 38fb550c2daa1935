//! Why a call ended without an answer, in one word for metrics and one sentence for people.

use wasmtime::Trap;

use super::budget::OverBudget;

/// A call that the sandbox ended. It costs that call and its instance, nothing else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct Fault {
    pub(crate) cause: Cause,
    pub(crate) reason: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Computed or waited too long.
    Deadline,
    /// Wanted too much memory, or too large a table.
    Memory,
    /// Recursed too deep.
    Stack,
    /// Made the host copy too much.
    Copy,
    /// Panicked, or did what WebAssembly forbids.
    Trap,
    /// Answered what makes no sense.
    Answer,
}

impl Cause {
    pub(crate) const ALL: [Self; 6] = [
        Self::Deadline,
        Self::Memory,
        Self::Stack,
        Self::Copy,
        Self::Trap,
        Self::Answer,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Copy => "copy",
            Self::Trap => "trap",
            Self::Answer => "answer",
        }
    }
}

impl Fault {
    /// An answer that the host does not take.
    pub(crate) fn answer(reason: impl Into<String>) -> Self {
        Self {
            cause: Cause::Answer,
            reason: reason.into(),
        }
    }

    /// Reads what wasmtime says. `said` is the guest's last error line: the message of a panic, in most cases.
    pub(crate) fn of(error: &wasmtime::Error, said: Option<&str>) -> Self {
        if let Some(over) = error.downcast_ref::<OverBudget>() {
            return Self {
                cause: Cause::Memory,
                reason: over.to_string(),
            };
        }
        let (cause, reason) = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => (Cause::Deadline, "computed longer than its deadline".to_owned()),
            Some(Trap::StackOverflow) => (Cause::Stack, "stack overflow".to_owned()),
            Some(trap) => (Cause::Trap, trap.to_string()),
            None => {
                let root = error.root_cause().to_string();
                (
                    if root.contains("hostcall") {
                        Cause::Copy
                    } else {
                        Cause::Trap
                    },
                    root,
                )
            }
        };
        let reason = said.map_or_else(|| reason.clone(), |said| format!("{reason} ({said})"));
        Self { cause, reason }
    }
}
