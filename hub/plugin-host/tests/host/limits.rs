//! What a misbehaving plugin costs: its call, and after some of them its right to be called.

use serde_json::{Map, json};
use streamflow_plugin_host::{ChannelSender, DeliverError, PluginState};

use crate::fixture::{Fixture, Parts, notice};

const LOG: &str = r#"(import "streamflow:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;

fn delivering(deliver: &'static str) -> Parts {
    Parts {
        deliver,
        ..Parts::default()
    }
}

#[tokio::test]
async fn each_misbehaviour_costs_its_call_and_is_named() {
    let looping = delivering("(loop $l (br $l)) (unreachable)");
    let hoarding = delivering("(loop $l (drop (memory.grow (i32.const 16))) (br $l)) (unreachable)");
    let recursing = Parts {
        fields: "(func $f (call $f) (call $f))",
        ..delivering("(call $f) (call $done)")
    };
    let panicking = Parts {
        imports: LOG,
        fields: "(data (i32.const 80) \"index out of bounds\")",
        ..delivering("(call $log (i32.const 3) (i32.const 80) (i32.const 19)) (unreachable)")
    };
    let tables = Parts {
        fields: "(table $t 1 funcref)",
        ..delivering("(drop (table.grow $t (ref.null func) (i32.const 100000))) (call $done)")
    };
    let flooding = delivering(
        "(drop (memory.grow (i32.const 400))) (call $answer (i32.const 0) (i32.const 64) (i32.const 20000000))",
    );
    let pointing = delivering("(call $answer (i32.const 0) (i32.const 64) (i32.const 1073741824))");
    let garbling = Parts {
        fields: "(data (i32.const 80) \"\\ff\\fe\")",
        ..delivering("(call $answer (i32.const 0) (i32.const 80) (i32.const 2))")
    };
    let starting = Parts {
        init: "(loop $l (br $l)) (unreachable)",
        ..Parts::default()
    };
    let running = Fixture::new()
        .plugin("healthy", &Parts::default())
        .plugin("loop", &looping)
        .plugin("hoard", &hoarding)
        .plugin("recurse", &recursing)
        .plugin("panic", &panicking)
        .plugin("tables", &tables)
        .plugin("flood", &flooding)
        .plugin("point", &pointing)
        .plugin("garble", &garbling)
        .plugin("start", &starting)
        .start()
        .await;
    for (plugin, cause, words) in [
        ("loop", "deadline", "deadline"),
        ("hoard", "memory", "memory limit of 32 MiB"),
        ("recurse", "stack", "stack overflow"),
        (
            "panic",
            "trap",
            "unreachable` instruction executed (index out of bounds)",
        ),
        ("tables", "memory", "table limit"),
        ("flood", "copy", "hostcall"),
        ("point", "trap", ""),
        ("garble", "trap", ""),
        ("start", "deadline", "deadline"),
    ] {
        let reason = running.fault(plugin).await;
        assert!(reason.contains(words), "{plugin}: {reason}");
        let traps = running.metric("streamflow_plugin_traps_total", &[("plugin", plugin), ("cause", cause)]);
        assert!(traps > 0.5, "{plugin}: {reason}");
        assert_eq!(
            (running.info(plugin).traps, running.info(plugin).state),
            (1, PluginState::Active),
            "{plugin}"
        );
        assert_eq!(running.deliver("healthy").await.unwrap(), "done");
    }
}

/// One thread for everything: a guest that computes must give way by itself.
#[tokio::test]
async fn others_go_on_while_a_plugin_loops() {
    let mut fixture = Fixture::new()
        .plugin("healthy", &Parts::default())
        .plugin("loop", &delivering("(loop $l (br $l)) (unreachable)"));
    fixture.options.limits.deadline_ms = 60_000;
    let running = fixture.start().await;
    tokio::select! {
        biased;
        reason = running.fault("loop") => panic!("ended before its deadline: {reason}"),
        () = async { for _ in 0..10 { running.deliver("healthy").await.unwrap(); } } => {}
    }
}

