//! What comes together is taken in together, and everybody sees each of it.

use std::sync::Arc;

use serde_json::json;
use streamflow_storage::Store;

use super::tests::{Ledger, Memory, Running};
use crate::{
    documents::ALERT,
    sample::{rule, signal},
};

#[tokio::test]
async fn an_alert_that_ends_while_the_next_of_its_group_begins_is_over_for_everybody() {
    let (store, ledger) = (Memory::with(&[rule(json!({}))]), Arc::new(Ledger::default()));
    let running = Running::start(store.clone(), &ledger).await;
    for (together, open) in [
        (vec![signal(0, 57.0)], 1),
        (vec![signal(1, 0.0), signal(2, 57.0)], 1),
        (vec![signal(3, 0.0), signal(4, 57.0), signal(5, 0.0)], 0),
    ] {
        running.signals.send(together).await.unwrap();
        running.signals.flush().await.unwrap();
        assert_eq!(running.handle.open_alerts().len(), open);
        let alerts = store.docs(ALERT, None, 10).await.unwrap();
        let firing = alerts.iter().filter(|alert| alert.body["state"] == "firing").count();
        assert_eq!(firing, open, "{alerts:?}");
    }
    assert_eq!(store.docs(ALERT, None, 10).await.unwrap().len(), 3);
    assert_eq!(ledger.until(6).await.len(), 6, "each is told of twice");
    running.stop().await;
}
