//! A type of events that only the hub's agents make: what they counted for metrics is no event of anybody, and no query shows it.

use streamflow_proto::{build::BatchBuilder, event::Rejection, metric::PARTIALS};

/// A builder for events of somebody else, whose type must not be the reserved one.
pub(crate) fn refused(builder: BatchBuilder) -> BatchBuilder {
    builder.refusing(PARTIALS, || Rejection {
        field: "type".to_owned(),
        reason: format!("`{PARTIALS}` is what agents count for metrics; give the event a type of its own"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_agents_is_refused_and_its_name_elsewhere_is_not() {
        let mut builder = refused(BatchBuilder::new());
        for json in [
            r#"{"type":"streamflow.partials","source":"s"}"#,
            r#"{"type":"streamflow\u002epartials","source":"s"}"#,
            r#"{"source":"s","type":"streamflow.partials","data":{"x":1}}"#,
        ] {
            let rejection = builder.push_json(json.as_bytes(), 0).unwrap_err();
            assert_eq!(rejection.field, "type", "{json}");
            assert!(rejection.reason.contains("agents"), "{}", rejection.reason);
        }
        let elsewhere = br#"{"type":"t","source":"streamflow.partials"}"#;
        builder.push_json(elsewhere, 0).unwrap();
        assert_eq!(builder.push_json(b"{", 0).unwrap_err().field, "event");
        assert_eq!(builder.len(), 1);
    }
}
