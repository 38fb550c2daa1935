//! The writer: coalesces, numbers, hands over, and answers when durable.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use streamflow_bus::Content;
use streamflow_proto::build::BatchBuilder;
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
/// Groups of batches handed over and not yet durable.
const IN_FLIGHT: usize = 64;

/// A job whose events are in batches.
#[derive(Debug)]
struct Waiter {
    job: Job,
    verdicts: Vec<Verdict>,
    events: usize,
    /// Of each batch that is of this job alone, how many claims are of it.
    claims: Vec<usize>,
}

impl Waiter {
    /// `stored` is of each batch that the job waits for.
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
            builder: reserved::refused(BatchBuilder::new().uncompressed()),
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
        match std::mem::replace(&mut job.work, Work::Batches(Vec::new())) {
            Work::Events { raws, now_ms } => {
                if self.builder.len() + raws.len() > FRAME_EVENTS || self.builder.is_full() {
                    self.flush().await;
                }
                if self.waiting.is_empty() {
                    self.flush_at = Clock::now() + LINGER;
                }
                let mut verdicts = Vec::with_capacity(raws.len());
                let mut frames: Vec<Content> = Vec::new();
                for raw in &raws {
                    // the events of one job may not fit into one frame: then the job gets frames of its own
                    if self.builder.is_full() {
                        frames.push(self.builder.finish(0).into());
                    }
                    verdicts.push(self.builder.push_json(raw, now_ms));
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
                        frames.push(self.builder.finish(0).into());
                    }
                    self.hand_over(frames).await;
                } else if self.builder.len() >= FRAME_EVENTS || self.builder.is_full() {
                    self.flush().await;
                }
            }
            Work::Batches(batches) => {
                self.flush().await;
                let events = batches.iter().map(|own| own.content.count() as usize).sum();
                self.waiting.push(Waiter {
                    job,
                    verdicts: Vec::new(),
                    events,
                    claims: batches.iter().map(|own| own.claims).collect(),
                });
                self.hand_over(batches.into_iter().map(|own| own.content).collect())
                    .await;
            }
        }
    }

    async fn flush(&mut self) {
        if !self.waiting.is_empty() {
            let frames = if self.builder.is_empty() {
                Vec::new()
            } else {
                vec![self.builder.finish(0).into()]
            };
            self.hand_over(frames).await;
        }
    }

    /// All who wait are answered when all of these batches are durable.
    async fn hand_over(&mut self, batches: Vec<Content>) {
        let waiters = std::mem::take(&mut self.waiting);
        let began = std::time::Instant::now();
        let mut receipts = Vec::with_capacity(batches.len());
        for content in batches {
            let (origin, seq) = (self.origin.clone(), self.next_seq);
            self.next_seq += 1;
            let appended = match content {
                Content::Frame(frame) => self.store.append(origin, frame.into_seq(seq)).await,
                Content::Chunk(chunk) => self.store.append_chunk(origin, seq, chunk).await,
            };
            match appended {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => {
                    tracing::warn!(%error, "the store refused a batch");
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
                tracing::error!("the store took a new batch for a duplicate");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store failed on a batch");
                false
            }
            Err(_) => false,
        });
    }
    each
}
