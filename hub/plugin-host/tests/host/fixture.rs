//! Plugins written as WebAssembly text, so that these tests need no compiler for it, and a host that runs them.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use prometheus::Registry;
use serde_json::{Map, Value};
use streamflow_model::{AlertState, Level};
use streamflow_plugin_host::{
    ChannelSender, DeliverError, EgressOptions, Limits, MailOptions, Notice, Options, PluginHost, PluginInfo,
};
use tempfile::TempDir;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// A host over a folder of its own.
pub struct Fixture {
    pub dir: TempDir,
    pub options: Options,
    pub egress: EgressOptions,
    pub mail: MailOptions,
}

/// A host that runs.
pub struct Running {
    pub host: Arc<PluginHost>,
    pub registry: Registry,
    _dir: Option<TempDir>,
}

impl Fixture {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shipped_dir = Some(dir.path().join("shipped"));
        fs::create_dir(dir.path().join("shipped")).unwrap();
        let limits = Limits {
            memory_mib: 32,
            deadline_ms: 100,
            rule_deadline_ms: 100,
            ..Limits::default()
        };
        Self {
            options: Options {
                shipped_dir,
                limits,
                ..Options::default()
            },
            egress: EgressOptions::default(),
            mail: MailOptions::default(),
            dir,
        }
    }

    pub fn shipped(&self) -> std::path::PathBuf {
        self.dir.path().join("shipped")
    }

    /// Adds a plugin made of parts of a core module.
    pub fn plugin(self, name: &str, parts: &Parts) -> Self {
        fs::write(self.shipped().join(format!("{name}.wasm")), parts.build(name)).unwrap();
        self
    }

    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    pub async fn try_start(&self) -> Result<Running, streamflow_plugin_host::HostError> {
        let registry = Registry::new();
        let host = PluginHost::build(&self.options, &self.egress, &self.mail, self.dir.path(), &registry).await?;
        Ok(Running {
            host,
            registry,
            _dir: None,
        })
    }

    pub async fn start(self) -> Running {
        let mut running = self.try_start().await.unwrap();
        running._dir = Some(self.dir);
        running
    }
}

impl Running {
    pub async fn deliver(&self, plugin: &str) -> Result<String, DeliverError> {
        self.deliver_with(plugin, &Map::new()).await
    }

    pub async fn deliver_with(&self, plugin: &str, config: &Map<String, Value>) -> Result<String, DeliverError> {
        self.host.deliver(plugin, "ops", config, &notice(), 1).await
    }

    /// The reason of a delivery that is worth another attempt.
    pub async fn fault(&self, plugin: &str) -> String {
        match self.deliver(plugin).await {
            Err(DeliverError::Transient {
                reason,
                retry_after_ms: None,
            }) => reason,
            other => panic!("{plugin}: {other:?}"),
        }
    }

    pub fn info(&self, name: &str) -> PluginInfo {
        self.host
            .list()
            .into_iter()
            .find(|info| info.name == name)
            .unwrap_or_else(|| panic!("{name} is not in {:?}", self.host))
    }

    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap_or_else(|| panic!("no metric {name}"));
        let matches = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                metric
                    .get_label()
                    .iter()
                    .any(|label| label.name() == *name && label.value() == *value)
            })
        };
        let metric = family
            .get_metric()
            .iter()
            .find(matches)
            .unwrap_or_else(|| panic!("no {name} with {labels:?}"));
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

pub fn notice() -> Notice {
    let labels = || BTreeMap::from([("source".to_owned(), "web-1".to_owned())]);
    Notice {
        id: "alert-1".to_owned(),
        rule_id: "rule-1".to_owned(),
        rule: "api error rate".to_owned(),
        key: "rule-1/source=web-1".to_owned(),
        state: AlertState::Firing,
        level: Level::Critical,
        title: "too many errors".to_owned(),
        body: "60 > 50".to_owned(),
        at_ms: 1_700_000_060_000,
        starts_at_ms: 1_700_000_000_000,
        ends_at_ms: None,
        value: Some(60.0),
        labels: labels(),
        group_labels: labels(),
        annotations: BTreeMap::new(),
        idempotency_key: "alert-1:firing:1".to_owned(),
        external_url: "http://hub.test".to_owned(),
        url: "http://hub.test/alerts/alert-1".to_owned(),
        test: false,
        members: Vec::new(),
        omitted: 0,
    }
}

/// Where the parts of a core module differ from one that delivers and answers "done".
pub struct Parts {
    pub imports: &'static str,
    pub fields: &'static str,
    pub init: &'static str,
    pub deliver: &'static str,
    pub manifest: &'static str,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            imports: "",
            fields: "",
            init: "(i32.const 0)",
            deliver: "(call $done)",
            manifest: "",
        }
    }
}

impl Parts {
    pub fn build(&self, name: &str) -> Vec<u8> {
        self.build_version(name, "1.0.0")
    }

    pub fn build_version(&self, name: &str, version: &str) -> Vec<u8> {
        let Self {
            imports,
            fields,
            init,
            deliver,
            ..
        } = self;
        // Bytes 0.. hold `ok` of init; 16.. an answer of deliver; 64.. texts; from page 1 on what the host hands over.
        let text = format!(
            r#"(module
                {imports}
                (memory (export "memory") 4)
                (global $top (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
                    (global.set $top (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                (func $answer (param $tag i32) (param $at i32) (param $length i32) (result i32)
                    (i32.store8 (i32.const 16) (local.get $tag))
                    (i32.store (i32.const 20) (local.get $at))
                    (i32.store (i32.const 24) (local.get $length))
                    (i32.const 16))
                (func $done (result i32) (call $answer (i32.const 0) (i32.const 64) (i32.const 4)))
                (data (i32.const 64) "done")
                {fields}
                (func (export "streamflow:plugin/channel@0.1.0#init") (param i32 i32) (result i32) {init})
                (func (export "streamflow:plugin/channel@0.1.0#deliver") (param i32) (result i32) {deliver})
            )"#
        );
        encoded(
            &text,
            "channel",
            &manifest(name, "channel", self.manifest).replace("1.0.0", version),
        )
    }
}

/// A plugin of this kind out of a core module as text.
pub fn encoded(text: &str, kind: &str, manifest: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(&wit).unwrap();
    let world = format!("{kind}-plugin");
    let world = resolve.select_world(&[package], Some(&world)).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    streamflow_component::encode(&module, manifest).unwrap()
}

pub fn manifest(name: &str, kind: &str, more: &str) -> String {
    format!("[plugin]\nname = \"{name}\"\nversion = \"1.0.0\"\nkind = \"{kind}\"\napi = \"0.1\"\n{more}")
}

/// A component of text with a manifest inside.
pub fn component(text: &str, manifest: &str) -> Vec<u8> {
    use wasm_encoder::{ComponentSection, CustomSection};
    let mut bytes = wat::parse_str(text).unwrap();
    CustomSection {
        name: "streamflow:manifest".into(),
        data: manifest.as_bytes().into(),
    }
    .append_to_component(&mut bytes);
    bytes
}
