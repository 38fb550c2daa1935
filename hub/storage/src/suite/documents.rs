//! Documents and checkpoints.

use serde_json::{Value, json};

use super::Fixture;
use crate::{StoreError, store::DocOp};

fn write(id: &str, body: Value, expect: Option<i64>) -> DocOp {
    DocOp::Put {
        kind: "rule".into(),
        id: id.into(),
        body,
        expect,
    }
}

/// A version that is expected must hold.
pub async fn documents_have_versions(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.doc("rule", "a").await.unwrap(), None);
    let body = json!({"z": 1, "a": [1.0, 9007199254740993_u64, null, "é\u{0}"], "n": {}});
    assert_eq!(
        store.commit(vec![write("a", body.clone(), Some(0))]).await.unwrap(),
        [1]
    );
    let read = store.doc("rule", "a").await.unwrap().unwrap();
    assert_eq!(
        (read.version, &read.body, read.body.to_string()),
        (1, &body, body.to_string())
    );
    assert_eq!(store.commit(vec![write("a", json!(2), Some(1))]).await.unwrap(), [2]);
    assert_eq!(store.commit(vec![write("a", json!(3), None)]).await.unwrap(), [3]);
    for (id, expect, found) in [("a", 0, 3), ("a", 2, 3), ("b", 1, 0)] {
        match store.commit(vec![write(id, json!(4), Some(expect))]).await {
            Err(StoreError::Conflict {
                expected, found: is, ..
            }) => assert_eq!((expected, is), (expect, found)),
            other => panic!("{other:?}"),
        }
    }
    store
        .commit(vec![DocOp::Delete {
            kind: "rule".into(),
            id: "a".into(),
        }])
        .await
        .unwrap();
    assert_eq!(store.doc("rule", "a").await.unwrap(), None);
}

/// Many in one commit, among them some twice: each has its own version, and what is removed is gone.
pub async fn many_documents_are_written_at_once(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let text = |n: usize, text: &str| DocOp::Write {
        kind: "alert",
        id: format!("{n:03}"),
        text: json!({"n": n, "text": text}).to_string().into(),
    };
    let gone = |n: usize| DocOp::Delete {
        kind: "alert".into(),
        id: format!("{n:03}"),
    };
    let first: Vec<DocOp> = (0..100).map(|n| text(n, "first")).collect();
    assert_eq!(store.commit(first).await.unwrap(), vec![1; 100]);
    let mut second: Vec<DocOp> = (50..150).rev().map(|n| text(n, "second")).collect();
    second.push(text(149, "third"));
    second.push(write("a", json!("a"), Some(0)));
    second.extend((0..50).map(gone));
    second.push(text(0, "back"));
    let mut versions = vec![1; 50];
    versions.extend([2; 50]);
    versions.extend([2, 1]);
    versions.extend([0; 50]);
    versions.push(1);
    assert_eq!(store.commit(second).await.unwrap(), versions);
    let all = store.docs("alert", None, usize::MAX).await.unwrap();
    let ids: Vec<usize> = all.iter().map(|doc| doc.id.parse().unwrap()).collect();
    let expected: Vec<usize> = std::iter::once(0).chain(50..150).collect();
    assert_eq!(ids, expected);
    assert_eq!(all[0].body, json!({"n": 0, "text": "back"}));
    assert_eq!(all[1].body["text"], "second");
    assert_eq!((&all[100].body["text"], all[100].version), (&json!("third"), 2));
    let broken = vec![text(60, "lost"), gone(61), write("a", json!("b"), Some(9))];
    assert!(matches!(store.commit(broken).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.docs("alert", None, usize::MAX).await.unwrap(), all);
    let texts = store.doc_texts("alert", None, usize::MAX).await.unwrap();
    let read = texts
        .iter()
        .map(|(id, body)| (id, serde_json::from_str::<Value>(body).unwrap()));
    assert!(read.eq(all.iter().map(|doc| (&doc.id, doc.body.clone()))));
}

/// A conflict undoes the operations before it; collections are listed in the order of ids, page by page.
pub async fn documents_commit_together_or_not_at_all(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    let ops = ["c", "a", "b"].map(|id| write(id, json!(id), Some(0))).to_vec();
    assert_eq!(store.commit(ops).await.unwrap(), [1, 1, 1]);
    let broken = vec![
        write("a", json!("changed"), None),
        write("b", json!("changed"), Some(9)),
    ];
    assert!(matches!(store.commit(broken).await, Err(StoreError::Conflict { .. })));
    assert_eq!(store.doc("rule", "a").await.unwrap().unwrap().body, json!("a"));
    store
        .commit(vec![DocOp::Put {
            kind: "user".into(),
            id: "x".into(),
            body: json!(1),
            expect: None,
        }])
        .await
        .unwrap();
    let page = store.docs("rule", None, 2).await.unwrap();
    assert_eq!(page.iter().map(|doc| doc.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let page = store.docs("rule", Some("b"), 2).await.unwrap();
    assert_eq!(page.iter().map(|doc| doc.id.as_str()).collect::<Vec<_>>(), ["c"]);
    fixture.close().await;
    let store = fixture.open().await;
    assert_eq!(store.docs("rule", None, usize::MAX).await.unwrap().len(), 3);
}

/// The last one counts, also after a restart.
pub async fn checkpoints_are_replaced(fixture: &mut dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.checkpoint("engine").await.unwrap(), None);
    store.put_checkpoint("engine", 7, vec![1, 2]).await.unwrap();
    store.put_checkpoint("engine", 9, vec![]).await.unwrap();
    store.put_checkpoint("other", 1, vec![5]).await.unwrap();
    drop(store);
    fixture.crash().await;
    let store = fixture.open().await;
    assert_eq!(store.checkpoint("engine").await.unwrap(), Some((9, vec![])));
    assert_eq!(store.checkpoint("other").await.unwrap(), Some((1, vec![5])));
}