#[tokio::test]
async fn five_faults_put_a_plugin_into_quarantine_until_it_is_enabled() {
    let running = Fixture::new()
        .plugin("bad", &delivering("(unreachable)"))
        .plugin("good", &Parts::default())
        .start()
        .await;
    let active = |plugin| running.metric("streamflow_plugin_active", &[("plugin", plugin)]);
    for _ in 0..5 {
        assert_eq!(running.info("bad").state, PluginState::Active);
        assert!(active("bad") > 0.5);
        running.fault("bad").await;
    }
    let info = running.info("bad");
    assert_eq!(info.state, PluginState::Quarantined);
    assert!(
        info.reason
            .unwrap()
            .starts_with("5 failures within a minute, the last: ")
    );
    assert!(active("bad") < 0.5 && active("good") > 0.5);
    assert!(running.fault("bad").await.contains("quarantine"));
    assert_eq!(running.info("bad").traps, 5, "it was called in quarantine");
    assert!(
        running
            .host
            .check("bad", &Map::new())
            .await
            .unwrap_err()
            .to_string()
            .contains("quarantine")
    );

    let enabled = running.host.set_enabled("bad", true, "test").await.unwrap();
    assert_eq!(enabled.state, PluginState::Active);
    running.fault("bad").await;
    assert_eq!(running.info("bad").traps, 6);
    assert!(running.host.set_enabled("nobody", true, "test").await.is_err());
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let flood = Parts {
        imports: LOG,
        ..delivering(
            "(local $i i32) (loop $l (call $log (i32.const 1) (i32.const 64) (i32.const 4))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br_if $l (i32.lt_u (local.get $i) (i32.const 1000)))) (call $done)",
        )
    };
    let mut fixture = Fixture::new().plugin("flood", &flood);
    fixture.options.limits.deadline_ms = 5_000;
    let running = fixture.start().await;
    running.deliver("flood").await.unwrap();
    let dropped = running.metric("streamflow_plugin_log_lines_dropped_total", &[("plugin", "flood")]);
    assert!((100.0..=900.0).contains(&dropped), "{dropped}");
}

/// Answers how often this instance has been called.
const COUNTING: Parts = Parts {
    imports: "",
    fields: "(global $calls (mut i32) (i32.const 48))",
    init: "(i32.const 0)",
    deliver:
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1))) (i32.store8 (i32.const 64) (global.get $calls))
        (call $answer (i32.const 0) (i32.const 64) (i32.const 1))",
    manifest: "",
};

#[tokio::test]
async fn an_instance_is_kept_for_its_channel_and_its_configuration() {
    let running = Fixture::new().plugin("counting", &COUNTING).start().await;
    let send = async |channel: &str, config: serde_json::Value| {
        running
            .host
            .deliver("counting", channel, config.as_object().unwrap(), &notice(), 1)
            .await
            .unwrap()
    };
    assert_eq!(send("a", json!({})).await, "1");
    assert_eq!(send("a", json!({})).await, "2");
    assert_eq!(send("b", json!({})).await, "1");
    assert_eq!(send("a", json!({"changed": true})).await, "1");
    assert_eq!(send("a", json!({"changed": true})).await, "2");
    let info = running.info("counting");
    assert_eq!((info.calls, info.errors, info.traps), (5, 0, 0));
    assert!(
        info.cpu_ns_per_event.is_some() && info.memory_bytes >= 4 << 16,
        "{info:?}"
    );
}

#[tokio::test]
async fn failures_that_a_plugin_answers_keep_their_meaning() {
    // err(transient(("done", 7))) and err(permanent("done")), laid out as the interface says.
    let transient = delivering(
        "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 0)) (i32.store (i32.const 24) (i32.const 64))
         (i32.store (i32.const 28) (i32.const 4)) (i32.store (i32.const 32) (i32.const 7)) (i32.const 16)",
    );
    let permanent = delivering(
        "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store8 (i32.const 20) (i32.const 1)) (i32.store (i32.const 24) (i32.const 64))
         (i32.store (i32.const 28) (i32.const 4)) (i32.const 16)",
    );
    let running = Fixture::new()
        .plugin("transient", &transient)
        .plugin("permanent", &permanent)
        .start()
        .await;
    let expected = DeliverError::Transient {
        reason: "done".to_owned(),
        retry_after_ms: Some(7),
    };
    assert_eq!(running.deliver("transient").await, Err(expected));
    assert_eq!(
        running.deliver("permanent").await,
        Err(DeliverError::Permanent("done".to_owned()))
    );
    assert_eq!(
        (running.info("transient").errors, running.info("permanent").errors),
        (1, 1)
    );
    assert_eq!(running.info("transient").state, PluginState::Active);
}

#[tokio::test]
async fn a_refused_configuration_is_the_operators_to_mend() {
    let refusing = Parts {
        init: "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 4)) (i32.const 0)",
        ..Parts::default()
    };
    let running = Fixture::new().plugin("refusing", &refusing).start().await;
    let error = running
        .host
        .check("refusing", &Map::new())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the configuration does not fit plugin `refusing`: done");
    assert!(matches!(
        running.deliver("refusing").await,
        Err(DeliverError::Permanent(_))
    ));
    assert_eq!(running.info("refusing").traps, 0);
}
