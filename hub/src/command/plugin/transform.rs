//! `plugin run` and `plugin bench` of a transform: what it makes of the events of a file, and what it costs.

use std::{path::Path, time::Duration};

use anyhow::Context;
use serde_json::{Map, Value, json};
use streamflow_component::{Kind, Manifest, Package};
use streamflow_plugin_host::{
    Options, TransformCost, TransformError, TransformHost, TransformPlugin, TransformRun, measure,
};
use streamflow_proto::{
    batch::Batch,
    bitmap::Bitmap,
    build::BatchBuilder,
    event::Event,
    filter::{Columns, Filter},
};

use super::{
    super::{Failed, UsageError, print},
    bench,
    events::{self, Lines},
    read,
    run::Asked,
};
use crate::cli::Common;

/// Whether a file is a transform; whatever else is wrong with it, others say.
pub(super) fn is_one(file: &Path) -> anyhow::Result<bool> {
    let bytes = read(file)?;
    Ok(Package::read(&bytes).is_ok_and(|package| package.manifest.kind == Kind::Transform))
}

/// What the configuration is called on the command line.
const CONFIG: &str = "--transform-config";

struct Session<'a> {
    common: &'a Common,
    run: TransformRun,
    calls: u64,
    took: Duration,
    memory: usize,
    events: usize,
    left: usize,
    turned_away: u64,
    given_up: u64,
    failed: usize,
}

/// Shows it the events of a file and prints what is left of them, an event a line.
///
/// # Errors
/// When the events are none, or the configuration does not fit.
pub(super) async fn run(common: &Common, asked: &Asked<'_>) -> anyhow::Result<()> {
    let filter = Filter::compile(asked.matches).map_err(|error| UsageError(format!("--match: {}", error.message)))?;
    if asked.then.ms() != 0 {
        return Err(UsageError("--then is for rules: a transform hears of no time".to_owned()).into());
    }
    let config = events::config(asked.rule_config, CONFIG)?;
    let text = events::read(asked.events)?;
    let batches = events::batches(&text, asked.events, asked.batch)?;
    let plugin = open(asked.file).await?;
    let mut session = Session {
        common,
        run: start(&plugin, &config).await?,
        calls: 0,
        took: Duration::ZERO,
        memory: 0,
        events: 0,
        left: 0,
        turned_away: 0,
        given_up: 0,
        failed: 0,
    };
    for batch in &batches {
        session.show(batch, &filter).await?;
    }
    session.end()
}

async fn open(file: &Path) -> anyhow::Result<TransformPlugin> {
    let host = TransformHost::build(&Options::default(), None)?;
    let plugin = host.try_out(read(file)?).await;
    plugin.with_context(|| file.display().to_string())
}

async fn start(plugin: &TransformPlugin, config: &Map<String, Value>) -> anyhow::Result<TransformRun> {
    let problems = plugin.check(config).await;
    if problems.is_empty() {
        return Ok(plugin.start("plugin run", config)?);
    }
    let words: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.field, problem.reason))
        .collect();
    Err(UsageError(format!("{CONFIG}: {}", words.join("; "))).into())
}

fn all(batch: &Batch) -> anyhow::Result<Vec<Event>> {
    Ok(batch.events(&Bitmap::new(batch.len(), true))?)
}

