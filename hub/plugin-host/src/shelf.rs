//! Instances between calls, at most one for each channel.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use crate::sandbox::ChannelInstance;

/// Most instances that wait for their next call.
const MAX_PARKED: usize = 64;
/// An instance that nobody has called for this long gives its memory back.
const MAX_IDLE: Duration = Duration::from_secs(300);

/// Instances of one plugin that wait for their next call.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<HashMap<String, Parked>>);

struct Parked {
    instance: ChannelInstance,
    since: Instant,
}

impl Shelf {
    /// The channel's instance, if it has one of this very configuration.
    pub(crate) fn take(&self, channel: &str, config: &Map<String, Value>) -> Option<ChannelInstance> {
        let parked = self.lock().remove(channel)?;
        (**parked.instance.config() == *config).then_some(parked.instance)
    }

    /// Keeps an instance for the channel's next call.
    pub(crate) fn put(&self, channel: &str, instance: ChannelInstance, now: Instant) {
        let mut shelf = self.lock();
        shelf.insert(channel.to_owned(), Parked { instance, since: now });
        if shelf.len() > MAX_PARKED
            && let Some(oldest) = shelf
                .iter()
                .min_by_key(|(_, parked)| parked.since)
                .map(|(channel, _)| channel.clone())
        {
            shelf.remove(&oldest);
        }
    }

    /// Drops what has not been called for long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.lock()
            .retain(|_, parked| now.duration_since(parked.since) < MAX_IDLE);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Parked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
