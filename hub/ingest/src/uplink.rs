//! One agent's connection: frames in, acknowledgements out.

mod settle;

use std::{
    collections::VecDeque,
    future::pending,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use bytes::Bytes;
use quinn::{Connection, ReadError, RecvStream, SendStream};
use streamflow_model::Instant;
use streamflow_proto::{
    frame::{Frame, FrameError},
    wire::{
        self, Decoder, FrameFate, Greeting, Heartbeat, Hello, HubSession, Incoming, MetricsPush, Nack, NackCode,
        SessionError, ToAgent, ToHub, WireError, close,
    },
};
use streamflow_storage::{Origin, Receipt, StoreError};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    edge, enroll,
    metrics::DoorKind,
    quic::Context,
    roster::{Seat, Turn},
};

/// Pieces of the stream taken at a time: about as many packets as a 1,000-event frame has.
const PIECES: usize = 64;
/// How long an agent may take to receive its last acknowledgements.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a nacked agent should wait.
const RETRY_MS: u64 = 1000;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// By the peer or the network.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    #[error("the stream ended: {0}")]
    Read(#[from] ReadError),
    #[error("the stream ended: {0}")]
    Write(#[from] quinn::WriteError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("without a certificate only an enrolment is possible here")]
    NotEnrolled,
    #[error("no first message in time")]
    Timeout,
    #[error("this certificate is not of an agent on the allow-list")]
    Forbidden,
    #[error("too many enrolments at a time; try again")]
    TooManyEnrolling,
    #[error("the store does not answer: {0}")]
    Store(StoreError),
}

impl Ended {
    /// Close code, and a name for the metric.
    pub(crate) const fn close(&self) -> (u32, &'static str) {
        match self {
            Self::Connection(_) | Self::Read(_) | Self::Write(_) => (close::DONE, "gone"),
            Self::Wire(WireError::Frame(FrameError::Checksum { .. })) => (close::CHECKSUM, "checksum"),
            Self::Wire(_) => (close::PROTOCOL, "malformed"),
            Self::Session(_) | Self::NotEnrolled => (close::PROTOCOL, "protocol"),
            Self::Timeout => (close::TIMEOUT, "timeout"),
            Self::Forbidden => (close::FORBIDDEN, "forbidden"),
            Self::TooManyEnrolling => (close::STORE, "too_many_enrolling"),
            Self::Store(_) => (close::STORE, "store"),
        }
    }
}

/// A peer without a certificate: one enrolment request, one answer.
pub(crate) async fn enroll(context: &Context, connection: &Connection) -> Result<(), Ended> {
    let patience = context.options.handshake_timeout.std();
    let (mut stream, request) = timeout(patience, Stream::open(connection))
        .await
        .map_err(|_| Ended::Timeout)??;
    let Incoming::Control(ToHub::Enroll(request)) = request else {
        return Err(Ended::NotEnrolled);
    };
    let ttl = context.options.certificate_ttl;
    let answer = match enroll::enroll(&*context.store, &context.pki, &request, ttl, Instant::now()).await {
        Ok((enrolled, agent)) => {
            tracing::info!(agent = enrolled.agent_id, host = agent.name, "an agent enrolled");
            context.metrics.enrolments.with_label_values(&["enrolled"]).inc();
            context.roster.listed(&enrolled.agent_id, &agent);
            ToAgent::Enrolled(enrolled)
        }
        Err(refused) => {
            tracing::warn!(remote = %connection.remote_address(), reason = refused.reason, "an enrolment was refused");
            context.metrics.enrolments.with_label_values(&["refused"]).inc();
            ToAgent::Refused(refused)
        }
    };
    stream.send(&answer).await?;
    // closing would drop what is still under way: the agent closes when it has read the answer
    drop(stream.send.finish());
    drop(timeout(patience, connection.closed()).await);
    Ok(())
}

/// A stream with records cut out of it.
#[derive(Debug)]
struct Stream {
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder<ToHub>,
    pieces: [Bytes; PIECES],
}

impl Stream {
    /// The peer's stream and its first record.
    async fn open(connection: &Connection) -> Result<(Self, Incoming<ToHub>), Ended> {
        let (send, recv) = connection.accept_bi().await?;
        let mut stream = Self {
            send,
            recv,
            decoder: Decoder::default(),
            pieces: [const { Bytes::new() }; PIECES],
        };
        loop {
            if let Some(record) = stream.decoder.next()? {
                return Ok((stream, record));
            }
            if !stream.read().await? {
                return Err(Ended::Timeout);
            }
        }
    }

    /// Takes what has arrived into the decoder; `false` at the end of the stream. Cancel safe.
    async fn read(&mut self) -> Result<bool, ReadError> {
        let Some(count) = self.recv.read_chunks(&mut self.pieces).await? else {
            return Ok(false);
        };
        for piece in &mut self.pieces[..count] {
            self.decoder.feed(&std::mem::take(piece));
        }
        Ok(true)
    }

    async fn send(&mut self, message: &ToAgent) -> Result<(), Ended> {
        self.send.write_all(&wire::encode(message)?).await?;
        Ok(())
    }
}

/// A frame on its way to the disk.
#[derive(Debug)]
struct Committing {
    seq: u64,
    events: u32,
    bytes: u64,
    receipt: Receipt,
    began: Clock,
}

/// What other rooms want an agent to hear: one by one, and as it stands.
type News<'a> = (
    &'a mut mpsc::Receiver<ToAgent>,
    &'a mut Option<watch::Receiver<Arc<MetricsPush>>>,
);

