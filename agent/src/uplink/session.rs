//! One connection's conversation: the shell around [`AgentSession`], which decides what to say.

mod drills;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quinn::{Connection, SendStream};
use streamflow_proto::frame::Frame;
use streamflow_proto::wire::{
    self, Ability, AgentEvent, AgentSession, Decoder, Heartbeat, Incoming, Nack, Next, RenewRequest, SessionError,
    SourceReport, ToAgent, ToHub, WireError, close,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Uplink;
use crate::clock;
use crate::counters::DropReason;
use crate::identity::{Identity, IdentityError, Request};
use crate::spool::{Reader, SpoolError};
use drills::Drills;

/// Bytes read from the spool at a time, and handed to QUIC at a time.
const READ_BYTES: usize = 512 << 10;
const PIECE: usize = 64 << 10;
/// Renewal is asked for again after this time when it was refused.
const RENEW_RETRY_MS: i64 = 600_000;
/// A hub that pushes metrics does so at once. One that has not by now is older and knows nothing of them, whatever an earlier one has pushed.
const PUSH_PATIENCE: Duration = Duration::from_secs(5);
/// Frames that the hub refused are kept for a look at them, up to this many.
const MAX_REJECTED: usize = 64;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The connection broke.
    #[error("the connection to the hub broke: {0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The stream broke.
    #[error("the connection to the hub broke: {0}")]
    Write(#[from] quinn::WriteError),
    /// The stream broke.
    #[error("the connection to the hub broke: {0}")]
    Read(#[from] quinn::ReadError),
    /// The hub sends what is not the protocol.
    #[error("the hub does not speak this protocol: {0}")]
    Wire(#[from] WireError),
    /// The hub breaks a rule of the conversation.
    #[error("the hub breaks the protocol: {0}")]
    Session(#[from] SessionError),
    /// The hub ended the stream.
    #[error("the hub ended the session")]
    Finished,
    /// The hub is stopping.
    #[error("the hub is stopping")]
    HubStops(Duration),
    /// The spool goes on under a new epoch.
    #[error("the hub knows later batches than this spool, which must have been restored from an older copy")]
    NewEpoch,
    /// The hub does not let this agent in.
    #[error("the hub does not accept this agent: {0}")]
    Forbidden(String),
    /// The spool cannot be read.
    #[error("cannot read the spool: {0}")]
    Spool(#[from] io::Error),
    /// The spool cannot be written.
    #[error(transparent)]
    Epoch(#[from] SpoolError),
    /// The new certificate cannot be stored.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A task of ours died.
    #[error("reading the spool failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl Ended {
    /// How long the hub asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HubStops(after) => Some(*after),
            Self::NewEpoch => Some(Duration::ZERO),
            _ => None,
        }
    }

    /// What the hub is told.
    pub fn close_code(&self) -> u32 {
        match self {
            Self::Wire(_) | Self::Session(_) => close::PROTOCOL,
            _ => close::DONE,
        }
    }

    /// What the hub gave as its reason says more than that a stream broke.
    pub fn explain(self, connection: &Connection) -> Self {
        match connection.close_reason() {
            Some(quinn::ConnectionError::ApplicationClosed(closed)) => {
                let reason = String::from_utf8_lossy(&closed.reason).into_owned();
                match u32::try_from(closed.error_code.into_inner()) {
                    Ok(close::FORBIDDEN) => Self::Forbidden(reason),
                    _ => Self::Connection(quinn::ConnectionError::ApplicationClosed(closed)),
                }
            }
            Some(other @ (quinn::ConnectionError::ConnectionClosed(_) | quinn::ConnectionError::TimedOut)) => {
                Self::Connection(other)
            }
            _ => self,
        }
    }
}

type Reading = JoinHandle<(Reader, io::Result<Vec<Frame>>)>;

/// The state of one connection.
pub struct Session<'a> {
    uplink: &'a Uplink,
    identity: Identity,
    machine: AgentSession,
    decoder: Decoder<ToAgent>,
    /// Bytes for the stream.
    out: VecDeque<Bytes>,
    /// Frames read ahead, the first of which answers `ready_from`.
    ready: VecDeque<Frame>,
    ready_from: u64,
    /// Where, and before which new frame, the spool had nothing to read.
    nothing_from: Option<(u64, u64)>,
    reader: Option<Reader>,
    reading: Option<Reading>,
    /// Sequence number and events of frames sent and not acknowledged.
    sent: VecDeque<(u64, u64)>,
    started: Instant,
    renewal: Option<Request>,
    renew_at_ms: i64,
    drills: Drills,
    /// Changes when a metric that was pushed here fails.
    failures: Option<watch::Receiver<u64>>,
    /// The hub of this session has pushed metrics, so it knows the answer.
    pushed: bool,
    /// Until when it may push before what another hub has pushed is forgotten.
    push_until: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Before the first word.
    pub fn new(uplink: &'a Uplink, identity: Identity) -> Self {
        let abilities: Vec<Ability> = [
            uplink.driller.is_some().then_some(Ability::Drill),
            uplink.edge.is_some().then_some(Ability::Metrics),
        ]
        .into_iter()
        .flatten()
        .collect();
        let version = wire::version_with(env!("CARGO_PKG_VERSION"), &abilities);
        Self {
            machine: AgentSession::new(uplink.spool.epoch(), version, uplink.host.clone()),
            renew_at_ms: identity.renew_after_ms,
            identity,
            decoder: Decoder::default(),
            out: VecDeque::new(),
            ready: VecDeque::new(),
            ready_from: 0,
            nothing_from: None,
            reader: Some(uplink.spool.reader()),
            reading: None,
            sent: VecDeque::new(),
            started: Instant::now(),
            renewal: None,
            drills: Drills::new(),
            failures: uplink.edge.as_ref().map(|edge| edge.failures()),
            pushed: false,
            push_until: None,
            uplink,
        }
    }

    /// Talks until the connection ends, or `drain` is cancelled and everything is delivered.
    pub async fn run(mut self, connection: &Connection, drain: &CancellationToken) -> Result<(), Ended> {
        let (mut send, mut recv) = connection.open_bi().await?;
        let mut spooled = self.uplink.spool.watch();
        let hello = self.machine.connected(self.uplink.unseen_seq.load(Ordering::Relaxed));
        self.say(&hello)?;
        let mut heartbeat = Instant::now();
        loop {
            let next_seq = *spooled.borrow_and_update();
            let wake = self.fill(next_seq)?;
            if self.machine.is_open() && Instant::now() >= heartbeat {
                self.heartbeat()?;
                heartbeat = Instant::now() + self.uplink.options.heartbeat.0;
            }
            let draining = drain.is_cancelled();
            if draining && self.machine.is_open() && self.out.is_empty() && self.uplink.spool.acked() + 1 >= next_seq {
                return Ok(());
            }
            tokio::select! {
                written = write(&mut send, &mut self.out) => written?,
                chunk = recv.read_chunk(PIECE, true) => self.receive(&chunk?.ok_or(Ended::Finished)?.bytes)?,
                read = join(&mut self.reading) => self.take(read?, next_seq)?,
                Some(drilled) = self.drills.told.recv() => self.drilled(drilled)?,
                () = changed(&mut self.failures), if self.pushed => self.metric_failed()?,
                changed = spooled.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(self.push_until.unwrap_or(heartbeat)), if self.push_until.is_some() => self.not_pushed(),
                () = sleep_until(heartbeat), if self.machine.is_open() => {}
                () = sleep_until(wake.unwrap_or(heartbeat)), if wake.is_some() => {}
                () = drain.cancelled(), if !draining => {}
            }
        }
    }

    /// Puts what the machine wants to say into `out`; answers when to ask again, if it waits for a time.
    fn fill(&mut self, next_seq: u64) -> Result<Option<Instant>, Ended> {
        while self.out.len() < 16 {
            let now_ms = self.monotonic_ms();
            match self.machine.next(now_ms, next_seq) {
                Next::Message(message) => self.say(&message)?,
                Next::Frame { from_seq } => {
                    if !self.ready.is_empty() && self.ready_from != from_seq {
                        self.ready.clear();
                    }
                    let Some(frame) = self.ready.pop_front() else {
                        // Numbers may be missing at the end of the log; nothing comes of asking for them again.
                        if self.nothing_from != Some((from_seq, next_seq)) {
                            self.read(from_seq);
                        }
                        return Ok(None);
                    };
                    let header = frame.header();
                    self.ready_from = header.seq + 1;
                    self.uplink.unseen_seq.fetch_max(header.seq + 1, Ordering::Relaxed);
                    self.machine.sent(header.seq, frame.bytes().len() as u64);
                    self.sent.push_back((header.seq, u64::from(header.count)));
                    let seq = header.seq;
                    self.uplink.counters.frames_sent.add(1);
                    self.uplink.counters.bytes_sent.add(frame.bytes().len() as u64);
                    self.out.push_back(frame.bytes().clone());
                    self.drill_sent(seq)?;
                }
                Next::WaitUntil(at_ms) => {
                    let wait = u64::try_from(at_ms - now_ms).unwrap_or(0);
                    return Ok(Some(Instant::now() + Duration::from_millis(wait)));
                }
                Next::Idle => break,
            }
        }
        Ok(None)
    }

    /// Starts reading the spool, away from the tasks that must not wait for a disk.
    fn read(&mut self, from_seq: u64) {
        if let Some(mut reader) = self.reader.take() {
            let lost = self.uplink.spool.rewind(from_seq);
            self.uplink.counters.dropped(DropReason::SpoolFull, lost);
            self.ready_from = from_seq;
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let frames = reader.read(from_seq, READ_BYTES);
                (reader, frames)
            }));
        }
    }

    fn take(&mut self, (mut reader, frames): (Reader, io::Result<Vec<Frame>>), next_seq: u64) -> Result<(), Ended> {
        self.reading = None;
        let losses = reader.take_losses();
        self.uplink.counters.damaged.add(losses.segments);
        self.uplink.counters.dropped(DropReason::Damaged, losses.events);
        self.reader = Some(reader);
        self.ready = self.uplink.spool.claim(frames?);
        self.nothing_from = self.ready.is_empty().then_some((self.ready_from, next_seq));
        Ok(())
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.decoder.feed(bytes);
        while let Some(incoming) = self.decoder.next()? {
            let Incoming::Control(message) = incoming else {
                return Err(SessionError::OutOfPlace("a frame").into());
            };
            for event in self.machine.received(self.monotonic_ms(), message)? {
                self.on(event)?;
            }
        }
        Ok(())
    }

    fn on(&mut self, event: AgentEvent) -> Result<(), Ended> {
        match event {
            AgentEvent::Opened { server_time_ms } => {
                self.uplink.opened(server_time_ms - clock::now_ms());
                self.push_until = self.uplink.edge.as_ref().map(|_| Instant::now() + PUSH_PATIENCE);
            }
            AgentEvent::Acked(seq) => {
                while let Some((_, events)) = self.sent.pop_front_if(|(sent, _)| *sent <= seq) {
                    self.uplink.counters.events_acked.add(events);
                }
                self.uplink.spool.ack(seq);
            }
            AgentEvent::Rejected(nack) => self.rejected(&nack),
            AgentEvent::Delayed(nack) => {
                tracing::warn!(reason = nack.reason, "the hub cannot store now, sending again later");
                self.sent.retain(|(seq, _)| *seq < nack.seq);
            }
            AgentEvent::NewEpoch { hub_seq } => {
                tracing::error!(
                    hub_seq,
                    "the hub knows later batches than this spool: going on under a new epoch, some events may be stored twice"
                );
                self.uplink.spool.begin_epoch()?;
                return Err(Ended::NewEpoch);
            }
            AgentEvent::Config(update) => tracing::debug!(
                version = update.version,
                "the hub sent a configuration, which this version does not take"
            ),
            AgentEvent::Drill(order) => self.drill(order)?,
            AgentEvent::Metrics(push) => {
                if let Some(edge) = &self.uplink.edge {
                    let taken = edge.take(push);
                    self.pushed = true;
                    self.push_until = None;
                    self.say(&ToHub::MetricsTaken(taken))?;
                }
            }
            AgentEvent::Certificate(enrolled) => {
                if let Some(request) = self.renewal.take() {
                    self.identity = request.accept(enrolled, &self.identity.hub);
                    self.identity.store(&self.uplink.data_dir)?;
                    self.renew_at_ms = self.identity.renew_after_ms;
                    tracing::info!(
                        expires_ms = self.identity.expires_ms,
                        "the certificate of this agent was renewed"
                    );
                }
            }
            AgentEvent::Refused(refused) => {
                self.renewal = None;
                self.renew_at_ms = clock::now_ms() + RENEW_RETRY_MS;
                tracing::error!(
                    reason = refused.reason,
                    expires_ms = self.identity.expires_ms,
                    "the hub refuses to renew this agent's certificate"
                );
            }
            AgentEvent::Reconnect { after_ms } => return Err(Ended::HubStops(Duration::from_millis(after_ms))),
        }
        Ok(())
    }

    /// The hub of this session has not said what to compute: it counts from the events, and needs all of them.
    fn not_pushed(&mut self) {
        self.push_until = None;
        if let Some(edge) = &self.uplink.edge {
            edge.forget();
        }
    }

    /// A metric that was taken is given up.
    fn metric_failed(&mut self) -> Result<(), Ended> {
        match &self.uplink.edge {
            Some(edge) => self.say(&ToHub::MetricsTaken(edge.taken())),
            None => Ok(()),
        }
    }

    /// The hub will never store this frame. It is kept aside for people, and counted as dropped.
    fn rejected(&mut self, nack: &Nack) {
        let events = self
            .sent
            .iter()
            .find(|(seq, _)| *seq == nack.seq)
            .map_or(0, |(_, events)| *events);
        self.sent.retain(|(seq, _)| *seq != nack.seq);
        self.uplink.spool.disown(nack.seq);
        self.uplink.counters.dropped(DropReason::HubRejected, events);
        tracing::error!(
            seq = nack.seq,
            events,
            reason = nack.reason,
            "the hub refuses a batch for good"
        );
        let mut reader = self.uplink.spool.reader();
        let (dir, epoch, seq) = (
            self.uplink.data_dir.join("rejected"),
            self.uplink.spool.epoch(),
            nack.seq,
        );
        tokio::task::spawn_blocking(move || {
            let mut keep = || -> io::Result<()> {
                crate::folder::make(&dir)?;
                let frames = reader.read(seq, 1)?;
                let Some(frame) = frames.first().filter(|frame| frame.header().seq == seq) else {
                    return Ok(());
                };
                if std::fs::read_dir(&dir)?.count() < MAX_REJECTED {
                    std::fs::write(dir.join(format!("{epoch:016x}-{seq}.frame")), frame.bytes())?;
                }
                Ok(())
            };
            if let Err(error) = keep() {
                tracing::warn!(%error, "cannot keep a refused batch");
            }
        });
    }

    fn heartbeat(&mut self) -> Result<(), Ended> {
        let backlog = self.uplink.spool.backlog();
        let report = |source: &std::sync::Arc<crate::counters::SourceCounters>| SourceReport {
            name: source.name.chars().take(256).collect(),
            kind: source.kind.to_owned(),
            events: source.events.get(),
            errors: source.errors.get(),
            last_error: source.last_error_told().map(|error| error.chars().take(512).collect()),
        };
        self.say(&ToHub::Heartbeat(Heartbeat {
            sent_at_ms: clock::now_ms(),
            spool_bytes: backlog.bytes,
            spool_events: backlog.events,
            oldest_unacked_ms: backlog.oldest_ms,
            dropped: self
                .uplink
                .counters
                .drops()
                .filter(|(_, events)| *events > 0)
                .map(|(reason, events)| (reason.name().into(), events))
                .collect(),
            // A control message has a limit.
            sources: self.uplink.sources.iter().take(32).map(report).collect(),
        }))?;
        if self.renewal.is_none() && clock::now_ms() >= self.renew_at_ms {
            let request = Request::new()?;
            self.say(&ToHub::Renew(RenewRequest {
                csr_der: request.csr_der.clone(),
            }))?;
            self.renewal = Some(request);
        }
        Ok(())
    }

    /// What the machine measures pauses with: a wall clock that is set back would make them long.
    fn monotonic_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn say(&mut self, message: &ToHub) -> Result<(), Ended> {
        self.out.push_back(wire::encode(message)?.into());
        Ok(())
    }
}

/// Writes some of `out`; never ends when there is nothing. Cancel safe: what was written is gone from `out`.
async fn write(send: &mut SendStream, out: &mut VecDeque<Bytes>) -> Result<(), quinn::WriteError> {
    if out.is_empty() {
        return pending().await;
    }
    send.write_chunks(out.make_contiguous()).await?;
    while out.pop_front_if(|bytes| bytes.is_empty()).is_some() {}
    Ok(())
}

/// The next change; never ends when there can be none.
async fn changed(failures: &mut Option<watch::Receiver<u64>>) {
    let Some(failures) = failures else {
        return pending().await;
    };
    if failures.changed().await.is_err() {
        pending().await
    }
}

/// The result of a task; never ends when there is none.
async fn join(reading: &mut Option<Reading>) -> Result<(Reader, io::Result<Vec<Frame>>), tokio::task::JoinError> {
    match reading {
        Some(reading) => reading.await,
        None => pending().await,
    }
}
