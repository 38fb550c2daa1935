//! One loaded plugin: calls it, keeps its instances, counts its faults.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use streamflow_component::{HttpGrant, Kind, Manifest};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Host;

use crate::{
    ChannelError, DeliverError, Limits, Notice, PluginInfo, PluginState, Quarantined, RuleError, RuleProblem,
    health::Health,
    info::PluginLimits,
    journal::{self, LineLevel},
    meters::PluginMeters,
    rule::Projection,
    sandbox::{
        Budget, CallLimits, ChannelInstance, Code, Failure, Fault, Guest, GuestSetup, LoadError, RuleInstance, Spent,
        StartError, TransformInstance, target,
    },
    schema::{Problem, Schema},
    secrets,
    shelf::Shelf,
};

/// Longest wait for one of the plugin's call slots.
const MAX_QUEUE: Duration = Duration::from_secs(10);

/// A plugin that was loaded.
pub(crate) struct Plugin {
    setup: Arc<GuestSetup>,
    sha256: String,
    code: Code,
    schema: Schema,
    projection: Projection,
    memory: usize,
    call: CallLimits,
    permits: Semaphore,
    shelf: Shelf,
    health: Mutex<Health>,
    meters: PluginMeters,
    /// Another version has its name now.
    retired: AtomicBool,
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
        let projection = Projection::fixed(&manifest.input);
        let projection = projection.map_err(|(path, error)| LoadError::Field(path, error.to_string()))?;
        let memory = limits.memory_mib.min(manifest.memory_mib.unwrap_or(u32::MAX));
        let allowed_ms = match manifest.kind {
            Kind::Rule => limits.rule_deadline_ms,
            Kind::Transform => limits.transform_deadline_ms,
            Kind::Channel => limits.deadline_ms,
        };
        let deadline = allowed_ms.min(manifest.deadline_ms.unwrap_or(u32::MAX));
        Ok(Self {
            sha256,
            schema,
            projection,
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
            retired: AtomicBool::new(false),
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

    /// What a rule is shown of events.
    pub(crate) const fn projection(&self) -> &Projection {
        &self.projection
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
        if self.manifest().mail && !self.setup.mailer.is_configured() {
            problems.push("it sends mail, and this hub has no relay: set [mail] host in hub.toml".to_owned());
        }
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
        let problems = self.problems(config);
        if !problems.is_empty() {
            return problems;
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
            Some(quarantine) => Err(format!(
                "plugin `{}` is in quarantine: {}",
                self.manifest().name,
                quarantine.reason
            )),
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

    pub(crate) async fn start_transform(
        &self,
        used_by: &str,
        config: &Map<String, Value>,
    ) -> Result<TransformInstance, StartError> {
        TransformInstance::start(&self.code, self.guest(used_by, config), self.call).await
    }

    pub(crate) fn count_call(&self, spent: Spent, events: u64) {
        self.meters.calls.inc();
        self.meters.events.inc_by(events);
        self.meters.cpu.inc_by(spent.computed.as_secs_f64());
        self.meters.seconds.observe(spent.total.as_secs_f64());
        self.meters.memory.set(i64::try_from(spent.memory).unwrap_or(i64::MAX));
    }

    /// A call that a plugin answered with a failure, which its caller tells of.
    pub(crate) fn count_error(&self) {
        self.meters.permanent.inc();
    }

    /// A call that a rule plugin answered with a failure.
    pub(crate) fn count_failure(&self, reason: &str) {
        self.count_error();
        tracing::warn!(plugin = self.manifest().name, reason, "call of a plugin failed");
    }

    /// Everything that is wrong with a configuration by the schema of the manifest.
    pub(crate) fn problems(&self, config: &Map<String, Value>) -> Vec<RuleProblem> {
        let problem = |problem: Problem| RuleProblem {
            field: match problem.key.as_str() {
                "" => "config".to_owned(),
                key => format!("config.{key}"),
            },
            reason: problem.message,
        };
        self.schema.problems(config).into_iter().map(problem).collect()
    }

    /// How long it has been in quarantine; zero when it is not.
    pub(crate) fn quiet_for(&self, now: Instant) -> Duration {
        self.health().quiet_for(now)
    }

    pub(crate) fn rule_fault(&self, fault: &Fault) -> RuleError {
        RuleError::Fault(self.note_fault(fault))
    }

    fn count_fault(&self, fault: &Fault) -> DeliverError {
        DeliverError::transient(self.note_fault(fault))
    }

    /// Counts a fault, and says it in words.
    pub(crate) fn note_fault(&self, fault: &Fault) -> String {
        let plugin = self.manifest().name.as_str();
        self.meters.trap(fault.cause);
        tracing::warn!(
            plugin,
            cause = fault.cause.name(),
            reason = fault.reason,
            "call of a plugin ended by the sandbox"
        );
        self.tell(&format!("call ended by the sandbox: {}", fault.reason));
        let (cause, at) = (fault.cause.name(), streamflow_model::Instant::now());
        if self.health().fault(Instant::now(), at, cause, &fault.reason) {
            self.meters.quarantines.inc();
            // The series of this name are another version's by now.
            if !self.retired.load(Ordering::Relaxed) {
                self.meters.active.set(0);
                self.meters.enter_quarantine(cause);
            }
            let version = self.manifest().version.as_str();
            tracing::error!(plugin, version, reason = fault.reason, "plugin put into quarantine");
            self.tell("put into quarantine; `plugin enable` lets it out");
        }
        format!("plugin `{plugin}`: {}", fault.reason)
    }

    /// A line of the hub among the plugin's own.
    fn tell(&self, line: &str) {
        let entry = journal::Entry {
            level: LineLevel::Error,
            version: &self.manifest().version,
            used_by: "",
            instance: None,
            line,
        };
        self.setup.journal.push(streamflow_model::Instant::now(), entry);
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
            let policy = self.setup.egress.as_ref()?.policy();
            let denied = policy.check(&ip.to_string(), ip, port).err()?;
            Some(format!("{key}: {denied}"))
        };
        keys.filter_map(problem).collect()
    }

    /// Takes it out of quarantine.
    pub(crate) fn release(&self) {
        self.health().release();
    }

    /// Another version takes its name. Whoever still calls this one does not change the series of that name any more.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Shows in the metrics whether it is called.
    pub(crate) fn show_active(&self, active: bool) {
        let quarantine = self.health().quarantined().map(|quarantine| quarantine.cause);
        self.meters.active.set((active && quarantine.is_none()).into());
        self.meters.leave_quarantine();
        if let Some(cause) = quarantine.filter(|_| active) {
            self.meters.enter_quarantine(cause);
        }
    }

    /// Why it is in quarantine, if it is.
    pub(crate) fn quarantined(&self) -> Option<Quarantined> {
        let quarantine = self.health().quarantined()?.clone();
        let manifest = self.manifest();
        Some(Quarantined {
            plugin: manifest.name.clone(),
            version: manifest.version.clone(),
            kind: manifest.kind.name().to_owned(),
            cause: quarantine.cause,
            reason: quarantine.reason,
            since: quarantine.since,
        })
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
        let quarantine = self.health().quarantined().cloned();
        let state = if quarantine.is_some() {
            PluginState::Quarantined
        } else {
            PluginState::Active
        };
        PluginInfo {
            quarantine_cause: quarantine.as_ref().map(|quarantine| quarantine.cause.to_owned()),
            quarantined_since: quarantine.as_ref().map(|quarantine| quarantine.since),
            calls: self.meters.calls.get(),
            errors: self.meters.transient.get() + self.meters.permanent.get(),
            traps: self.meters.traps(),
            cpu_ns_per_event: self.meters.cpu_ns_per_event(),
            ns_per_call: self.meters.ns_per_call(),
            limits: Some(PluginLimits::new(self.memory, self.call.deadline, self.call.wall)),
            memory_bytes: self.meters.memory.get().unsigned_abs(),
            ..PluginInfo::of(self.manifest(), state, quarantine.map(|quarantine| quarantine.reason))
        }
    }
}
