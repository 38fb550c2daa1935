//! One test binary; each module drives one part of the public contract through the real binaries.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test speaks by failing, and to the person who runs it"
)]

mod alert_faults;
mod alert_kills;
mod alert_policies;
mod alerting;
mod alertmanager;
mod authentication;
mod bad_input;
mod browser;
mod channels;
mod channels_mail;
mod command_line;
mod drill;
mod edge_metrics;
mod enrolment;
mod full_disk;
mod health;
mod independent;
mod ingest_http;
mod kills;
mod make_run;
mod metrics;
mod number_rules;
mod paging;
mod past;
mod path;
mod plugin_faults;
mod plugin_languages;
mod plugin_past;
mod plugin_shadow;
mod plugin_tools;
mod plugin_transform;
mod plugins;
mod prometheus;
mod provisioning;
mod query;
mod realtime;
mod rule_files;
mod self_watch;
mod standby;
mod transform_guide;
mod watching;
mod websocket;
mod windows;
