//! The metrics that are kept: those that come with the hub, and those that users declare, as documents of the store.

use std::sync::Arc;

use streamflow_model::{Instant, Metric, MetricDraft};
use streamflow_storage::{DocOp, Store, StoreError};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::builtin;

/// Collection of the documents.
const KIND: &str = "metric";
/// Documents read at a time.
const PAGE: usize = 500;

/// Why a metric was not saved.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The name is taken, also when it differs only in characters that PromQL does not know.
    #[error("there is a metric called `{0}` already")]
    Taken(String),
    /// It comes with the hub.
    #[error("`{0}` comes with the hub and cannot be changed; declare a metric of your own")]
    Builtin(String),
    /// There is no such metric.
    #[error("there is no metric called `{0}`")]
    Unknown(String),
    /// The name must stay.
    #[error("the name cannot be changed from `{from}` to `{to}`; declare a new metric")]
    Renamed {
        /// As it is.
        from: String,
        /// As it was sent.
        to: String,
    },
    /// Somebody else changed it.
    #[error("`{id}` has version {found}, not {expected}; read it again")]
    Changed {
        /// Which metric.
        id: String,
        /// The version that was sent.
        expected: i64,
        /// The version that it has.
        found: i64,
    },
    /// There are too many.
    #[error("there are {0} metrics already, the most that are allowed (analytics.max_metrics)")]
    TooMany(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All metrics by id. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Arc<dyn Store>,
    metrics: watch::Sender<Arc<Vec<Arc<Metric>>>>,
    /// One change at a time, so that what is shown last is what was written last.
    turn: Arc<Semaphore>,
    max: usize,
}

impl Catalog {
    /// Reads what is declared.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn open(store: Arc<dyn Store>, max: usize) -> Result<Self, StoreError> {
        let catalog = Self {
            store,
            metrics: watch::Sender::default(),
            turn: Arc::new(Semaphore::new(1)),
            max,
        };
        catalog.reload().await?;
        Ok(catalog)
    }

    /// All metrics, by id.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<Metric>>> {
        Arc::clone(&self.metrics.borrow())
    }

    /// A metric by its name or id.
    ///
    /// # Errors
    /// When there is none.
    pub fn get(&self, name: &str) -> Result<Arc<Metric>, CatalogError> {
        let id = streamflow_model::metric::prometheus_name(name);
        let all = self.metrics.borrow();
        let found = all.iter().find(|metric| metric.id == id).map(Arc::clone);
        found.ok_or_else(|| CatalogError::Unknown(name.to_owned()))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Vec<Arc<Metric>>>> {
        self.metrics.subscribe()
    }

    /// Declares a metric; the draft has been checked.
    ///
    /// # Errors
    /// When the name is taken, there are too many, or the store fails.
    pub(super) async fn create(&self, draft: MetricDraft, now: Instant) -> Result<Arc<Metric>, CatalogError> {
        let _turn = self.turn().await?;
        let id = draft.id();
        if self.get(&id).is_ok() {
            return Err(CatalogError::Taken(draft.name));
        }
        let count = self.all().len();
        if count >= self.max {
            return Err(CatalogError::TooMany(count));
        }
        let metric = Metric {
            id: id.clone(),
            draft,
            builtin: false,
            series_id: Uuid::now_v7().to_string(),
            since: now,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        self.write(&metric, 0).await?;
        self.get(&id)
    }

    /// Replaces a metric; the draft has been checked. When it asks something else its windows begin anew.
    ///
    /// # Errors
    /// When there is none, it comes with the hub, its name or version differs, or the store fails.
    pub(super) async fn replace(
        &self,
        name: &str,
        draft: MetricDraft,
        version: Option<i64>,
        now: Instant,
    ) -> Result<Arc<Metric>, CatalogError> {
        let _turn = self.turn().await?;
        let before = self.own(name)?;
        if before.draft.name != draft.name {
            let (from, to) = (before.draft.name.clone(), draft.name);
            return Err(CatalogError::Renamed { from, to });
        }
        if let Some(expected) = version.filter(|version| *version != before.version) {
            let (id, found) = (before.id.clone(), before.version);
            return Err(CatalogError::Changed { id, expected, found });
        }
        let same = before.draft.asks_the_same(&draft);
        let metric = Metric {
            draft,
            series_id: if same {
                before.series_id.clone()
            } else {
                Uuid::now_v7().to_string()
            },
            since: if same { before.since } else { now },
            version: before.version + 1,
            updated_at: now,
            ..(*before).clone()
        };
        self.write(&metric, before.version).await?;
        self.get(name)
    }

    /// Removes a metric and its windows.
    ///
    /// # Errors
    /// When there is none, it comes with the hub, or the store fails.
    pub(super) async fn remove(&self, name: &str) -> Result<(), CatalogError> {
        let _turn = self.turn().await?;
        let metric = self.own(name)?;
        let delete = DocOp::Delete {
            kind: KIND.to_owned(),
            id: metric.id.clone(),
        };
        self.store.commit(vec![delete]).await?;
        Ok(self.reload().await?)
    }

    fn own(&self, name: &str) -> Result<Arc<Metric>, CatalogError> {
        let metric = self.get(name)?;
        if metric.builtin {
            return Err(CatalogError::Builtin(metric.id.clone()));
        }
        Ok(metric)
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, CatalogError> {
        self.turn.acquire().await.map_err(|_| StoreError::Closed.into())
    }

    async fn write(&self, metric: &Metric, expect: i64) -> Result<(), CatalogError> {
        let body = serde_json::to_value(metric).map_err(|e| StoreError::BadRequest(e.to_string()))?;
        let put = DocOp::Put {
            kind: KIND.to_owned(),
            id: metric.id.clone(),
            body,
            expect: Some(expect),
        };
        match self.store.commit(vec![put]).await {
            Ok(_) => Ok(self.reload().await?),
            Err(StoreError::Conflict { .. }) if expect == 0 => Err(CatalogError::Taken(metric.draft.name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let mut all: Vec<Arc<Metric>> = builtin::metrics().into_iter().map(Arc::new).collect();
        let mut after: Option<String> = None;
        loop {
            let docs = self.store.docs(KIND, after.as_deref(), PAGE).await?;
            let more = docs.len() == PAGE;
            after = docs.last().map(|doc| doc.id.clone());
            for doc in docs {
                match serde_json::from_value::<Metric>(doc.body) {
                    Ok(metric) => all.push(Arc::new(metric)),
                    Err(error) => tracing::error!(id = doc.id, %error, "a stored metric does not read and is not kept"),
                }
            }
            if !more {
                break;
            }
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        self.metrics.send_replace(Arc::new(all));
        Ok(())
    }
}
