//! Transforms as agents run them: columns in, columns out, faults contained, and the same checks of a file as in the hub.

use std::fs;

use serde_json::{Map, Value, json};
use streamflow_plugin_host::{
    Limits, Options, TransformError, TransformHost, TransformPlugin, TransformRun,
    signature::{KeyTexts, SigningKey},
};
use streamflow_proto::{bitmap::Bitmap, build::BatchBuilder};

use crate::{
    fixture::{Parts, encoded, manifest},
    rule_text::MEMORY,
    shipped::{built, built_path},
};

/// Where the parts of a core module differ from one that changes nothing.
struct TransformText {
    /// What `init` answers: 0, which is the address of `ok`, or the address of something else.
    init: &'static str,
    /// What `apply` does; the number of rows is parameter 0.
    apply: &'static str,
    manifest: &'static str,
}

const UNCHANGED: &str = "(call $output (i32.const 0) (i32.const 0) (i32.const 0))";
const TRAP: &str = "(unreachable)";
const LOOP: &str = "(loop $on (br $on)) (unreachable)";

impl Default for TransformText {
    fn default() -> Self {
        Self {
            init: "(i32.const 0)",
            apply: UNCHANGED,
            manifest: "",
        }
    }
}

impl TransformText {
    fn build(&self, name: &str) -> Vec<u8> {
        let Self { init, apply, .. } = self;
        // Bytes 0.. hold `ok` of init; 16.. the answer of apply; 64.. texts; 256.. one column that is set; 512.. its values; from page 2 on what the host hands over.
        let text = format!(
            r#"(module
                {MEMORY}
                (data (i32.const 64) "data.n")
                (data (i32.const 72) "id")
                (data (i32.const 80) "data.gone")
                (data (i32.const 96) "no, sorry")
                (data (i32.const 112) "\05")
                ;; ends and index of three texts of which the second, which the second row has, is 300 bytes long
                (data (i32.const 1024) "\01\00\00\00\2d\01\00\00")
                (data (i32.const 1040) "\00\00\00\00\01\00\00\00\00\00\00\00")
                (data (i32.const 1056) "user_id")
                ;; drop: list of one string
                (data (i32.const 128) "\50\00\00\00\09\00\00\00")
                ;; err "no, sorry" of init
                (data (i32.const 144) "\01\00\00\00\60\00\00\00\09\00\00\00")
                (data (i32.const 512) "\07\00\00\00\00\00\00\00\08\00\00\00\00\00\00\00\09\00\00\00\00\00\00\00")
                ;; One column of integers: name, path (empty), data, present (none).
                (func $integers (param $name i32) (param $length i32)
                    (i32.store (i32.const 256) (local.get $name))
                    (i32.store (i32.const 260) (local.get $length))
                    (i32.store8 (i32.const 272) (i32.const 1))
                    (i32.store (i32.const 276) (i32.const 512))
                    (i32.store (i32.const 280) (i32.const 3)))
                ;; One column of texts: name, path (empty), texts, ends, index, present (none).
                (func $texts (param $name i32) (param $length i32) (param $at i32) (param $bytes i32)
                    (param $ends i32) (param $count i32) (param $index i32) (param $rows i32)
                    (i32.store (i32.const 256) (local.get $name))
                    (i32.store (i32.const 260) (local.get $length))
                    (i32.store8 (i32.const 272) (i32.const 3))
                    (i32.store (i32.const 276) (local.get $at))
                    (i32.store (i32.const 280) (local.get $bytes))
                    (i32.store (i32.const 284) (local.get $ends))
                    (i32.store (i32.const 288) (local.get $count))
                    (i32.store (i32.const 292) (local.get $index))
                    (i32.store (i32.const 296) (local.get $rows)))
                ;; `data.n` of each row becomes a text of its own of 60,000 bytes.
                (func $large (param $rows i32) (local $i i32)
                    (loop $on
                        (i32.store8 (i32.add (i32.const 262144) (i32.mul (local.get $i) (i32.const 60000))) (local.get $i))
                        (i32.store (i32.add (i32.const 12288) (i32.mul (local.get $i) (i32.const 4))) (local.get $i))
                        (local.set $i (i32.add (local.get $i) (i32.const 1)))
                        (i32.store (i32.add (i32.const 8188) (i32.mul (local.get $i) (i32.const 4))) (i32.mul (local.get $i) (i32.const 60000)))
                        (br_if $on (i32.lt_u (local.get $i) (local.get $rows))))
                    (call $texts (i32.const 64) (i32.const 6) (i32.const 262144) (i32.mul (local.get $rows) (i32.const 60000))
                        (i32.const 8192) (local.get $rows) (i32.const 12288) (local.get $rows)))
                ;; keep of one byte at 112, or none; columns at 256; drops at 128
                (func $output (param $keep i32) (param $sets i32) (param $drops i32) (result i32)
                    (global.set $top (i32.const 131072))
                    (i32.store8 (i32.const 16) (i32.const 0))
                    (i32.store8 (i32.const 20) (local.get $keep))
                    (i32.store (i32.const 24) (i32.const 112))
                    (i32.store (i32.const 28) (i32.const 1))
                    (i32.store (i32.const 32) (i32.const 256))
                    (i32.store (i32.const 36) (local.get $sets))
                    (i32.store (i32.const 40) (i32.const 128))
                    (i32.store (i32.const 44) (local.get $drops))
                    (i32.const 16))
                (func $failed (result i32)
                    (global.set $top (i32.const 131072))
                    (i32.store8 (i32.const 16) (i32.const 1))
                    (i32.store (i32.const 20) (i32.const 96))
                    (i32.store (i32.const 24) (i32.const 9))
                    (i32.const 16))
                (func (export "streamflow:plugin/transform@0.1.0#init") (param i32 i32) (result i32) {init})
                (func $apply (param $rows i32) (result i32) {apply})
                (func (export "streamflow:plugin/transform@0.1.0#apply") (param $batch i32) (result i32)
                    (call $apply (i32.load (local.get $batch))))
            )"#
        );
        encoded(&text, "transform", &manifest(name, "transform", self.manifest))
    }
}

