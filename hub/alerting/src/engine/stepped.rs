//! The live engine driven by hand: one event at a time, on a clock that the test sets.

use prometheus::Registry;
use streamflow_bus::signals::{SignalSender, channel as signal_channel};
use streamflow_model::Signal;

use super::*;
use crate::Alerting;

pub(crate) struct Stepped {
    engine: Engine,
    token: CancellationToken,
    /// Kept so that the engine hears no end of the verdicts.
    _signals: SignalSender,
}

impl Stepped {
    pub(crate) async fn start(
        options: &Options,
        store: Arc<dyn Store>,
        sender: Arc<dyn ChannelSender>,
        now: i64,
    ) -> Self {
        let (signals, receiver) = signal_channel();
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let alerting = Alerting::build(options, dir.path(), "", store, sender, receiver, Vec::new(), &registry);
        let mut engine = alerting.await.unwrap().engine;
        engine.clock = Clock::standing_at(now);
        Self {
            engine,
            token: CancellationToken::new(),
            _signals: signals,
        }
    }

    /// When it has something to do by itself.
    pub(crate) fn due(&self) -> Option<i64> {
        let outbox = self.engine.desk.outbox.due(self.engine.options.channel_concurrency);
        self.engine.desk.book.due().into_iter().chain(outbox).min()
    }

    /// It is `now`, and these verdicts come.
    pub(crate) async fn signals(&mut self, signals: Vec<Signal>, now: i64) {
        self.event(Event::Signals(SignalMessage::Signals(signals)), now).await;
    }

    /// It is `now`.
    pub(crate) async fn time(&mut self, now: i64) {
        self.event(Event::Time, now).await;
    }

    async fn event(&mut self, event: Event, now: i64) {
        self.engine.clock = Clock::standing_at(now);
        self.engine.absorb(event).unwrap();
        self.engine.turn();
        loop {
            self.engine.settle(&self.token).await.unwrap();
            self.engine.launch();
            let mut sent_any = false;
            loop {
                let sent = match self.engine.ended.pop_front() {
                    Some(sent) => sent,
                    None => match self.engine.sends.join_next().await {
                        Some(sent) => sent.unwrap(),
                        None => break,
                    },
                };
                self.engine.absorb(Event::Sent(sent)).unwrap();
                sent_any = true;
            }
            if !sent_any {
                break;
            }
        }
        // Whatever rests must live on as if it had not.
        self.engine.desk.book.rest_all();
    }
}
