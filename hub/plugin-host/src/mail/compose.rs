//! From what a plugin hands in to a message that can be sent. Pure.

use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

/// Most recipients of one message.
const MAX_RECIPIENTS: usize = 50;
/// Most headers that a plugin adds.
const MAX_HEADERS: usize = 32;
/// Longest line of a header, as RFC 5322 has it.
const MAX_LINE: usize = 998;
/// Longest subject, in characters.
const MAX_SUBJECT: usize = 250;
/// Largest text, both forms together.
const MAX_TEXT: usize = 1 << 20;

/// Headers that decide who sends, who receives and how the message is read: the hub's own business. Ends in `-`: all that begin so.
const OWN: [&str; 15] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "mime-version",
    "return-path",
    "received",
    "authentication-results",
    "dkim-",
    "arc-",
    "resent-",
    "content-",
];

/// A message as a plugin hands it in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    /// None: the configured sender.
    pub(crate) from: Option<String>,
    pub(crate) to: Vec<String>,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// A message that can be sent.
#[derive(Debug)]
pub(crate) struct Composed {
    pub(crate) message: Message,
    /// Its `Message-ID`.
    pub(crate) id: String,
}

/// Makes the message. `sender` is the configured one; `unique` names the message when the plugin does not.
///
/// # Errors
/// In words what is wrong with it.
pub(crate) fn compose(draft: &Draft, sender: &Mailbox, unique: u128) -> Result<Composed, String> {
    if draft.to.is_empty() || draft.to.len() > MAX_RECIPIENTS {
        return Err(format!("1 to {MAX_RECIPIENTS} recipients, not {}", draft.to.len()));
    }
    if draft.text.len() + draft.html.as_ref().map_or(0, String::len) > MAX_TEXT {
        return Err(format!("the text is larger than {MAX_TEXT} bytes"));
    }
    let from = match &draft.from {
        Some(from) => mailbox("from", from)?,
        None => sender.clone(),
    };
    let mut id = format!("<{unique:032x}@{}>", from.email.domain());
    let mut headers = Vec::with_capacity(draft.headers.len());
    if draft.headers.len() > MAX_HEADERS {
        return Err(format!("more than {MAX_HEADERS} headers"));
    }
    for (name, value) in &draft.headers {
        let name = header_name(name)?;
        if value.len() > MAX_LINE || value.chars().any(char::is_control) {
            return Err(format!("value of header {name:?}"));
        }
        if name.eq_ignore_ascii_case("message-id") {
            id.clone_from(value);
        } else {
            headers.push((name, value.clone()));
        }
    }
    let inside = id.strip_prefix('<').and_then(|id| id.strip_suffix('>'));
    if inside.is_none_or(|inside| !inside.contains('@') || inside.contains(['<', '>', ' '])) {
        return Err("header \"Message-ID\" is not <left@right>".to_owned());
    }
    let mut builder = Message::builder()
        .from(from)
        .subject(subject(&draft.subject))
        .message_id(Some(id.clone()));
    for to in &draft.to {
        builder = builder.to(mailbox("to", to)?);
    }
    let built = match &draft.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(draft.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(draft.text.clone())),
    };
    let mut message = built.map_err(|error| error.to_string())?;
    for (name, value) in headers {
        let parsed = HeaderName::new_from_ascii(name.to_owned()).map_err(|_| format!("header name {name:?}"))?;
        message.headers_mut().insert_raw(HeaderValue::new(parsed, value));
    }
    Ok(Composed { message, id })
}

fn mailbox(what: &str, text: &str) -> Result<Mailbox, String> {
    let parsed = (!text.chars().any(char::is_control))
        .then(|| text.parse().ok())
        .flatten();
    parsed.ok_or_else(|| format!("{what}: `{}` is not an address", text.escape_debug()))
}

/// One line, whatever the plugin wrote: a subject with a line end would be a header of its own.
fn subject(text: &str) -> String {
    let one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    one_line.take(MAX_SUBJECT).collect()
}

