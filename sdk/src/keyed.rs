//! State by text, such as by source: found once for each text of a call, and not for each row.

use std::{collections::HashMap, mem};

use foldhash::fast::FixedState;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::events::Dict;

/// A text of the call that has not been asked for yet.
const UNSEEN: u32 = u32::MAX;

/// What a rule remembers of each source, or of whatever else has a text for its name. As state it is a JSON object, as a `BTreeMap<String, V>` is.
///
/// ```
/// use streamflow_sdk::keyed::Keyed;
/// let mut counts = Keyed::<u64>::default();
/// let sources = ["oven-1", "oven-2"];
/// let mut here = counts.of(&sources[..]);
/// for number in [0, 1, 0] {
///     *here.or_default(number).unwrap() += 1;
/// }
/// assert_eq!((counts.get("oven-1"), counts.get("oven-3")), (Some(&2), None));
/// ```
#[derive(Clone)]
pub struct Keyed<V> {
    // Not hardened against keys that were chosen to collide: a guest has no randomness. The limits of state and of a call's time bound what such keys cost.
    places: HashMap<Box<str>, u32, FixedState>,
    values: Vec<V>,
}

/// Texts that a call names by number: those of the events' own column, or any list.
pub trait Numbered {
    /// How many.
    fn count(&self) -> usize;
    /// The text of a number.
    fn text(&self, number: usize) -> Option<&str>;
}

impl Numbered for Dict<'_> {
    fn count(&self) -> usize {
        self.len()
    }

    fn text(&self, number: usize) -> Option<&str> {
        self.get(number)
    }
}

impl<S: AsRef<str>> Numbered for &[S] {
    fn count(&self) -> usize {
        self.len()
    }

    fn text(&self, number: usize) -> Option<&str> {
        <[S]>::get(self, number).map(AsRef::as_ref)
    }
}

impl<V> Keyed<V> {
    /// How many are remembered.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.values.len()
    }

    /// None at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What is remembered of a text.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<&V> {
        self.values.get(*self.places.get(text)? as usize)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, text: &str) -> Option<&mut V> {
        self.values.get_mut(*self.places.get(text)? as usize)
    }

    /// All of it, in the order of the texts.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&str, &V)> {
        let value = |place: &u32| self.values.get(*place as usize);
        let all = self
            .places
            .iter()
            .filter_map(|(text, place)| Some((&**text, value(place)?)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(text, _)| *text);
        all
    }

    /// Forgets all for which this is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut V) -> bool) {
        let (values, before) = (&mut self.values, self.places.len());
        self.places.retain(|text, place| {
            let value = values.get_mut(*place as usize);
            value.is_some_and(|value| keep(text, value))
        });
        if self.places.len() == before {
            return;
        }
        // What stays moves together.
        let mut values: Vec<Option<V>> = mem::take(&mut self.values).into_iter().map(Some).collect();
        for place in self.places.values_mut() {
            if let Some(value) = values.get_mut(*place as usize).and_then(Option::take) {
                *place = u32::try_from(self.values.len()).unwrap_or(UNSEEN);
                self.values.push(value);
            }
        }
    }

    /// What is remembered of these texts, by their numbers.
    pub fn of<N: Numbered>(&mut self, texts: N) -> Here<'_, V, N> {
        Here {
            places: vec![UNSEEN; texts.count()],
            keyed: self,
            texts,
        }
    }

    /// A text that is not there yet.
    fn push(&mut self, text: Box<str>, value: V) -> Option<u32> {
        let place = u32::try_from(self.values.len()).ok().filter(|place| *place != UNSEEN)?;
        self.places.insert(text, place);
        self.values.push(value);
        Some(place)
    }
}

/// What is remembered of the texts of a call. Each is looked up when it is first asked for.
pub struct Here<'a, V, N> {
    keyed: &'a mut Keyed<V>,
    texts: N,
    places: Vec<u32>,
}

impl<V, N: Numbered> Here<'_, V, N> {
    /// The text of a number.
    #[must_use]
    pub fn text(&self, number: usize) -> Option<&str> {
        self.texts.text(number)
    }

    /// How many are remembered in all, of this call's texts and of others.
    #[must_use]
    pub const fn remembered(&self) -> usize {
        self.keyed.len()
    }

    /// Forgets all for which this is false, of this call's texts and of others.
    pub fn retain(&mut self, keep: impl FnMut(&str, &mut V) -> bool) {
        let before = self.keyed.len();
        self.keyed.retain(keep);
        if self.keyed.len() < before {
            self.places.fill(UNSEEN);
        }
    }

    /// What is remembered of the text of this number, if anything is.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut V> {
        let place = self.places.get_mut(number)?;
        if *place == UNSEEN {
            *place = *self.keyed.places.get(self.texts.text(number)?)?;
        }
        self.keyed.values.get_mut(*place as usize)
    }

    /// The same, which begins like this where nothing is remembered; none when no text has this number.
    pub fn or_insert_with(&mut self, number: usize, new: impl FnOnce() -> V) -> Option<&mut V> {
        let place = self.places.get_mut(number)?;
        if *place == UNSEEN {
            let text = self.texts.text(number)?;
            *place = match self.keyed.places.get(text) {
                Some(known) => *known,
                None => self.keyed.push(text.into(), new())?,
            };
        }
        self.keyed.values.get_mut(*place as usize)
    }

    /// The same among `most`, none when there is no room: where all places are taken, those for which `keep` is false make room.
    pub fn or_insert_among(
        &mut self,
        most: usize,
        mut keep: impl FnMut(&V) -> bool,
        number: usize,
        new: impl FnOnce() -> V,
    ) -> Option<&mut V> {
        if self.remembered() >= most && self.get_mut(number).is_none() {
            self.retain(|_, value| keep(value));
            if self.remembered() >= most {
                return None;
            }
        }
        self.or_insert_with(number, new)
    }

    /// The same, for what begins with its default.
    pub fn or_default(&mut self, number: usize) -> Option<&mut V>
    where
        V: Default,
    {
        self.or_insert_with(number, V::default)
    }
}