fn options() -> Options {
    Options {
        limits: Limits {
            memory_mib: 32,
            transform_deadline_ms: 200,
            ..Limits::default()
        },
        ..Options::default()
    }
}

async fn plugin(text: &TransformText) -> TransformPlugin {
    let host = TransformHost::build(&options(), None).unwrap();
    host.try_out(text.build("mine")).await.unwrap()
}

async fn run(apply: &'static str) -> (TransformPlugin, TransformRun) {
    let plugin = plugin(&TransformText {
        apply,
        ..TransformText::default()
    })
    .await;
    let run = plugin.start("mine", &Map::new()).unwrap();
    (plugin, run)
}

fn three() -> BatchBuilder {
    builder(&[
        json!({"a": 1, "gone": "x"}),
        json!({"n": "text", "gone": {"deep": true}}),
        json!({}),
    ])
}

pub fn builder(data: &[Value]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for data in data {
        let event = json!({"type": "t", "source": "s", "data": data});
        builder.push_json(event.to_string().as_bytes(), 0).unwrap();
    }
    builder
}

pub fn data(builder: &BatchBuilder) -> Vec<String> {
    let batch = builder.view().unwrap();
    let events = batch.events(&Bitmap::new(batch.len(), true)).unwrap();
    events
        .iter()
        .map(|event| event.data.as_ref().unwrap().get().to_owned())
        .collect()
}

