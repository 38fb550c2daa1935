//! Replays: the past in the order of event time.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use serde_json::json;
use streamflow_proto::{build::BatchBuilder, filter::Filter, wire::DRILL_MARK};

use super::{Fixture, T0, as_json, event_json, fill_mixed, frame, numbers, put};
use crate::store::{Replayed, Store};

const COUNT: u64 = 700;

/// `data.n` of all rows that were shown, and whether parts kept their word about what follows.
async fn replay(store: &dyn Store, from: i64, to: i64, filter: Option<&str>) -> (Vec<u64>, Replayed) {
    let shown = Arc::new(Mutex::new((Vec::new(), i64::MIN, 0)));
    let collect = Arc::clone(&shown);
    let filter = filter.map(|text| Arc::new(Filter::compile(text).unwrap()));
    let replayed = store
        .replay(
            from,
            to,
            filter,
            Box::new(move |part| {
                let mut shown = collect.lock().unwrap();
                let (rows, floor, done) = &mut *shown;
                for span in &part.log.spans {
                    let events: Vec<_> = (span.start..span.end)
                        .map(|row| part.log.batch.event(row as usize).unwrap())
                        .collect();
                    assert!(events.iter().all(|event| event.timestamp >= *floor), "it came too late");
                    rows.extend(numbers(&events));
                }
                assert!(part.done > *done && part.done <= part.total);
                (*floor, *done) = (part.floor, part.done);
                ControlFlow::Continue(())
            }),
        )
        .await
        .unwrap();
    let (mut rows, _, _) = std::mem::take(&mut *shown.lock().unwrap());
    rows.sort_unstable();
    (rows, replayed)
}

/// Every event of the range is shown once, none comes before it may, and a filter passes over no match; before and after merging.
pub async fn replays_are_whole_and_in_time(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, COUNT).await;
    let at = |number: u64| event_json(number)["timestamp"].as_i64().unwrap();
    for round in 0..2 {
        for (from, to) in [(i64::MIN, i64::MAX), (T0, T0 + 1), (T0 + 2500, T0 + 4000), (0, 5)] {
            for filter in [None, Some("type == 'type.1'"), Some("user_id == 'nobody we know'")] {
                let (shown, replayed) = replay(&*store, from, to, filter).await;
                let mut once = shown.clone();
                once.dedup();
                assert_eq!(once, shown, "round {round}");
                let wanted = (0..COUNT).filter(|n| (from..to).contains(&at(*n)));
                let wanted =
                    wanted.filter(|n| filter != Some("type == 'type.1'") || event_json(*n)["type"] == "type.1");
                if filter.is_none_or(|text| text.starts_with("type")) {
                    wanted
                        .for_each(|n| assert!(shown.contains(&n), "round {round}: {n} in {from}..{to} by {filter:?}"));
                } else if round == 1 {
                    // A Bloom filter lets one path or text in a hundred through; these it rules out.
                    assert_eq!(
                        (shown.len(), replayed.scanned.chunks),
                        (0, 0),
                        "a filter that nothing passes reads nothing"
                    );
                }
                assert_eq!(replayed.unreadable, 0);
            }
        }
        fixture.merge().await;
    }
    // It stops when told to.
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let visit = Box::new(move |part: &crate::store::ReplayPart| {
        drop(as_json(&part.log.batch.event(0).unwrap()));
        *count.lock().unwrap() += 1;
        ControlFlow::Break(())
    });
    store.replay(i64::MIN, i64::MAX, None, visit).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), 1);
    ends_when_dropped(store).await;
}

/// Rules over the past see no more of fire drills than live ones do; before and after merging.
pub async fn replays_pass_over_drills(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let marked = |number: u64, drill: &str| {
        let mut event = event_json(number);
        event["metadata"] = json!({ DRILL_MARK: drill });
        let mut builder = BatchBuilder::new();
        builder.push_json(event.to_string().as_bytes(), T0).unwrap();
        builder.finish(number + 1)
    };
    put(&*store, "web-1", frame(1, 0..1)).await;
    put(&*store, "web-1", marked(1, "d1")).await;
    put(&*store, "web-1", marked(2, "forged")).await;
    store.tail().drills().add("d1");
    for round in 0..2 {
        let (shown, replayed) = replay(&*store, i64::MIN, i64::MAX, None).await;
        assert_eq!((shown, replayed.unreadable), (vec![0, 2], 0), "round {round}");
        fixture.merge().await;
    }
}

/// Whoever asked has gone: what is under way is finished, and nothing more is read.
async fn ends_when_dropped(store: Arc<dyn Store>) {
    // Let the visitor tell of each visit, and wait in the first.
    let (visits, mut seen) = tokio::sync::mpsc::channel(1024);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let task = tokio::spawn(async move {
        let visit = Box::new(move |_: &crate::store::ReplayPart| {
            visits.try_send(()).unwrap();
            // An error means that the other end has gone, and then nothing is to be waited for.
            wait.recv().ok();
            ControlFlow::Continue(())
        });
        store.replay(i64::MIN, i64::MAX, None, visit).await
    });
    seen.recv().await.unwrap();
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    drop(go);
    // The visitor is dropped with its last visit, which ends the channel.
    assert!(seen.recv().await.is_none(), "another part was read");
}
