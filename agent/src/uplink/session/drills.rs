//! Fire drills in a session: orders of the hub in, news of their events out.

use std::sync::atomic::Ordering;

use streamflow_proto::wire::{DrillNews, DrillOrder, DrillStep, ToHub};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Ended, Session};
use crate::clock;
use crate::drill::Drilled;

/// Drills at a time; each reports a few steps.
const MAX_DRILLS: usize = 4;

/// Fire drills of this session.
pub(super) struct Drills {
    running: JoinSet<()>,
    tell: mpsc::Sender<Drilled>,
    pub(super) told: mpsc::Receiver<Drilled>,
    /// Frames that wait to be sent, with the drills whose events they hold.
    spooled: Vec<(u64, String)>,
}

impl Drills {
    pub(super) fn new() -> Self {
        let (tell, told) = mpsc::channel(4 * MAX_DRILLS);
        Self {
            running: JoinSet::new(),
            tell,
            told,
            spooled: Vec::new(),
        }
    }
}

impl Session<'_> {
    /// The hub asks for an event of a drill.
    pub(super) fn drill(&mut self, order: DrillOrder) -> Result<(), Ended> {
        while self.drills.running.try_join_next().is_some() {}
        let refused = match &self.uplink.driller {
            Some(_) if self.drills.running.len() >= MAX_DRILLS => "the agent has as many drills under way as it takes",
            None => "this agent takes part in no drills",
            Some(driller) => {
                tracing::info!(drill = order.drill, "the hub asks for a fire drill");
                let work = driller.clone().run(order, self.drills.tell.clone());
                self.drills.running.spawn(work);
                return Ok(());
            }
        };
        self.tell_drill(order.drill, DrillStep::Lost, Some(refused.to_owned()))
    }

    fn tell_drill(&mut self, drill: String, step: DrillStep, reason: Option<String>) -> Result<(), Ended> {
        let at_ms = clock::now_ms();
        self.say(&ToHub::Drill(DrillNews {
            drill,
            step,
            at_ms,
            reason,
        }))
    }

    pub(super) fn drilled(&mut self, drilled: Drilled) -> Result<(), Ended> {
        let drill = drilled.news.drill.clone();
        self.say(&ToHub::Drill(drilled.news))?;
        match drilled.seq {
            // It can be on its way before the news that it is durable.
            Some(seq) if seq < self.uplink.unseen_seq.load(Ordering::Relaxed) => {
                self.tell_drill(drill, DrillStep::Sent, None)
            }
            Some(seq) => {
                self.drills.spooled.push((seq, drill));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A frame was put on the stream; a drill may wait for that.
    pub(super) fn drill_sent(&mut self, sent: u64) -> Result<(), Ended> {
        while let Some(at) = self.drills.spooled.iter().position(|(seq, _)| *seq <= sent) {
            let (_, drill) = self.drills.spooled.swap_remove(at);
            self.tell_drill(drill, DrillStep::Sent, None)?;
        }
        Ok(())
    }
}
