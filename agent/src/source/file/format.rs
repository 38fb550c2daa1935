//! What a line means: `event`, `json`, `logfmt`, `text`, or whichever of them fits.

mod logfmt;
mod pick;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use streamflow_proto::build::{BatchBuilder, Head, Scalar};
use streamflow_proto::event::{Rejection, Severity};

/// `format` of a file source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// By the look of each line.
    #[default]
    Auto,
    /// A line is an event as the hub's API takes it.
    Event,
    /// A line is a JSON object, which becomes the event's `data`.
    Json,
    /// A line is `key=value` pairs, which become `data`.
    Logfmt,
    /// A line is a message.
    Text,
}

/// What is the same for all lines of one file.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// `type` of events that do not bring their own.
    pub kind: &'a str,
    /// Their `source`.
    pub source: &'a str,
    /// The file's path.
    pub path: &'a str,
    /// The same as a JSON object, for `metadata`.
    pub metadata: &'a [u8],
}

/// What a line was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It is not what the format says, and was kept as text.
    pub malformed: Option<Rejection>,
    /// It had bytes that are not UTF-8, which were replaced.
    pub invalid_utf8: bool,
}

/// Turns one line into one event. The batch must have room. No line is lost: what does not parse is kept as text.
pub fn push(
    format: Format,
    line: &[u8],
    context: &Context<'_>,
    now_ms: i64,
    builder: &mut BatchBuilder,
) -> Result<Outcome, Rejection> {
    let object = line.trim_ascii_start().first() == Some(&b'{');
    // The common case costs no look at the text: the builder itself refuses what is not UTF-8.
    let rejection = match format {
        Format::Event => builder.push_json(line, now_ms).err(),
        Format::Auto if object => match builder.push_json(line, now_ms) {
            Ok(_) => None,
            Err(_) => push_object(line, context, now_ms, builder).err(),
        },
        Format::Json => push_object(line, context, now_ms, builder).err(),
        Format::Logfmt | Format::Auto | Format::Text => None,
    };
    if matches!(format, Format::Event | Format::Json) || (format == Format::Auto && object) {
        let Some(rejection) = rejection else {
            return Ok(Outcome::default());
        };
        let text = String::from_utf8_lossy(line);
        if let Cow::Owned(text) = &text {
            let again = push(format, text.as_bytes(), context, now_ms, builder)?;
            return Ok(Outcome {
                invalid_utf8: true,
                ..again
            });
        }
        push_text(&text, context, now_ms, builder)?;
        // An object that is merely no event is not a mistake where any form is welcome.
        let malformed = (format != Format::Auto).then_some(rejection);
        return Ok(Outcome {
            malformed,
            invalid_utf8: false,
        });
    }
    let text = String::from_utf8_lossy(line);
    let invalid_utf8 = matches!(text, Cow::Owned(_));
    let malformed = match format {
        Format::Text => None,
        _ => push_logfmt(&text, format == Format::Auto, context, now_ms, builder).err(),
    };
    if format == Format::Text || malformed.is_some() {
        push_text(&text, context, now_ms, builder)?;
    }
    Ok(Outcome {
        malformed: malformed.filter(|_| format == Format::Logfmt),
        invalid_utf8,
    })
}

fn head<'a>(context: &Context<'a>, picked: &pick::Picked, now_ms: i64) -> Head<'a> {
    Head {
        kind: context.kind,
        source: context.source,
        timestamp_ms: picked.timestamp_ms.unwrap_or(now_ms),
        severity: picked.severity.unwrap_or(Severity::Medium),
        id: None,
        metadata: Some(context.metadata),
    }
}

fn push_object(line: &[u8], context: &Context<'_>, now_ms: i64, builder: &mut BatchBuilder) -> Result<(), Rejection> {
    let head = head(context, &pick::from_json(line), now_ms);
    builder.push_log(&head, line).map(drop)
}

fn push_logfmt(
    line: &str,
    strict: bool,
    context: &Context<'_>,
    now_ms: i64,
    builder: &mut BatchBuilder,
) -> Result<(), Rejection> {
    let not = |reason: &str| Rejection {
        field: "event".into(),
        reason: reason.into(),
    };
    let pairs = logfmt::parse(line, strict).ok_or_else(|| not("not key=value pairs"))?;
    let head = head(context, &pick::from_pairs(&pairs), now_ms);
    let fields: Vec<(&str, Scalar<'_>)> = pairs.iter().map(|(key, value)| (*key, logfmt::scalar(value))).collect();
    builder.push_fields(&head, &fields).map(drop)
}

fn push_text(line: &str, context: &Context<'_>, now_ms: i64, builder: &mut BatchBuilder) -> Result<(), Rejection> {
    let head = Head {
        kind: context.kind,
        source: context.source,
        timestamp_ms: now_ms,
        severity: Severity::Medium,
        id: None,
        metadata: None,
    };
    let mut message = line;
    loop {
        let fields = [("message", Scalar::Str(message)), ("file", Scalar::Str(context.path))];
        let Err(rejection) = builder.push_fields(&head, &fields) else {
            return Ok(());
        };
        // Escapes can make a line of the largest size larger than an event's data may be.
        if message.len() < 1_024 {
            return Err(rejection);
        }
        message = &message[..message.floor_char_boundary(message.len() / 2)];
    }
}

#[cfg(test)]
mod tests;
