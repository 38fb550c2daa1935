//! Queries, scans and single events, before and after merging.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use streamflow_proto::{event::Severity, filter::Filter};

use super::{Fixture, T0, as_json, ask, event_json, everything, fill, fill_mixed, frame, id_of, numbers, put};
use crate::{
    StoreError,
    store::{EventQuery, Order, Store},
};

const COUNT: u64 = 700;

/// A query and the same conditions in plain Rust.
type Case = (EventQuery, fn(&Value) -> bool);

fn cases() -> Vec<Case> {
    let filter = |text: &str| Some(Arc::new(Filter::compile(text).unwrap()));
    let base = || EventQuery {
        limit: 37,
        ..EventQuery::default()
    };
    vec![
        (base(), |_| true),
        (
            EventQuery {
                limit: 10_000,
                ..base()
            },
            |_| true,
        ),
        (
            EventQuery {
                types: vec!["type.1".into(), "none".into()],
                ..base()
            },
            |e| e["type"] == "type.1",
        ),
        (
            EventQuery {
                sources: vec!["host-2".into(), "host-3".into()],
                ..base()
            },
            |e| e["source"] == "host-2" || e["source"] == "host-3",
        ),
        (
            EventQuery {
                severities: vec![Severity::High, Severity::Critical],
                ..base()
            },
            |e| e["severity"] == "high" || e["severity"] == "critical",
        ),
        (
            EventQuery {
                from: Some(T0 + 3000),
                to: Some(T0 + 5050),
                ..base()
            },
            |e| (T0 + 3000..T0 + 5050).contains(&e["timestamp"].as_i64().unwrap()),
        ),
        (
            EventQuery {
                filter: filter("data.n >= 100 && source == 'host-1'"),
                ..base()
            },
            |e| e["data"]["n"].as_u64() >= Some(100) && e["source"] == "host-1",
        ),
        (
            EventQuery {
                filter: filter("user_id == 'user-3'"),
                ..base()
            },
            |e| e["user_id"] == "user-3",
        ),
        (
            EventQuery {
                text: Some("CLIENT 7".into()),
                ..base()
            },
            |e| e["data"]["message"].as_str().unwrap().ends_with("client 7"),
        ),
        (
            EventQuery {
                text: Some("blue".into()),
                ..base()
            },
            |e| e["tags"][0] == "Blue",
        ),
        (
            EventQuery {
                text: Some("host-4".into()),
                types: vec!["type.0".into()],
                ..base()
            },
            |e| e["source"] == "host-4" && e["type"] == "type.0",
        ),
        (
            EventQuery {
                text: Some("nowhere".into()),
                ..base()
            },
            |_| false,
        ),
    ]
}

async fn check(store: &dyn Store) {
    for (query, test) in cases() {
        for order in [Order::Asc, Order::Desc] {
            let mut expected: Vec<Value> = (0..COUNT).map(event_json).filter(test).collect();
            expected.sort_by_key(|event| (event["timestamp"].as_i64(), event["data"]["n"].as_u64()));
            if order == Order::Desc {
                expected.reverse();
            }
            let query = EventQuery { order, ..query.clone() };
            let got = numbers(&ask(store, query.clone()).await);
            let expected: Vec<u64> = expected
                .iter()
                .map(|event| event["data"]["n"].as_u64().unwrap())
                .collect();
            assert_eq!(got, expected, "{query:?}");
        }
    }
}

/// Every condition, both orders, paged.
pub async fn answers_are_what_was_stored(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    assert!(ask(&*store, everything()).await.is_empty());
    fill_mixed(&*store, COUNT).await;
    check(&*store).await;
    for event in ask(&*store, everything()).await {
        let event = as_json(&event);
        let sent = event_json(event["data"]["n"].as_u64().unwrap());
        for field in ["id", "type", "source", "severity", "data", "tags", "user_id"] {
            assert_eq!(event[field], sent[field], "{field}");
        }
    }
    let page = store
        .query(EventQuery {
            limit: 0,
            ..EventQuery::default()
        })
        .await;
    assert!(matches!(page, Err(StoreError::BadRequest(_))));
}

/// The same answers from chunks, and from chunks and fresh frames together.
pub async fn merging_changes_no_answer(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, COUNT - 50).await;
    let before: Vec<Value> = ask(&*store, everything()).await.iter().map(as_json).collect();
    fixture.merge().await;
    let after: Vec<Value> = ask(&*store, everything()).await.iter().map(as_json).collect();
    assert_eq!(before, after);
    assert_eq!(store.stats().await.unwrap().inbox_frames, 0);
    put(&*store, "late", frame(1, COUNT - 50..COUNT)).await;
    check(&*store).await;
    fixture.merge().await;
    check(&*store).await;
}

