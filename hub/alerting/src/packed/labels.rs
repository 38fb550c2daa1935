//! Labels of alerts at rest, without what all alerts of a rule have in common: names, and most values.

use std::collections::BTreeMap;

/// Behind values, and names.
const SEPARATOR: char = '\u{1f}';
/// In place of a value that is the template's.
const SAME: &str = "\u{1e}";
/// Before labels of other names than the template's.
const OTHERS: char = '\u{1d}';

/// Whether labels can be kept like this: they have none of the signs.
pub(super) fn fit(labels: &BTreeMap<String, String>) -> bool {
    let sign = |c: char| (OTHERS..=SEPARATOR).contains(&c);
    !labels
        .iter()
        .any(|(name, value)| name.contains(sign) || value.contains(sign))
}

/// Labels of the first alert of a rule.
pub(super) struct Template(Box<[(Box<str>, Box<str>)]>);

impl Template {
    pub(super) fn of(labels: &BTreeMap<String, String>) -> Self {
        let labels = labels.iter();
        Self(
            labels
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
        )
    }

    /// `None` for labels that cannot be kept like this.
    pub(super) fn pack(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        if !fit(labels) {
            return None;
        }
        let mut packed = String::new();
        let mut add = |text: &str| {
            packed.push_str(text);
            packed.push(SEPARATOR);
        };
        if self.0.iter().map(|(name, _)| &**name).eq(labels.keys()) {
            for ((_, usual), value) in self.0.iter().zip(labels.values()) {
                add(if **usual == **value { SAME } else { value });
            }
            return Some(packed);
        }
        for (name, value) in labels {
            add(name);
            add(value);
        }
        packed.insert(0, OTHERS);
        Some(packed)
    }

    pub(super) fn unpack(&self, text: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        if let Some(others) = text.strip_prefix(OTHERS) {
            let mut texts = others.split_terminator(SEPARATOR).map(str::to_owned);
            while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
                labels.insert(name, value);
            }
            return labels;
        }
        for ((name, usual), value) in self.0.iter().zip(text.split_terminator(SEPARATOR)) {
            let value = if value == SAME { usual } else { value };
            labels.insert(name.to_string(), value.to_owned());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
        prop::collection::btree_map("[ab]{0,2}", "[a-c\u{1c}\u{1d}é]{0,3}", 0..4)
    }

    proptest! {
        #[test]
        fn labels_come_back_as_they_were(template in labels(), labels in labels()) {
            let of_rule = Template::of(&template);
            let signs = labels.values().any(|value| value.contains(OTHERS));
            match of_rule.pack(&labels) {
                Some(text) => prop_assert_eq!(of_rule.unpack(&text), labels),
                None => prop_assert!(signs, "only those with a sign of ours cannot be kept"),
            }
            if !template.values().any(|value| value.contains(OTHERS)) {
                let text = of_rule.pack(&template).unwrap();
                prop_assert!(text.len() <= template.len() * 2, "{text:?}");
                prop_assert_eq!(of_rule.unpack(&text), template);
            }
        }
    }
}
