//! Which files become plugins, and what is said of the others.

use std::fs;

use serde_json::{Map, json};
use streamflow_plugin_host::{ChannelSender, DeliverError, PluginState};

use crate::fixture::{Fixture, Parts, component, manifest};

const HTTP: &str =
    r#"(import "streamflow:plugin/http@0.1.0" "send" (func $send (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

#[tokio::test]
async fn files_that_are_no_plugins_are_listed_with_their_reason() {
    let empty = |name: &str, more: &str| component("(component)", &manifest(name, "channel", more));
    let importing = |name: &str, import: &str| {
        component(
            &format!("(component (import \"{import}\" (instance)))"),
            &manifest(name, "channel", ""),
        )
    };
    let running = Fixture::new()
        .plugin("healthy", &Parts::default())
        .plugin(
            "needs-http",
            &Parts {
                imports: HTTP,
                deliver: "(unreachable)",
                ..Parts::default()
            },
        )
        .plugin(
            "broken-schema",
            &Parts {
                manifest: "[config.schema]\ntype = \"text\"\n",
                ..Parts::default()
            },
        )
        .file("shipped/garbage.wasm", b"#!/bin/sh\n")
        .file("shipped/module.wasm", &wat::parse_str("(module)").unwrap())
        .file("shipped/no-manifest.wasm", &wat::parse_str("(component)").unwrap())
        .file(
            "shipped/bad-manifest.wasm",
            &component("(component)", "[plugin]\nname = 1\n"),
        )
        .file("shipped/files.wasm", &importing("files", "wasi:filesystem/types@0.2.0"))
        .file("shipped/sockets.wasm", &importing("sockets", "wasi:sockets/tcp@0.2.0"))
        .file(
            "shipped/future.wasm",
            &importing("future", "streamflow:plugin/log@0.2.0"),
        )
        .file("shipped/no-exports.wasm", &empty("no-exports", ""))
        .file("shipped/mailer.wasm", &empty("mailer", "[capabilities]\nmail = true\n"))
        .file(
            "shipped/transformer.wasm",
            &component("(component)", &manifest("transformer", "transform", "")),
        )
        .file(
            "shipped/caller.wasm",
            &component(
                "(component)",
                &manifest("caller", "rule", "[capabilities]\nhttp = [\"config:url\"]\n"),
            ),
        )
        .file(
            "shipped/blind.wasm",
            &component(
                "(component)",
                &manifest(
                    "blind",
                    "rule",
                    "[input]\nfields = [{ path = \"value\", type = \"float\" }]\n",
                ),
            ),
        )
        .file(
            "shipped/hollow.wasm",
            &component("(component)", &manifest("hollow", "rule", "")),
        )
        .file(
            "shipped/new-api.wasm",
            &component(
                "(component)",
                &manifest("new-api", "channel", "").replace("0.1\"", "0.2\""),
            ),
        )
        .file("shipped/twin.wasm", &empty("healthy", ""))
        .file("shipped/huge.wasm", &vec![0; (32 << 20) + 1])
        .file("shipped/readme.txt", b"not a plugin")
        .start()
        .await;
    for (name, words) in [
        ("needs-http", "[capabilities] http"),
        ("broken-schema", "schema"),
        ("garbage", "not a WebAssembly component"),
        ("module", "core module"),
        ("no-manifest", "no manifest"),
        ("bad-manifest", "plugin.toml"),
        ("files", "wasi:filesystem/types@0.2.0, which this hub does not offer"),
        ("sockets", "wasi:sockets/tcp@0.2.0, which this hub does not offer"),
        ("future", "another version"),
        ("no-exports", "does not fit the plugin interface"),
        ("mailer", "does not fit the plugin interface"),
        ("transformer", "plugin = \"transformer\""),
        ("caller", "a rule has no http"),
        ("hollow", "does not fit the plugin interface"),
        ("new-api", "version 0.2"),
        ("huge", "33554433 bytes"),
    ] {
        let info = running.info(name);
        let state = if name == "transformer" {
            PluginState::ForAgents
        } else {
            PluginState::Failed
        };
        assert_eq!(info.state, state, "{name}");
        let reason = info.reason.unwrap();
        assert!(reason.contains(words), "{name}: {reason}");
        let answer = running.deliver(name).await;
        assert!(
            matches!(&answer, Err(DeliverError::Transient { reason, .. }) if reason.contains(words)),
            "{name}: {answer:?}"
        );
    }
    let twins: Vec<_> = running
        .host
        .list()
        .into_iter()
        .filter(|info| info.name == "healthy")
        .collect();
    assert_eq!(twins.len(), 2);
    assert!(
        twins
            .iter()
            .any(|info| info.reason.as_deref() == Some("another plugin has this name"))
    );
    assert_eq!(running.deliver("healthy").await.unwrap(), "done");
    assert_eq!(running.host.list().len(), 19);
    assert!(running.info("blind").state == PluginState::Failed);
}

