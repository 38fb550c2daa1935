//! Counts by two labels, bounded in how many labels there are.

use std::collections::BTreeMap;

/// Most different labels; what more there are is counted under [`OTHER`].
const MAX_LABELS: usize = 1000;
/// Stands for all labels beyond.
pub(crate) const OTHER: &str = "other";

/// What has been counted since the hub started.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    /// Events that came too late, by agent and source.
    pub(crate) late: Tally,
    /// Groups counted as `other`, by rule and attribute.
    pub(crate) surplus: Tally,
}

/// Counts by two labels.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<[String; 2], u64>);

impl Tally {
    /// Counts, and answers the labels that it was counted under.
    pub(crate) fn add<'a>(&mut self, labels: [&'a str; 2], count: u64) -> [&'a str; 2] {
        let wanted = labels.map(str::to_owned);
        let labels = if self.0.len() < MAX_LABELS || self.0.contains_key(&wanted) {
            labels
        } else {
            [OTHER, OTHER]
        };
        *self.0.entry(labels.map(str::to_owned)).or_default() += count;
        labels
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().map(|([a, b], count)| (a.as_str(), b.as_str(), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_labels_share_one_and_nothing_is_lost() {
        let mut tally = Tally::default();
        for n in 0..3000 {
            tally.add(["a", &n.to_string()], 2);
        }
        assert_eq!(tally.add(["a", "7"], 1), ["a", "7"]);
        assert_eq!(tally.add(["a", "2999"], 1), [OTHER, OTHER]);
        assert_eq!(tally.iter().count(), MAX_LABELS + 1);
        assert_eq!(tally.iter().map(|(_, _, count)| count).sum::<u64>(), 6002);
    }
}
