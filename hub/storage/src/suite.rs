//! What every store must do, as tests that any implementation can run: give a [`Fixture`] to [`store_suite!`](crate::store_suite).
//!
//! The expected answers come from a plain list of all events, filtered and sorted in the simplest way.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "tests, although other crates may compile them"
)]

mod chunks;
mod documents;
mod life;
mod log;
mod query;
mod replay;
mod rollup;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use streamflow_proto::{build::BatchBuilder, chunk::EncodedChunk, event::Event, frame::Frame};
use uuid::Uuid;

use crate::store::{Appended, EventQuery, Order, Origin, Store};

pub use chunks::*;
pub use documents::*;
pub use life::*;
pub use log::*;
pub use query::*;
pub use replay::*;
pub use rollup::*;

/// A store at one place, which can be closed and opened again.
#[async_trait]
pub trait Fixture: Send {
    /// Opens the store; the same contents each time.
    async fn open(&mut self) -> Arc<dyn Store>;
    /// Ends it in order.
    async fn close(&mut self);
    /// Ends it as `kill -9` would.
    async fn crash(&mut self);
    /// Merges all that is durable.
    async fn merge(&mut self);
}

/// Makes a test of each promise. `$fixture` is an expression that makes a fresh [`Fixture`].
#[macro_export]
macro_rules! store_suite {
    ($fixture:expr; $($name:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $crate::suite::$name(&mut $fixture).await;
        })*
    };
    ($fixture:expr) => {
        $crate::store_suite!($fixture;
            answers_are_what_was_stored, merging_changes_no_answer, pages_stay_whole_while_data_changes, cursors_of_others_are_refused,
            scans_see_what_queries_see, replays_are_whole_and_in_time, replays_pass_over_drills, an_event_is_found_by_its_id, recent_ids_are_those_of_the_agent,
            a_replay_is_known, the_log_is_dense_and_ordered, followers_see_every_commit_in_order, the_log_replays_from_every_place,
            marks_and_places_survive_everything, what_was_acknowledged_survives_a_crash, old_events_expire, totals_are_kept,
            documents_have_versions, documents_commit_together_or_not_at_all, many_documents_are_written_at_once, checkpoints_are_replaced,
            large_batches_are_chunks_at_once, large_batches_are_followed_and_replayed, a_crash_leaves_large_batches_whole, frames_between_large_batches_are_merged,
            mixed_senders_keep_their_order, large_batches_expire, the_newest_frames_are_counted_by_their_events,
            rollups_and_their_place_move_together, rollups_expire_by_resolution,
        );
    };
}

/// Event time at which the tests' data begins.
pub(crate) const T0: i64 = 1_700_000_000_000;

pub(crate) fn origin(agent: &str) -> Origin {
    Origin {
        agent: agent.into(),
        epoch: 7,
    }
}

/// An event's JSON that is a function of its number alone.
pub(crate) fn event_json(number: u64) -> Value {
    let severity = ["low", "medium", "high", "critical"][(number % 4) as usize];
    let mut event = json!({
        "id": id_of(number),
        "type": format!("type.{}", number % 3),
        "source": format!("host-{}", number % 5),
        // Out of order within 7 s, and many events share a millisecond.
        "timestamp": T0 + i64::try_from(number / 4 * 50 + number % 7 * 1000).unwrap(),
        "severity": severity,
        "data": {"n": number, "message": format!("Request {number} of client {}", number % 11), "nested": {"flag": number.is_multiple_of(2)}},
        "tags": if number.is_multiple_of(6) { json!(["Blue", "x"]) } else { json!([]) },
    });
    if number.is_multiple_of(9) {
        event["user_id"] = json!(format!("user-{}", number % 4));
    }
    event
}

pub(crate) fn id_of(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number) << 80 | u128::from(number))
}

/// Events `numbers` as one frame.
pub(crate) fn frame(seq: u64, numbers: std::ops::Range<u64>) -> Frame {
    let mut builder = BatchBuilder::new();
    for number in numbers {
        builder
            .push_json(event_json(number).to_string().as_bytes(), T0)
            .unwrap();
    }
    builder.finish(seq)
}

/// Events `numbers` as a chunk.
pub(crate) fn chunk(numbers: std::ops::Range<u64>) -> Arc<EncodedChunk> {
    let mut builder = BatchBuilder::new().of_chunks(usize::MAX);
    for number in numbers {
        builder
            .push_json(event_json(number).to_string().as_bytes(), T0)
            .unwrap();
    }
    Arc::new(builder.finish_chunk(1).unwrap())
}

/// Appends a chunk and waits until durable.
pub(crate) async fn put_chunk(store: &dyn Store, agent: &str, seq: u64, chunk: Arc<EncodedChunk>) -> Appended {
    store
        .append_chunk(origin(agent), seq, chunk)
        .await
        .unwrap()
        .await
        .unwrap()
        .unwrap()
}

/// Appends and waits until durable.
pub(crate) async fn put(store: &dyn Store, agent: &str, frame: Frame) -> Appended {
    store
        .append(origin(agent), frame)
        .await
        .unwrap()
        .await
        .unwrap()
        .unwrap()
}

/// Frames of two agents with events `0..count`, of uneven sizes.
pub(crate) async fn fill(store: &dyn Store, count: u64) {
    let (mut next, mut seq) = (0, 0);
    while next < count {
        seq += 1;
        let end = (next + 1 + seq * 7 % 40).min(count);
        put(store, ["web-1", "@http"][(seq % 2) as usize], frame(seq, next..end)).await;
        next = end;
    }
}

/// As [`fill`], where every fourth batch comes as a chunk.
pub(crate) async fn fill_mixed(store: &dyn Store, count: u64) {
    let (mut next, mut seq) = (0, 0);
    while next < count {
        seq += 1;
        let end = (next + 1 + seq * 7 % 40).min(count);
        let agent = ["web-1", "@http"][(seq % 2) as usize];
        match seq % 4 {
            3 => put_chunk(store, agent, seq, chunk(next..end)).await,
            _ => put(store, agent, frame(seq, next..end)).await,
        };
        next = end;
    }
}

/// What a query answers, page by page.
pub(crate) async fn ask(store: &dyn Store, query: EventQuery) -> Vec<Event> {
    let (mut events, mut cursor) = (Vec::new(), query.cursor.clone());
    loop {
        let page = store
            .query(EventQuery {
                cursor,
                ..query.clone()
            })
            .await
            .unwrap();
        assert!(page.events.len() <= query.limit);
        events.extend(page.events);
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => return events,
        }
    }
}

/// A query for everything, oldest first.
pub(crate) fn everything() -> EventQuery {
    EventQuery {
        limit: 1000,
        order: Order::Asc,
        ..EventQuery::default()
    }
}

pub(crate) fn as_json(event: &Event) -> Value {
    serde_json::to_value(event).unwrap()
}

/// `data.n` of every event.
pub(crate) fn numbers(events: &[Event]) -> Vec<u64> {
    events
        .iter()
        .map(|event| as_json(event)["data"]["n"].as_u64().unwrap())
        .collect()
}
