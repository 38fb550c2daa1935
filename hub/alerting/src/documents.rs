//! Alerting's documents in the store, and how they are read back.

use std::{collections::VecDeque, sync::Arc};

use serde::de::DeserializeOwned;
use streamflow_model::{
    Alert, Channel, DeliveryState, Escalation, Maintenance, OncallSchedule, Routing, Rule, RuleError, Silence,
};
use streamflow_storage::{Doc, Store, StoreError};
use streamflow_web::{ApiError, ApiResult};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{
    grouping::Group,
    incident::Incident,
    matchers::Matchers,
    mute::{Mutes, Window},
    oncall::Roster,
    outbox::{Outbox, Outgoing},
    route::{Compiled, Known},
};

/// Rules by id.
pub(crate) const RULE: &str = "rule";
/// Channels by name.
pub(crate) const CHANNEL: &str = "channel";
/// Alerts, newest first.
pub(crate) const ALERT: &str = "alert";
/// Deliveries, newest first.
pub(crate) const DELIVERY: &str = "delivery";
/// Groups of alerts by id.
pub(crate) const GROUP: &str = "alert_group";
/// Silences by id.
pub(crate) const SILENCE: &str = "silence";
/// Maintenance windows by name.
pub(crate) const MAINTENANCE: &str = "maintenance";
/// Escalation policies by name.
pub(crate) const ESCALATION: &str = "escalation";
/// On-call schedules by name.
pub(crate) const ONCALL: &str = "oncall";
/// The one routing document.
pub(crate) const ROUTING: (&str, &str) = ("routing", "tree");
/// Documents read at once.
const PAGE: usize = 1000;
/// Incidents read at once: a part of them is in memory as it was read, and the next one as well.
const INCIDENTS: usize = 512;

/// A document's id that sorts the newest UUIDv7 first: the store lists in ascending order, and people want the newest.
pub(crate) fn newest_first(id: &str) -> String {
    Uuid::parse_str(id).map_or_else(
        |_| id.to_owned(),
        |id| Uuid::from_u128(!id.as_u128()).simple().to_string(),
    )
}

/// An alert as it was last written.
pub(crate) async fn alert(store: &dyn Store, id: &str) -> ApiResult<Option<Alert>> {
    let doc = store.doc(ALERT, &newest_first(id)).await.map_err(ApiError::internal)?;
    let incident = doc.map(|doc| serde_json::from_value::<Incident>(doc.body)).transpose();
    Ok(incident.map_err(ApiError::internal)?.map(|incident| incident.alert))
}

/// Everything of a collection.
async fn read_all<T: DeserializeOwned>(store: &dyn Store, kind: &str) -> Result<Vec<(String, T)>, StoreError> {
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        after = read_page(store, kind, after.as_deref(), &mut all).await?;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// The next part of a collection; answers after which document there is more. What does not decode is logged and left out: one damaged rule must not
/// stop all others.
async fn read_page<T: DeserializeOwned>(
    store: &dyn Store,
    kind: &str,
    after: Option<&str>,
    into: &mut Vec<(String, T)>,
) -> Result<Option<String>, StoreError> {
    let docs = store.docs(kind, after, PAGE).await?;
    let last = (docs.len() == PAGE).then(|| docs.last().map(|doc| doc.id.clone()));
    for Doc { id, body, .. } in docs {
        match serde_json::from_value(body) {
            Ok(value) => into.push((id, value)),
            // The error may quote a value, and a channel's may be a secret.
            Err(_) if kind == CHANNEL => tracing::error!(kind, id, "document does not decode, it is left out"),
            Err(error) => left_undecoded(kind, &id, &error),
        }
    }
    Ok(last.flatten())
}

fn left_undecoded(kind: &str, id: &str, error: &serde_json::Error) {
    tracing::error!(kind, id, %error, "document does not decode, it is left out");
}

/// An incident as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// The incident.
    pub(crate) incident: Incident,
    /// Its document, when it was read from one.
    pub(crate) document: Option<String>,
}

impl From<Incident> for Read {
    fn from(incident: Incident) -> Self {
        Self {
            incident,
            document: None,
        }
    }
}

/// All stored incidents, part by part. While one part is looked at, the next one is read.
#[derive(Debug)]
pub(crate) struct Incidents {
    store: Arc<dyn Store>,
    reading: Option<JoinHandle<Result<Part, StoreError>>>,
}

/// Some incidents, newest first; and the document after which there are more.
type Part = (Vec<Read>, Option<String>);

impl Incidents {
    /// Begins to read.
    pub(crate) fn of(store: Arc<dyn Store>) -> Self {
        let reading = Some(tokio::spawn(read_incidents(Arc::clone(&store), None)));
        Self { store, reading }
    }

    /// The next part, newest first.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Read>>, StoreError> {
        let Some(reading) = self.reading.take() else {
            return Ok(None);
        };
        // It ends early only together with the hub.
        let (incidents, last) = reading.await.map_err(|_| StoreError::Closed)??;
        self.reading = last.map(|last| tokio::spawn(read_incidents(Arc::clone(&self.store), Some(last))));
        Ok(Some(incidents))
    }
}

