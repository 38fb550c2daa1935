//! What the Bloom filter beside a chunk knows of.

use crate::{
    bloom::{BloomWriter, EVERYTHING, hash_of_values, path_hash, path_join, unlisted_hash, value_hash},
    build::TextColumn,
    column::layout::{Encoding, Node},
    event::Severity,
};
use serde_json::Value;

/// Plain columns are listed when their strings are no longer than this on average.
pub(super) const SHORT: usize = 24;
/// Values beyond which a filter is not worth its size.
const MAX_VALUES: usize = 1 << 20;

/// Gathers the values that a search may ask for. Paths whose values are not gathered are marked, so that nothing is ever
/// wrongly ruled out.
#[derive(Debug, Default)]
pub(crate) struct Index {
    writer: BloomWriter,
    values: usize,
    /// The same value may have been noted many times.
    repeats: bool,
}

impl Index {
    pub(crate) fn new() -> Self {
        let mut index = Self::default();
        for root in ["timestamp", "id"] {
            index.unlisted(path_hash([root]));
        }
        index
    }

    /// The hash of a node's path.
    pub(crate) fn path(&self, nodes: &[Node<'_>], node: u32) -> u64 {
        let mut keys = Vec::new();
        let mut at = Some(node);
        while let Some(node) = at.and_then(|at| nodes.get(at as usize)) {
            keys.push(node.key);
            at = node.parent.checked_sub(1);
        }
        path_hash(keys.into_iter().rev())
    }

    pub(crate) fn unlisted(&mut self, path: u64) {
        self.writer.add(unlisted_hash(path));
    }

    fn value(&mut self, path: u64, value: &str) {
        self.values += 1;
        if self.values <= MAX_VALUES {
            self.writer.add(value_hash(path, value));
        }
    }

    pub(crate) fn severities(&mut self, ordinals: &[u8]) {
        for severity in Severity::ALL {
            if ordinals.contains(&(severity as u8)) {
                self.value(path_hash(["severity"]), severity.as_str());
            }
        }
    }

    pub(crate) fn fixed<'a>(&mut self, root: &'static str, values: impl Iterator<Item = &'a str>) {
        values.for_each(|value| self.value(path_hash([root]), value));
    }

    pub(crate) fn texts(&mut self, path: u64, column: &TextColumn, encoding: Encoding) {
        if encoding == Encoding::Plain && column.text_bytes() > column.len() * SHORT {
            return self.unlisted(path);
        }
        let hash = hash_of_values(path);
        let listed = MAX_VALUES.saturating_sub(self.values);
        self.values += column.bytes_of_entries().len();
        self.writer.add_all(column.bytes_of_entries().take(listed).map(hash));
    }

    /// The strings inside an overflowing object.
    pub(crate) fn object(&mut self, path: u64, json: &str) {
        self.repeats = true;
        match serde_json::from_str(json) {
            Ok(Value::Object(members)) => {
                for (key, value) in members {
                    self.inner(path_join(path, &key), value);
                }
            }
            _ => self.writer.add(EVERYTHING),
        }
    }

    fn inner(&mut self, path: u64, value: Value) {
        match value {
            Value::String(text) => self.value(path, &text),
            Value::Object(members) => {
                for (key, value) in members {
                    self.inner(path_join(path, &key), value);
                }
            }
            _ => self.unlisted(path),
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.values > MAX_VALUES {
            self.writer = BloomWriter::default();
            self.writer.add(EVERYTHING);
        }
        self.writer.finish(self.repeats)
    }
}
