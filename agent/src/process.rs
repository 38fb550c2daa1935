//! What happens to a batch between its source and the spool: filters decide on columns which events stay, transforms change columns.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use streamflow_plugin_host::MAX_TRANSFORM_ROWS;
use streamflow_proto::batch::{Batch, DecodeError};
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::BatchBuilder;
use streamflow_proto::filter::{Columns, EvalError, Filter};
use streamflow_proto::frame::Frame;
use streamflow_proto::metric::{self, PARTIALS};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ProcessorOptions};
use crate::counters::{Counters, Mishap};
use crate::edge::Edge;
use crate::transform::{self, Blocked, Mistake, Surroundings, Transform, Work};

/// `[[processors]]` with `kind = "filter"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterOptions {
    /// CEL; events for which it is true are kept.
    #[serde(rename = "match")]
    pub expression: String,
}

/// The configured processors, in order. A clone serves another source.
#[derive(Clone, Default)]
pub struct Processors {
    steps: Vec<Step>,
    edge: Option<Arc<Edge>>,
}

#[derive(Clone)]
enum Step {
    /// Filters that follow each other.
    Filters(Arc<[Filter]>),
    Transform(Box<Work>),
}

/// Processors that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>().join("; "))]
pub struct ProcessorsError(pub Vec<Mistake>);

/// A finished batch.
#[derive(Debug)]
pub struct Processed {
    /// What is left of it; none when nothing is.
    pub frame: Option<Frame>,
    /// Events of the source in it.
    pub kept: u64,
    /// Events that a filter or a transform turned away.
    pub filtered: u64,
    /// Events that are not sent, since metrics that were pushed here count them and want no more of them.
    pub not_kept: u64,
    /// Events that were turned away because only the agent itself may make such.
    pub reserved: u64,
    /// What went wrong on the way.
    pub errors: Vec<Mishap>,
}

impl Processors {
    /// Compiles the expressions, and loads the transforms with a cache in the agent's own folder. Not for async threads.
    ///
    /// # Errors
    /// Everything that is wrong with them, by key.
    pub fn build(config: &Config, counters: &Arc<Counters>, stop: &CancellationToken) -> Result<Self, ProcessorsError> {
        Self::with_cache(config, Some(&config.data_dir.join("plugin-cache")), counters, stop)
    }

    /// The same for somebody who leaves no trace: transforms are compiled anew. With a `stop` that is cancelled already, nothing ever waits for them.
    ///
    /// # Errors
    /// As of [`Processors::build`].
    pub fn apart(config: &Config, stop: &CancellationToken) -> Result<Self, ProcessorsError> {
        Self::with_cache(config, None, &Arc::default(), stop)
    }

    fn with_cache(
        config: &Config,
        cache: Option<&Path>,
        counters: &Arc<Counters>,
        stop: &CancellationToken,
    ) -> Result<Self, ProcessorsError> {
        let plugins = config
            .processors
            .iter()
            .enumerate()
            .filter_map(|(index, options)| match options {
                ProcessorOptions::Plugin(plugin) => Some((index, plugin)),
                ProcessorOptions::Filter(_) => None,
            });
        let around = Surroundings {
            cache: cache.map(Path::to_owned),
            counters: Arc::clone(counters),
            stop: stop.clone(),
        };
        let plugins: Vec<_> = plugins.collect();
        let mut works = transform::load(&config.plugins, &plugins, around)
            .map_err(ProcessorsError)?
            .into_iter();
        let (mut steps, mut filters) = (Vec::new(), Vec::new());
        for (index, options) in config.processors.iter().enumerate() {
            match options {
                ProcessorOptions::Filter(filter) => {
                    filters.push(Filter::compile(&filter.expression).map_err(|error| {
                        ProcessorsError(vec![(format!("processors[{index}].match"), error.to_string())])
                    })?)
                }
                ProcessorOptions::Plugin(_) => {
                    put_filters(&mut steps, &mut filters);
                    steps.extend(works.next().map(|work| Step::Transform(Box::new(work))));
                }
            }
        }
        put_filters(&mut steps, &mut filters);
        Ok(Self { steps, edge: None })
    }

    /// Counts what the processors let through for the metrics that the hub pushed.
    #[must_use]
    pub fn with_edge(mut self, edge: Arc<Edge>) -> Self {
        self.edge = Some(edge);
        self
    }

    /// The transforms among them.
    pub fn transforms(&self) -> impl Iterator<Item = &Arc<Transform>> {
        self.steps.iter().filter_map(|step| match step {
            Step::Transform(work) => Some(work.transform()),
            Step::Filters(_) => None,
        })
    }

    /// Most events that they take at once.
    #[must_use]
    pub fn max_events(&self) -> usize {
        match self.transforms().next() {
            Some(_) => MAX_TRANSFORM_ROWS,
            None => BatchBuilder::FULL_EVENTS,
        }
    }

