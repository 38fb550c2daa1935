//! One loaded plugin: calls it, keeps its instances, counts its faults.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::{Map, Value};
use streamflow_component::{HttpGrant, Kind, Manifest};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Host;

use crate::{
    ChannelError, DeliverError, Limits, Notice, RuleError, RuleProblem,
    health::Health,
    meters::PluginMeters,
    rule::{self, ProjectField},
    sandbox::{
        Budget, CallLimits, ChannelInstance, Code, Failure, Fault, Guest, GuestSetup, LoadError, RuleInstance, Spent,
        StartError, target,
    },
    schema::{Problem, Schema},
    secrets,
    shelf::Shelf,
};

/// Longest wait for one of the plugin's call slots.
const MAX_QUEUE: Duration = Duration::from_secs(10);

/// What runs under a plugin's name, as `GET /api/v1/plugins` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginInfo {
    /// Unique name.
    pub name: String,
    /// Version.
    pub version: String,
    /// `rule`, `channel` or `transform`.
    pub kind: String,
    /// Whether it runs.
    pub state: PluginState,
    /// Why it does not run.
    pub reason: Option<String>,
    /// What it is, in a line.
    pub description: String,
    /// Rights that its manifest asks for.
    pub capabilities: Vec<String>,
    /// JSON schema of its configuration; secrets are marked `writeOnly`.
    #[schema(value_type = Object)]
    pub config_schema: Map<String, Value>,
    /// Calls since the hub started.
    pub calls: u64,
    /// Calls that it answered with a failure.
    pub errors: u64,
    /// Calls that the sandbox ended.
    pub traps: u64,
    /// Mean computing time of an event; for a channel an event is one notification.
    pub cpu_ns_per_event: Option<u64>,
    /// Memory of the instance that was called last.
    pub memory_bytes: u64,
    /// Whose word there is for it: `shipped`, `signed by KEY` or `unsigned`.
    pub signature: String,
    /// The version to which `rollback` returns.
    pub previous_version: Option<String>,
}

/// Whether a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginState {
    /// It runs.
    Active,
    /// Somebody has switched it off.
    Disabled,
    /// It waits for somebody to approve it, or rights that it did not have before.
    AwaitingApproval,
    /// It failed too often, and is not called until somebody enables it.
    Quarantined,
    /// It could not be loaded.
    Failed,
}

/// A plugin that was loaded.
pub(crate) struct Plugin {
    setup: Arc<GuestSetup>,
    sha256: String,
    code: Code,
    schema: Schema,
    fields: Vec<ProjectField>,
    memory: usize,
    call: CallLimits,
    permits: Semaphore,
    shelf: Shelf,
    health: Mutex<Health>,
    meters: PluginMeters,
}

impl Plugin {
    pub(crate) fn new(
        setup: Arc<GuestSetup>,
        sha256: String,
        code: Code,
        limits: &Limits,
        meters: PluginMeters,
    ) -> Result<Self, LoadError> {
        let manifest = &setup.manifest;
        let schema = Schema::compile(&manifest.schema).map_err(LoadError::Schema)?;
        let fields = rule::fields(manifest).map_err(|(path, error)| LoadError::Field(path, error.to_string()))?;
        let memory = limits.memory_mib.min(manifest.memory_mib.unwrap_or(u32::MAX));
        let allowed_ms = match manifest.kind {
            Kind::Rule => limits.rule_deadline_ms,
            Kind::Channel | Kind::Transform => limits.deadline_ms,
        };
        let deadline = allowed_ms.min(manifest.deadline_ms.unwrap_or(u32::MAX));
        Ok(Self {
            sha256,
            schema,
            fields,
            code,
            memory: (memory as usize) << 20,
            call: CallLimits {
                deadline: Duration::from_millis(deadline.into()),
                wall: limits.call(),
            },
            permits: Semaphore::new(limits.concurrent_calls.max(1) as usize),
            shelf: Shelf::default(),
            health: Mutex::default(),
            meters,
            setup,
        })
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.setup.manifest
    }

    /// SHA-256 of its file.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Columns that a rule reads.
    pub(crate) fn fields(&self) -> &[ProjectField] {
        &self.fields
    }

    /// Whether a configuration fits: by the schema, by what is known of secrets and targets, and by the plugin's own word.
    pub(crate) async fn check(&self, config: &Map<String, Value>) -> Result<(), ChannelError> {
        let refuse = |problems| {
            Err(ChannelError::Config {
                plugin: self.manifest().name.clone(),
                problems,
            })
        };
        let mut problems: Vec<String> = self.schema.problems(config).iter().map(Problem::to_string).collect();
        problems.extend(self.unknown_secrets(config));
        problems.extend(self.forbidden_targets(config));
        if !problems.is_empty() {
            return refuse(problems);
        }
        let started = match self.admit().await {
            Ok(_permit) => self.start_channel("", config).await,
            Err(reason) => return Err(self.unavailable(reason)),
        };
        match started {
            Ok(_) => Ok(()),
            Err(StartError::Refused(reason)) => refuse(vec![reason]),
            Err(StartError::Fault(fault)) => {
                self.count_fault(&fault);
                Err(self.unavailable(fault.reason))
            }
        }
    }

