//! `make run`, as somebody types it who has just cloned the repository.

use std::{os::unix::process::CommandExt, process::Command};

use streamflow_tests::{Api, binaries::root, eventually, process::Process};

fn make_run(dir: &std::path::Path) -> Process {
    let mut command = Command::new("make");
    command
        .args(["--no-print-directory", "run"])
        .current_dir(root())
        .env("PROFILE", "dev")
        .env("STREAMFLOW_DIR", dir)
        .env("STREAMFLOW_HUB__HTTP__LISTEN", "127.0.0.1:0")
        .env("STREAMFLOW_HUB__QUIC__LISTEN", "127.0.0.1:0")
        .env_remove("STREAMFLOW_ADMIN_PASSWORD")
        .process_group(0);
    // A person's shell has none of what the test runner sets, and build scripts that watch it would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("NEXTEST") {
            command.env_remove(&name);
        }
    }
    Process::start(&mut command, &dir.join("make.log"))
}

/// Ctrl-C. The status of `make` itself says nothing: it reports the interrupt.
fn stop(running: &mut Process) {
    running.interrupt_group();
    running.wait_for_line("stopped; the data stays");
    running.wait_end();
}

fn after<'a>(lines: &'a [String], word: &str) -> Option<&'a str> {
    lines.iter().find_map(|l| {
        l.split_once(word)
            .map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default())
    })
}

#[tokio::test]
async fn one_command_shows_this_machine_and_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = make_run(dir.path());
    let lines = first.wait_for_line("Ctrl-C stops both");
    let base = after(&lines, "dashboard ")
        .unwrap_or_else(|| panic!("{lines:#?}"))
        .trim_end_matches('/')
        .to_owned();
    let password = after(&lines, "password: ")
        .unwrap_or_else(|| panic!("{lines:#?}"))
        .to_owned();
    assert!(password.len() >= 16, "{password}");
    let api = Api::sign_in(&base, "admin", &password).await;
    eventually("this machine's metrics show", async || {
        let (_, view) = api.get("/api/v1/metrics/realtime").await;
        view["data"]["hosts"].as_array().is_some_and(|h| !h.is_empty())
    })
    .await;
    eventually("this machine's log lines show", async || {
        !api.all_events(&serde_json::json!({"types": ["log"]})).await.is_empty()
    })
    .await;
    let (_, rules) = api.get("/api/v1/rules").await;
    assert!(
        rules["data"].as_array().is_some_and(|r| r.len() >= 4),
        "shipped rules: {rules}"
    );
    stop(&mut first);

    let mut second = make_run(dir.path());
    let lines = second.wait_for_line("Ctrl-C stops both");
    let base = after(&lines, "dashboard ").unwrap().trim_end_matches('/').to_owned();
    assert!(
        after(&lines, "password: ").is_none(),
        "the password is shown once: {lines:#?}"
    );
    let api = Api::sign_in(&base, "admin", &password).await;
    assert!(
        !api.all_events(&serde_json::json!({"types": ["metric"], "limit": 1}))
            .await
            .is_empty(),
        "the data folder is used again"
    );
    stop(&mut second);
}
