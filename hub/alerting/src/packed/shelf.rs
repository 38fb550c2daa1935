//! Where packed incidents lie: those that were packed together in two large blocks.

use std::{collections::BTreeMap, mem, sync::Arc};

use serde::de::DeserializeOwned;
use streamflow_model::{AlertState, Level, OpenGroup};
use zstd::zstd_safe::get_frame_content_size;

use super::Dictionary;
use crate::{id::AlertId, incident::Incident};

/// In place of a time: there is none.
const NONE: i64 = i64::MIN;

const MUTED: u8 = 1;
const FOLLOWS_POLICY: u8 = 2;
const ACKNOWLEDGED: u8 = 4;

/// Incidents that were packed together. What is taken out leaves a gap, until the others move to a new shelf.
#[derive(Debug)]
pub(crate) struct Shelf {
    number: u64,
    places: Box<[Place]>,
    bytes: Box<[u8]>,
}

/// What is asked of an incident at rest again and again. There may be a hundred thousand, so every byte counts.
#[derive(Debug, Clone)]
pub(super) struct Place {
    dictionary: Arc<Dictionary>,
    id: AlertId,
    due: i64,
    fired_at: i64,
    told_until: i64,
    /// Where its bytes begin: what its group's key has behind the rule, its labels, and the compressed document.
    begin: u32,
    end: u32,
    key: u16,
    labels: u16,
    state: AlertState,
    level: Level,
    flags: u8,
}

/// An incident at rest.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    shelf: Arc<Shelf>,
    place: u32,
}

/// The next shelf.
#[derive(Debug, Default)]
pub(super) struct Tray {
    places: Vec<Place>,
    bytes: Vec<u8>,
    shelves: u64,
}

impl Place {
    /// Its bytes come later.
    pub(super) fn of(incident: &Incident, due: Option<i64>, dictionary: &Arc<Dictionary>) -> Self {
        let alert = &incident.alert;
        let flag = |flag: u8, is: bool| if is { flag } else { 0 };
        Self {
            dictionary: Arc::clone(dictionary),
            id: AlertId::of(&alert.id),
            due: due.unwrap_or(NONE),
            fired_at: alert.fired_at.map_or(NONE, |at| at.0),
            told_until: incident.memory.seen.window_end,
            begin: 0,
            end: 0,
            key: 0,
            labels: 0,
            state: alert.state,
            level: alert.level,
            flags: flag(MUTED, !alert.muted_by.is_empty())
                | flag(FOLLOWS_POLICY, incident.policy().is_some())
                | flag(ACKNOWLEDGED, alert.acknowledged_at.is_some()),
        }
    }
}

impl Tray {
    /// `None` for what is too long for a place.
    pub(super) fn put(&mut self, mut place: Place, [key, labels, document]: [&[u8]; 3]) -> Option<()> {
        place.key = key.len().try_into().ok()?;
        place.labels = labels.len().try_into().ok()?;
        self.add(place, &[key, labels, document])
    }

    pub(super) fn copy(&mut self, packed: &Packed) -> Option<()> {
        let bytes = packed.bytes(0, usize::MAX);
        self.add(packed.place().clone(), &[bytes])
    }

    fn add(&mut self, mut place: Place, parts: &[&[u8]]) -> Option<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        place.begin = self.bytes.len().try_into().ok()?;
        place.end = (self.bytes.len() + length).try_into().ok()?;
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.places.push(place);
        Some(())
    }

    pub(super) fn shelve(&mut self) -> Vec<Packed> {
        if self.places.is_empty() {
            return Vec::new();
        }
        self.shelves += 1;
        let shelf = Arc::new(Shelf {
            number: self.shelves,
            places: mem::take(&mut self.places).into(),
            bytes: self.bytes.as_slice().into(),
        });
        self.bytes.clear();
        Shelf::all(&shelf).collect()
    }
}

impl Shelf {
    /// No other shelf of the same packer has it.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// How many incidents were put on it.
    pub(crate) const fn len(&self) -> usize {
        self.places.len()
    }

