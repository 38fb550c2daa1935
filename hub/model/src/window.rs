//! Over which stretch of event time a rule computes.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{RuleError, Span, rule::plain};

/// Shortest and longest window, slide and session gap that a rule may have.
pub const WINDOW_BOUNDS: (Span, Span) = (Span::from_ms(1000), Span::from_secs(7 * 86_400));
/// Longest time for which a rule may wait for late events.
pub const MAX_LATENESS: Span = Span::from_secs(86_400);
/// Most slides in a window, and in its allowed lateness: a day by the minute.
pub const MAX_PANES: i64 = 1440;

/// Where windows begin and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum WindowSpec {
    /// Tumbling, aligned to multiples of its size since 1970.
    Tumbling(Span),
    /// Sliding: windows end at multiples of `slide` since 1970 and hold `[end - size, end)`.
    Sliding {
        /// Length of each window, a multiple of `slide`.
        size: Span,
        /// Time between the ends of two windows.
        slide: Span,
    },
    /// Sessions: events of one key less than `session_gap` apart belong together; a session ends that long after its last event.
    Session {
        /// The pause that ends a session.
        session_gap: Span,
        /// Attributes that tell sessions apart, besides the rule's `group_by`.
        by: Vec<String>,
    },
}

impl WindowSpec {
    /// Length of a window; of a session the shortest, its gap.
    #[must_use]
    pub const fn size(&self) -> Span {
        match self {
            Self::Tumbling(size) | Self::Sliding { size, .. } => *size,
            Self::Session { session_gap, .. } => *session_gap,
        }
    }

    /// Time between the ends of two windows, where they have fixed places.
    #[must_use]
    pub const fn slide(&self) -> Option<Span> {
        match self {
            Self::Tumbling(slide) | Self::Sliding { slide, .. } => Some(*slide),
            Self::Session { .. } => None,
        }
    }

    /// How far back from its end a window may reach that is still open, as far as that is known: sessions may be longer.
    #[must_use]
    pub fn reach(&self) -> Span {
        match self {
            Self::Tumbling(size) | Self::Sliding { size, .. } => *size,
            Self::Session { session_gap, .. } => {
                Span::from_ms(session_gap.ms().saturating_mul(10)).max(Span::from_secs(3600))
            }
        }
    }

    /// Attributes that tell its windows apart.
    #[must_use]
    pub fn by(&self) -> &[String] {
        match self {
            Self::Session { by, .. } => by,
            _ => &[],
        }
    }

    /// What is wrong with it, and with the lateness that a rule allows in it.
    pub(crate) fn check(&self, allowed_lateness: Span, errors: &mut Vec<RuleError>) {
        let (least, most) = WINDOW_BOUNDS;
        let mut bounds = |field: &str, span: Span| {
            if span < least || span > most {
                errors.push(plain(field, format!("must be between {least} and {most}, not {span}")));
            }
        };
        match self {
            Self::Tumbling(size) => bounds("window", *size),
            Self::Session { session_gap, .. } => bounds("window.session_gap", *session_gap),
            Self::Sliding { size, slide } => {
                bounds("window.size", *size);
                bounds("window.slide", *slide);
                if let Some(reason) = misfit(*size, *slide) {
                    errors.push(plain("window.slide", reason));
                }
            }
        }
        let pane = self.slide().unwrap_or_else(|| self.size());
        if allowed_lateness > MAX_LATENESS {
            errors.push(plain(
                "allowed_lateness",
                format!("must be between 0s and {MAX_LATENESS}, not {allowed_lateness}"),
            ));
        } else if allowed_lateness.ms() / pane.ms().max(1) > MAX_PANES {
            errors.push(plain(
                "allowed_lateness",
                format!("{allowed_lateness} is more than {MAX_PANES} windows; choose a longer window, slide or gap"),
            ));
        }
    }
}

fn misfit(size: Span, slide: Span) -> Option<String> {
    let (size_ms, slide_ms) = (size.ms(), slide.ms());
    if slide_ms == 0 {
        None
    } else if slide > size {
        Some(format!("must be at most the size, {size}, not {slide}"))
    } else if size_ms % slide_ms != 0 {
        Some(format!("must divide the size, {size}, which {slide} does not"))
    } else if size_ms / slide_ms > MAX_PANES {
        Some(format!(
            "{slide} is too short: a window of {size} may have at most {MAX_PANES} slides"
        ))
    } else {
        None
    }
}