#[tokio::test]
async fn installed_plugins_need_a_signature_or_the_operators_word() {
    let plugin = Parts::default().build("mine");
    let mut fixture = Fixture::new().file("plugins/mine.wasm", &plugin);
    let running = fixture.try_start().await.unwrap();
    let info = running.info("mine");
    assert_eq!(info.state, PluginState::Failed);
    assert!(info.reason.unwrap().contains("allow_unsigned"));
    fixture.options.allow_unsigned = true;
    assert_eq!(fixture.start().await.info("mine").state, PluginState::Active);
}

#[tokio::test]
async fn unknown_names_list_the_known_ones() {
    let running = Fixture::new()
        .plugin("a", &Parts::default())
        .plugin("b", &Parts::default())
        .start()
        .await;
    let error = running.host.check("pigeon", &Map::new()).await.unwrap_err().to_string();
    assert_eq!(error, "no channel plugin is called `pigeon`; there are: a, b");
    assert!(matches!(
        running.deliver("pigeon").await,
        Err(DeliverError::Permanent(_))
    ));
    assert_eq!(running.host.secret_keys("pigeon"), Vec::<String>::new());
}

#[tokio::test]
async fn configuration_is_checked_by_schema_and_for_secrets() {
    let more = "[config.schema]\nrequired = [\"to\"]\nproperties = { to = { type = \"string\" }, key = { writeOnly = true } }\n";
    let running = Fixture::new()
        .plugin(
            "a",
            &Parts {
                manifest: more,
                ..Parts::default()
            },
        )
        .start()
        .await;
    assert_eq!(running.host.secret_keys("a"), ["key"]);
    let check = async |config: serde_json::Value| running.host.check("a", config.as_object().unwrap()).await;
    check(json!({"to": "x"})).await.unwrap();
    assert!(check(json!({})).await.unwrap_err().to_string().contains("\"to\""));
    assert!(check(json!({"to": 1})).await.unwrap_err().to_string().contains("to: "));
    let error = check(json!({"to": "x", "key": "${secret:nobody}"}))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("secret `nobody` is not in [plugins.secrets]"), "{error}");
}

#[tokio::test]
async fn compiled_code_is_kept_and_never_trusted_blindly() {
    let fixture = Fixture::new().plugin("a", &Parts::default());
    let compiled = || {
        let paths = fs::read_dir(fixture.dir.path().join("plugin-cache"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
            .collect::<Vec<_>>()
    };
    fixture.try_start().await.unwrap().deliver("a").await.unwrap();
    let [entry] = compiled().try_into().unwrap();
    let written = fs::metadata(&entry).unwrap().modified().unwrap();
    fixture.try_start().await.unwrap().deliver("a").await.unwrap();
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), written);

    let mut bytes = fs::read(&entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&entry, bytes).unwrap();
    fixture.try_start().await.unwrap().deliver("a").await.unwrap();

    fs::remove_file(fixture.shipped().join("a.wasm")).unwrap();
    fixture.try_start().await.unwrap();
    assert_eq!(compiled().len(), 0);
}

#[tokio::test]
async fn wrong_configuration_stops_the_start_and_names_the_key() {
    let error = async |change: fn(&mut Fixture)| {
        let mut fixture = Fixture::new();
        change(&mut fixture);
        fixture.try_start().await.err().unwrap().to_string()
    };
    assert!(
        error(|f| f.egress.allow = vec!["http://a".to_owned()])
            .await
            .contains("[egress] allow: `http://a`")
    );
    let secret = |f: &mut Fixture| {
        f.options.secrets = [(
            "ops".to_owned(),
            streamflow_plugin_host::SecretOptions::Anywhere("hunter2".to_owned()),
        )]
        .into();
    };
    assert!(error(secret).await.contains("[plugins.secrets] ops"));
}
