//! What the operator has decided about a plugin, kept beside its file.

use serde::{Deserialize, Serialize};
use streamflow_component::Manifest;

/// Decisions about one plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Somebody has approved that it runs.
    pub(crate) approved: bool,
    /// Rights that were approved at some time.
    pub(crate) capabilities: Vec<String>,
    /// Not switched off.
    pub(crate) enabled: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            approved: false,
            capabilities: Vec::new(),
            enabled: true,
        }
    }
}

impl Record {
    /// Rights that a manifest asks for and that nobody has approved.
    pub(crate) fn missing(&self, manifest: &Manifest) -> Vec<String> {
        let asked = manifest.capabilities();
        asked
            .into_iter()
            .filter(|right| !self.capabilities.contains(right))
            .collect()
    }

    /// Why a plugin must not run yet, in words.
    pub(crate) fn waits_for(&self, manifest: &Manifest) -> Option<String> {
        let missing = self.missing(manifest);
        match (self.approved, missing.is_empty()) {
            (true, true) => None,
            (false, true) => Some("nobody has approved it yet".to_owned()),
            (_, false) => Some(format!("nobody has approved what it asks for: {}", missing.join(", "))),
        }
    }

    /// Takes the operator's word for this manifest.
    pub(crate) fn approve(&mut self, manifest: &Manifest) {
        self.approved = true;
        let missing = self.missing(manifest);
        self.capabilities.extend(missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(http: &str) -> Manifest {
        let text = format!(
            "[plugin]\nname = \"a\"\nversion = \"1\"\nkind = \"channel\"\napi = \"0.1\"\n[capabilities]\nhttp = [{http}]\n"
        );
        Manifest::parse(&text).unwrap()
    }

    #[test]
    fn only_new_rights_need_a_new_word() {
        let (one, two) = (manifest("\"a.example\""), manifest("\"a.example\", \"b.example\""));
        let mut record = Record::default();
        assert!(record.waits_for(&manifest("")).unwrap().contains("approved it"));
        record.approve(&one);
        assert_eq!(record.waits_for(&one), None);
        assert_eq!(record.waits_for(&manifest("")), None);
        let reason = record.waits_for(&two).unwrap();
        assert!(
            reason.contains("http b.example") && !reason.contains("a.example"),
            "{reason}"
        );
        record.approve(&two);
        assert_eq!(record.waits_for(&two), None);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
