//! Incidents at rest: what nobody touches takes a tenth of the memory, so that a hundred thousand alerts fit.
//!
//! An incident is packed as its document, compressed with the document of another incident of its rule as the dictionary: what
//! the two have in common, names of fields and words of the rule, takes no room. What is asked of all alerts again and again stays beside it, also without
//! what the other incident says as well.
//!
//! Incidents that are packed together lie on one shelf. In blocks of their own they would lie between the remains of what they were unpacked, and keep a
//! hundred thousand pages in memory that are nearly empty.

use std::{cell::RefCell, collections::HashMap, fmt, mem, sync::Arc};

use streamflow_model::Alert;
use zstd::{
    dict::EncoderDictionary,
    zstd_safe::{CCtx, DCtx, compress_bound},
};

use crate::incident::Incident;

mod labels;
mod shelf;

use labels::Template;
use shelf::{Place, Tray};

pub(crate) use shelf::{Packed, Shelf};

/// Rules whose dictionaries are kept for further incidents; what is packed keeps its own.
const MOST_RULES: usize = 1024;
/// Incidents of a rule after which its dictionary is prepared: that makes packing faster, and takes fifty times as much as the dictionary.
const OFTEN: u32 = 32;
/// Dictionaries that are prepared.
const MOST_PREPARED: usize = 16;
/// A stronger level saves hardly anything on two kilobytes.
const LEVEL: i32 = 3;

thread_local! {
    /// Making one takes longer than what it is made for.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
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
    tray: Tray,
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
    /// Packs an incident for the next shelf; `due` is when it has something to do. `None` when it cannot be packed, and stays as it is.
    pub(crate) fn pack(&mut self, incident: &Incident, due: Option<i64>) -> Option<()> {
        if key_behind(&incident.alert).is_none() || !labels::fit(&incident.alert.labels) {
            return None;
        }
        let mut document = mem::take(&mut self.document);
        document.clear();
        let written = serde_json::to_writer(&mut document, incident).ok();
        let packed = written.and_then(|()| self.pack_document(incident, due, &document));
        self.document = document;
        packed
    }

    /// The same for an incident whose document is at hand.
    pub(crate) fn pack_document(&mut self, incident: &Incident, due: Option<i64>, document: &[u8]) -> Option<()> {
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
        let place = Place::of(incident, due, dictionary);
        self.tray.put(place, [key.as_bytes(), labels.as_bytes(), &self.packed])
    }

    /// What was packed since the last time, in its order.
    pub(crate) fn shelve(&mut self) -> Vec<Packed> {
        self.tray.shelve()
    }

    /// Takes what is packed already for the next shelf.
    pub(crate) fn put(&mut self, packed: &Packed) -> Option<()> {
        self.tray.copy(packed)
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

impl Dictionary {
    fn unpack(&self, packed: &[u8], length: usize) -> Result<Vec<u8>, String> {
        let mut document = Vec::with_capacity(length);
        CONTEXT.with_borrow_mut(|context| {
            let context = match context {
                Some(context) => context,
                none => none.insert(DCtx::try_create().ok_or_else(|| "no memory".to_owned())?),
            };
            context
                .decompress_using_dict(&mut document, packed, &self.document)
                .map_err(|error| format!("{error:?}"))
        })?;
        Ok(document)
    }
}

#[cfg(test)]
mod tests;
