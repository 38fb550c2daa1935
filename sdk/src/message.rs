//! What most messages have in common: a heading, a colour, texts that fit, and a link.

use crate::{Level, Notice, State};

/// The name of a level.
#[must_use]
pub const fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
        Level::Critical => "critical",
    }
}

/// The name of a state.
#[must_use]
pub const fn state(state: State) -> &'static str {
    match state {
        State::Firing => "firing",
        State::Acknowledged => "acknowledged",
        State::Resolved => "resolved",
        State::Stale => "stale",
    }
}

/// One line that says at a glance how things stand: `[critical] disk full`, `[resolved] disk full`, `[test] …`.
#[must_use]
pub fn heading(notice: &Notice) -> String {
    let word = match notice.state {
        _ if notice.test => "test",
        State::Firing => level(notice.level),
        other => state(other),
    };
    format!("[{word}] {}", one_line(&notice.title))
}

/// A text in one line, without control characters.
#[must_use]
pub fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

/// Red, green and blue, by level while it goes on; green when it is over.
#[must_use]
pub const fn colour(notice: &Notice) -> u32 {
    match (notice.state, notice.level) {
        (State::Resolved, _) => 0x002e_a44f,
        (_, Level::Info) => 0x003b_82f6,
        (_, Level::Warning) => 0x00f5_9e0b,
        (_, Level::Error) => 0x00ef_4444,
        (_, Level::Critical) => 0x00b9_1c1c,
    }
}

/// The beginning of a text, at most so many characters; what is left out shows as `…`.
#[must_use]
pub fn fit(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The same, at most so many bytes.
#[must_use]
pub fn fit_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// What a receiver is to know the incident by: the notice's key, or what stands for one that is longer than so many characters
/// (at least 17). The same for all that is ever told of an incident or a group, which its `id` is not.
#[must_use]
pub fn identity(notice: &Notice, most: usize) -> String {
    let key = if notice.key.is_empty() { &notice.id } else { &notice.key };
    if key.chars().count() <= most {
        return key.clone();
    }
    // FNV-1a: the same in every version.
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let begin: String = key.chars().take(most.saturating_sub(17)).collect();
    format!("{begin}~{hash:016x}")
}

/// Where people acknowledge, if the hub sends such links.
#[must_use]
pub fn acknowledge_url(notice: &Notice) -> Option<&str> {
    annotation(notice, "acknowledge_url")
}

/// An annotation, if it is there and says something.
#[must_use]
pub fn annotation<'a>(notice: &'a Notice, name: &str) -> Option<&'a str> {
    let found = notice.annotations.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// Web addresses that belong to the alert, with what they are called: the alert itself, its runbook, its acknowledgement.
#[must_use]
pub fn links(notice: &Notice) -> Vec<(&'static str, &str)> {
    let runbook = annotation(notice, "runbook_url").or_else(|| annotation(notice, "runbook"));
    let alert = (!notice.url.is_empty()).then_some(notice.url.as_str());
    let all = [
        ("Open", alert),
        ("Runbook", runbook),
        ("Acknowledge", acknowledge_url(notice)),
    ];
    let web = |url: &&str| url.starts_with("https://") || url.starts_with("http://");
    all.into_iter()
        .filter_map(|(name, url)| url.filter(web).map(|url| (name, url)))
        .collect()
}

/// `base` without `/` at its end, then `path`: operators write addresses either way.
#[must_use]
pub fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::notice;

    #[test]
    fn headings_say_how_things_stand() {
        let mut told = notice();
        assert_eq!(heading(&told), "[warning] api error rate: 60 > 50");
        told.title = "two\nlines ".to_owned();
        told.state = State::Resolved;
        assert_eq!(heading(&told), "[resolved] two lines");
        told.state = State::Acknowledged;
        assert!(heading(&told).starts_with("[acknowledged]"));
        told.test = true;
        assert!(heading(&told).starts_with("[test]"));
    }

    #[test]
    fn texts_fit() {
        assert_eq!(fit("four", 4), "four");
        assert_eq!(fit("fünfe", 4), "fün…");
        assert_eq!(fit_bytes("four", 4), "four");
        for most in 3..9 {
            let cut = fit_bytes("äöüß€x", most);
            assert!(cut.len() <= most && cut.ends_with('…'), "{most}: {cut}");
        }
        assert_eq!(join("https://a.example/", "/b"), "https://a.example/b");
    }

    #[test]
    fn an_identity_is_short_and_that_of_the_key_alone() {
        let of = |key: &str, id: &str| {
            let told = Notice {
                key: key.to_owned(),
                id: id.to_owned(),
                ..notice()
            };
            identity(&told, 40)
        };
        assert_eq!(of("disk{host=a}", "1"), "disk{host=a}");
        assert_eq!(of("", "1"), "1");
        assert_eq!(of(&"ü".repeat(40), "1"), "ü".repeat(40));
        let long = |end: &str| format!("{}{end}", "k".repeat(500));
        assert_eq!(of(&long("a"), "an alert"), of(&long("a"), "a group"));
        assert_ne!(of(&long("a"), "1"), of(&long("b"), "1"));
        assert_eq!(of(&long("a"), "1").chars().count(), 40);
        assert!(of(&long("a"), "1").starts_with(&format!("{}~", "k".repeat(23))));
    }

    #[test]
    fn links_are_web_addresses() {
        let mut told = notice();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        told.annotations = vec![
            pair("runbook", "javascript:alert(1)"),
            pair("acknowledge_url", "https://hub.example.org/ack"),
        ];
        let names: Vec<&str> = links(&told).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Open", "Acknowledge"]);
    }
}
