//! From verdicts to people: the life of alerts, and notifications that are neither lost nor repeated.
//!
//! One task owns all state ([`Alerting::run`]). An alert and the notifications about it are written in one transaction before
//! anybody is told, so a crash loses neither; a crash between a send and the note that it was sent repeats it once, under the
//! same idempotency key.

mod book;
mod calendar;
mod compose;
mod desk;
mod documents;
mod drill;
mod engine;
mod error;
mod external;
mod gate;
mod grouping;
mod handle;
mod held;
mod history;
mod id;
mod incident;
mod intake;
mod link;
mod matchers;
mod metrics;
mod mute;
mod oncall;
mod options;
mod outbox;
mod packed;
mod paging;
mod provision;
mod question;
mod queue;
mod ranked;
mod register;
mod rehearsal;
mod route;
mod routes;
#[cfg(test)]
mod sample;
mod seal;
mod template;
mod text;

use std::{path::Path, sync::Arc};

use prometheus::Registry;
use streamflow_bus::signals::SignalReceiver;
use streamflow_model::{OpenGroup, Rule};
use streamflow_plugin_host::ChannelSender;
use streamflow_storage::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    book::{Book, Stored},
    desk::Desk,
    engine::{Clock, Engine},
    metrics::Metrics,
    seal::Vault,
};

pub use drill::DrillChannels;
pub use error::AlertingError;
pub use external::{PostedAlert, RULE_ID as EXTERNAL};
pub use gate::BreakerState;
pub use handle::AlertingHandle;
pub use held::{Cause, Gate};
pub use options::Options;
pub use outbox::ChannelHealth;
pub use paging::{HeldBack, Page, Paging, PagingReport, PagingSetup, Recipient};
pub use provision::{Provisioned, Provisioner, RefusedPart, Wanted, WantedFile};
pub use rehearsal::{Firing, Rehearsal, Rehearsed};
pub use routes::ChannelDraft;

/// The alerting stage, ready to run.
pub struct Alerting {
    engine: Engine,
    handle: AlertingHandle,
    routes: routes::Rooms,
}

impl Alerting {
    /// Reads rules, channels, open alerts and unsent notifications. `data_dir` holds the key of channels' secrets;
    /// `external_url` is the hub's address in messages; `builtin` are rules that nobody has written, and that are not stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another room's handle, and the hub calls this once"
    )]
    pub async fn build(
        options: &Options,
        data_dir: &Path,
        external_url: &str,
        store: Arc<dyn Store>,
        sender: Arc<dyn ChannelSender>,
        signals: SignalReceiver,
        builtin: Vec<Rule>,
        registry: &Registry,
    ) -> Result<Self, AlertingError> {
        let metrics = Metrics::new(registry)?;
        let mut loaded = documents::load(store.as_ref()).await?;
        let vault = Arc::new(Vault::load_or_make(data_dir));
        let sealed = vault.take_over(&mut loaded.channels, sender.as_ref()).await;
        let clock = Clock::start();
        let (handle, jobs) = AlertingHandle::new(metrics.clone(), builtin.clone());
        handle.board.rules.send_replace(Arc::new(loaded.rules.clone()));
        let stored = Stored {
            rules: loaded.rules,
            builtin,
            channels: loaded.channels,
            escalations: loaded.escalations,
            rosters: loaded.rosters,
            groups: loaded.groups,
            mutes: loaded.mutes,
            routing: loaded.routing,
        };
        let mut book = Book::new(options.clone(), external_url, stored, clock.now());
        // One part after the other: most of very many rest at once, and are never in memory as they are.
        let mut incidents = documents::Incidents::of(Arc::clone(&store));
        while let Some(part) = incidents.next().await? {
            book.take_up(part, clock.now());
        }
        book.taken_up(clock.now());
        handle.board.show_all(book.shown());
        handle.board.channels.send_replace(Arc::new(book.channels().clone()));
        let mut desk = Desk::new(book, loaded.outbox, loaded.finished, options.clone());
        desk.set_acknowledging(sender.acknowledging());
        for channel in sealed {
            desk.put_channel(channel).map_err(AlertingError::Encode)?;
        }
        let routes = routes::Rooms {
            handle: handle.clone(),
            store: Arc::clone(&store),
            sender: Arc::clone(&sender),
            vault: Arc::clone(&vault),
            external_url: external_url.into(),
            started: clock.now(),
        };
        let engine = Engine {
            options: options.clone(),
            store,
            sender,
            vault,
            signals,
            jobs,
            desk,
            external_url: external_url.trim_end_matches('/').into(),
            board: Arc::clone(&handle.board),
            metrics,
            clock,
            sends: tokio::task::JoinSet::new(),
            answers: engine::Answers::default(),
            intake: intake::Intake::default(),
            ended: std::collections::VecDeque::new(),
        };
        Ok(Self { engine, handle, routes })
    }

    /// All rules, now and whenever they change.
    #[must_use]
    pub fn rules(&self) -> watch::Receiver<Arc<Vec<Rule>>> {
        self.handle.board.rules.subscribe()
    }

    /// Groups that wait for a verdict that ends their alert, for analytics to take over at the start.
    pub fn open_groups(&self) -> impl Iterator<Item = OpenGroup> {
        self.engine.desk.book.open_groups()
    }

    /// Access for other rooms.
    #[must_use]
    pub fn handle(&self) -> AlertingHandle {
        self.handle.clone()
    }

    /// Takes in what files say about rules, channels and routing.
    #[must_use]
    pub fn provisioner(&self) -> Provisioner {
        Provisioner::new(self.routes.clone())
    }

    /// Rules, alerts, channels and deliveries.
    #[must_use]
    pub fn routes(&self) -> OpenApiRouter {
        routes::routes(self.routes.clone())
    }

    /// Works until the token is cancelled; then takes in what is on its way and makes it durable.
    ///
    /// # Errors
    /// When changes could not be made durable up to the end.
    pub async fn run(self, token: CancellationToken) -> Result<(), AlertingError> {
        self.engine.run(token).await
    }
}
