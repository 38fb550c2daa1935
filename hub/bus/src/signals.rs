//! Verdicts on their way from analytics to alerting.
//!
//! The queue is bounded, in messages and in verdicts, and the sender waits. `flush` returns when everything sent before it has been made durable by the receiver, so analytics
//! may then save a checkpoint: no verdict can fall between a checkpoint and a crash.

use std::sync::Arc;

use streamflow_model::Signal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Batches of verdicts on their way.
const CAPACITY: usize = 64;
/// Verdicts in them: of a hundred thousand groups that fire at once, each verdict is a kilobyte. A batch of more is on its way alone.
const VERDICTS: u32 = 8192;

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
pub struct SignalSender {
    queue: mpsc::Sender<Sent>,
    room: Arc<Semaphore>,
}

/// The alerting end.
#[derive(Debug)]
pub struct SignalReceiver {
    queue: mpsc::Receiver<Sent>,
    room: Arc<Semaphore>,
}

/// A message, and the room that its verdicts take until it is received.
type Sent = (SignalMessage, Option<OwnedSemaphorePermit>);

/// The other end has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// Both ends of a new queue.
#[must_use]
pub fn channel() -> (SignalSender, SignalReceiver) {
    let (queue, receiver) = mpsc::channel(CAPACITY);
    let room = Arc::new(Semaphore::new(VERDICTS as usize));
    let receiver = SignalReceiver {
        queue: receiver,
        room: Arc::clone(&room),
    };
    (SignalSender { queue, room }, receiver)
}

impl SignalSender {
    /// Hands verdicts over; waits for room.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn send(&self, signals: Vec<Signal>) -> Result<(), Disconnected> {
        let verdicts = u32::try_from(signals.len()).map_or(VERDICTS, |count| count.min(VERDICTS));
        let room = Arc::clone(&self.room).acquire_many_owned(verdicts).await;
        self.put(SignalMessage::Signals(signals), Some(room.map_err(|_| Disconnected)?))
            .await
    }

    /// Waits until everything sent before is durable.
    ///
    /// # Errors
    /// When alerting has stopped.
    pub async fn flush(&self) -> Result<(), Disconnected> {
        let (done, wait) = oneshot::channel();
        self.put(SignalMessage::Flush(done), None).await?;
        wait.await.map_err(|_| Disconnected)
    }

    async fn put(&self, message: SignalMessage, room: Option<OwnedSemaphorePermit>) -> Result<(), Disconnected> {
        self.queue.send((message, room)).await.map_err(|_| Disconnected)
    }
}

impl SignalReceiver {
    /// The next message; `None` when analytics has stopped. Cancel safe.
    pub async fn recv(&mut self) -> Option<SignalMessage> {
        self.queue.recv().await.map(|(message, _)| message)
    }
}

impl Drop for SignalReceiver {
    fn drop(&mut self) {
        // A message that comes at this moment may keep its room for ever, and nobody is to wait for that.
        self.room.close();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, future::Future, pin::pin, task::Poll};

    use streamflow_model::Completeness;

    use super::*;

    fn verdicts(count: usize) -> Vec<Signal> {
        let verdict = Signal {
            rule_id: "r".to_owned(),
            rule_version: 1,
            labels: BTreeMap::new(),
            value: None,
            top: Vec::new(),
            met: false,
            running: false,
            window_start: 0,
            window_end: 0,
            revision: 0,
            watermark: 0,
            completeness: Completeness::default(),
            stored_at: 0,
            account: None,
        };
        vec![verdict; count]
    }

    /// Whether it ends at once.
    async fn ends<T>(work: impl Future<Output = T>) -> bool {
        let mut work = pin!(work);
        std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn whoever_sends_many_verdicts_waits_until_those_before_are_received() {
        let (sender, mut receiver) = channel();
        let most = VERDICTS as usize;
        sender.send(verdicts(most - 1)).await.unwrap();
        assert!(ends(sender.send(verdicts(1))).await);
        assert!(!ends(sender.send(verdicts(1))).await, "there is no room");
        assert!(!ends(sender.flush()).await, "it waits for its answer");
        assert!(matches!(receiver.recv().await, Some(SignalMessage::Signals(signals)) if signals.len() == most - 1));
        assert!(
            !ends(sender.send(verdicts(3 * most))).await,
            "one more than fits goes alone"
        );
        receiver.recv().await.unwrap();
        assert!(ends(sender.send(verdicts(3 * most))).await);
        assert!(matches!(receiver.recv().await, Some(SignalMessage::Flush(_))));
        assert!(!ends(sender.send(verdicts(1))).await);
        drop(receiver);
        assert_eq!(sender.send(verdicts(1)).await, Err(Disconnected));
    }
}