impl<'de> Deserialize<'de> for WindowSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = WindowSpec;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a window: \"5m\", {\"size\":\"5m\",\"slide\":\"1m\"} or {\"session_gap\":\"30s\",\"by\":[\"session_id\"]}")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WindowSpec, E> {
                text.parse().map(WindowSpec::Tumbling).map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, secs: u64) -> Result<WindowSpec, E> {
                let secs = i64::try_from(secs).map_err(|_| E::custom("too long"))?;
                Ok(WindowSpec::Tumbling(Span::from_secs(secs)))
            }
            fn visit_i64<E: serde::de::Error>(self, secs: i64) -> Result<WindowSpec, E> {
                let secs = u64::try_from(secs).map_err(|_| E::custom("must not be negative"))?;
                self.visit_u64(secs)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<WindowSpec, A::Error> {
                Shape::deserialize(serde::de::value::MapAccessDeserializer::new(map))?
                    .window()
                    .map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Any window written as an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    size: Option<Span>,
    slide: Option<Span>,
    session_gap: Option<Span>,
    by: Option<Vec<String>>,
}

impl Shape {
    fn window(self) -> Result<WindowSpec, &'static str> {
        match self {
            Self {
                size: Some(size),
                slide,
                session_gap: None,
                by: None,
            } => Ok(slide.map_or(WindowSpec::Tumbling(size), |slide| WindowSpec::Sliding { size, slide })),
            Self {
                size: None,
                slide: None,
                session_gap: Some(session_gap),
                by,
            } => Ok(WindowSpec::Session {
                session_gap,
                by: by.unwrap_or_default(),
            }),
            _ => Err("give either `size` and `slide`, or `session_gap` and `by`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::RuleDraft;

    fn read(window: &Value) -> Result<WindowSpec, String> {
        serde_json::from_value(window.clone()).map_err(|e| e.to_string())
    }

    fn wrong(change: Value) -> Vec<(String, String)> {
        let mut body = json!({"name": "r", "threshold": 1});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let draft: RuleDraft = serde_json::from_value(body).unwrap();
        let errors = draft.compile().err().unwrap_or_default();
        errors.into_iter().map(|e| (e.field, e.reason)).collect()
    }

    #[test]
    fn all_windows_are_read_and_written_the_same() {
        for window in [
            json!("5m"),
            json!({"size": "5m", "slide": "1m"}),
            json!({"session_gap": "30s", "by": ["session_id"]}),
        ] {
            let spec = read(&window).unwrap();
            assert_eq!(serde_json::to_value(&spec).unwrap(), window);
            assert_eq!(wrong(json!({"window": window})), []);
        }
        assert_eq!(read(&json!(60)), Ok(WindowSpec::Tumbling(Span::from_secs(60))));
        assert_eq!(read(&json!({"size": "5m"})), read(&json!("5m")));
    }

    #[test]
    fn what_is_no_window_is_refused_with_the_reason() {
        for (window, reason) in [
            (json!("soon"), "length of time"),
            (json!("-5m"), "length of time"),
            (json!(-1), "negative"),
            (json!({"slide": "1m"}), "`size` and `slide`"),
            (json!({"size": "5m", "slide": "1m", "by": []}), "`session_gap` and `by`"),
            (json!({"size": "5m", "hop": "1m"}), "unknown field `hop`"),
            (json!({"session_gap": "30s", "by": "user_id"}), "sequence"),
            (json!([1]), "a window"),
        ] {
            let error = read(&window).unwrap_err();
            assert!(error.contains(reason), "{window}: {error}");
        }
    }

    #[test]
    fn absurd_windows_name_field_reason_and_range() {
        for (change, field, reason) in [
            (json!({"window": "0s"}), "window", "between 1s and 7d, not 0s"),
            (json!({"window": "8d"}), "window", "between 1s and 7d, not 8d"),
            (
                json!({"window": {"size": "5m", "slide": "0s"}}),
                "window.slide",
                "between 1s and 7d",
            ),
            (
                json!({"window": {"size": "5m", "slide": "10m"}}),
                "window.slide",
                "at most the size, 5m, not 10m",
            ),
            (
                json!({"window": {"size": "5m", "slide": "2m"}}),
                "window.slide",
                "must divide the size, 5m",
            ),
            (
                json!({"window": {"size": "1h", "slide": "1s"}}),
                "window.slide",
                "at most 1440 slides",
            ),
            (
                json!({"window": {"session_gap": "0s"}}),
                "window.session_gap",
                "between 1s and 7d",
            ),
            (
                json!({"window": {"session_gap": "30s", "by": ["user"]}}),
                "window.by",
                "`user`",
            ),
            (
                json!({"window": "1m", "allowed_lateness": "2d"}),
                "allowed_lateness",
                "between 0s and 1d, not 2d",
            ),
            (
                json!({"window": "1s", "allowed_lateness": "1h"}),
                "allowed_lateness",
                "more than 1440 windows",
            ),
            (json!({"max_groups": 0}), "max_groups", "between 1 and 100000, not 0"),
        ] {
            let errors = wrong(change.clone());
            let found = errors.iter().any(|(f, r)| f == field && r.contains(reason));
            assert!(found, "{change}: {errors:?}");
        }
    }
}
