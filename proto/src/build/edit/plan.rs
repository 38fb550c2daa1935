//! What the columns of a row become: decided once for all rows that have the same columns and are given the same attributes.

use super::super::{
    schema::{NONE, roots},
    store::Store,
};
use crate::{batch::ColumnKind, path::Path};

/// Where a value of the edited row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was there.
    Kept,
    /// From this write.
    Written(usize),
    /// An object that has lost its last field.
    Empty,
    /// The whole object below this root, edited as JSON.
    Json(usize),
}

/// One value of the edited row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    node: u32,
    pub(super) column: u32,
    pub(super) origin: Origin,
}

/// An attribute as a node of the schema; no node when the schema has no room for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) root: u32,
    node: Option<u32>,
}

/// A write: where to, and as what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    pub(super) kind: ColumnKind,
}

/// The objects below this root have to be edited as JSON: they are JSON already, or there is no column left.
struct Overflow(u32);

/// Decides for the rows of one batch.
pub(super) struct Planner<'a> {
    store: &'a mut Store,
    /// Whole objects first, so that nothing is looked for in what goes anyway.
    drops: Vec<Place>,
    targets: Vec<Target>,
    /// Columns that have no values yet and will have some.
    woken: Vec<u32>,
}

impl<'a> Planner<'a> {
    /// The targets stand in the order in which they are written.
    pub(super) fn new(store: &'a mut Store, mut drops: Vec<Place>, targets: Vec<Target>) -> Self {
        drops.sort_by_key(|place| place.node != Some(place.root));
        Self {
            store,
            drops,
            targets,
            woken: Vec::new(),
        }
    }

    /// The edited row of these columns when the writes of the mask, one bit each, are for it.
    pub(super) fn plan(&mut self, shape: &[u32], mask: u128) -> Vec<Leaf> {
        let mut json = [false; 2];
        loop {
            match self.attempt(shape, mask, json) {
                Ok(leaves) => return leaves,
                // At most once for each of the two: what is edited as JSON needs no column below its root.
                Err(Overflow(root)) => match json.get_mut(root as usize) {
                    Some(flag) if !*flag => *flag = true,
                    _ => unreachable!("roots always have room"),
                },
            }
        }
    }

    fn attempt(&mut self, shape: &[u32], mask: u128, json: [bool; 2]) -> Result<Vec<Leaf>, Overflow> {
        let kept = |column: &u32| Leaf {
            node: self.store.columns[*column as usize].node,
            column: *column,
            origin: Origin::Kept,
        };
        let mut leaves: Vec<Leaf> = shape.iter().map(kept).collect();
        for (root, _) in (roots::DATA..).zip(json).filter(|(_, json)| *json) {
            leaves.retain(|leaf| !self.is_within(leaf.node, root));
            let column = self.column(root, ColumnKind::Object, root)?;
            leaves.push(Leaf {
                node: root,
                column,
                origin: Origin::Json(root as usize),
            });
        }
        let is_json = |place: Place| json.get(place.root as usize) == Some(&true);
        for index in 0..self.drops.len() {
            let place = self.drops[index];
            if !is_json(place) {
                self.drop(&mut leaves, place)?;
            }
        }
        for index in 0..self.targets.len() {
            let target = self.targets[index];
            if mask >> index & 1 == 1 && !is_json(target.place) {
                self.write(&mut leaves, index, target)?;
            }
        }
        Ok(leaves)
    }

    fn drop(&mut self, leaves: &mut Vec<Leaf>, place: Place) -> Result<(), Overflow> {
        self.in_columns(leaves, place)?;
        let Some(node) = place.node else { return Ok(()) };
        let Some(first) = leaves.iter().position(|leaf| self.is_within(leaf.node, node)) else {
            return Ok(());
        };
        leaves.retain(|leaf| !self.is_within(leaf.node, node));
        let parent = self.parent(node);
        if parent != NONE && !leaves.iter().any(|leaf| self.is_within(leaf.node, parent)) {
            let column = self.column(parent, ColumnKind::EmptyObject, place.root)?;
            let empty = Leaf {
                node: parent,
                column,
                origin: Origin::Empty,
            };
            leaves.insert(first, empty);
        }
        Ok(())
    }

    fn write(&mut self, leaves: &mut Vec<Leaf>, index: usize, target: Target) -> Result<(), Overflow> {
        let place = target.place;
        self.in_columns(leaves, place)?;
        let node = place.node.ok_or(Overflow(place.root))?;
        let leaf = Leaf {
            node,
            column: self.column(node, target.kind, place.root)?,
            origin: Origin::Written(index),
        };
        if let Some(first) = leaves.iter().position(|old| self.is_within(old.node, node)) {
            leaves.retain(|old| !self.is_within(old.node, node));
            leaves.insert(first, leaf);
            return Ok(());
        }
        // The fields of an object stand side by side, so a new one goes behind the last of the nearest object that there is.
        let mut above = self.parent(node);
        while above != NONE {
            if let Some(last) = leaves.iter().rposition(|old| self.is_within(old.node, above)) {
                if leaves[last].node == above {
                    // No object, or one without fields: it gives way to one that has this.
                    leaves[last] = leaf;
                } else {
                    leaves.insert(last + 1, leaf);
                }
                return Ok(());
            }
            above = self.parent(above);
        }
        leaves.push(leaf);
        Ok(())
    }

    /// Fails when the place is inside an object that stands as JSON text.
    fn in_columns(&self, leaves: &[Leaf], place: Place) -> Result<(), Overflow> {
        let is_text = |leaf: &Leaf| self.store.columns[leaf.column as usize].kind == ColumnKind::Object;
        let overflown = leaves.iter().any(|leaf| leaf.node == place.root && is_text(leaf));
        if overflown && place.node != Some(place.root) {
            Err(Overflow(place.root))
        } else {
            Ok(())
        }
    }

    fn column(&mut self, node: u32, kind: ColumnKind, root: u32) -> Result<u32, Overflow> {
        let column = self.store.column_at(node, kind).map_err(|_| Overflow(root))?;
        if self.store.columns[column as usize].present == 0 && node > roots::USER_ID && !self.woken.contains(&column) {
            if !self.store.has_room(self.woken.len()) {
                return Err(Overflow(root));
            }
            self.woken.push(column);
        }
        Ok(column)
    }

    fn parent(&self, node: u32) -> u32 {
        self.store.schema.nodes[node as usize].parent
    }

    fn is_within(&self, mut node: u32, ancestor: u32) -> bool {
        while node != NONE {
            if node == ancestor {
                return true;
            }
            node = self.parent(node);
        }
        false
    }
}

/// The node of an attribute. `type` and `severity`, which are in no column, are not asked for.
pub(super) fn place(store: &mut Store, path: &Path) -> Place {
    let known = (0..).zip(roots::NAMES).find(|(_, name)| *name == path.root());
    let root = known.map_or(roots::DATA, |(root, _)| root);
    let below = |parent: u32, key: &String| store.schema.child(parent, NONE, key, &store.state);
    Place {
        root,
        node: path.keys().iter().try_fold(root, below),
    }
}
