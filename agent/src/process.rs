//! What happens to a batch between its source and the spool: filters decide on columns which events stay.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use streamflow_proto::batch::Batch;
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::BatchBuilder;
use streamflow_proto::filter::{EvalError, ExprError, Filter};
use streamflow_proto::frame::Frame;

use crate::config::ProcessorOptions;

/// `[[processors]]` with `kind = "filter"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterOptions {
    /// CEL; events for which it is true are kept.
    #[serde(rename = "match")]
    pub expression: String,
}

/// The configured processors, in order.
#[derive(Clone, Debug, Default)]
pub struct Processors {
    filters: Arc<[Filter]>,
}

/// A finished batch.
#[derive(Debug)]
pub struct Processed {
    /// What is left of it; none when nothing is.
    pub frame: Option<Frame>,
    /// Events that a filter turned away.
    pub filtered: u64,
}

impl Processors {
    /// Compiles the expressions.
    pub fn build(options: &[ProcessorOptions]) -> Result<Self, ExprError> {
        let filters = options
            .iter()
            .map(|ProcessorOptions::Filter(filter)| Filter::compile(&filter.expression));
        Ok(Self {
            filters: filters.collect::<Result<_, _>>()?,
        })
    }

    /// Encodes what the builder holds, without the events that no filter lets through. The builder is empty afterwards.
    pub fn finish(&self, builder: &mut BatchBuilder) -> Result<Processed, EvalError> {
        let count = builder.len() as u64;
        if count == 0 || self.filters.is_empty() {
            return Ok(Processed {
                frame: (count > 0).then(|| builder.finish(0)),
                filtered: 0,
            });
        }
        let frame = builder.finish(0);
        let batch = frame.decode()?;
        let kept = self.select(&batch)?;
        let filtered = count - kept.count_ones() as u64;
        if filtered == 0 {
            return Ok(Processed {
                frame: Some(frame),
                filtered,
            });
        }
        for event in batch.events(&kept)? {
            if let Err(rejection) = builder.push_event(&event) {
                tracing::error!(%rejection, "an event did not survive filtering");
            }
        }
        Ok(Processed {
            frame: (!builder.is_empty()).then(|| builder.finish(0)),
            filtered,
        })
    }

    fn select(&self, batch: &Batch) -> Result<Bitmap, EvalError> {
        let mut kept = Bitmap::new(batch.len(), true);
        for filter in &*self.filters {
            kept = kept.and(&filter.eval(batch)?);
        }
        Ok(kept)
    }
}
