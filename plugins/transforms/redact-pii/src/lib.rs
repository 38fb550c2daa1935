//! Takes personal data out of texts before they leave the host: e-mail addresses, card numbers, IP addresses, phone numbers, and what own patterns find.
//!
//! Texts come as a dictionary, so that a line that a thousand events share is searched once.

use std::ops::Range;

use hmac::{Hmac, KeyInit, Mac};
use regex_lite::Regex;
use serde::Deserialize;
use sha2::Sha256;
use streamflow_sdk::{Events, Output, Schema, Transform, export_schema, export_transform};

mod find;
mod phone;

/// Shortest key: a shorter one is guessed.
const MIN_KEY: usize = 16;
/// Bytes of a hash that are kept: enough to tell values apart.
const HASH_BYTES: usize = 8;
/// Stands at the end of a text that had no room for all that stands in the place of what was found.
const CUT: &str = "[cut]";

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Paths of the texts that are searched, such as data.message
    #[schema(min_items = 1, max_items = 32)]
    fields: Vec<String>,
    /// What is looked for; all of it when absent
    #[serde(default = "Kind::all")]
    find: Vec<Kind>,
    /// Further patterns, by name: regular expressions without look-around
    #[serde(default)]
    #[schema(max_items = 16)]
    patterns: Vec<Pattern>,
    /// What becomes of it
    #[serde(default)]
    #[schema(default = "replace")]
    action: Action,
    /// For `hash`: at least 16 characters. Equal values have equal hashes as long as the key is the same
    #[schema(secret, min_length = 16)]
    key: Option<String>,
}

#[derive(Deserialize, Schema, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Email,
    Card,
    Ip,
    Phone,
}

#[derive(Deserialize, Schema)]
#[serde(deny_unknown_fields)]
struct Pattern {
    /// Stands in the place of what is found
    #[schema(pattern = "^[a-z0-9_-]{1,32}$")]
    name: String,
    #[schema(min_length = 1, max_length = 1000)]
    regex: String,
}

#[derive(Deserialize, Schema, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// `[email]` in its place.
    #[default]
    Replace,
    /// `[email:2f7a09c1d04be0a5]` in its place.
    Hash,
    /// The field is removed from the event.
    DropField,
    /// The event is dropped.
    DropEvent,
}

impl Kind {
    fn all() -> Vec<Self> {
        vec![Self::Email, Self::Card, Self::Ip, Self::Phone]
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Card => "card",
            Self::Ip => "ip",
            Self::Phone => "phone",
        }
    }

    fn find(self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Email => find::emails(text),
            Self::Card => find::cards(text),
            Self::Ip => find::addresses(text),
            Self::Phone => phone::numbers(text),
        }
    }
}

struct Redact {
    /// Paths, and how many bytes a text may have there.
    fields: Vec<(String, usize)>,
    kinds: Vec<Kind>,
    patterns: Vec<(String, Regex)>,
    action: Action,
    hash: Option<Hmac<Sha256>>,
}

