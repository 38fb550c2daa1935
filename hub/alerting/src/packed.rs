//! Incidents at rest: what nobody touches takes a tenth of the memory, so that a hundred thousand alerts fit.
//!
//! An incident is packed as its document, compressed with the document of another incident of its rule as the dictionary: what
//! the two have in common, names of fields and words of the rule, takes no room.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::de::DeserializeOwned;
use zstd::{
    bulk::{Compressor, Decompressor},
    dict::{DecoderDictionary, EncoderDictionary},
};

use crate::incident::Incident;

/// Rules whose dictionaries are kept for further incidents; what is packed keeps its own.
const MOST_RULES: usize = 1024;
/// A stronger level saves hardly anything on two kilobytes.
const LEVEL: i32 = 3;

/// An incident at rest.
#[derive(Debug)]
pub(crate) struct Packed {
    dictionary: Arc<Dictionary>,
    bytes: Box<[u8]>,
    /// Bytes of the document.
    length: u32,
}

struct Dictionary {
    encoder: EncoderDictionary<'static>,
    decoder: DecoderDictionary<'static>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dictionary")
    }
}

/// Packs incidents.
#[derive(Debug, Default)]
pub(crate) struct Packer(HashMap<String, Arc<Dictionary>>);

impl Packer {
    /// `None` when it cannot be packed, and stays as it is.
    pub(crate) fn pack(&mut self, incident: &Incident) -> Option<Packed> {
        let document = serde_json::to_vec(incident).ok()?;
        let rule = &incident.alert.rule_id;
        if !self.0.contains_key(rule) {
            if self.0.len() >= MOST_RULES {
                self.0.clear();
            }
            let dictionary = Dictionary {
                encoder: EncoderDictionary::try_copy(&document, LEVEL).ok()?,
                decoder: DecoderDictionary::try_copy(&document).ok()?,
            };
            self.0.insert(rule.clone(), Arc::new(dictionary));
        }
        let dictionary = Arc::clone(self.0.get(rule)?);
        let mut compressor = Compressor::with_prepared_dictionary(&dictionary.encoder).ok()?;
        let bytes = compressor.compress(&document).ok()?.into_boxed_slice();
        drop(compressor);
        let length = u32::try_from(document.len()).ok()?;
        Some(Packed {
            dictionary,
            bytes,
            length,
        })
    }
}

impl Packed {
    /// The incident.
    pub(crate) fn incident(&self) -> Option<Incident> {
        self.read()
    }

    /// As an incident, or as the alert alone.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let unpack = || {
            let mut decompressor = Decompressor::with_prepared_dictionary(&self.dictionary.decoder)?;
            decompressor.decompress(&self.bytes, self.length as usize)
        };
        let read = unpack().map_err(|error| error.to_string());
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
