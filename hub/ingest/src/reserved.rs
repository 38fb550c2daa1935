//! A type of events that only the hub's agents make: what they counted for metrics is no event of anybody, and no query shows it.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem;
use serde::Deserialize;
use streamflow_proto::{build::BatchBuilder, event::Rejection, metric::PARTIALS};
use uuid::Uuid;

static NAME: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(PARTIALS));

/// Takes one event of somebody else as JSON text.
///
/// # Errors
/// What is wrong with it; its type may be the reserved one.
pub(crate) fn push(builder: &mut BatchBuilder, raw: &[u8], now_ms: i64) -> Result<Uuid, Rejection> {
    if is_reserved(raw) {
        return Err(Rejection {
            field: "type".to_owned(),
            reason: format!("`{PARTIALS}` is what agents count for metrics; give the event a type of its own"),
        });
    }
    builder.push_json(raw, now_ms)
}

fn is_reserved(raw: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct TypeOnly<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Cow<'a, str>>,
    }
    NAME.find(raw).is_some()
        && serde_json::from_slice::<TypeOnly<'_>>(raw).is_ok_and(|event| event.kind.as_deref() == Some(PARTIALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_agents_is_refused_and_its_name_elsewhere_is_not() {
        let mut builder = BatchBuilder::new();
        let refused = push(&mut builder, br#"{"type":"streamflow.partials","source":"s"}"#, 0).unwrap_err();
        assert_eq!(refused.field, "type");
        assert!(refused.reason.contains("agents"), "{}", refused.reason);
        push(&mut builder, br#"{"type":"t","source":"streamflow.partials"}"#, 0).unwrap();
        assert_eq!(push(&mut builder, b"{", 0).unwrap_err().field, "event");
        assert_eq!(builder.len(), 1);
    }
}