fn header_name(name: &str) -> Result<&str, String> {
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(named) {
        return Err(format!("header name {name:?}"));
    }
    let lower = name.to_ascii_lowercase();
    let own = |own: &str| lower == own || (own.ends_with('-') && lower.starts_with(own));
    if OWN.iter().any(|name| own(name)) {
        return Err(format!("header {name:?} is set by the hub"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            to: vec!["Eva <eva@example.org>".to_owned(), "max@example.org".to_owned()],
            subject: "disk full".to_owned(),
            text: "web-1 is full: 97 %\n".to_owned(),
            ..Draft::default()
        }
    }

    fn text(draft: &Draft) -> Result<String, String> {
        let sender = "StreamFlow <alerts@example.com>".parse().unwrap();
        compose(draft, &sender, 7).map(|composed| String::from_utf8(composed.message.formatted()).unwrap())
    }

    #[test]
    fn a_message_has_its_headers_and_its_text() {
        let message = text(&draft()).unwrap();
        for line in [
            "From: StreamFlow <alerts@example.com>\r\n",
            "Subject: disk full\r\n",
            "Message-ID: <00000000000000000000000000000007@example.com>\r\n",
            "eva@example.org",
            "max@example.org",
            "web-1 is full: 97",
        ] {
            assert!(message.contains(line), "{line}: {message}");
        }
    }

    #[test]
    fn html_comes_as_an_alternative_and_headers_are_added() {
        let with = Draft {
            from: Some("pager@example.com".to_owned()),
            html: Some("<b>full</b>".to_owned()),
            headers: vec![
                ("Message-ID".to_owned(), "<a.firing.1@hub.example>".to_owned()),
                ("References".to_owned(), "<a@hub.example>".to_owned()),
                ("X-StreamFlow-Alert".to_owned(), "a\u{308}".to_owned()),
            ],
            ..draft()
        };
        let message = text(&with).unwrap();
        for line in [
            "From: pager@example.com\r\n",
            "Message-ID: <a.firing.1@hub.example>\r\n",
            "References: <a@hub.example>\r\n",
            "multipart/alternative",
            "text/html",
            "<b>full</b>",
        ] {
            assert!(message.contains(line), "{line}: {message}");
        }
        assert!(message.is_ascii(), "every relay takes it");
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_headers() {
        let injected = Draft {
            subject: "disk\r\nBcc: thief@example.net\r\n\r\nfull".to_owned(),
            ..draft()
        };
        let message = text(&injected).unwrap();
        assert!(!message.contains("\r\nBcc:"), "{message}");
        let refused = |change: &dyn Fn(&mut Draft), words: &str| {
            let mut changed = draft();
            change(&mut changed);
            let reason = text(&changed).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        };
        refused(
            &|draft| draft.to.push("a@example.org\r\nBcc: b@example.org".to_owned()),
            "to:",
        );
        refused(
            &|draft| draft.to.push("nobody".to_owned()),
            "`nobody` is not an address",
        );
        refused(&|draft| draft.to.clear(), "recipients");
        refused(&|draft| draft.to = vec!["a@example.org".to_owned(); 51], "recipients");
        refused(&|draft| draft.from = Some("x\n@y".to_owned()), "from:");
        for name in ["Bcc", "to", "Content-Type", "DKIM-Signature", "Resent-To", "Date"] {
            let add = |draft: &mut Draft| draft.headers.push((name.to_owned(), "x".to_owned()));
            refused(&add, "set by the hub");
        }
        for (name, value) in [
            ("X-A: b\r\nBcc", "x"),
            ("", "x"),
            ("X-A", "b\r\nBcc: c@d.example"),
            ("X-A", "b\0"),
        ] {
            let add = |draft: &mut Draft| draft.headers.push((name.to_owned(), value.to_owned()));
            refused(&add, "header");
        }
        let id = |draft: &mut Draft| draft.headers.push(("message-id".to_owned(), "nonsense".to_owned()));
        refused(&id, "Message-ID");
        refused(&|draft| draft.text = "x".repeat(MAX_TEXT + 1), "larger");
    }
}