    pub(crate) async fn deliver(
        &self,
        channel: &str,
        config: &Map<String, Value>,
        notice: &Notice,
        attempt: u32,
    ) -> Result<String, DeliverError> {
        let _permit = self.admit().await.map_err(DeliverError::transient)?;
        let instance = match self.shelf.take(channel, config) {
            Some(instance) => instance,
            None => self.start_channel(channel, config).await.map_err(|error| match error {
                StartError::Refused(reason) => {
                    self.meters.permanent.inc();
                    DeliverError::Permanent(format!("the plugin refuses the channel's configuration: {reason}"))
                }
                StartError::Fault(fault) => self.count_fault(&fault),
            })?,
        };
        let (outcome, spent, instance) = instance.deliver(notice, attempt).await;
        self.count_call(spent, 1);
        let answer = outcome.map_err(|fault| self.count_fault(&fault))?;
        if let Some(instance) = instance {
            self.shelf.put(channel, instance, Instant::now());
        }
        answer.map_err(|failure| match failure {
            Failure::Transient((reason, after)) => {
                self.meters.transient.inc();
                DeliverError::Transient {
                    reason,
                    retry_after_ms: (after > 0).then_some(after.into()),
                }
            }
            Failure::Permanent(reason) => {
                self.meters.permanent.inc();
                DeliverError::Permanent(reason)
            }
        })
    }

    /// Everything that is wrong with a rule's configuration: by the schema, and by the plugin's own word.
    pub(crate) async fn check_rule(&self, config: &Map<String, Value>) -> Vec<RuleProblem> {
        let problems = self.schema.problems(config);
        if !problems.is_empty() {
            let problem = |problem: Problem| RuleProblem {
                field: match problem.key.as_str() {
                    "" => "config".to_owned(),
                    key => format!("config.{key}"),
                },
                reason: problem.message,
            };
            return problems.into_iter().map(problem).collect();
        }
        if let Err(reason) = self.available() {
            return vec![RuleProblem {
                field: "plugin".to_owned(),
                reason,
            }];
        }
        match self.start_rule("", config, None).await {
            Ok(_) => Vec::new(),
            Err(StartError::Refused(reason)) => vec![RuleProblem {
                field: "config".to_owned(),
                reason,
            }],
            Err(StartError::Fault(fault)) => vec![RuleProblem {
                field: "plugin".to_owned(),
                reason: self.rule_fault(&fault).to_string(),
            }],
        }
    }

    /// In words why it is not called.
    pub(crate) fn available(&self) -> Result<(), String> {
        match self.health().quarantined() {
            Some(reason) => Err(format!("plugin `{}` is in quarantine: {reason}", self.manifest().name)),
            None => Ok(()),
        }
    }

