//! Fire drills: one marked event, on the hub's word, through the same pipeline as every source's events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::frame::{Frame, HEADER_LEN};
use streamflow_proto::wire::{DRILL_MARK, DrillNews, DrillOrder, DrillStep};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::batch::{BatchOptions, Batcher, Sink};
use crate::clock;
use crate::counters::SourceCounters;
use crate::process::Processors;
use crate::spool::SpoolHandle;
use crate::spool::inbox::{Block, Closed};

/// Bytes of the spool read at a time while the event is looked for in it.
const LOOK_BYTES: usize = 512 << 10;

/// Drills at a time whose events wait for room in the spool, of all sessions together: each of them keeps a thread.
const MAX_EMITTING: usize = 4;
/// An event that is not found in the spool for so long will not be: it was dropped to make room, or acknowledged before it was looked for.
const PATIENCE: Duration = Duration::from_secs(600);

/// What becomes of a drill's event, for the session that the order came by.
#[derive(Debug)]
pub struct Drilled {
    /// For the hub.
    pub news: DrillNews,
    /// The frame that holds it, once it is durable.
    pub seq: Option<u64>,
}

/// Makes the events.
pub struct Driller {
    batch: BatchOptions,
    // Locked to make a copy for one drill: a processor's instance is one thread's alone.
    processors: Mutex<Processors>,
    spool: SpoolHandle,
    counters: Arc<SourceCounters>,
    emitting: Arc<Semaphore>,
}

/// Holds what comes out of the pipeline, which is looked at before it goes into the spool.
#[derive(Default)]
struct Capture(Mutex<Option<Block>>);

/// Tells of one drill.
struct Teller {
    drill: String,
    tell: mpsc::Sender<Drilled>,
}

impl Teller {
    async fn say(&self, step: DrillStep, at_ms: i64, reason: Option<String>, seq: Option<u64>) {
        let news = DrillNews {
            drill: self.drill.clone(),
            step,
            at_ms,
            reason,
        };
        // The session may be over: the hub then learns of the event when it arrives.
        drop(self.tell.send(Drilled { news, seq }).await);
    }
}

impl Sink for Capture {
    fn append(&self, block: Block) -> Result<(), Closed> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(block);
        Ok(())
    }
}

/// Whether the event of this drill is in a frame and is still marked, so that nobody takes it for a real one.
fn is_marked(frame: &Frame, drill: &str) -> bool {
    let Ok(batch) = frame.decode() else { return false };
    let Ok(events) = batch.events(&Bitmap::new(batch.len(), true)) else {
        return false;
    };
    let marked = |metadata: &serde_json::value::RawValue| {
        let metadata = serde_json::from_str::<serde_json::Value>(metadata.get());
        metadata.is_ok_and(|metadata| metadata[DRILL_MARK] == drill)
    };
    !events.is_empty() && events.iter().all(|event| event.metadata.as_deref().is_some_and(marked))
}

impl Driller {
    /// Puts events through these processors into this spool.
    pub fn new(batch: BatchOptions, processors: Processors, spool: SpoolHandle, counters: Arc<SourceCounters>) -> Self {
        Self {
            batch,
            processors: Mutex::new(processors),
            spool,
            counters,
            emitting: Arc::new(Semaphore::new(MAX_EMITTING)),
        }
    }

    /// Carries an order out, and tells each step.
    pub async fn run(self: Arc<Self>, order: DrillOrder, tell: mpsc::Sender<Drilled>) {
        let teller = Teller {
            drill: order.drill.clone(),
            tell,
        };
        let from_seq = *self.spool.watch().borrow();
        let emitted_ms = clock::now_ms();
        let Ok(permit) = Arc::clone(&self.emitting).try_acquire_owned() else {
            let reason = "the spool has no room, and as many drills as may wait for it".to_owned();
            return teller.say(DrillStep::Lost, emitted_ms, Some(reason), None).await;
        };
        let emitter = Arc::clone(&self);
        let emitted = tokio::task::spawn_blocking(move || {
            // Given back when the thread is, which may be long after the session.
            let _permit = permit;
            emitter.emit(&order, emitted_ms)
        });
        let emitted = emitted.await;
        let frame = match emitted {
            Ok(Ok(frame)) => frame,
            Ok(Err(reason)) => return teller.say(DrillStep::Lost, emitted_ms, Some(reason), None).await,
            Err(error) => {
                return teller
                    .say(DrillStep::Lost, emitted_ms, Some(error.to_string()), None)
                    .await;
            }
        };
        teller.say(DrillStep::Emitted, emitted_ms, None, None).await;
        if let Ok(Some(seq)) = timeout(PATIENCE, self.durable(&frame, from_seq)).await {
            teller.say(DrillStep::Spooled, clock::now_ms(), None, Some(seq)).await;
        }
    }

