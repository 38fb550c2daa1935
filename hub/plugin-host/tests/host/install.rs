//! Plugins that come and go while the hub runs.

use std::fs;

use streamflow_plugin_host::{
    DeliverError, InstallError, PluginState, PluginUsers,
    signature::{KeyTexts, SigningKey},
};

use crate::fixture::{Fixture, Parts, Running, component, manifest};

fn unsigned() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.options.allow_unsigned = true;
    fixture
}

/// A channel `mine` of this version that answers it, with these lines in its manifest.
fn version(version: &'static str, more: &'static str) -> Vec<u8> {
    let deliver: &'static str = match version {
        "1.0.0" => {
            "(i32.store8 (i32.const 64) (i32.const 49)) (call $answer (i32.const 0) (i32.const 64) (i32.const 1))"
        }
        _ => "(i32.store8 (i32.const 64) (i32.const 50)) (call $answer (i32.const 0) (i32.const 64) (i32.const 1))",
    };
    Parts {
        deliver,
        manifest: more,
        ..Parts::default()
    }
    .build_version("mine", version)
}

async fn answer(running: &Running) -> String {
    running.deliver("mine").await.unwrap()
}

#[tokio::test]
async fn a_new_version_takes_over_and_the_old_one_comes_back() {
    let fixture = unsigned();
    let running = fixture.try_start().await.unwrap();
    let changes = running.host.changes();
    let waiting = running.host.install(version("1.0.0", ""), false, "test").await.unwrap();
    assert_eq!(waiting.state, PluginState::AwaitingApproval);
    assert!(
        matches!(running.deliver("mine").await, Err(DeliverError::Transient { reason, .. }) if reason.contains("approved"))
    );
    let info = running.host.approve("mine", "test").await.unwrap();
    assert_eq!(
        (info.state, info.signature.as_str(), info.previous_version),
        (PluginState::Active, "unsigned", None)
    );
    assert_eq!(answer(&running).await, "1");
    assert!(matches!(
        running.host.approve("mine", "test").await,
        Err(InstallError::NothingWaits(_))
    ));

    // What was approved once needs no word again.
    let info = running.host.install(version("2.0.0", ""), false, "test").await.unwrap();
    assert_eq!(
        (info.state, info.version.as_str(), info.previous_version.as_deref()),
        (PluginState::Active, "2.0.0", Some("1.0.0"))
    );
    assert_eq!(answer(&running).await, "2");
    let back = running.host.rollback("mine", "test").await.unwrap();
    assert_eq!(
        (back.version.as_str(), back.previous_version.as_deref()),
        ("1.0.0", Some("2.0.0"))
    );
    assert_eq!(answer(&running).await, "1");
    assert!(changes.has_changed().unwrap());
    drop(running);

    let running = fixture.try_start().await.unwrap();
    assert_eq!(answer(&running).await, "1");
    assert_eq!(running.host.rollback("mine", "test").await.unwrap().version, "2.0.0");
    running.host.remove("mine", false, "test").await.unwrap();
    assert!(matches!(running.deliver("mine").await, Err(DeliverError::Permanent(_))));
    assert!(matches!(
        running.host.remove("mine", false, "test").await,
        Err(InstallError::Unknown(_))
    ));
    assert_eq!(fs::read_dir(fixture.dir.path().join("plugins")).unwrap().count(), 0);
}

#[tokio::test]
async fn new_rights_wait_while_the_old_version_goes_on() {
    const MORE: &str = "[capabilities]\nhttp = [\"api.example.org\"]\n";
    let fixture = unsigned();
    let running = fixture.try_start().await.unwrap();
    running.host.install(version("1.0.0", ""), true, "test").await.unwrap();
    let waiting = running
        .host
        .install(version("2.0.0", MORE), false, "test")
        .await
        .unwrap();
    assert_eq!(waiting.state, PluginState::AwaitingApproval);
    assert!(waiting.reason.unwrap().contains("http api.example.org"));
    assert_eq!(answer(&running).await, "1");
    let states = |running: &Running| -> Vec<(String, PluginState)> {
        running
            .host
            .list()
            .into_iter()
            .map(|info| (info.version, info.state))
            .collect()
    };
    let both = [
        ("1.0.0".to_owned(), PluginState::Active),
        ("2.0.0".to_owned(), PluginState::AwaitingApproval),
    ];
    assert_eq!(states(&running), both);
    drop(running);
    let running = fixture.try_start().await.unwrap();
    assert_eq!(states(&running), both, "a restart approves nothing");
    running.host.approve("mine", "test").await.unwrap();
    assert_eq!(answer(&running).await, "2");
    assert_eq!(states(&running).len(), 1);
}

