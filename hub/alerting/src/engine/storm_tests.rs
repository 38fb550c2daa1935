//! Very many alerts at once, and what that means for others.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use streamflow_model::Signal;

use super::tests::{Ledger, Memory, Running, delivered};
use crate::sample::{rule, signal};

fn of(rule_id: &str, n: usize) -> Signal {
    Signal {
        rule_id: rule_id.to_owned(),
        labels: BTreeMap::from([("source".to_owned(), n.to_string())]),
        ..signal(0, 57.0)
    }
}

#[tokio::test]
async fn ten_thousand_at_once_all_arrive() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    let all: Vec<Signal> = (0..10_000).map(|n| of("r1", n)).collect();
    for part in all.chunks(500) {
        running.signals.send(part.to_vec()).await.unwrap();
    }
    ledger.until(all.len()).await;
    assert_eq!(running.handle.open_alerts().len(), all.len());
    running.stop().await;
    assert!(delivered(&store.deliveries(), all.len()));
}

#[tokio::test]
async fn the_alert_of_another_rule_does_not_wait_for_all_of_them() {
    let mut other = rule(json!({"name": "other"}));
    "r2".clone_into(&mut other.id);
    let store = Memory::with(&[rule(json!({})), other]);
    let ledger = Arc::new(Ledger::default());
    let running = Running::start(store, &ledger).await;
    for part in 0..5 {
        let storm = (0..1000).map(|n| of("r1", part * 1000 + n)).collect();
        running.signals.send(storm).await.unwrap();
    }
    running.signals.send(vec![of("r2", 0)]).await.unwrap();
    let sent = ledger.until(5001).await;
    let place = sent.iter().position(|(notice, _)| notice.rule_id == "r2").unwrap();
    assert!(place < 1500, "it was told as number {place}");
    running.stop().await;
}

#[tokio::test]
async fn channels_go_on_while_what_they_did_is_written_and_each_is_told_once() {
    const ALERTS: usize = 20;
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    let all = (0..ALERTS).map(|n| of("r1", n)).collect();
    running.signals.send(all).await.unwrap();
    running.signals.flush().await.unwrap();
    store.held.send_replace(true);
    ledger.until(ALERTS).await;
    assert!(
        !delivered(&store.deliveries(), ALERTS),
        "more were sent than were written"
    );
    store.held.send_replace(false);
    store.until(|deliveries| delivered(deliveries, ALERTS)).await;
    assert_eq!(ledger.sent.borrow().len(), ALERTS);
    running.stop().await;
}
