//! Every version of the plugin interface that was ever shipped still runs: a rule, a channel and a transform that an SDK of that version built are kept
//! in `tests/fixtures`, and never built again.

use std::{fs, path::Path};

use serde_json::{Map, json};
use streamflow_plugin_host::{ChannelSender, Options, PluginState, TransformHost};

use crate::{
    fixture::{Fixture, notice},
    rules::{of, show, start},
    transforms::{builder, data},
};

/// A component of this version.
fn kept(version: &str, kind: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let path = folder.join(format!("interface-{version}-{kind}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; see README.md there", path.display()))
}

/// All versions, as the headings of `wit/CHANGES.md` name them.
fn versions() -> Vec<String> {
    let changes = include_str!("../../../../wit/CHANGES.md");
    let headings = changes.lines().filter_map(|line| line.strip_prefix("## "));
    headings
        .filter_map(|heading| heading.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn components_of_every_version_of_the_interface_run() {
    let versions = versions();
    assert!(versions.contains(&"0.1.0".to_owned()), "{versions:?}");
    for version in versions {
        let mut fixture = Fixture::new()
            .file("shipped/rule.wasm", &kept(&version, "rule"))
            .file("shipped/channel.wasm", &kept(&version, "channel"));
        fixture.options.limits.deadline_ms = 5_000;
        fixture.options.limits.rule_deadline_ms = 5_000;
        let running = fixture.start().await;
        let (rule, channel) = ("testbed-rule-trap", "testbed-forbidden-host");
        for name in [rule, channel] {
            let info = running.info(name);
            assert_eq!(
                (info.state, &info.reason),
                (PluginState::Active, &None),
                "{version} {name}"
            );
        }
        let mut run = start(&running, rule, json!({}), None).await.unwrap();
        let seen = show(&running, rule, &mut run, &[of("a", "s"), of("a", "s")])
            .await
            .unwrap();
        assert_eq!((seen[0].key.as_str(), seen[0].value), ("s", Some(2.0)), "{version}");
        let state = run.save().await.unwrap();
        let mut run = start(&running, rule, json!({}), Some(&state)).await.unwrap();
        let seen = show(&running, rule, &mut run, &[of("a", "s")]).await.unwrap();
        assert_eq!(seen[0].value, Some(3.0), "{version}");
        let denied = running.host.deliver(channel, "ops", &Map::new(), &notice(), 1).await;
        let denied = denied.unwrap_err().to_string();
        assert!(
            denied.contains("exfiltration.example.net:443 is not among the targets"),
            "{version}: {denied}"
        );
        assert_eq!(
            (running.info(rule).traps, running.info(channel).traps),
            (0, 0),
            "{version}"
        );
    }
}

#[tokio::test]
async fn transforms_of_every_version_of_the_interface_run() {
    for version in versions() {
        let mut options = Options::default();
        options.limits.transform_deadline_ms = 5_000;
        let host = TransformHost::build(&options, None).unwrap();
        let plugin = host.try_out(kept(&version, "transform")).await.unwrap();
        assert_eq!(plugin.check(&Map::new()).await, [], "{version}");
        let mut run = plugin.start("kept", &Map::new()).unwrap();
        let message = |text: &str| json!({"message": text, "n": 1});
        let mut batch = builder(&[message("fine"), message("noise"), json!({"message": 7})]);
        let done = run.apply(&mut batch).await.unwrap();
        assert_eq!((done.turned_away, done.given_up), (1, 0), "{version}");
        let expected = [
            r#"{"message":"fine","n":1,"seen":true}"#,
            r#"{"message":7,"seen":true}"#,
        ];
        assert_eq!(data(&batch), expected, "{version}");
        assert_eq!(plugin.quarantine(), None, "{version}");
    }
}
