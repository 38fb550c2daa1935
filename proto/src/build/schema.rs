//! The tree of keys seen so far. Events that look alike walk it by guesses that hold, without hashing.

use super::look::Literal;
use crate::batch::ColumnKind;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// No node, no column.
pub(super) const NONE: u32 = u32::MAX;

/// The most keys remembered; events with more of them overflow as JSON.
pub(super) const MAX_NODES: usize = 4096;

/// The nodes that always exist, in this order.
pub(super) mod roots {
    pub(in crate::build) const DATA: u32 = 0;
    pub(in crate::build) const METADATA: u32 = 1;
    pub(in crate::build) const TAGS: u32 = 2;
    pub(in crate::build) const CORRELATION_ID: u32 = 3;
    // `session_id` is 4.
    pub(in crate::build) const USER_ID: u32 = 5;
    pub(in crate::build) const NAMES: [&str; 6] =
        ["data", "metadata", "tags", "correlation_id", "session_id", "user_id"];
}

/// A key below a parent.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) parent: u32,
    pub(super) key: Box<str>,
    /// The key as it stands in JSON before its value.
    literal: Literal<Box<[u8]>>,
    /// The child that came first last time.
    first: u32,
    /// The sibling that came next last time.
    next: u32,
    /// The event that last had this key, to notice a key that stands twice.
    pub(super) seen: u32,
    /// The column of each kind of value.
    pub(super) columns: [u32; ColumnKind::ALL.len()],
}

/// All keys.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) nodes: Vec<Node>,
    index: HashTable<u32>,
}

impl Schema {
    pub(super) fn new() -> Self {
        let mut schema = Self {
            nodes: Vec::new(),
            index: HashTable::new(),
        };
        for name in roots::NAMES {
            schema.nodes.push(Node::new(NONE, name));
        }
        schema
    }

    /// The node of `key` below `parent`, when it comes after the sibling `previous`. `None` when it would be one too many.
    #[inline]
    pub(super) fn child(&mut self, parent: u32, previous: u32, key: &str, state: &RandomState) -> Option<u32> {
        match self.guess(parent, previous) {
            Some((guess, _)) if *self.nodes[guess as usize].key == *key => Some(guess),
            _ => self.find(parent, previous, key, state),
        }
    }

    /// The child that came after `previous` last time, and how its key stands in JSON before its value.
    #[inline]
    pub(super) fn guess(&self, parent: u32, previous: u32) -> Option<(u32, &Literal<Box<[u8]>>)> {
        let guess = match previous {
            NONE => self.nodes[parent as usize].first,
            _ => self.nodes[previous as usize].next,
        };
        self.nodes.get(guess as usize).map(|node| (guess, &node.literal))
    }

    fn find(&mut self, parent: u32, previous: u32, key: &str, state: &RandomState) -> Option<u32> {
        let hash = state.hash_one((parent, key));
        let nodes = &self.nodes;
        let is_it = |id: &u32| nodes[*id as usize].parent == parent && *nodes[*id as usize].key == *key;
        let found = match self.index.find(hash, is_it) {
            Some(id) => *id,
            None if self.nodes.len() >= MAX_NODES => return None,
            None => {
                let id = self.nodes.len() as u32;
                self.nodes.push(Node::new(parent, key));
                let nodes = &self.nodes;
                let rehash = |id: &u32| state.hash_one((nodes[*id as usize].parent, &*nodes[*id as usize].key));
                self.index.insert_unique(hash, id, rehash);
                id
            }
        };
        match previous {
            NONE => self.nodes[parent as usize].first = found,
            _ => self.nodes[previous as usize].next = found,
        }
        Some(found)
    }

    /// Bytes of the keys from the root to here, for estimates.
    pub(super) fn path_bytes(&self, mut node: u32) -> usize {
        let mut bytes = 0;
        while node != NONE {
            let at = &self.nodes[node as usize];
            bytes += at.key.len() + 6;
            node = at.parent;
        }
        bytes
    }
}

impl Node {
    fn new(parent: u32, key: &str) -> Self {
        let literal = format!("{}:", serde_json::Value::from(key)).into_bytes();
        Self {
            parent,
            key: key.into(),
            literal: Literal::new(literal.into()),
            first: NONE,
            next: NONE,
            seen: 0,
            columns: [NONE; ColumnKind::ALL.len()],
        }
    }
}