    /// All that were put on it.
    pub(crate) fn all(shelf: &Arc<Self>) -> impl Iterator<Item = Packed> {
        let place = |(_, place)| Packed {
            shelf: Arc::clone(shelf),
            place,
        };
        shelf.places.iter().zip(0..).map(place)
    }
}

impl Packed {
    /// Where it lies.
    pub(crate) const fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    /// Whether this is the same one, in the same place.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.place == other.place && Arc::ptr_eq(&self.shelf, &other.shelf)
    }

    fn place(&self) -> &Place {
        &self.shelf.places[self.place as usize]
    }

    /// The alert's id.
    pub(crate) fn id(&self) -> &AlertId {
        &self.place().id
    }

    /// Its rule.
    pub(crate) fn rule_id(&self) -> &str {
        &self.place().dictionary.rule
    }

    /// Key of its group: the rule, and what comes behind that.
    pub(crate) fn key_parts(&self) -> (&str, &str) {
        (self.rule_id(), self.text(0, self.place().key.into()))
    }

    /// Key of its group.
    pub(crate) fn key(&self) -> String {
        let (rule, behind) = self.key_parts();
        [rule, behind].concat()
    }

    /// When it has something to do.
    pub(crate) fn due(&self) -> Option<i64> {
        Some(self.place().due).filter(|due| *due != NONE)
    }

    /// When it began to fire, ms.
    pub(crate) fn fired_at(&self) -> Option<i64> {
        Some(self.place().fired_at).filter(|at| *at != NONE)
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> AlertState {
        self.place().state
    }

    /// Severity.
    pub(crate) fn level(&self) -> Level {
        self.place().level
    }

    /// Whether it goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.state() != AlertState::Resolved
    }

    /// Whether something mutes it.
    pub(crate) fn is_muted(&self) -> bool {
        self.place().flags & MUTED != 0
    }

    /// Whether it follows an escalation policy.
    pub(crate) fn follows_policy(&self) -> bool {
        self.place().flags & FOLLOWS_POLICY != 0
    }

    /// Whether somebody has taken it.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.place().flags & ACKNOWLEDGED != 0
    }

    /// The alert's labels.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let place = self.place();
        let begin = usize::from(place.key);
        let text = self.text(begin, begin + usize::from(place.labels));
        place.dictionary.labels.unpack(text)
    }

    /// Its group, and how far it has been heard of.
    pub(crate) fn group(&self) -> OpenGroup {
        OpenGroup {
            rule_id: self.rule_id().to_owned(),
            labels: self.labels(),
            told_until: self.place().told_until,
        }
    }

    /// A part of its bytes.
    fn bytes(&self, begin: usize, end: usize) -> &[u8] {
        let place = self.place();
        let own = self.shelf.bytes.get(place.begin as usize..place.end as usize);
        let own = own.unwrap_or_default();
        own.get(begin..end.min(own.len())).unwrap_or_default()
    }

    /// All of its bytes.
    #[cfg(test)]
    pub(super) fn raw(&self) -> &[u8] {
        self.bytes(0, usize::MAX)
    }

    fn text(&self, begin: usize, end: usize) -> &str {
        std::str::from_utf8(self.bytes(begin, end)).unwrap_or_default()
    }

    /// The incident.
    pub(crate) fn incident(&self) -> Option<Incident> {
        self.read()
    }

    /// As an incident, or as the alert alone.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let read = self
            .document()
            .and_then(|document| serde_json::from_slice(&document).map_err(|error| error.to_string()));
        // It is memory that this process has written, or a document that it has read before.
        read.inspect_err(|error| tracing::error!(error, "an alert at rest cannot be read"))
            .ok()
    }

    fn document(&self) -> Result<Vec<u8>, String> {
        let place = self.place();
        let packed = self.bytes(usize::from(place.key) + usize::from(place.labels), usize::MAX);
        let length = get_frame_content_size(packed).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| "it has no length".to_owned())?;
        place.dictionary.unpack(packed, length)
    }
}
