//! Fire drills, as other rooms ask for them: whom one tells, the rule that lives for it, and what came of its notifications.

use std::collections::BTreeMap;

use streamflow_model::{Delivery, Instant, Rule, RuleDraft};
use streamflow_storage::Store;
use streamflow_web::{ApiError, ApiResult};

use crate::{documents::DELIVERY, handle::AlertingHandle, outbox::Outgoing};

/// Documents read at once.
const PAGE: usize = 128;

/// Whom a drill tells, and whom the real alert would tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrillChannels {
    /// By name, those on call resolved.
    pub told: Vec<String>,
    /// Those of the real alert.
    pub would_tell: Vec<String>,
}

impl AlertingHandle {
    /// Whom a drill tells: `wanted`, or without it those whom an alert of the rule would tell.
    ///
    /// # Errors
    /// 400 when a channel is not there, or when nobody would be told.
    pub async fn drill_channels(
        &self,
        draft: RuleDraft,
        group: BTreeMap<String, String>,
        wanted: Option<Vec<String>>,
    ) -> ApiResult<DrillChannels> {
        self.call(move |desk, now| {
            let book = &desk.book;
            let would_tell = book.would_tell(&draft, &group, now);
            let Some(wanted) = wanted else {
                let told = would_tell.clone();
                return if told.is_empty() {
                    let message = "an alert of this kind would tell nobody: no route leads to a channel that is enabled and takes its level";
                    Err(wrong("page", message))
                } else {
                    Ok(DrillChannels { told, would_tell })
                };
            };
            for name in &wanted {
                book.register()
                    .knows_target(name)
                    .map_err(|reason| wrong("channels", &reason))?;
            }
            let told = book.register().expand(&wanted, now);
            let deaf: Vec<String> = told.iter().filter(|name| !book.takes(name, draft.level)).cloned().collect();
            if !deaf.is_empty() || told.is_empty() {
                let level = draft.level.name();
                let message = format!("not told of level {level}, or disabled: {}", deaf.join(", "));
                return Err(wrong("channels", &message));
            }
            Ok(DrillChannels { told, would_tell })
        })
        .await
    }

    /// Takes up the rule of a drill.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn begin_drill(&self, rule: Rule) -> ApiResult<()> {
        self.call(move |desk, _| {
            desk.book.begin_drill(rule);
            Ok(())
        })
        .await
    }

    /// Ends the alerts of a drill and forgets its rule.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn end_drill(&self, rule_id: String) -> ApiResult<()> {
        self.call(move |desk, now| {
            desk.book.end_drill(&rule_id, now);
            Ok(())
        })
        .await
    }

    /// Deliveries about an alert that were made at or after `since`, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn deliveries_of(&self, store: &dyn Store, alert_id: &str, since: Instant) -> ApiResult<Vec<Delivery>> {
        let (mut found, mut after): (Vec<Delivery>, Option<String>) = (Vec::new(), None);
        loop {
            // They are listed newest first.
            let docs = store.docs(DELIVERY, after.as_deref(), PAGE).await;
            let docs = docs.map_err(ApiError::internal)?;
            let full = docs.len() == PAGE;
            after = docs.last().map(|doc| doc.id.clone());
            let deliveries = docs
                .into_iter()
                .filter_map(|doc| serde_json::from_value::<Outgoing>(doc.body).ok())
                .map(|outgoing| outgoing.delivery);
            let mut older = false;
            for delivery in deliveries {
                older |= delivery.created_at < since;
                if delivery.alert_id == alert_id || delivery.alert_ids.iter().any(|id| id == alert_id) {
                    found.push(delivery);
                }
            }
            if !full || older {
                found.reverse();
                return Ok(found);
            }
        }
    }
}

fn wrong(field: &str, reason: &str) -> ApiError {
    ApiError::validation(format!("{field}: {reason}")).with_details(serde_json::json!({"field": field}))
}
