//! One test binary; each module drives one part of the public contract through the real binaries.

mod alerting;
mod authentication;
mod bad_input;
mod browser;
mod command_line;
mod enrolment;
mod health;
mod ingest_http;
mod kills;
mod path;
mod query;
mod realtime;
mod websocket;