impl<V> Default for Keyed<V> {
    fn default() -> Self {
        Self {
            places: HashMap::default(),
            values: Vec::new(),
        }
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Keyed<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

impl<V> FromIterator<(String, V)> for Keyed<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(all: I) -> Self {
        let mut keyed = Self::default();
        for (text, value) in all {
            match keyed.get_mut(&text) {
                Some(known) => *known = value,
                None => {
                    keyed.push(text.into(), value);
                }
            }
        }
        keyed
    }
}

impl<V: Serialize> Serialize for Keyed<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Sorted, so that the same state is the same bytes.
        serializer.collect_map(self.sorted())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Keyed<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = std::collections::BTreeMap::<String, V>::deserialize(deserializer)?;
        Ok(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_text_has_its_own_value_whatever_number_a_call_gives_it() {
        let mut keyed = Keyed::<u64>::default();
        let mut here = keyed.of(&["a", "b"][..]);
        assert_eq!(here.get_mut(1), None);
        *here.or_insert_with(1, || 5).unwrap() += 1;
        *here.or_default(0).unwrap() += 1;
        assert_eq!(here.or_default(2), None);
        assert_eq!(here.text(2), None);
        let mut here = keyed.of(Dict::new("bc", &[1, 2]));
        assert_eq!(here.get_mut(0), Some(&mut 6));
        assert_eq!(here.text(1), Some("c"));
        *here.or_default(1).unwrap() = 9;
        assert_eq!(keyed.sorted(), [("a", &1), ("b", &6), ("c", &9)]);
        assert_eq!((keyed.len(), keyed.is_empty()), (3, false));
    }

    #[test]
    fn what_is_forgotten_is_gone_and_the_rest_keeps_its_value() {
        let mut keyed: Keyed<u64> = (0..100).map(|n| (format!("source-{n}"), n)).collect();
        keyed.retain(|text, n| {
            *n += 1;
            text.ends_with('7')
        });
        assert_eq!(keyed.len(), 10);
        let kept = |n: &&u64| *n % 10 == 8;
        assert_eq!(keyed.sorted().iter().map(|(_, n)| *n).filter(kept).count(), 10);
        assert_eq!((keyed.get("source-17"), keyed.get("source-18")), (Some(&18), None));
        let mut here = keyed.of(&["source-18", "source-17"][..]);
        assert_eq!(here.or_default(0), Some(&mut 0));
        here.retain(|_, n| *n > 0);
        assert_eq!(here.get_mut(0), None);
        assert_eq!(here.get_mut(1), Some(&mut 18));
        assert_eq!(here.remembered(), 10);
    }

    #[test]
    fn what_is_over_makes_room_only_when_there_is_none() {
        let mut keyed: Keyed<u64> = [("a".to_owned(), 1), ("b".to_owned(), 0)].into_iter().collect();
        let mut here = keyed.of(&["a", "b", "c", "d"][..]);
        let goes_on = |value: &u64| *value > 0;
        assert_eq!(here.or_insert_among(2, goes_on, 1, || 9), Some(&mut 0));
        assert_eq!(here.or_insert_among(3, goes_on, 2, || 9), Some(&mut 9));
        assert_eq!(here.or_insert_among(3, goes_on, 3, || 8), Some(&mut 8));
        assert_eq!(here.get_mut(1), None);
        assert_eq!(here.get_mut(2), Some(&mut 9));
        assert_eq!(here.or_insert_among(3, goes_on, 1, || 7), None);
        assert_eq!(here.or_insert_among(3, goes_on, 0, || 7), Some(&mut 1));
        assert_eq!(here.or_insert_among(4, goes_on, 4, || 7), None, "no such text");
        assert_eq!(keyed.sorted(), [("a", &1), ("c", &9), ("d", &8)]);
    }

    #[test]
    fn its_json_is_that_of_a_map_and_survives_a_restart() {
        let map = BTreeMap::from([("b".to_owned(), 2), ("a".to_owned(), 1)]);
        let json = serde_json::to_string(&map).unwrap();
        let keyed: Keyed<u64> = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&keyed).unwrap(), json);
        assert_eq!(format!("{keyed:?}"), format!("{map:?}"));
    }
}