/// A reader that pages while frames arrive and are merged sees everything that was there at the beginning, once.
pub async fn pages_stay_whole_while_data_changes(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, COUNT).await;
    let query = EventQuery {
        limit: 61,
        ..EventQuery::default()
    };
    let mut expected = numbers(&ask(&*store, query.clone()).await);
    let (mut got, mut cursor, mut round) = (Vec::new(), None, 0);
    loop {
        let page = store
            .query(EventQuery {
                cursor,
                ..query.clone()
            })
            .await
            .unwrap();
        got.extend(numbers(&page.events));
        round += 1;
        match page.next_cursor {
            Some(next) => cursor = Some(next),
            None => break,
        }
        let fresh = COUNT + round * 10;
        put(&*store, "fresh", frame(round, fresh..fresh + 10)).await;
        if round % 3 == 1 {
            fixture.merge().await;
        }
    }
    got.retain(|number| *number < COUNT);
    got.sort_unstable();
    expected.sort_unstable();
    assert_eq!(got, expected);
}

/// A cursor is of use in its own order only.
pub async fn cursors_of_others_are_refused(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill(&*store, 20).await;
    let page = store
        .query(EventQuery {
            limit: 5,
            ..EventQuery::default()
        })
        .await
        .unwrap();
    for (cursor, order) in [(page.next_cursor, Order::Asc), (Some("garbage".into()), Order::Desc)] {
        let page = store
            .query(EventQuery {
                cursor,
                order,
                ..everything()
            })
            .await;
        assert!(matches!(page, Err(StoreError::BadCursor)));
    }
}

/// Scans give the rows that a query with the same conditions gives, and stop when told.
pub async fn scans_see_what_queries_see(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, COUNT).await;
    for _ in 0..2 {
        let filter = Arc::new(Filter::compile("type == 'type.2' && data.n < 500").unwrap());
        let (from, to) = (Some(T0 + 1000), Some(T0 + 6000));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = seen.clone();
        let visit = Box::new(
            move |batch: &streamflow_proto::batch::Batch, rows: &streamflow_proto::bitmap::Bitmap| {
                all.lock().unwrap().extend(numbers(&batch.events(rows).unwrap()));
                ControlFlow::Continue(())
            },
        );
        let scanned = store.scan(from, to, Some(filter.clone()), visit).await.unwrap();
        assert!(scanned.chunks > 0 && scanned.bytes > 0);
        let query = EventQuery {
            from,
            to,
            filter: Some(filter),
            ..everything()
        };
        let mut expected = numbers(&ask(&*store, query).await);
        expected.sort_unstable();
        seen.lock().unwrap().sort_unstable();
        assert_eq!(*seen.lock().unwrap(), expected);

        let visits = Arc::new(Mutex::new(0));
        let count = visits.clone();
        let once = Box::new(
            move |_: &streamflow_proto::batch::Batch, _: &streamflow_proto::bitmap::Bitmap| {
                *count.lock().unwrap() += 1;
                ControlFlow::Break(())
            },
        );
        store.scan(None, None, None, once).await.unwrap();
        assert_eq!(*visits.lock().unwrap(), 1);
        fixture.merge().await;
    }
}

/// In the inbox and in a chunk.
pub async fn an_event_is_found_by_its_id(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    fill_mixed(&*store, 200).await;
    for _ in 0..2 {
        for number in [0, 77, 199] {
            let event = store.event(id_of(number)).await.unwrap().unwrap();
            assert_eq!(numbers(&[event]), [number]);
        }
        assert!(store.event(id_of(200)).await.unwrap().is_none());
        fixture.merge().await;
    }
}

/// Only the agent's own ids, and only those stored since.
pub async fn recent_ids_are_those_of_the_agent(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    put(&*store, "other", frame(1, 0..5)).await;
    put(&*store, "@http", frame(1, 5..8)).await;
    put(&*store, "other", frame(2, 8..9)).await;
    for _ in 0..2 {
        let ids = store.recent_ids("@http", T0).await.unwrap();
        assert_eq!(
            ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            [id_of(5), id_of(6), id_of(7)]
        );
        let stored_at = ids[0].1;
        assert!(stored_at > T0 && store.recent_ids("@http", stored_at).await.unwrap().len() == 3);
        assert!(store.recent_ids("@http", stored_at + 1).await.unwrap().is_empty());
        fixture.merge().await;
    }
}
