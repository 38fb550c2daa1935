//! Incidents at rest: what nobody touches takes a tenth of the memory, so that a hundred thousand alerts fit.
//!
//! An incident is packed as its document, compressed with the document of another incident of its rule as the dictionary: what
//! the two have in common, names of fields and words of the rule, takes no room.

use std::{cell::RefCell, collections::HashMap, fmt, sync::Arc};

use serde::de::DeserializeOwned;
use zstd::{
    dict::{DecoderDictionary, EncoderDictionary},
    zstd_safe::{CCtx, DCtx, compress_bound},
};

use crate::incident::Incident;

/// Rules whose dictionaries are kept for further incidents; what is packed keeps its own.
const MOST_RULES: usize = 1024;
/// A stronger level saves hardly anything on two kilobytes.
const LEVEL: i32 = 3;

thread_local! {
    /// Making one takes longer than what it is made for.
    static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// An incident at rest.
#[derive(Debug)]
pub(crate) struct Packed {
    dictionary: Arc<Dictionary>,
    bytes: Box<[u8]>,
    /// Bytes of the document.
    length: u32,
}

struct Dictionary {
    rule: Box<str>,
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dictionary")
    }
}

/// Packs incidents.
#[derive(Default)]
pub(crate) struct Packer {
    dictionaries: HashMap<String, Arc<Dictionary>>,
    context: Option<CCtx<'static>>,
    document: Vec<u8>,
    packed: Vec<u8>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("rules", &self.dictionaries.len())
            .finish_non_exhaustive()
    }
}

impl Packer {
    /// `None` when it cannot be packed, and stays as it is.
    pub(crate) fn pack(&mut self, incident: &Incident) -> Option<Packed> {
        let document = &mut self.document;
        document.clear();
        serde_json::to_writer(&mut *document, incident).ok()?;
        let rule = &incident.alert.rule_id;
        if !self.dictionaries.contains_key(rule) {
            if self.dictionaries.len() >= MOST_RULES {
                self.dictionaries.clear();
            }
            let dictionary = Dictionary {
                rule: rule.as_str().into(),
                encoder: EncoderDictionary::try_copy(document, LEVEL).ok()?,
                decoder: DecoderDictionary::try_copy(document).ok()?,
            };
            self.dictionaries.insert(rule.clone(), Arc::new(dictionary));
        }
        let dictionary = Arc::clone(self.dictionaries.get(rule)?);
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(CCtx::try_create()?),
        };
        self.packed.clear();
        self.packed.reserve(compress_bound(document.len()));
        context
            .compress_using_cdict(&mut self.packed, document, dictionary.encoder.as_cdict())
            .ok()?;
        Some(Packed {
            dictionary,
            bytes: self.packed.as_slice().into(),
            length: u32::try_from(document.len()).ok()?,
        })
    }
}

impl Packed {
    /// Its rule.
    pub(crate) fn rule_id(&self) -> &str {
        &self.dictionary.rule
    }

    /// The incident.
    pub(crate) fn incident(&self) -> Option<Incident> {
        self.read()
    }

    /// As an incident, or as the alert alone.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let read = CONTEXT.with_borrow_mut(|context| -> Result<Vec<u8>, String> {
            let context = match context {
                Some(context) => context,
                none => none.insert(DCtx::try_create().ok_or_else(|| "no memory".to_owned())?),
            };
            let mut document = Vec::with_capacity(self.length as usize);
            context
                .decompress_using_ddict(&mut document, &self.bytes, self.dictionary.decoder.as_ddict())
                .map_err(|error| format!("{error:?}"))?;
            Ok(document)
        });
        let read = read.and_then(|document| serde_json::from_slice(&document).map_err(|error| error.to_string()));
        // It is memory that this process has written.
        read.inspect_err(|error| tracing::error!(error, "an alert at rest cannot be read"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::{T0, book, rule, signal};

    #[test]
    fn what_is_packed_is_small_and_comes_back_as_it_was() {
        let mut book = book(vec![rule(
            json!({"annotations": {"runbook": "https://runbooks.example.org/errors"}}),
        )]);
        let signals: Vec<_> = (0..50)
            .map(|n| {
                let mut signal = signal(0, 60.0 + f64::from(n));
                signal.labels.insert("source".to_owned(), format!("web-{n}"));
                signal
            })
            .collect();
        book.signals(&signals, T0);
        let (mut packer, mut plain, mut packed) = (Packer::default(), 0, 0);
        for key in book.take_changes().written {
            let incident = book.incident(&key).unwrap();
            let rest = packer.pack(incident).unwrap();
            assert_eq!(rest.incident().as_ref(), Some(incident));
            assert_eq!(rest.read::<streamflow_model::Alert>().as_ref(), Some(&incident.alert));
            plain += serde_json::to_vec(incident).unwrap().len();
            packed += rest.bytes.len();
        }
        assert!(packed * 6 < plain, "{packed} of {plain} bytes");
    }
}
