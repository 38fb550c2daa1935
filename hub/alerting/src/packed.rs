//! Incidents at rest: what nobody touches takes a tenth of the memory, so that a hundred thousand alerts fit.
//!
//! An incident is packed as its document, compressed with the document of another incident of its rule as the dictionary: what
//! the two have in common, names of fields and words of the rule, takes no room. What is asked of all alerts again and again stays beside it, also without
//! what the other incident says as well.

use std::{cell::RefCell, collections::HashMap, fmt, mem, sync::Arc};

use serde::de::DeserializeOwned;
use streamflow_model::{Alert, AlertState, Level, OpenGroup};
use zstd::{
    dict::EncoderDictionary,
    zstd_safe::{CCtx, DCtx, compress_bound, get_frame_content_size},
};

use crate::{id::AlertId, incident::Incident};

mod labels;

use labels::Template;

/// Rules whose dictionaries are kept for further incidents; what is packed keeps its own.
const MOST_RULES: usize = 1024;
/// Incidents of a rule after which its dictionary is prepared: that makes packing faster, and takes fifty times as much as the dictionary.
const OFTEN: u32 = 32;
/// Dictionaries that are prepared.
const MOST_PREPARED: usize = 16;
/// A stronger level saves hardly anything on two kilobytes.
const LEVEL: i32 = 3;
/// In place of a time: there is none.
const NONE: i64 = i64::MIN;

const MUTED: u8 = 1;
const FOLLOWS_POLICY: u8 = 2;
const ACKNOWLEDGED: u8 = 4;