impl Transform for Redact {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        let hash = match (config.action, &config.key) {
            (Action::Hash, Some(key)) if key.len() >= MIN_KEY => Some(key),
            (Action::Hash, _) => return Err(format!("`hash` needs a key of at least {MIN_KEY} characters")),
            _ => None,
        };
        let hash = hash
            .map(|key| Hmac::<Sha256>::new_from_slice(key.as_bytes()))
            .transpose();
        let compile = |Pattern { name, regex }: Pattern| match Regex::new(&regex) {
            Ok(compiled) => Ok((name, compiled)),
            Err(error) => Err(format!("pattern `{name}`: {error}")),
        };
        let field = |path: String| match config.action.room(&path) {
            Ok(room) => Ok((path, room)),
            Err(error) => Err(format!("fields: {error}")),
        };
        Ok(Self {
            fields: config.fields.into_iter().map(field).collect::<Result<_, _>>()?,
            kinds: config.find,
            patterns: config.patterns.into_iter().map(compile).collect::<Result<_, _>>()?,
            action: config.action,
            hash: hash.map_err(|error| format!("key: {error}"))?,
        })
    }

    fn apply(&mut self, events: &Events) -> Result<Output, String> {
        let mut output = Output::unchanged(events);
        for (path, room) in &self.fields {
            let texts = events.texts(path)?;
            // None where nothing was found.
            let redacted = texts.dict().iter().map(|text| Some(cut(self.redact(text)?, *room)));
            let redacted: Vec<Option<String>> = redacted.collect();
            let changed = |number: usize| redacted.get(number).and_then(Option::as_deref);
            match self.action {
                Action::Replace | Action::Hash => output.set_texts_by(path, &texts, changed),
                Action::DropField => {
                    output.drop(path);
                    let clean = |number| texts.dict().get(number).filter(|_| changed(number).is_none());
                    output.set_texts_by(path, &texts, clean);
                }
                Action::DropEvent => output.keep(|row| texts.number(row).and_then(changed).is_none()),
            }
        }
        Ok(output)
    }
}

impl Action {
    /// How many bytes a text may have where this is done; an error where it cannot be done.
    fn room(self, path: &str) -> Result<usize, String> {
        match self {
            Self::Replace | Self::Hash if path == "severity" => Err("`severity` is one of four words".to_owned()),
            Self::Replace | Self::Hash => Output::room(path),
            Self::DropField => Output::droppable(path).map(|()| usize::MAX),
            Self::DropEvent => Ok(usize::MAX),
        }
    }
}

/// What stands in the place of a value can be longer than the value. A text that outgrows its field loses its end, after all was taken out of it.
fn cut(mut text: String, room: usize) -> String {
    if text.len() > room {
        text.truncate(text.floor_char_boundary(room.saturating_sub(CUT.len())));
        text.push_str(CUT);
    }
    text
}

impl Redact {
    fn redact(&self, text: &str) -> Option<String> {
        let mut found = self.found(text).into_iter().peekable();
        found.peek()?;
        let (mut redacted, mut done) = (String::with_capacity(text.len()), 0);
        for (range, name) in found {
            // What could not be taken out of the text is not shown: no answer would leave the text as it is.
            redacted.push_str(text.get(done..range.start).unwrap_or_default());
            redacted.push_str(&self.instead(name, text.get(range.clone()).unwrap_or_default()));
            done = range.end;
        }
        redacted.push_str(text.get(done..).unwrap_or_default());
        Some(redacted)
    }

    /// In the order of the text. What overlaps is one, with the name of what begins first.
    fn found(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        let mut all: Vec<(Range<usize>, &str)> = Vec::new();
        for kind in &self.kinds {
            all.extend(kind.find(text).into_iter().map(|range| (range, kind.name())));
        }
        for (name, pattern) in &self.patterns {
            let ranges = pattern.find_iter(text).map(|found| found.range());
            all.extend(
                ranges
                    .filter(|range| !range.is_empty())
                    .map(|range| (range, name.as_str())),
            );
        }
        all.sort_by_key(|(range, _)| range.start);
        let mut apart: Vec<(Range<usize>, &str)> = Vec::with_capacity(all.len());
        for (range, name) in all {
            match apart.last_mut() {
                Some((last, _)) if range.start < last.end => last.end = last.end.max(range.end),
                _ => apart.push((range, name)),
            }
        }
        apart
    }

    fn instead(&self, name: &str, value: &str) -> String {
        let Some(hash) = &self.hash else {
            return format!("[{name}]");
        };
        let tag = hash.clone().chain_update(value.as_bytes()).finalize().into_bytes();
        let hex: String = tag.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("[{name}:{hex}]")
    }
}

export_transform!(Redact);
export_schema!(Config);

#[cfg(test)]
mod tests;