#[tokio::test]
async fn a_plugin_put_into_the_folder_by_hand_waits_with_its_rights() {
    let mut fixture = unsigned().file(
        "plugins/odd-name.wasm",
        &version("1.0.0", "[capabilities]\nhttp = [\"api.example.org\"]\n"),
    );
    fixture.options.allow_unsigned = true;
    let running = fixture.try_start().await.unwrap();
    assert_eq!(running.info("mine").state, PluginState::AwaitingApproval);
    running.host.approve("mine", "test").await.unwrap();
    assert_eq!(answer(&running).await, "1");
    drop(running);
    let running = fixture.try_start().await.unwrap();
    assert_eq!((answer(&running).await.as_str(), running.host.list().len()), ("1", 1));
}

#[tokio::test]
async fn a_disabled_plugin_is_not_called_not_even_after_a_restart() {
    let fixture = unsigned();
    let running = fixture.try_start().await.unwrap();
    running.host.install(version("1.0.0", ""), true, "test").await.unwrap();
    let info = running.host.set_enabled("mine", false, "test").await.unwrap();
    assert_eq!(info.state, PluginState::Disabled);
    assert!(running.metric("streamflow_plugin_active", &[("plugin", "mine")]) < 0.5);
    assert!(running.fault("mine").await.contains("disabled"));
    drop(running);
    let running = fixture.try_start().await.unwrap();
    assert!(running.fault("mine").await.contains("disabled"));
    running.host.set_enabled("mine", true, "test").await.unwrap();
    assert_eq!(answer(&running).await, "1");
}

#[tokio::test]
async fn what_came_with_the_hub_is_not_replaced() {
    let mut fixture = Fixture::new().plugin("mine", &Parts::default());
    fixture.options.allow_unsigned = true;
    let running = fixture.try_start().await.unwrap();
    let refused = running.host.install(version("2.0.0", ""), true, "test").await;
    assert!(matches!(refused, Err(InstallError::Shipped(_))));
    assert!(matches!(
        running.host.remove("mine", false, "test").await,
        Err(InstallError::Shipped(_))
    ));
    assert!(matches!(
        running.host.rollback("mine", "test").await,
        Err(InstallError::Shipped(_))
    ));
    running.host.set_enabled("mine", false, "test").await.unwrap();
    assert_eq!(running.info("mine").state, PluginState::Disabled);
}

#[tokio::test]
async fn only_trusted_signatures_are_taken_and_none_that_does_not_hold() {
    let (keys, others) = (KeyTexts::generate().unwrap(), KeyTexts::generate().unwrap());
    let sign = |texts: &KeyTexts, bytes: &[u8]| SigningKey::parse(&texts.secret).unwrap().sign(bytes, "test").unwrap();
    let mut fixture = Fixture::new();
    fixture.options.trusted_keys = vec![keys.public.clone()];
    let running = fixture.try_start().await.unwrap();
    let plain = version("1.0.0", "");
    let refused =
        async |running: &Running, bytes: Vec<u8>| running.host.install(bytes, true, "test").await.unwrap_err();
    for bytes in [plain.clone(), sign(&others, &plain)] {
        let error = refused(&running, bytes).await;
        assert!(
            matches!(&error, InstallError::Untrusted(reason) if reason.contains("allow_unsigned")),
            "{error}"
        );
    }
    let signed = sign(&keys, &plain);
    let info = running.host.install(signed.clone(), true, "test").await.unwrap();
    assert!(info.signature.starts_with("signed by "), "{}", info.signature);
    assert_eq!(answer(&running).await, "1");
    let at = plain.iter().position(|byte| *byte == b'1').unwrap();
    let mut altered = signed.clone();
    altered[at] = b'2';
    assert!(matches!(refused(&running, altered).await, InstallError::Unfit(_)));

    // A signature over another manifest.
    let [own, foreign] =
        [&signed, &sign(&keys, &version("2.0.0", ""))].map(|bytes| bytes[bytes.len() - 300..].to_vec());
    let mut stolen = signed.clone();
    stolen.truncate(signed.len() - own.len());
    stolen.extend(foreign);
    fixture.options.allow_unsigned = true;
    drop(running);
    let running = fixture.try_start().await.unwrap();
    let error = refused(&running, stolen).await;
    assert!(
        matches!(&error, InstallError::Untrusted(reason) if reason.contains("does not hold")),
        "{error}"
    );
    assert_eq!(answer(&running).await, "1");
}

