//! The plugin host from outside: plugins as files, calls through `ChannelSender`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

#[path = "host/fixture.rs"]
mod fixture;
#[path = "host/install.rs"]
mod install;
#[path = "host/interface.rs"]
mod interface;
#[path = "host/limits.rs"]
mod limits;
#[path = "host/loading.rs"]
mod loading;
#[path = "host/routes.rs"]
mod routes;
#[path = "host/rule_text.rs"]
mod rule_text;
#[path = "host/rules.rs"]
mod rules;
#[path = "host/shadow.rs"]
mod shadow;
#[path = "host/shipped.rs"]
mod shipped;
#[path = "host/testbed.rs"]
mod testbed;
#[path = "host/transforms.rs"]
mod transforms;
