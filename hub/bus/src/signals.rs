//! Verdicts on their way from analytics to alerting.
//!
//! The queue is bounded and the sender waits. `flush` returns when everything sent before it has been made durable by the receiver, so analytics
//! may then save a checkpoint: no verdict can fall between a checkpoint and a crash.

use streamflow_model::Signal;
use tokio::sync::{mpsc, oneshot};

/// Batches of verdicts on their way.
const CAPACITY: usize = 64;

/// What the receiver gets.
#[derive(Debug)]
pub enum SignalMessage {
    /// Verdicts in order.
    Signals(Vec<Signal>),
    /// Answer when everything before is durable.
    Flush(oneshot::Sender<()>),
}

/// The analytics end.
#[derive(Debug, Clone)]
pub struct SignalSender(mpsc::Sender<SignalMessage>);

/// The alerting end.
#[derive(Debug)]
pub struct SignalReceiver(mpsc::Receiver<SignalMessage>);

/// The other end has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// Both ends of a new queue.
#[must_use]
pub fn channel() -> (SignalSender, SignalReceiver) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (SignalSender(sender), SignalReceiver(receiver))
}

impl SignalSender {
    /// Hands verdicts over; waits for room.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn send(&self, signals: Vec<Signal>) -> Result<(), Disconnected> {
        self.0
            .send(SignalMessage::Signals(signals))
            .await
            .map_err(|_| Disconnected)
    }

    /// Waits until everything sent before is durable.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn flush(&self) -> Result<(), Disconnected> {
        let (done, wait) = oneshot::channel();
        self.0
            .send(SignalMessage::Flush(done))
            .await
            .map_err(|_| Disconnected)?;
        wait.await.map_err(|_| Disconnected)
    }
}

impl SignalReceiver {
    /// The next message; `None` when analytics has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<SignalMessage> {
        self.0.recv().await
    }
}