thread_local! {
    /// Making one takes longer than what it is made for.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// An incident at rest. There may be a hundred thousand, so every byte counts: the allocator rounds this one up to 96 bytes.
#[derive(Debug)]
pub(crate) struct Packed {
    dictionary: Arc<Dictionary>,
    /// What its group's key has behind the rule, its labels, and the compressed document. Three blocks would take a third more.
    bytes: Box<[u8]>,
    id: AlertId,
    due: i64,
    fired_at: i64,
    told_until: i64,
    key: u16,
    labels: u16,
    state: AlertState,
    level: Level,
    flags: u8,
}

/// The document of an incident, for those that are packed with it.
struct Dictionary {
    rule: Box<str>,
    document: Box<[u8]>,
    labels: Template,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

/// Packs incidents.
#[derive(Default)]
pub(crate) struct Packer {
    rules: HashMap<String, OfRule>,
    prepared: usize,
    context: Option<CCtx<'static>>,
    document: Vec<u8>,
    packed: Vec<u8>,
}

struct OfRule {
    dictionary: Arc<Dictionary>,
    /// Incidents that were packed with it.
    count: u32,
    encoder: Option<EncoderDictionary<'static>>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

impl Packer {
    /// `due` is when it has something to do; `None` when it cannot be packed, and stays as it is.
    pub(crate) fn pack(&mut self, incident: &Incident, due: Option<i64>) -> Option<Packed> {
        let mut document = mem::take(&mut self.document);
        document.clear();
        let written = serde_json::to_writer(&mut document, incident).ok();
        let packed = written.and_then(|()| self.pack_document(incident, due, &document));
        self.document = document;
        packed
    }

    /// The same for an incident whose document is at hand.
    pub(crate) fn pack_document(&mut self, incident: &Incident, due: Option<i64>, document: &[u8]) -> Option<Packed> {
        let alert = &incident.alert;
        let key = key_behind(alert)?;
        self.prepare(alert, document)?;
        let of_rule = self.rules.get(&alert.rule_id)?;
        let dictionary = &of_rule.dictionary;
        let labels = dictionary.labels.pack(&alert.labels)?;
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(CCtx::try_create()?),
        };
        self.packed.clear();
        self.packed.reserve(compress_bound(document.len()));
        match &of_rule.encoder {
            Some(encoder) => context.compress_using_cdict(&mut self.packed, document, encoder.as_cdict()),
            None => context.compress_using_dict(&mut self.packed, document, &dictionary.document, LEVEL),
        }
        .ok()?;
        let flag = |flag: u8, is: bool| if is { flag } else { 0 };
        Some(Packed {
            dictionary: Arc::clone(dictionary),
            bytes: [key.as_bytes(), labels.as_bytes(), &self.packed].concat().into(),
            id: AlertId::of(&alert.id),
            due: due.unwrap_or(NONE),
            fired_at: alert.fired_at.map_or(NONE, |at| at.0),
            told_until: incident.memory.seen.window_end,
            key: key.len().try_into().ok()?,
            labels: labels.len().try_into().ok()?,
            state: alert.state,
            level: alert.level,
            flags: flag(MUTED, !alert.muted_by.is_empty())
                | flag(FOLLOWS_POLICY, incident.policy().is_some())
                | flag(ACKNOWLEDGED, alert.acknowledged_at.is_some()),
        })
    }

    /// Sees to the dictionary of an incident's rule: the first one is it.
    fn prepare(&mut self, alert: &Alert, document: &[u8]) -> Option<()> {
        if !self.rules.contains_key(&alert.rule_id) {
            if self.rules.len() >= MOST_RULES {
                self.rules.clear();
                self.prepared = 0;
            }
            let dictionary = Arc::new(Dictionary {
                rule: alert.rule_id.as_str().into(),
                document: document.into(),
                labels: Template::of(&alert.labels),
            });
            let of_rule = OfRule {
                dictionary,
                count: 0,
                encoder: None,
            };
            self.rules.insert(alert.rule_id.clone(), of_rule);
        }
        let of_rule = self.rules.get_mut(&alert.rule_id)?;
        of_rule.count += 1;
        if of_rule.count < OFTEN || of_rule.encoder.is_some() {
            return Some(());
        }
        if self.prepared >= MOST_PREPARED {
            for other in self.rules.values_mut() {
                (other.count, other.encoder) = (0, None);
            }
            self.prepared = 0;
        }
        let of_rule = self.rules.get_mut(&alert.rule_id)?;
        of_rule.encoder = EncoderDictionary::try_copy(&of_rule.dictionary.document, LEVEL).ok();
        self.prepared += usize::from(of_rule.encoder.is_some());
        Some(())
    }
}

/// What an alert's group has for a key behind its rule. One without that is not packed.
fn key_behind(alert: &Alert) -> Option<&str> {
    let key = alert.group_key.strip_prefix(alert.rule_id.as_str())?;
    (key.starts_with('{') && !alert.rule_id.contains('{')).then_some(key)
}

impl Packed {
    /// The alert's id.
    pub(crate) const fn id(&self) -> &AlertId {
        &self.id
    }

    /// Its rule.
    pub(crate) fn rule_id(&self) -> &str {
        &self.dictionary.rule
    }

    /// Key of its group: the rule, and what comes behind that.
    pub(crate) fn key_parts(&self) -> (&str, &str) {
        (self.rule_id(), self.text(0, self.key.into()))
    }

    /// Key of its group.
    pub(crate) fn key(&self) -> String {
        let (rule, behind) = self.key_parts();
        [rule, behind].concat()
    }

    /// When it has something to do.
    pub(crate) fn due(&self) -> Option<i64> {
        (self.due != NONE).then_some(self.due)
    }

    /// When it began to fire, ms.
    pub(crate) fn fired_at(&self) -> Option<i64> {
        (self.fired_at != NONE).then_some(self.fired_at)
    }

    /// Where it stands.
    pub(crate) const fn state(&self) -> AlertState {
        self.state
    }

    /// Severity.
    pub(crate) const fn level(&self) -> Level {
        self.level
    }

    /// Whether it goes on.
    pub(crate) fn is_open(&self) -> bool {
        self.state != AlertState::Resolved
    }

    /// Whether something mutes it.
    pub(crate) const fn is_muted(&self) -> bool {
        self.flags & MUTED != 0
    }

    /// Whether it follows an escalation policy.
    pub(crate) const fn follows_policy(&self) -> bool {
        self.flags & FOLLOWS_POLICY != 0
    }

    /// Whether somebody has taken it.
    pub(crate) const fn is_acknowledged(&self) -> bool {
        self.flags & ACKNOWLEDGED != 0
    }

    /// The alert's labels.
    pub(crate) fn labels(&self) -> std::collections::BTreeMap<String, String> {
        let begin = usize::from(self.key);
        let text = self.text(begin, begin + usize::from(self.labels));
        self.dictionary.labels.unpack(text)
    }

    /// Its group, and how far it has been heard of.
    pub(crate) fn group(&self) -> OpenGroup {
        OpenGroup {
            rule_id: self.rule_id().to_owned(),
            labels: self.labels(),
            told_until: self.told_until,
        }
    }

    fn text(&self, begin: usize, end: usize) -> &str {
        let bytes = self.bytes.get(begin..end).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
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
        let bytes = self.bytes.get(usize::from(self.key) + usize::from(self.labels)..);
        let bytes = bytes.unwrap_or_default();
        let length = get_frame_content_size(bytes).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut document = Vec::with_capacity(length.ok_or_else(|| "it has no length".to_owned())?);
        CONTEXT.with_borrow_mut(|context| {
            let context = match context {
                Some(context) => context,
                none => none.insert(DCtx::try_create().ok_or_else(|| "no memory".to_owned())?),
            };
            context
                .decompress_using_dict(&mut document, bytes, &self.dictionary.document)
                .map_err(|error| format!("{error:?}"))
        })?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests;
