//! The agent against a hub in the same process, and the program as people run it.

mod delivery;
mod enrolment;
mod fake_hub;
mod program;
