//! The agent against a hub in the same process, and the program as people run it.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod delivery;
mod enrolment;
mod fake_hub;
mod program;
mod transforms;
