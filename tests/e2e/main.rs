//! One test binary; each module drives one part of the public contract through the real binaries.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test speaks by failing, and to the person who runs it"
)]

mod alert_kills;
mod alert_policies;
mod alerting;
mod alertmanager;
mod authentication;
mod bad_input;
mod browser;
mod command_line;
mod enrolment;
mod full_disk;
mod health;
mod ingest_http;
mod kills;
mod make_run;
mod metrics;
mod past;
mod path;
mod plugins;
mod prometheus;
mod query;
mod realtime;
mod rule_files;
mod watching;
mod websocket;
mod windows;
