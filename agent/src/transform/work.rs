//! A transform at work for one source: what it does to a batch, and what happens to a batch that it fails on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use streamflow_plugin_host::{TransformError, TransformRun};
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::build::BatchBuilder;

use super::{OnError, Transform};
use crate::counters::{DropReason, Mishap};
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
    pub(crate) failed: Option<Mishap>,
}

/// A batch waits for its transform, and nobody waits any longer. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mishap.words)]
pub struct Blocked {
    mishap: Mishap,
    /// Events that the processors before it have turned away.
    pub turned_away: u64,
}

impl From<Blocked> for Closed {
    fn from(_: Blocked) -> Self {
        Self
    }
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
    pub(crate) fn process(&mut self, builder: &mut BatchBuilder) -> Result<Done, Blocked> {
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
                    if done.given_up > 0 {
                        transform.dropped.dropped(DropReason::TransformFailed, done.given_up);
                    }
                    return Ok(Done {
                        turned_away: done.turned_away,
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
                    if self.stopped_within(pause) {
                        return Err(Blocked {
                            mishap: mishap(&transform.name, &error, events, "wait for it"),
                            turned_away: 0,
                        });
                    }
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
                failed: Some(mishap(&transform.name, &error, events, became)),
            });
        }
    }

    /// Waits so long; true at once when nobody waits any longer.
    fn stopped_within(&self, pause: Duration) -> bool {
        let stopped = self.transform.stop.cancelled();
        let waiter = &self.transform.waiter;
        waiter
            .wait(async { tokio::time::timeout(pause, stopped).await })
            .is_ok()
    }
}

/// A failure with the plugin's own words, and without them for the hub: a panic quotes the text at which it happened.
fn mishap(name: &str, error: &TransformError, events: usize, became: &str) -> Mishap {
    let say = |why: &dyn std::fmt::Display| format!("transform {name}: {why}; {events} events {became}");
    Mishap {
        told: say(&error.cause()),
        words: say(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_of_its_failure_is_not_told_to_the_hub() {
        let said = "byte index 3 is not a char boundary; it is inside 'ü' of `Müller, 4111 1111 1111 1111`";
        let fault = TransformError::Fault {
            cause: "trap",
            reason: said.to_owned(),
        };
        for (error, cause) in [
            (fault, "trap"),
            (TransformError::Failed(said.to_owned()), "failed"),
            (TransformError::Unavailable(said.to_owned()), "quarantined"),
        ] {
            let mishap = mishap("redact", &error, 7, "were dropped");
            assert_eq!(mishap.told, format!("transform redact: {cause}; 7 events were dropped"));
            assert!(mishap.words.contains(said));
            let counters = crate::counters::SourceCounters::new("app", "file");
            counters.mishap(mishap.clone());
            assert_eq!(
                (counters.last_error_told(), counters.last_error()),
                (Some(mishap.told), Some(mishap.words))
            );
        }
    }
}
