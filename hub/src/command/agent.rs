//! `streamflow-hub agent …`.

use streamflow_model::{AgentStatus, Span};
use streamflow_storage::Store;

use super::{UsageError, print};
use crate::{cli::Common, config::HubConfig};

/// Prints a one-time enrolment token.
pub async fn token(common: &Common, config: &HubConfig, store: &dyn Store, ttl: Span) -> anyhow::Result<()> {
    let token = streamflow_ingest::enroll::create_token(store, &config.data_dir, ttl).await?;
    print::done(
        common.output,
        &token,
        &serde_json::json!({"token": token, "ttl": ttl.to_string()}),
    )
}

/// Lists the allow-list.
pub async fn list(common: &Common, store: &dyn Store) -> anyhow::Result<()> {
    let agents: Vec<AgentStatus> = streamflow_ingest::agents::stored(store).await?;
    let rows: Vec<Vec<String>> = agents
        .iter()
        .map(|a| {
            let seen = a.last_seen.map_or_else(|| "never".to_owned(), |at| at.to_string());
            vec![
                a.id.clone(),
                a.name.clone(),
                a.version.clone(),
                seen,
                match (a.revoked, a.connected) {
                    (true, _) => "revoked",
                    (false, true) => "connected",
                    (false, false) => "not connected",
                }
                .to_owned(),
            ]
        })
        .collect();
    let text = if rows.is_empty() {
        "no agent has enrolled yet; `streamflow-hub agent token` makes a token for one".to_owned()
    } else {
        print::table(&["ID", "HOST", "VERSION", "LAST SEEN", "STATE"], &rows)
    };
    print::done(common.output, &text, &serde_json::to_value(&agents)?)
}

/// Revokes an agent.
pub async fn revoke(common: &Common, store: &dyn Store, id: &str) -> anyhow::Result<()> {
    if !streamflow_ingest::agents::revoke(store, id).await? {
        return Err(UsageError(format!("no agent `{id}`; `streamflow-hub agent list` shows them")).into());
    }
    print::done(
        common.output,
        &format!("revoked {id}"),
        &serde_json::json!({"id": id, "revoked": true}),
    )
}
