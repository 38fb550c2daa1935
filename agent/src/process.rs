//! What happens to a batch between its source and the spool: filters decide on columns which events stay.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use streamflow_proto::batch::Batch;
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::BatchBuilder;
use streamflow_proto::filter::{Columns, EvalError, ExprError, Filter};
use streamflow_proto::frame::Frame;
use streamflow_proto::metric::{self, PARTIALS};

use crate::config::ProcessorOptions;
use crate::edge::Edge;

/// `[[processors]]` with `kind = "filter"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterOptions {
    /// CEL; events for which it is true are kept.
    #[serde(rename = "match")]
    pub expression: String,
}

/// The configured processors, in order.
#[derive(Clone, Default)]
pub struct Processors {
    filters: Arc<[Filter]>,
    edge: Option<Arc<Edge>>,
}

/// A finished batch.
#[derive(Debug)]
pub struct Processed {
    /// What is left of it; none when nothing is.
    pub frame: Option<Frame>,
    /// Events that a filter turned away.
    pub filtered: u64,
    /// Events that are not sent, since metrics that were pushed here count them and want no more of them.
    pub not_kept: u64,
    /// Events that were turned away because only the agent itself may make such.
    pub reserved: u64,
}

impl Processors {
    /// Compiles the expressions.
    pub fn build(options: &[ProcessorOptions]) -> Result<Self, ExprError> {
        let filters = options
            .iter()
            .map(|ProcessorOptions::Filter(filter)| Filter::compile(&filter.expression));
        Ok(Self {
            filters: filters.collect::<Result<_, _>>()?,
            edge: None,
        })
    }

    /// Counts what the filters let through for the metrics that the hub pushed.
    #[must_use]
    pub fn with_edge(mut self, edge: Arc<Edge>) -> Self {
        self.edge = Some(edge);
        self
    }

    /// Encodes what the builder holds, without the events that no filter lets through. The builder is empty afterwards.
    pub fn finish(&self, builder: &mut BatchBuilder) -> Result<Processed, EvalError> {
        let reserved = turn_away_reserved(builder)?;
        let count = builder.len() as u64;
        if count > 0 && !self.filters.is_empty() {
            let kept = self.select(&builder.view()?)?;
            builder.retain(&kept);
        }
        let filtered = count - builder.len() as u64;
        let not_kept = self.edge.as_ref().map_or(0, |edge| edge.fold(builder));
        Ok(Processed {
            frame: (!builder.is_empty()).then(|| builder.finish(0)),
            filtered,
            not_kept,
            reserved,
        })
    }

    fn select(&self, batch: &Batch) -> Result<Bitmap, EvalError> {
        let mut columns = Columns::new(batch);
        let mut kept = Bitmap::new(batch.len(), true);
        for filter in &*self.filters {
            kept = kept.and(&filter.eval_columns(&mut columns)?);
        }
        Ok(kept)
    }
}

/// Takes out events that pass themselves off as the agent's own partial windows.
fn turn_away_reserved(builder: &mut BatchBuilder) -> Result<u64, EvalError> {
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
        let options: Vec<ProcessorOptions> = expressions
            .iter()
            .map(|expression| {
                ProcessorOptions::Filter(FilterOptions {
                    expression: (*expression).to_owned(),
                })
            })
            .collect();
        Processors::build(&options).unwrap()
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