#[tokio::test]
async fn files_that_are_no_plugins_change_nothing() {
    let running = unsigned().start().await;
    running.host.install(version("1.0.0", ""), true, "test").await.unwrap();
    for (bytes, words) in [
        (b"#!/bin/sh".to_vec(), "not a WebAssembly"),
        (vec![0; (32 << 20) + 1], "33554433 bytes"),
        (version("2.0.0", "[config.schema]\ntype = \"text\"\n"), "schema"),
    ] {
        let error = running.host.install(bytes, true, "test").await.unwrap_err();
        assert!(
            matches!(error, InstallError::Unfit(_)) && error.to_string().contains(words),
            "{error}"
        );
    }
    assert_eq!(answer(&running).await, "1");
    assert_eq!(running.host.list().len(), 1);
}

#[tokio::test]
async fn what_is_used_is_removed_by_force_only() {
    let fixture = unsigned();
    let running = fixture.try_start().await.unwrap();
    running.host.install(version("1.0.0", ""), true, "test").await.unwrap();
    running.host.ask_users(|plugin| PluginUsers {
        rules: Vec::new(),
        channels: vec![format!("ops of {plugin}")],
    });
    let refused = running.host.remove("mine", false, "test").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "plugin `mine` is used by channel `ops of mine`; change or delete them first, or remove it all the same by force"
    );
    assert_eq!(answer(&running).await, "1");
    running.host.remove("mine", true, "test").await.unwrap();
    assert!(running.deliver("mine").await.is_err());
}

#[tokio::test]
async fn what_is_not_loaded_can_be_removed_where_it_was_installed() {
    let transform = |name: &str| component("(component)", &manifest(name, "transform", ""));
    let fixture = unsigned()
        .file("plugins/mine.wasm", &transform("mine"))
        .file("plugins/garbage.wasm", b"garbage")
        .file("shipped/theirs.wasm", &transform("theirs"));
    let running = fixture.try_start().await.unwrap();
    for (name, signature, words) in [
        ("mine", "unsigned", "plugin = \"/path/to/it.wasm\""),
        ("theirs", "shipped", "plugin = \"theirs\""),
    ] {
        let info = running.info(name);
        assert_eq!(
            (info.state, info.signature.as_str()),
            (PluginState::ForAgents, signature)
        );
        assert!(info.reason.unwrap().contains(words), "{name}");
    }
    let refused = running.host.install_shadow(transform("other"), false, "test").await;
    assert!(
        matches!(&refused, Err(InstallError::Unfit(reason)) if reason.contains("run in agents")),
        "{refused:?}"
    );
    assert!(matches!(
        running.host.remove("theirs", false, "test").await,
        Err(InstallError::Shipped(_))
    ));
    for name in ["mine", "garbage"] {
        running.host.remove(name, false, "test").await.unwrap();
        assert!(matches!(
            running.host.remove(name, false, "test").await,
            Err(InstallError::Unknown(_))
        ));
    }
    assert_eq!(running.host.list().len(), 1);
    assert_eq!(fs::read_dir(fixture.dir.path().join("plugins")).unwrap().count(), 0);
    assert!(fixture.shipped().join("theirs.wasm").is_file());
}
