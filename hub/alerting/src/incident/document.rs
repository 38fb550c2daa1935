//! An incident is read from its document: the fields of the alert, and `memory` beside them.
//!
//! The derived way of reading flattened fields keeps a copy of all of them first. That took a third of the time in which a hub with a hundred thousand alerts starts.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor, value::MapAccessDeserializer},
};
use streamflow_model::Alert;

use super::{Incident, Memory};

const MEMORY: &str = "memory";

impl<'de> Deserialize<'de> for Incident {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Document)
    }
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Incident;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an alert and its memory")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Incident, A::Error> {
        let mut fields = AlertFields { map, memory: None };
        let alert = Alert::deserialize(MapAccessDeserializer::new(&mut fields))?;
        let memory = fields.memory.ok_or_else(|| A::Error::missing_field(MEMORY))?;
        Ok(Incident { alert, memory })
    }
}

/// All fields but `memory`, which is kept.
struct AlertFields<A> {
    map: A,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de, A: MapAccess<'de>> MapAccess<'de> for AlertFields<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        while let Some(Name(name)) = self.map.next_key()? {
            if name == MEMORY {
                self.memory = Some(self.map.next_value()?);
            } else {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::{T0, book, rule, signal};

    fn document() -> (Incident, Value) {
        let mut book = book(vec![rule(json!({"annotations": {"runbook": "say \"hi\"\n"}}))]);
        book.signals(&[signal(0, 60.5)], T0);
        let incident = book.incident("r1{source=web-1}").unwrap().clone();
        let document = serde_json::to_value(&incident).unwrap();
        (incident, document)
    }

    #[test]
    fn an_incident_comes_back_from_text_and_from_values_wherever_its_memory_stands() {
        let (incident, document) = document();
        let first = document["memory"].to_string();
        let mut others = document.clone();
        others.as_object_mut().unwrap().shift_remove("memory");
        others["new in a later version"] = json!([1, {"a": 2}]);
        let text = format!("{{\"memory\":{first},{}", &others.to_string()[1..]);
        for read in [
            serde_json::from_value::<Incident>(document.clone()),
            serde_json::from_str(&document.to_string()),
            serde_json::from_str(&serde_json::to_string_pretty(&incident).unwrap()),
            serde_json::from_str(&text),
            serde_json::from_slice(text.replace("memory", "m\\u0065mory").as_bytes()),
        ] {
            assert_eq!(read.unwrap(), incident);
        }
    }

    #[test]
    fn a_document_with_a_part_missing_does_not_decode() {
        for missing in ["memory", "title", "timeline"] {
            let mut document = document().1;
            document.as_object_mut().unwrap().shift_remove(missing);
            let error = serde_json::from_value::<Incident>(document).unwrap_err().to_string();
            assert_eq!(error, format!("missing field `{missing}`"));
        }
        assert!(serde_json::from_str::<Incident>("[]").is_err());
    }
}