    /// Encodes what the builder holds, without the events that the processors turn away, and changed as they say. The builder is empty afterwards. A filter that
    /// fails lets everything through; what a transform does then its configuration says.
    ///
    /// # Errors
    /// When the agent stops while a transform is waited for. The builder then holds what the steps before it have left.
    pub fn finish(&mut self, builder: &mut BatchBuilder) -> Result<Processed, Blocked> {
        let mut errors = Vec::new();
        let reserved = turn_away_reserved(builder).unwrap_or_else(|error| {
            errors.push(apart("cannot read a batch", &error));
            0
        });
        let mut filtered = 0;
        for step in &mut self.steps {
            match step {
                Step::Filters(filters) => match select(filters, builder) {
                    Ok(turned_away) => filtered += turned_away,
                    Err(error) => {
                        tracing::error!(%error, "cannot filter a batch, it is kept as it is");
                        errors.push(apart("cannot filter a batch", &error));
                    }
                },
                Step::Transform(work) => {
                    let done = work.process(builder).map_err(|mut blocked| {
                        blocked.turned_away = filtered + reserved;
                        blocked
                    })?;
                    filtered += done.turned_away;
                    errors.extend(done.failed);
                }
            }
        }
        let processed = builder.len() as u64;
        let not_kept = self.edge.as_ref().map_or(0, |edge| edge.fold(builder));
        Ok(Processed {
            frame: (!builder.is_empty()).then(|| builder.finish(0)),
            kept: processed.saturating_sub(not_kept),
            filtered,
            not_kept,
            reserved,
            errors,
        })
    }
}

/// A condition's error may name the value that it stumbled over, which stays here.
fn apart(what: &str, error: &dyn std::error::Error) -> Mishap {
    Mishap {
        told: what.to_owned(),
        words: format!("{what}: {error}"),
    }
}

fn put_filters(steps: &mut Vec<Step>, filters: &mut Vec<Filter>) {
    if !filters.is_empty() {
        steps.push(Step::Filters(std::mem::take(filters).into()));
    }
}

/// Keeps what every filter lets through, and answers how many events that leaves out.
fn select(filters: &[Filter], builder: &mut BatchBuilder) -> Result<u64, EvalError> {
    let count = builder.len();
    if count > 0 {
        let kept = kept(filters, &builder.view()?)?;
        builder.retain(&kept);
    }
    Ok((count - builder.len()) as u64)
}

fn kept(filters: &[Filter], batch: &Batch) -> Result<Bitmap, EvalError> {
    let mut columns = Columns::new(batch);
    let mut kept = Bitmap::new(batch.len(), true);
    for filter in filters {
        kept = kept.and(&filter.eval_columns(&mut columns)?);
    }
    Ok(kept)
}

/// Takes out events that pass themselves off as the agent's own partial windows.
fn turn_away_reserved(builder: &mut BatchBuilder) -> Result<u64, DecodeError> {
    if !builder.has_kind(PARTIALS) {
        return Ok(0);
    }
    let Some(reserved) = metric::carriers(&builder.view()?)? else {
        return Ok(0);
    };
    builder.retain(&reserved.not());
    Ok(reserved.count_ones() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processors(expressions: &[&str]) -> Processors {
        let filter = |expression: &&str| {
            ProcessorOptions::Filter(FilterOptions {
                expression: (*expression).to_owned(),
            })
        };
        let config = Config {
            processors: expressions.iter().map(filter).collect(),
            ..Config::default()
        };
        Processors::apart(&config, &CancellationToken::new()).unwrap()
    }

    fn finish(expressions: &[&str], builder: &mut BatchBuilder) -> (Vec<String>, u64) {
        for n in 0..10 {
            let json = format!(r#"{{"type":"t{}","source":"s","data":{{"n":{n}}}}}"#, n % 2);
            builder.push_json(json.as_bytes(), 0).unwrap();
        }
        let processed = processors(expressions).finish(builder).unwrap();
        let data = |frame: Frame| {
            let batch = frame.decode().unwrap();
            let events = batch.events(&Bitmap::new(batch.len(), true)).unwrap();
            events
                .iter()
                .map(|event| event.data.as_ref().unwrap().get().to_owned())
                .collect()
        };
        (processed.frame.map_or(Vec::new(), data), processed.filtered)
    }

    #[test]
    fn an_event_must_pass_every_filter() {
        let mut builder = BatchBuilder::new();
        assert_eq!(finish(&[], &mut builder).0.len(), 10);
        assert_eq!(finish(&["data.n >= 6"], &mut builder).1, 6);
        let (kept, filtered) = finish(&["data.n >= 6", "type == 't0'"], &mut builder);
        assert_eq!(
            (kept, filtered),
            (vec![r#"{"n":6}"#.to_owned(), r#"{"n":8}"#.to_owned()], 8)
        );
        assert_eq!(finish(&["false"], &mut builder), (Vec::new(), 10));
        assert!(builder.is_empty());
    }
}