    /// Makes the event, as a source does. Blocks while the spool has no room.
    fn emit(&self, order: &DrillOrder, now_ms: i64) -> Result<Frame, String> {
        let event: serde_json::Value = serde_json::from_str(&order.event).map_err(|error| error.to_string())?;
        if event["metadata"][DRILL_MARK] != order.drill.as_str() {
            return Err("the hub asked for an event that is not marked as a drill".to_owned());
        }
        let capture = Arc::new(Capture::default());
        let sink: Arc<dyn Sink> = capture.clone();
        let options = self.batch.clone();
        let processors = self.processors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut batcher = Batcher::new(options, processors, sink, self.counters.clone());
        batcher
            .builder()
            .push_json(order.event.as_bytes(), now_ms)
            .map_err(|rejection| format!("the event is not acceptable: {rejection}"))?;
        let before = self.counters.filtered.get();
        batcher.flush().map_err(|closed| closed.to_string())?;
        let captured = capture.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let frame = captured.and_then(|block| block.frame).ok_or_else(|| {
            let filtered = self.counters.filtered.get() > before;
            let why = if filtered {
                "a filter or transform among its [[processors]]"
            } else {
                "its pipeline"
            };
            format!("{why} turned the event away, as it would a real one")
        })?;
        if !is_marked(&frame, &order.drill) {
            return Err(format!(
                "a transform among its [[processors]] took the mark `metadata.{DRILL_MARK}` away, without which the event would count as a real one; it was not sent"
            ));
        }
        let block = Block {
            frame: Some(frame.clone()),
            positions: Vec::new(),
        };
        self.spool.append(block).map_err(|closed| closed.to_string())?;
        Ok(frame)
    }

    /// The sequence number under which a frame became durable; none when the spool has ended.
    async fn durable(&self, frame: &Frame, from_seq: u64) -> Option<u64> {
        let mut spooled = self.spool.watch();
        let (mut from_seq, mut reader) = (from_seq, self.spool.reader());
        loop {
            let next_seq = *spooled.borrow_and_update();
            while from_seq < next_seq {
                let read = tokio::task::spawn_blocking(move || {
                    let frames = reader.read(from_seq, LOOK_BYTES);
                    (reader, frames)
                });
                let frames;
                (reader, frames) = read.await.ok()?;
                let frames = frames.ok()?;
                // The number and its checksum stand in the header; the rest tells one frame from another.
                let same = |one: &&Frame| one.bytes().get(HEADER_LEN..) == frame.bytes().get(HEADER_LEN..);
                if let Some(found) = frames.iter().find(same) {
                    return Some(found.header().seq);
                }
                from_seq = frames.last().map_or(next_seq, |last| last.header().seq + 1);
            }
            spooled.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use streamflow_proto::build::BatchBuilder;

    use super::*;

    fn frame(events: &[&str]) -> Frame {
        let mut builder = BatchBuilder::new();
        for metadata in events {
            let event = format!(r#"{{"type":"log","source":"s","data":{{"n":1}}{metadata}}}"#);
            builder.push_json(event.as_bytes(), 0).unwrap();
        }
        builder.finish(0)
    }

    #[test]
    fn an_event_without_the_mark_of_its_drill_is_none_of_it() {
        let marked = r#","metadata":{"streamflow_drill":"d1","more":true}"#;
        assert!(is_marked(&frame(&[marked]), "d1"));
        for other in [
            "",
            r#","metadata":{"more":true}"#,
            r#","metadata":{"streamflow_drill":"[card]"}"#,
        ] {
            assert!(!is_marked(&frame(&[other]), "d1"), "{other}");
            assert!(!is_marked(&frame(&[marked, other]), "d1"), "{other}");
        }
    }
}
