//! From receipts to acknowledgements.

use streamflow_proto::wire::{NackCode, ToAgent, WireError};
use streamflow_storage::{Appended, StoreError};

use super::{Ended, RETRY_MS, Settled, Uplink};
use crate::metrics::DoorKind;

impl Uplink<'_> {
    /// The oldest frame is settled; takes all that are, and acknowledges them with one message.
    pub(super) async fn settle(&mut self, first: Settled) -> Result<(), Ended> {
        let mut settled = Some(first);
        let (mut events, mut last_seq) = (0_u64, None);
        while let Some(result) = settled {
            let Some(done) = self.committing.pop_front() else { break };
            self.committing_bytes -= done.bytes;
            self.context
                .metrics
                .commit_seconds
                .observe(done.began.elapsed().as_secs_f64());
            match result.unwrap_or(Err(StoreError::Closed)) {
                Ok(appended) => {
                    self.session.stored(done.seq);
                    last_seq = Some(done.seq);
                    match appended {
                        Appended::Stored(_) => events += u64::from(done.events),
                        Appended::Duplicate => {
                            self.context
                                .metrics
                                .duplicates
                                .with_label_values(&[DoorKind::Quic.name()])
                                .inc_by(done.events.into());
                        }
                    }
                }
                Err(error) => {
                    self.fail(done.seq, &error).await?;
                    break;
                }
            }
            settled = match self.committing.front_mut().map(|next| next.receipt.try_recv()) {
                Some(Ok(result)) => Some(Ok(result)),
                Some(Err(tokio::sync::oneshot::error::TryRecvError::Closed)) => Some(Ok(Err(StoreError::Closed))),
                Some(Err(tokio::sync::oneshot::error::TryRecvError::Empty)) | None => None,
            };
        }
        if let Some(last_seq) = last_seq {
            self.context
                .metrics
                .accepted(DoorKind::Quic, usize::try_from(events).unwrap_or(usize::MAX));
            self.context.roster.stored(&self.agent, last_seq, events);
        }
        self.acknowledge().await
    }

    /// The store failed on a frame: everything from it on must come again. Receipts of later frames do not matter any
    /// more: the store fails them too, or will take their repetition for a duplicate.
    pub(super) async fn fail(&mut self, seq: u64, error: &StoreError) -> Result<(), Ended> {
        if !self.session.failed(seq) {
            return Ok(());
        }
        self.committing.retain(|frame| frame.seq < seq);
        self.committing_bytes = self.committing.iter().map(|frame| frame.bytes).sum();
        self.nack(seq, NackCode::Unavailable, error.to_string(), Some(RETRY_MS))
            .await
    }

    pub(super) async fn acknowledge(&mut self) -> Result<(), Ended> {
        match self.session.ack() {
            Some(ack) => self.stream.send(&ToAgent::Ack(ack)).await,
            None => Ok(()),
        }
    }

    /// Tells why the connection is about to be closed. The close code says it too, so a failure to send does not
    /// matter.
    pub(super) async fn refuse_stream(&mut self, error: &WireError) {
        let code = match error {
            WireError::Frame(streamflow_proto::frame::FrameError::Checksum { .. }) => NackCode::Checksum,
            _ => NackCode::Limit,
        };
        let seq = self.session.durable().unwrap_or(0);
        self.context
            .metrics
            .rejected
            .with_label_values(&[DoorKind::Quic.name(), code.name()])
            .inc();
        drop(self.nack(seq, code, error.to_string(), Some(RETRY_MS)).await);
    }
}
