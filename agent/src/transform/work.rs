//! A transform at work for one source: what it does to a batch, and what happens to a batch that it fails on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use streamflow_plugin_host::{TransformError, TransformRun};
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::BatchBuilder;

use super::{OnError, Transform};
use crate::counters::DropReason;
use crate::spool::inbox::Closed;

/// Pauses of a source that waits for its transform; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A transform with an instance for one source.
#[derive(Clone)]
pub(crate) struct Work {
    pub(super) transform: Arc<Transform>,
    run: TransformRun,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Events that the plugin turned away.
    pub(crate) turned_away: u64,
    /// Why it failed, if it did, and what became of the events.
    pub(crate) failed: Option<String>,
}

impl Work {
    pub(super) fn new(transform: Arc<Transform>, config: &Map<String, Value>) -> Result<Self, TransformError> {
        let run = transform.plugin.start(&transform.name, config)?;
        Ok(Self { transform, run })
    }

    /// The transform that works.
    pub(crate) fn transform(&self) -> &Arc<Transform> {
        &self.transform
    }

    /// Has the transform change a batch, or carries out what is to happen when it fails.
    pub(crate) fn process(&mut self, builder: &mut BatchBuilder) -> Result<Done, Closed> {
        let events = builder.len();
        let (mut pause, mut tried) = (PAUSE_MIN, false);
        loop {
            if events == 0 {
                return Ok(Done::default());
            }
            let transform = &self.transform;
            transform.wake();
            let error = match transform.waiter.wait(self.run.apply(builder)) {
                Ok(done) => {
                    transform.did(events, &done);
                    let turned_away = done.turned_away;
                    return Ok(Done {
                        turned_away,
                        failed: None,
                    });
                }
                Err(error) => error,
            };
            transform.failed(&error, events);
            // What an instance has gathered over time may be what it fails of; a fresh one then does what it could not.
            let first = !std::mem::replace(&mut tried, true);
            if first && matches!(error, TransformError::Fault { .. }) && transform.plugin.quarantine().is_none() {
                continue;
            }
            let became = match transform.on_error {
                OnError::Block => {
                    self.rest(pause)?;
                    pause = PAUSE_MAX.min(pause * 2);
                    continue;
                }
                OnError::Pass => {
                    transform.counters.passed.add(events as u64);
                    "went on as they were"
                }
                OnError::Drop => {
                    builder.retain(&Bitmap::new(events, false));
                    transform.counters.dropped.add(events as u64);
                    transform.dropped.dropped(DropReason::TransformFailed, events as u64);
                    "were dropped"
                }
            };
            return Ok(Done {
                turned_away: 0,
                failed: Some(format!(
                    "transform {}: {error}; {events} events {became}",
                    transform.name
                )),
            });
        }
    }

    /// Waits; fails when the agent stops, and what the source holds is read again at the next start.
    fn rest(&self, pause: Duration) -> Result<(), Closed> {
        let stopped = self.transform.stop.cancelled();
        match self
            .transform
            .waiter
            .wait(async { tokio::time::timeout(pause, stopped).await })
        {
            Ok(()) => Err(Closed),
            Err(_) => Ok(()),
        }
    }
}
