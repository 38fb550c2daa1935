//! Rules that come with the hub; saved at the first start, the user's own from then on.

use streamflow_model::{Instant, Rule, RuleDraft};
use streamflow_storage::{DocOp, Store, StoreError};
use uuid::Uuid;

/// Which rules have been offered to this store, so that a deleted one does not come back.
const MARK: (&str, &str) = ("setting", "shipped_rules");

const RULES: &str = include_str!("../../deploy/rules/shipped.json");

/// Saves shipped rules that this store has not seen yet.
///
/// # Errors
/// When the store fails, or a shipped rule is wrong (a test prevents that).
pub async fn offer(store: &dyn Store) -> anyhow::Result<()> {
    let drafts: Vec<RuleDraft> = serde_json::from_str(RULES)?;
    let mark = store.doc(MARK.0, MARK.1).await?;
    let mut seen: Vec<String> = match &mark {
        Some(doc) => serde_json::from_value(doc.body.clone())?,
        None => Vec::new(),
    };
    let now = Instant::now();
    let mut ops = Vec::new();
    for draft in drafts {
        if seen.contains(&draft.name) {
            continue;
        }
        seen.push(draft.name.clone());
        let rule = Rule {
            id: Uuid::now_v7().to_string(),
            draft,
            version: 1,
            created_at: now,
            updated_at: now,
            provisioned: None,
        };
        ops.push(DocOp::Put {
            kind: "rule".into(),
            id: rule.id.clone(),
            body: serde_json::to_value(rule)?,
            expect: Some(0),
        });
    }
    if ops.is_empty() {
        return Ok(());
    }
    ops.push(DocOp::Put {
        kind: MARK.0.into(),
        id: MARK.1.into(),
        body: serde_json::to_value(seen)?,
        expect: Some(mark.map_or(0, |doc| doc.version)),
    });
    match store.commit(ops).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_rules_are_right() {
        let drafts: Vec<RuleDraft> = serde_json::from_str(RULES).unwrap();
        assert!(drafts.len() >= 4);
        for draft in drafts {
            draft.compile().unwrap_or_else(|e| panic!("{}: {e:?}", draft.name));
        }
    }
}