#[tokio::test]
async fn columns_are_dropped_and_set_and_rows_go() {
    let (_, mut unchanged) = run(UNCHANGED).await;
    let mut builder = three();
    assert_eq!(unchanged.apply(&mut builder).await.unwrap().turned_away, 0);
    assert_eq!(data(&builder), data(&three()));
    let apply =
        "(call $integers (i32.const 64) (i32.const 6)) (call $output (i32.const 1) (i32.const 1) (i32.const 1))";
    let (_, mut run) = run(apply).await;
    let done = run.apply(&mut builder).await.unwrap();
    assert_eq!(done.turned_away, 1);
    assert!(done.memory > 0 && !done.took.is_zero());
    // The bits of keep are 101, the integers 7, 8 and 9.
    assert_eq!(data(&builder), [r#"{"a":1,"n":7}"#, r#"{"n":9}"#]);
}

#[tokio::test]
async fn faults_leave_the_batch_as_it_was_and_five_of_them_are_enough() {
    for (apply, cause, words) in [
        (TRAP, "trap", "unreachable"),
        (LOOP, "deadline", "computed longer"),
        (
            "(drop (memory.grow (i32.const 512))) (unreachable)",
            "memory",
            "memory limit of 32 MiB",
        ),
        (
            "(call $integers (i32.const 72) (i32.const 2)) (call $output (i32.const 0) (i32.const 1) (i32.const 0))",
            "answer",
            "`id` may not be set",
        ),
        (
            "(call $integers (i32.const 64) (i32.const 6)) (i32.store (i32.const 280) (i32.const 2)) (call $output (i32.const 0) (i32.const 1) (i32.const 0))",
            "answer",
            "data.n has 2 rows",
        ),
    ] {
        let (plugin, mut run) = run(apply).await;
        let mut builder = three();
        for _ in 0..5 {
            assert_eq!(plugin.quarantine(), None);
            let error = run.apply(&mut builder).await.unwrap_err();
            assert_eq!(error.cause(), cause, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert_eq!(data(&builder), data(&three()));
        }
        let error = run.apply(&mut builder).await.unwrap_err();
        assert!(matches!(&error, TransformError::Unavailable(_)), "{error}");
        assert_eq!(error.cause(), "quarantined");
        assert!(plugin.quarantine().unwrap().contains("5 failures within a minute"));
        assert!(
            !plugin
                .quiet_for(std::time::Instant::now() + std::time::Duration::from_secs(1))
                .is_zero()
        );
        plugin.release();
        assert_eq!(plugin.quarantine(), None);
        assert_eq!(run.apply(&mut builder).await.unwrap_err().cause(), cause);
    }
}

#[tokio::test]
async fn a_transform_that_says_that_it_failed_goes_on() {
    let (plugin, mut run) = run("(if (result i32) (i32.eq (local.get 0) (i32.const 3)) (then (call $failed)) (else (call $output (i32.const 0) (i32.const 0) (i32.const 0))))").await;
    for _ in 0..10 {
        let error = run.apply(&mut three()).await.unwrap_err();
        assert_eq!(error, TransformError::Failed("no, sorry".to_owned()));
    }
    assert_eq!(plugin.quarantine(), None);
    run.apply(&mut builder(&[json!({})])).await.unwrap();
}

#[tokio::test]
async fn a_text_that_is_too_long_costs_its_event_and_nothing_else() {
    let (plugin, mut run) = run(
        "(call $texts (i32.const 1056) (i32.const 7) (i32.const 262144) (i32.const 301) (i32.const 1024) (i32.const 2) (i32.const 1040) (i32.const 3))
         (call $output (i32.const 0) (i32.const 1) (i32.const 0))",
    )
    .await;
    for _ in 0..10 {
        let mut builder = three();
        let done = run.apply(&mut builder).await.unwrap();
        assert_eq!((done.given_up, done.turned_away), (1, 0));
        let all = data(&three());
        assert_eq!(data(&builder), [all[0].as_str(), all[2].as_str()]);
    }
    assert_eq!(plugin.quarantine(), None);
}

#[tokio::test]
async fn a_batch_that_becomes_too_large_is_a_failure_and_stops_no_others() {
    let (plugin, mut run) =
        run("(call $large (local.get $rows)) (call $output (i32.const 0) (i32.const 1) (i32.const 0))").await;
    let large = || builder(&vec![json!({"a": 1}); 20]);
    for _ in 0..10 {
        let mut builder = large();
        let error = run.apply(&mut builder).await.unwrap_err();
        assert_eq!(error.cause(), "failed", "{error}");
        assert_eq!(data(&builder), data(&large()));
    }
    assert_eq!(plugin.quarantine(), None);
    let done = run.apply(&mut builder(&[json!({})])).await.unwrap();
    assert_eq!((done.given_up, done.turned_away), (0, 0));
}

#[tokio::test]
async fn more_than_one_call_takes_is_refused() {
    let (_, mut run) = run(UNCHANGED).await;
    let mut builder = builder(&vec![json!({}); 4097]);
    let error = run.apply(&mut builder).await.unwrap_err();
    assert_eq!(error.cause(), "batch");
    assert!(error.to_string().contains("4097 events"), "{error}");
}

#[tokio::test]
async fn a_configuration_is_checked_by_schema_fields_secrets_and_the_plugin() {
    let schema = "[input]\nfields = [{ path = \"config:fields\", type = \"text\" }]\n[config.schema]\ntype = \"object\"\n[config.schema.properties.fields]\n\
                  type = \"array\"\n[config.schema.properties.key]\ntype = \"string\"\nminLength = 8\nwriteOnly = true\n";
    let checked = plugin(&TransformText {
        manifest: schema,
        ..TransformText::default()
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), "long enough\n").unwrap();
    fs::write(dir.path().join("short"), "short").unwrap();
    let file = |name: &str| json!({"key": format!("file:{}", dir.path().join(name).display())});
    for (config, field, words) in [
        (json!({"fields": 1}), "config.fields", "array"),
        (json!({"fields": ["data"]}), "", ""),
        (json!({"fields": ["message"]}), "config", "`message`"),
        (json!({"fields": [""]}), "config.fields", "1 to 256"),
        (json!({"key": "short"}), "config.key", ""),
        (file("key"), "", ""),
        (file("short"), "config.key", ""),
        (file("missing"), "config.key", "missing"),
    ] {
        let problems = checked.check(config.as_object().unwrap()).await;
        match problems.as_slice() {
            [] => assert_eq!(field, "", "{config}"),
            [problem, ..] => {
                assert_eq!(problem.field, field, "{config}: {problem:?}");
                assert!(problem.reason.contains(words), "{config}: {problem:?}");
            }
        }
    }
    let refusing = plugin(&TransformText {
        init: "(i32.const 144)",
        ..TransformText::default()
    })
    .await;
    let [problem] = refusing.check(&Map::new()).await.try_into().unwrap();
    assert_eq!(
        (problem.field.as_str(), problem.reason.as_str()),
        ("config", "no, sorry")
    );
    let error = refusing
        .start("mine", &Map::new())
        .unwrap()
        .apply(&mut three())
        .await
        .unwrap_err();
    assert_eq!(error, TransformError::Refused("no, sorry".to_owned()));
}

#[tokio::test]
async fn only_transforms_that_somebody_vouches_for_are_loaded_and_compiled_once() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| -> String {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let keys = KeyTexts::generate().unwrap();
    let key = SigningKey::parse(&keys.secret).unwrap();
    let mine = TransformText::default().build("mine");
    let signed = put("signed.wasm", &key.sign(&mine, "mine").unwrap());
    let unsigned = put("unsigned.wasm", &mine);
    put("shipped/mine.wasm", &mine);
    let channel = put("channel.wasm", &Parts::default().build("channel"));
    let reaching = put(
        "reaching.wasm",
        &TransformText {
            manifest: "[capabilities]\nhttp = [\"config:url\"]\n",
            ..TransformText::default()
        }
        .build("reaching"),
    );
    let cache = dir.path().join("cache");
    let host = |trusted: bool, allow_unsigned: bool| {
        let options = Options {
            shipped_dir: Some(dir.path().join("shipped")),
            trusted_keys: trusted.then(|| keys.public.clone()).into_iter().collect(),
            allow_unsigned,
            ..options()
        };
        TransformHost::build(&options, Some(cache.clone())).unwrap()
    };
    let compiled = || {
        let files = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|end| end == "cwasm"))
            .count()
    };
    let strict = host(true, false);
    assert_eq!(strict.load("mine").await.unwrap().signature(), "shipped");
    assert!(strict.load(&signed).await.unwrap().signature().starts_with("signed by"));
    assert_eq!(compiled(), 2);
    assert_eq!(host(false, true).load(&unsigned).await.unwrap().signature(), "unsigned");
    // The same bytes as those that were shipped.
    assert_eq!(compiled(), 2);
    for (host, plugin, words) in [
        (&strict, unsigned.as_str(), "allow_unsigned"),
        (&strict, "yours", "no transform of this name"),
        (&strict, "/nowhere/mine.wasm", "/nowhere/mine.wasm"),
        (&strict, "/", "/: "),
        (&strict, "..", "..: "),
        (&host(false, true), channel.as_str(), "kind channel"),
        (&host(false, true), reaching.as_str(), "a transform has no http"),
    ] {
        let error = host.load(plugin).await.unwrap_err().to_string();
        assert!(error.contains(words), "{plugin}: {error}");
    }
    let only_shipped = host(true, false);
    only_shipped.load("mine").await.unwrap();
    only_shipped.sweep();
    assert_eq!(compiled(), 1);
}

#[tokio::test]
async fn shipped_transforms_take_out_what_they_are_for() {
    let Some(fixture) = built("dist") else { return };
    if built_path("dist/redact-pii.wasm").is_none() {
        return;
    }
    let host = TransformHost::build(&fixture.options, None).unwrap();
    let plugin = host.load("redact-pii").await.unwrap();
    let config = json!({"fields": ["data.message"]});
    let config = config.as_object().unwrap();
    assert_eq!(plugin.check(config).await, []);
    assert_ne!(plugin.check(&Map::new()).await, []);
    let mut run = plugin.start("redact", config).unwrap();
    let mut builder = builder(&[
        json!({"message": "mail to jane.doe@example.org", "n": 1e20}),
        json!({"message": 7}),
        json!({"other": "jane.doe@example.org"}),
    ]);
    run.apply(&mut builder).await.unwrap();
    let data = data(&builder);
    assert!(
        !data[0].contains("jane.doe") && data[0].contains("mail to "),
        "{data:?}"
    );
    assert_eq!(data[1..], [r#"{"message":7}"#, r#"{"other":"jane.doe@example.org"}"#]);
}

#[tokio::test]
async fn a_real_component_that_loops_is_ended_and_a_fresh_one_goes_on() {
    let Some(file) = built_path("dist/testbed/transform-loop.wasm") else {
        return;
    };
    let options = Options {
        allow_unsigned: true,
        ..options()
    };
    let host = TransformHost::build(&options, None).unwrap();
    let plugin = host.load(file.to_str().unwrap()).await.unwrap();
    let mut run = plugin.start("loop", &Map::new()).unwrap();
    let message = |text: &str| json!({"message": text});
    let mut poisoned = builder(&[message("fine"), message("poison")]);
    assert_eq!(run.apply(&mut poisoned).await.unwrap_err().cause(), "deadline");
    let mut healthy = builder(&[message("fine"), message("noise"), json!({})]);
    assert_eq!(run.apply(&mut healthy).await.unwrap().turned_away, 1);
    assert_eq!(
        data(&healthy),
        [r#"{"message":"fine","seen":true}"#, r#"{"seen":true}"#]
    );
}
