//! `[input] envelope`: which of the fields that every event has a rule or a transform reads.

use serde::{Deserialize, Serialize};

/// A field that every event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeField {
    /// When it happened.
    Timestamp,
    /// How bad it is.
    Severity,
    /// Its type.
    Type,
    /// Where it comes from.
    Source,
}

/// Some of these fields. All of them where a manifest does not say: plugins that were built before it could say so read what they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope([bool; 4]);

impl Envelope {
    /// Every field.
    pub const ALL: Self = Self([true; 4]);

    /// These fields. The error is one that is there twice.
    pub(crate) fn of(fields: &[EnvelopeField]) -> Result<Self, EnvelopeField> {
        let mut own = Self([false; 4]);
        for field in fields {
            if std::mem::replace(&mut own.0[*field as usize], true) {
                return Err(*field);
            }
        }
        Ok(own)
    }

    /// The fields that are among them.
    pub fn fields(self) -> impl Iterator<Item = EnvelopeField> {
        use EnvelopeField::{Severity, Source, Timestamp, Type};
        [Timestamp, Severity, Type, Source]
            .into_iter()
            .filter(move |field| self.has(*field))
    }

    /// Whether a field is among them.
    #[must_use]
    pub const fn has(self, field: EnvelopeField) -> bool {
        self.0[field as usize]
    }
}

impl Default for Envelope {
    fn default() -> Self {
        Self::ALL
    }
}

impl EnvelopeField {
    /// As manifests and events write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Severity => "severity",
            Self::Type => "type",
            Self::Source => "source",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EnvelopeField::*, *};

    #[test]
    fn what_is_not_named_is_left_out() {
        let some = Envelope::of(&[Source, Timestamp]).unwrap();
        assert_eq!(
            [Timestamp, Severity, Type, Source].map(|field| some.has(field)),
            [true, false, false, true]
        );
        assert!(some.fields().eq([Timestamp, Source]));
        assert_eq!(Envelope::of(&[Type, Severity, Type]), Err(Type));
        let all = [Timestamp, Severity, Type, Source];
        assert_eq!(Envelope::of(&all), Ok(Envelope::default()));
        let named = |field: &EnvelopeField| serde_json::to_value(field).unwrap() == field.name();
        assert!(all.iter().all(named));
    }
}