impl Session<'_> {
    async fn show(&mut self, lines: &Lines, filter: &Filter) -> anyhow::Result<()> {
        let mut builder = BatchBuilder::new();
        for event in all(&lines.batch)? {
            builder
                .push_event(&event)
                .map_err(|rejection| Failed(rejection.to_string()))?;
        }
        builder.retain(&filter.eval_columns(&mut Columns::new(&lines.batch))?);
        let shown = builder.len();
        self.events += shown;
        if shown == 0 {
            return Ok(());
        }
        let place = || {
            let number = |line: Option<&usize>| line.copied().unwrap_or(0);
            format!(
                "on lines {} to {}",
                number(lines.lines.first()),
                number(lines.lines.last())
            )
        };
        match self.run.apply(&mut builder).await {
            Ok(done) => {
                self.calls += 1;
                self.took += done.took;
                self.memory = done.memory;
                self.turned_away += done.turned_away;
                self.given_up += done.given_up;
            }
            // An agent goes on with what comes after these events, and so does this.
            Err(error @ TransformError::Failed(_)) => {
                self.failed += shown;
                let (text, at) = (format!("failed {}: {error}", place()), place());
                return print::done(
                    self.common.output,
                    &text,
                    &json!({"failed": error.to_string(), "where": at}),
                );
            }
            Err(error) => {
                return Err(Failed(format!(
                    "{error} ({}); --batch 1 finds the event; an agent would do with the batch what on_error says",
                    place()
                ))
                .into());
            }
        }
        self.left += builder.len();
        for event in all(&builder.view()?)? {
            let json = serde_json::to_value(&event)?;
            print::done(self.common.output, &serde_json::to_string(&event)?, &json)?;
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<()> {
        let spent = u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX);
        let ns_per_event = spent / (self.events as u64).max(1);
        let text = format!(
            "{} events, {} left, {} turned away, {} given up, {} failed; {} calls, {ns_per_event} ns an event, {} KiB of memory",
            self.events,
            self.left,
            self.turned_away,
            self.given_up,
            self.failed,
            self.calls,
            self.memory >> 10
        );
        let json = json!({
            "events": self.events, "left": self.left, "turned_away": self.turned_away, "given_up": self.given_up,
            "failed": self.failed, "calls": self.calls, "ns_per_event": ns_per_event, "memory_bytes": self.memory,
        });
        print::done(self.common.output, &text, &json)
    }
}

/// Measures it.
///
/// # Errors
/// When the events are none, the configuration does not fit, or the transform fails.
pub(super) async fn bench(common: &Common, asked: &bench::Asked<'_>) -> anyhow::Result<()> {
    let config = events::config(asked.rule_config, CONFIG)?;
    let began = std::time::Instant::now();
    let plugin = open(asked.file).await?;
    let compiled = began.elapsed();
    start(&plugin, &config).await?;
    let text = asked.events.map(events::read).transpose()?;
    let mut costs = Vec::with_capacity(asked.sizes.len());
    for size in asked.sizes {
        let size = *size as usize;
        let batch = match (&text, asked.events) {
            (Some(text), Some(name)) => bench::repeated(text, name, size)?,
            _ => measure::made_up(&with_fields(plugin.manifest(), &config), size)?,
        };
        costs.push(plugin.cost(&config, &all(&batch)?, asked.time.std()).await?);
    }
    let manifest = plugin.manifest();
    let (bytes, compile_ms) = (std::fs::metadata(asked.file)?.len(), compiled.as_secs_f64() * 1e3);
    let memory = costs.last().map_or(0, |cost| cost.memory_bytes);
    let text = format!(
        "{} {}: {} KiB, compiled in {compile_ms:.1} ms, {} KiB of memory\n{}",
        manifest.name,
        manifest.version,
        bytes >> 10,
        memory >> 10,
        table(&costs)
    );
    let json = json!({
        "name": manifest.name, "version": manifest.version, "bytes": bytes, "compile_ms": compile_ms, "memory_bytes": memory, "batches": costs,
    });
    print::done(common.output, &text, &json)
}

/// The manifest with the fields that the configuration names, for events to be made up.
fn with_fields(manifest: &Manifest, config: &Map<String, Value>) -> Manifest {
    let mut manifest = manifest.clone();
    if let Ok(fields) = manifest.input.columns(&Value::Object(config.clone())) {
        manifest.input.fields = fields;
    }
    manifest
}

fn table(costs: &[TransformCost]) -> String {
    let row = |cost: &TransformCost| -> Vec<String> {
        #[expect(clippy::cast_precision_loss, reason = "microseconds, for people")]
        let batch = cost.batch_ns as f64 / 1e3;
        vec![
            cost.events.to_string(),
            cost.calls.to_string(),
            format!("{batch:.1}"),
            format!("{:.1}", cost.batch_ns_per_event),
            format!("{:.1}", cost.call_ns_per_event),
        ]
    };
    let rows: Vec<Vec<String>> = costs.iter().map(row).collect();
    print::table(&["BATCH", "CALLS", "US/BATCH", "NS/EVENT", "OF IT THE CALL"], &rows)
}