/// The session of an agent on the allow-list.
#[derive(Debug)]
struct Uplink<'a> {
    context: &'a Context,
    agent: Arc<str>,
    epoch: u64,
    stream: Stream,
    session: HubSession,
    committing: VecDeque<Committing>,
    committing_bytes: u64,
}

/// Serves an agent until either end is done.
pub(crate) async fn serve(
    context: &Context,
    connection: &Connection,
    agent: &Arc<str>,
    token: CancellationToken,
) -> Result<(), Ended> {
    let patience = context.options.handshake_timeout.std();
    let (stream, first) = timeout(patience, Stream::open(connection))
        .await
        .map_err(|_| Ended::Timeout)??;
    let mut session = HubSession::default();
    let Incoming::Control(first) = first else {
        return Err(SessionError::OutOfPlace("a frame").into());
    };
    let Greeting::Hello(hello) = session.received(first)? else {
        return Err(SessionError::OutOfPlace("the first message").into());
    };
    let uplink = Uplink {
        context,
        agent: Arc::clone(agent),
        epoch: hello.epoch,
        stream,
        session,
        committing: VecDeque::new(),
        committing_bytes: 0,
    };
    uplink.run(connection, &hello, token).await
}

impl Uplink<'_> {
    async fn run(mut self, connection: &Connection, hello: &Hello, token: CancellationToken) -> Result<(), Ended> {
        let roster = &self.context.roster;
        let Seat {
            ticket,
            turn,
            mut orders,
            mut pushes,
        } = roster
            .connected(&self.agent, hello, connection)
            .ok_or(Ended::Forbidden)?;
        let result = self.converse(hello, &turn, (&mut orders, &mut pushes), token).await;
        roster.disconnected(&self.agent, ticket);
        result
    }

    async fn converse(
        &mut self,
        hello: &Hello,
        turn: &Turn,
        news: News<'_>,
        token: CancellationToken,
    ) -> Result<(), Ended> {
        let _turn = turn.acquire().await.map_err(|_| Ended::Store(StoreError::Closed))?;
        let origin = self.origin();
        let high_water = self.context.store.high_water(&origin).await.map_err(Ended::Store)?;
        self.context.roster.stored(&self.agent, high_water.unwrap_or(0), 0);
        tracing::info!(agent = %self.agent, host = hello.host, epoch = hello.epoch, stored = ?high_water, "an agent connected");
        let options = &self.context.options;
        let welcome = self.session.open(
            high_water,
            options.window_frames,
            options.window_bytes,
            Instant::now().0,
        );
        self.stream.send(&ToAgent::Welcome(welcome)).await?;
        self.exchange(news, token).await
    }

    fn origin(&self) -> Origin {
        Origin {
            agent: Arc::clone(&self.agent),
            epoch: self.epoch,
        }
    }

    async fn exchange(&mut self, (orders, pushes): News<'_>, token: CancellationToken) -> Result<(), Ended> {
        let mut reading = true;
        while reading || !self.committing.is_empty() {
            // not reading is the backpressure: flow control then holds the agent, which spools
            let room = self.committing.len() < self.context.options.window_frames as usize
                && self.committing_bytes < self.context.options.window_bytes;
            tokio::select! {
                biased;
                () = token.cancelled(), if reading => {
                    reading = false;
                    self.stream.send(&ToAgent::Shutdown(wire::Shutdown { retry_after_ms: RETRY_MS })).await?;
                }
                stored = first_receipt(&mut self.committing) => self.settle(stored).await?,
                Some(order) = orders.recv(), if reading => match self.stream.send(&order).await {
                    // The other end has done nothing wrong, and its frames go on.
                    Err(Ended::Wire(error)) => tracing::error!(agent = %self.agent, %error, "an order cannot be sent and is dropped"),
                    sent => sent?,
                },
                push = edge::next(pushes), if reading => {
                    self.stream.send(&ToAgent::Metrics(MetricsPush::clone(&push))).await?;
                }
                more = self.stream.read(), if reading && room => {
                    reading = more?;
                    self.take_records().await?;
                }
            }
        }
        // closing at once would drop the last acknowledgements on their way
        drop(self.stream.send.finish());
        drop(timeout(FAREWELL, self.stream.send.stopped()).await);
        Ok(())
    }

    async fn take_records(&mut self) -> Result<(), Ended> {
        loop {
            match self.stream.decoder.next() {
                Ok(Some(Incoming::Frame(frame))) => self.frame(frame).await?,
                Ok(Some(Incoming::Control(message))) => self.control(message).await?,
                Ok(None) => return self.acknowledge().await,
                Err(error) => {
                    self.refuse_stream(&error).await;
                    return Err(error.into());
                }
            }
        }
    }

    async fn control(&mut self, message: ToHub) -> Result<(), Ended> {
        match self.session.received(message)? {
            Greeting::Hello(_) | Greeting::Nothing => Ok(()),
            Greeting::Heartbeat(heartbeat) => {
                self.heartbeat(&heartbeat);
                Ok(())
            }
            Greeting::Metrics(taken) => {
                self.context.roster.metrics_taken(&self.agent, taken);
                Ok(())
            }
            Greeting::Drill(news) => {
                self.context.roster.drill_news(&self.agent, news);
                Ok(())
            }
            Greeting::Renew(renew) => {
                let ttl = self.context.options.certificate_ttl;
                let renewed = enroll::renew(
                    &*self.context.store,
                    &self.context.pki,
                    &self.agent,
                    &renew.csr_der,
                    ttl,
                    Instant::now(),
                )
                .await;
                self.stream
                    .send(&renewed.map_or_else(ToAgent::Refused, ToAgent::Enrolled))
                    .await
            }
        }
    }

    fn heartbeat(&self, heartbeat: &Heartbeat) {
        self.context.roster.heartbeat(&self.agent, heartbeat);
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Ended> {
        let metrics = &self.context.metrics;
        let (seq, events, bytes) = (frame.header().seq, frame.header().count, frame.bytes().len() as u64);
        metrics.agent_frames.inc();
        metrics.agent_bytes.inc_by(bytes);
        match self.session.frame(seq)? {
            FrameFate::Skip => return Ok(()),
            FrameFate::Duplicate => {
                metrics
                    .duplicates
                    .with_label_values(&[DoorKind::Quic.name()])
                    .inc_by(events.into());
                return Ok(());
            }
            FrameFate::Store => {}
        }
        let began = Clock::now();
        let readable = frame.decode().and_then(|batch| batch.check());
        metrics.agent_check_seconds.inc_by(began.elapsed().as_secs_f64());
        if let Err(error) = readable {
            metrics
                .rejected
                .with_label_values(&[DoorKind::Quic.name(), "malformed"])
                .inc_by(events.into());
            self.session.rejected(seq);
            return self.nack(seq, NackCode::Malformed, error.to_string(), None).await;
        }
        match self.context.store.append(self.origin(), frame).await {
            Ok(receipt) => {
                self.committing.push_back(Committing {
                    seq,
                    events,
                    bytes,
                    receipt,
                    began,
                });
                self.committing_bytes += bytes;
                Ok(())
            }
            Err(error) => self.fail(seq, &error).await,
        }
    }

    async fn nack(
        &mut self,
        seq: u64,
        code: NackCode,
        reason: String,
        retry_after_ms: Option<u64>,
    ) -> Result<(), Ended> {
        self.context.metrics.agent_nacks.with_label_values(&[code.name()]).inc();
        tracing::warn!(agent = %self.agent, seq, code = code.name(), reason, "refused a frame");
        self.stream
            .send(&ToAgent::Nack(Nack {
                seq,
                code,
                reason,
                retry_after_ms,
            }))
            .await
    }
}

async fn first_receipt(committing: &mut VecDeque<Committing>) -> Settled {
    match committing.front_mut() {
        Some(first) => (&mut first.receipt).await,
        None => pending().await,
    }
}

type Settled = <Receipt as Future>::Output;
