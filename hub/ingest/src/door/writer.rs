//! The writer: coalesces, numbers, hands over, and answers when durable.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use streamflow_proto::{build::BatchBuilder, frame::Frame};
use streamflow_storage::{Appended, Origin, Receipt, Store};
use tokio::{
    sync::mpsc,
    time::{Instant as Clock, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Job, ORIGIN, Unavailable, Verdict, Work};
use crate::{intake::FRAME_EVENTS, metrics::Metrics, reserved};

/// How long events wait for neighbours while the store is busy with an earlier frame. With an idle store they do not
/// wait at all.
const LINGER: Duration = Duration::from_millis(2);
/// Frames handed over and not yet durable.
const IN_FLIGHT: usize = 64;

/// A job whose events are in frames.
#[derive(Debug)]
struct Waiter {
    job: Job,
    verdicts: Vec<Verdict>,
    events: usize,
    /// Of each frame that is of this job alone, how many claims are of it.
    claims: Vec<usize>,
}

impl Waiter {
    /// `stored` is of each frame that the job waits for.
    fn finish(self, stored: &[bool], metrics: &Metrics) {
        let Job {
            claims, door, reply, ..
        } = self.job;
        let answer = if stored.iter().all(|stored| *stored) {
            claims.stored();
            metrics.accepted(door, self.events);
            Ok(self.verdicts)
        } else {
            // The client sends all of it again; what is stored must not be stored twice then.
            claims.stored_parts(self.claims.into_iter().zip(stored.iter().copied()));
            Err(Unavailable)
        };
        // a client that has gone away needs no answer; its events are stored all the same
        drop(reply.send(answer));
    }
}

type Committing = BoxFuture<'static, (Vec<Waiter>, Vec<bool>)>;

/// Owns the sequence of this door.
#[derive(Debug)]
pub(crate) struct Writer {
    store: Arc<dyn Store>,
    queue: mpsc::Receiver<Job>,
    metrics: Metrics,
    origin: Origin,
    next_seq: u64,
    builder: BatchBuilder,
    waiting: Vec<Waiter>,
    flush_at: Clock,
    committing: FuturesUnordered<Committing>,
}

impl Writer {
    pub(super) fn new(store: Arc<dyn Store>, queue: mpsc::Receiver<Job>, metrics: Metrics) -> Self {
        // a random epoch for every start: sequences need not be remembered
        let origin = Origin {
            agent: ORIGIN.into(),
            epoch: rand::random::<u64>() >> 1,
        };
        Self {
            store,
            queue,
            metrics,
            origin,
            next_seq: 1,
            // The merge compresses; doing it here as well would cost as much as reading the JSON.
            builder: BatchBuilder::new().uncompressed(),
            waiting: Vec::new(),
            flush_at: Clock::now(),
            committing: FuturesUnordered::new(),
        }
    }

    /// Runs until the token is cancelled and everything handed over is answered.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        loop {
            let room = self.committing.len() < IN_FLIGHT;
            tokio::select! {
                biased;
                () = token.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                Some(done) = self.committing.next(), if !self.committing.is_empty() => self.finish(done.0, &done.1),
                job = self.queue.recv(), if room => match job {
                    Some(job) => self.take(job).await,
                    None => break,
                },
                () = sleep_until(self.flush_at), if room && !self.waiting.is_empty() => self.flush().await,
            }
            while self.committing.len() < IN_FLIGHT
                && let Ok(job) = self.queue.try_recv()
            {
                self.take(job).await;
            }
            if self.committing.is_empty() {
                self.flush().await;
            }
        }
        self.flush().await;
        while let Some((waiters, stored)) = self.committing.next().await {
            self.finish(waiters, &stored);
        }
    }

    fn finish(&self, waiters: Vec<Waiter>, stored: &[bool]) {
        for waiter in waiters {
            waiter.finish(stored, &self.metrics);
        }
    }

    async fn take(&mut self, mut job: Job) {
        match std::mem::replace(&mut job.work, Work::Frames(Vec::new())) {
            Work::Events { raws, now_ms } => {
                if self.builder.len() + raws.len() > FRAME_EVENTS || self.builder.is_full() {
                    self.flush().await;
                }
                if self.waiting.is_empty() {
                    self.flush_at = Clock::now() + LINGER;
                }
                let mut verdicts = Vec::with_capacity(raws.len());
                let mut frames = Vec::new();
                for raw in &raws {
                    // the events of one job may not fit into one frame: then the job gets frames of its own
                    if self.builder.is_full() {
                        frames.push(self.builder.finish(0));
                    }
                    verdicts.push(reserved::push(&mut self.builder, raw, now_ms));
                }
                let events = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
                if events < verdicts.len() {
                    job.claims.keep(&verdicts.iter().flatten().copied().collect::<Vec<_>>());
                }
                self.waiting.push(Waiter {
                    job,
                    verdicts,
                    events,
                    claims: Vec::new(),
                });
                if !frames.is_empty() {
                    if !self.builder.is_empty() {
                        frames.push(self.builder.finish(0));
                    }
                    self.hand_over(frames).await;
                } else if self.builder.len() >= FRAME_EVENTS || self.builder.is_full() {
                    self.flush().await;
                }
            }
            Work::Frames(frames) => {
                self.flush().await;
                let events = frames.iter().map(|own| own.frame.header().count as usize).sum();
                self.waiting.push(Waiter {
                    job,
                    verdicts: Vec::new(),
                    events,
                    claims: frames.iter().map(|own| own.claims).collect(),
                });
                self.hand_over(frames.into_iter().map(|own| own.frame).collect()).await;
            }
        }
    }

    async fn flush(&mut self) {
        if !self.waiting.is_empty() {
            let frames = if self.builder.is_empty() {
                Vec::new()
            } else {
                vec![self.builder.finish(0)]
            };
            self.hand_over(frames).await;
        }
    }

    /// All who wait are answered when all of these frames are durable.
    async fn hand_over(&mut self, frames: Vec<Frame>) {
        let waiters = std::mem::take(&mut self.waiting);
        let began = std::time::Instant::now();
        let mut receipts = Vec::with_capacity(frames.len());
        for frame in frames {
            let frame = frame.into_seq(self.next_seq);
            self.next_seq += 1;
            match self.store.append(self.origin.clone(), frame).await {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => {
                    tracing::warn!(%error, "the store refused a frame");
                    return self.finish(waiters, &[false]);
                }
            }
        }
        let seconds = self.metrics.commit_seconds.clone();
        self.committing.push(Box::pin(async move {
            let stored = each_stored(receipts).await;
            seconds.observe(began.elapsed().as_secs_f64());
            (waiters, stored)
        }));
    }
}

async fn each_stored(receipts: Vec<Receipt>) -> Vec<bool> {
    let mut each = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        each.push(match receipt.await {
            Ok(Ok(Appended::Stored(_))) => true,
            Ok(Ok(Appended::Duplicate)) => {
                tracing::error!("the store took a new frame for a duplicate");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store failed on a frame");
                false
            }
            Err(_) => false,
        });
    }
    each
}