async fn read_incidents(store: Arc<dyn Store>, after: Option<String>) -> Result<Part, StoreError> {
    let docs = store.doc_texts(ALERT, after.as_deref(), INCIDENTS).await?;
    let last = (docs.len() == INCIDENTS).then(|| docs.last().map(|(id, _)| id.clone()));
    let read = docs.into_iter().filter_map(|(id, document)| {
        let incident = serde_json::from_str(&document);
        let incident = incident.inspect_err(|error| left_undecoded(ALERT, &id, error)).ok()?;
        Some(Read {
            incident,
            document: Some(document),
        })
    });
    Ok((read.collect(), last.flatten()))
}

/// What alerting had when it last wrote.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// All rules.
    pub(crate) rules: Vec<Rule>,
    /// All channels.
    pub(crate) channels: Vec<Channel>,
    /// Escalation policies.
    pub(crate) escalations: Vec<Escalation>,
    /// On-call schedules.
    pub(crate) rosters: Vec<Roster>,
    /// Groups of alerts.
    pub(crate) groups: Vec<Group>,
    /// Silences and maintenance windows.
    pub(crate) mutes: Mutes,
    /// Who is told of alerts whose rule names nobody.
    pub(crate) routing: Option<(Routing, Compiled)>,
    /// Notifications under way.
    pub(crate) outbox: Outbox,
    /// Documents of finished deliveries, oldest first.
    pub(crate) finished: VecDeque<String>,
}

/// Reads everything at start.
pub(crate) async fn load(store: &dyn Store) -> Result<Loaded, StoreError> {
    let (mut outbox, mut finished) = (Outbox::default(), VecDeque::new());
    let deliveries: Vec<(String, Outgoing)> = read_all(store, DELIVERY).await?;
    for (id, outgoing) in deliveries.into_iter().rev() {
        match outgoing.delivery.state {
            DeliveryState::Pending => outbox.push(outgoing),
            _ => finished.push_back(id),
        }
    }
    let values = |(_, value)| value;
    Ok(Loaded {
        rules: read_all(store, RULE).await?.into_iter().map(values).collect(),
        channels: read_all(store, CHANNEL)
            .await?
            .into_iter()
            .map(|(_, channel)| channel)
            .collect(),
        escalations: read_all(store, ESCALATION)
            .await?
            .into_iter()
            .map(|(_, one)| one)
            .collect(),
        rosters: load_rosters(store).await?,
        groups: read_all(store, GROUP)
            .await?
            .into_iter()
            .map(|(_, group)| group)
            .collect(),
        mutes: load_mutes(store).await?,
        routing: load_routing(store).await?,
        outbox,
        finished,
    })
}

/// A silence or window that no longer compiles is left out and named: alerts that nobody silences any more are heard, not lost.
async fn load_mutes(store: &dyn Store) -> Result<Mutes, StoreError> {
    let mut mutes = Mutes::default();
    for (id, silence) in read_all::<Silence>(store, SILENCE).await? {
        match Matchers::compile("matchers", &silence.matchers) {
            Ok(matchers) => mutes.put_silence(silence, matchers),
            Err(errors) => left_out(SILENCE, &id, &errors),
        }
    }
    for (name, maintenance) in read_all::<Maintenance>(store, MAINTENANCE).await? {
        match Window::compile(maintenance) {
            Ok(window) => mutes.put_window(window),
            Err(errors) => left_out(MAINTENANCE, &name, &errors),
        }
    }
    Ok(mutes)
}

async fn load_rosters(store: &dyn Store) -> Result<Vec<Roster>, StoreError> {
    let mut rosters = Vec::new();
    for (name, schedule) in read_all::<OncallSchedule>(store, ONCALL).await? {
        match Roster::compile(schedule, &|_| Ok(())) {
            Ok(roster) => rosters.push(roster),
            Err(errors) => left_out(ONCALL, &name, &errors),
        }
    }
    Ok(rosters)
}

/// What the tree names was checked when it was saved; a channel that has gone since is skipped when it is told.
async fn load_routing(store: &dyn Store) -> Result<Option<(Routing, Compiled)>, StoreError> {
    let Some(doc) = store.doc(ROUTING.0, ROUTING.1).await? else {
        return Ok(None);
    };
    let known = Known {
        channel: &|_| Ok(()),
        escalation: &|_| true,
    };
    match serde_json::from_value::<Routing>(doc.body) {
        Ok(routing) => match Compiled::compile(&routing.draft, &known) {
            Ok(compiled) => return Ok(Some((routing, compiled))),
            Err(errors) => left_out(ROUTING.0, ROUTING.1, &errors),
        },
        Err(error) => tracing::error!(kind = ROUTING.0, %error, "document does not decode, it is left out"),
    }
    Ok(None)
}

fn left_out(kind: &str, id: &str, errors: &[RuleError]) {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    tracing::error!(
        kind,
        id,
        errors = errors.join("; "),
        "document is wrong, it is left out"
    );
}