    /// A slot for one call, or in words why there is none.
    async fn admit(&self) -> Result<SemaphorePermit<'_>, String> {
        self.available()?;
        match tokio::time::timeout(MAX_QUEUE, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err("the hub is stopping".to_owned()),
            Err(_) => Err(format!("plugin `{}` is busy", self.manifest().name)),
        }
    }

    fn guest(&self, used_by: &str, config: &Map<String, Value>) -> Guest {
        Guest::new(
            Arc::clone(&self.setup),
            Budget::new(self.memory),
            used_by.into(),
            Arc::new(config.clone()),
        )
    }

    async fn start_channel(&self, channel: &str, config: &Map<String, Value>) -> Result<ChannelInstance, StartError> {
        ChannelInstance::start(&self.code, self.guest(channel, config), self.call).await
    }

    pub(crate) async fn start_rule(
        &self,
        rule: &str,
        config: &Map<String, Value>,
        state: Option<&[u8]>,
    ) -> Result<RuleInstance, StartError> {
        RuleInstance::start(&self.code, self.guest(rule, config), state, self.call).await
    }

    pub(crate) fn count_call(&self, spent: Spent, events: u64) {
        self.meters.calls.inc();
        self.meters.events.inc_by(events);
        self.meters.cpu.inc_by(spent.computed.as_secs_f64());
        self.meters.seconds.observe(spent.total.as_secs_f64());
        self.meters.memory.set(i64::try_from(spent.memory).unwrap_or(i64::MAX));
    }

    /// A call that a rule plugin answered with a failure.
    pub(crate) fn count_failure(&self, reason: &str) {
        self.meters.permanent.inc();
        tracing::warn!(plugin = self.manifest().name, reason, "call of a plugin failed");
    }

    pub(crate) fn rule_fault(&self, fault: &Fault) -> RuleError {
        RuleError::Fault(self.note_fault(fault))
    }

    fn count_fault(&self, fault: &Fault) -> DeliverError {
        DeliverError::transient(self.note_fault(fault))
    }

    /// Counts a fault, and says it in words.
    fn note_fault(&self, fault: &Fault) -> String {
        let plugin = self.manifest().name.as_str();
        self.meters.trap(fault.cause);
        tracing::warn!(
            plugin,
            cause = fault.cause.name(),
            reason = fault.reason,
            "call of a plugin ended by the sandbox"
        );
        if self.health().fault(Instant::now(), &fault.reason) {
            self.meters.active.set(0);
            self.meters.quarantines.inc();
            tracing::error!(plugin, reason = fault.reason, "plugin put into quarantine");
        }
        format!("plugin `{plugin}`: {}", fault.reason)
    }

    fn unavailable(&self, reason: String) -> ChannelError {
        ChannelError::Unavailable {
            plugin: self.manifest().name.clone(),
            reason,
        }
    }

    fn unknown_secrets(&self, config: &Map<String, Value>) -> Vec<String> {
        let text = Value::Object(config.clone()).to_string();
        let unknown = secrets::names(&text).filter(|name| !self.setup.secrets.knows(name));
        unknown
            .map(|name| format!("secret `{name}` is not in [plugins.secrets]"))
            .collect()
    }

    /// Targets that are refused whatever they resolve to; names are checked when they are connected to.
    fn forbidden_targets(&self, config: &Map<String, Value>) -> Vec<String> {
        let keys = self.manifest().http.iter().filter_map(|grant| match grant {
            HttpGrant::Config(key) => Some(key),
            HttpGrant::Host { .. } => None,
        });
        let problem = |key: &String| -> Option<String> {
            let text = config.get(key)?.as_str()?;
            if secrets::names(text).next().is_some() {
                return None;
            }
            let url = match target(text) {
                Ok(url) => url,
                Err(reason) => return Some(format!("{key}: {reason}")),
            };
            let ip: IpAddr = match url.host()? {
                Host::Ipv4(ip) => ip.into(),
                Host::Ipv6(ip) => ip.into(),
                Host::Domain(_) => return None,
            };
            let port = url.port_or_known_default()?;
            let denied = self.setup.egress.policy().check(&ip.to_string(), ip, port).err()?;
            Some(format!("{key}: {denied}"))
        };
        keys.filter_map(problem).collect()
    }

    /// Takes it out of quarantine.
    pub(crate) fn release(&self) {
        self.health().release();
    }

    /// Shows in the metrics whether it is called.
    pub(crate) fn show_active(&self, active: bool) {
        self.meters.active.set(active.into());
    }

    /// Lets go of instances that nobody has called for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.shelf.sweep(now);
    }

    /// No further calls.
    pub(crate) fn close(&self) {
        self.permits.close();
    }

    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn info(&self) -> PluginInfo {
        let reason = self.health().quarantined().map(str::to_owned);
        let state = if reason.is_some() {
            PluginState::Quarantined
        } else {
            PluginState::Active
        };
        PluginInfo {
            calls: self.meters.calls.get(),
            errors: self.meters.transient.get() + self.meters.permanent.get(),
            traps: self.meters.traps(),
            cpu_ns_per_event: self.meters.cpu_ns_per_event(),
            memory_bytes: self.meters.memory.get().unsigned_abs(),
            ..PluginInfo::of(self.manifest(), state, reason)
        }
    }
}

impl PluginInfo {
    /// A file of which not even the manifest can be read.
    pub(crate) fn unreadable(path: &Path, reason: String) -> Self {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Self {
            name: stem.unwrap_or_default(),
            version: String::new(),
            kind: "unknown".to_owned(),
            state: PluginState::Failed,
            reason: Some(reason),
            description: String::new(),
            capabilities: Vec::new(),
            config_schema: Map::new(),
            calls: 0,
            errors: 0,
            traps: 0,
            cpu_ns_per_event: None,
            memory_bytes: 0,
            signature: String::new(),
            previous_version: None,
        }
    }

    /// What a manifest alone says.
    pub(crate) fn of(manifest: &Manifest, state: PluginState, reason: Option<String>) -> Self {
        Self {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            kind: manifest.kind.name().to_owned(),
            state,
            reason,
            description: manifest.description.clone(),
            capabilities: manifest.capabilities(),
            config_schema: manifest.schema.clone(),
            calls: 0,
            errors: 0,
            traps: 0,
            cpu_ns_per_event: None,
            memory_bytes: 0,
            signature: String::new(),
            previous_version: None,
        }
    }
}
