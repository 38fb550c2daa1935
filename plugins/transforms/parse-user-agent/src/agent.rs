//! User agents: a list of products with versions, and notes in brackets, of which most are there for history's sake. What is specific comes first in the
//! tables, since every browser names those that it wants to be taken for.

use std::borrow::Cow;

/// What a user agent says.
pub(crate) struct Agent<'a> {
    browser: Option<&'a str>,
    browser_version: Option<&'a str>,
    os: Option<&'a str>,
    os_version: Option<Cow<'a, str>>,
    device: Option<&'a str>,
}

/// How a part is taken out of what was read.
type Part = for<'a, 'b> fn(&'b Agent<'a>) -> Option<&'b str>;

/// By name.
pub(crate) const PARTS: [(&str, Part); 5] = [
    ("browser", |agent| agent.browser),
    ("browser_version", |agent| agent.browser_version),
    ("os", |agent| agent.os),
    ("os_version", |agent| agent.os_version.as_deref()),
    ("device", |agent| agent.device),
];

/// Products, and the browsers that they are.
const BROWSERS: [(&str, &str); 22] = [
    ("Edg", "Edge"),
    ("EdgA", "Edge"),
    ("EdgiOS", "Edge"),
    ("Edge", "Edge"),
    ("OPR", "Opera"),
    ("OPT", "Opera"),
    ("OPiOS", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("YaBrowser", "Yandex"),
    ("Vivaldi", "Vivaldi"),
    ("UCBrowser", "UC Browser"),
    ("MiuiBrowser", "Miui Browser"),
    ("HuaweiBrowser", "Huawei Browser"),
    ("DuckDuckGo", "DuckDuckGo"),
    ("Ddg", "DuckDuckGo"),
    ("Electron", "Electron"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Headless Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
];

/// What the names of programs that no person sits at have in them, in lower case.
const BOTS: [&str; 7] = ["bot", "crawler", "spider", "slurp", "externalhit", "preview", "scanner"];

/// Libraries and command lines, in lower case. They come first in their user agent.
const TOOLS: [&str; 14] = [
    "curl",
    "wget",
    "python",
    "go-http-client",
    "okhttp",
    "java",
    "apache-httpclient",
    "axios",
    "node",
    "postmanruntime",
    "libwww-perl",
    "ruby",
    "dart",
    "prometheus",
];

/// Versions of Windows by those of its kernel.
const WINDOWS: [(&str, &str); 7] = [
    ("10.0", "10"),
    ("6.3", "8.1"),
    ("6.2", "8"),
    ("6.1", "7"),
    ("6.0", "Vista"),
    ("5.2", "XP"),
    ("5.1", "XP"),
];

/// Marks of operating systems; the version stands behind them.
const SYSTEMS: [(&str, &str); 14] = [
    ("Windows Phone ", "Windows Phone"),
    ("Windows NT ", "Windows"),
    ("Windows", "Windows"),
    ("iPhone OS ", "iOS"),
    ("CPU OS ", "iPadOS"),
    ("Mac OS X ", "macOS"),
    ("Macintosh", "macOS"),
    ("Android ", "Android"),
    ("Android", "Android"),
    ("Tizen ", "Tizen"),
    ("CrOS ", "ChromeOS"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
];

/// Reads a user agent; what it does not say is none.
pub(crate) fn parse(text: &str) -> Agent<'_> {
    let (os, os_version) = system(text);
    let bot = products(text).find(|(name, _)| holds(name, &BOTS));
    let tool = products(text).next().filter(|(name, _)| begins(name, &TOOLS));
    let (browser, browser_version) = match bot.or(tool) {
        Some((name, version)) => (Some(name), version),
        None => browser(text),
    };
    let device = match (bot, tool) {
        (Some(_), _) => Some("bot"),
        (None, Some(_)) => Some("tool"),
        (None, None) => device(text, os),
    };
    Agent {
        browser,
        browser_version,
        os,
        os_version,
        device,
    }
}

/// `Name/1.2.3`, and names without a version, wherever they stand.
fn products(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let words = text.split([' ', ';', '(', ')', ',']).filter(|word| !word.is_empty());
    words.map(|word| match word.split_once('/') {
        Some((name, rest)) => (name, version(rest)),
        None => (word, None),
    })
}

/// Digits and points at the beginning.
fn version(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    text.get(..end)
        .map(|text| text.trim_end_matches(['.', '_']))
        .filter(|text| !text.is_empty())
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn holds(name: &str, words: &[&str]) -> bool {
    let name = lower(name);
    words.iter().any(|word| name.contains(word))
}

fn begins(name: &str, words: &[&str]) -> bool {
    let name = lower(name);
    words.iter().any(|word| name.starts_with(word))
}

fn browser(text: &str) -> (Option<&str>, Option<&str>) {
    for (product, name) in BROWSERS {
        if let Some((_, version)) = products(text).find(|(own, _)| *own == product) {
            return (Some(name), version);
        }
    }
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| version(rest));
    if let Some(version) = after("MSIE ") {
        return (Some("Internet Explorer"), version);
    }
    if text.contains("Trident/") {
        return (Some("Internet Explorer"), after("rv:").flatten());
    }
    if text.contains("Safari/") {
        return (Some("Safari"), after("Version/").flatten());
    }
    (None, None)
}

fn system(text: &str) -> (Option<&'static str>, Option<Cow<'_, str>>) {
    let found = SYSTEMS
        .iter()
        .find_map(|(mark, name)| Some((*name, text.split_once(mark)?.1)));
    let Some((name, rest)) = found else {
        return (None, None);
    };
    // `CrOS x86_64 15633.69.0`
    let rest = if name == "ChromeOS" {
        rest.split_once(' ').map_or("", |(_, rest)| rest)
    } else {
        rest
    };
    let own = version(rest);
    let known = WINDOWS
        .iter()
        .find(|(kernel, _)| name == "Windows" && own == Some(*kernel));
    let shown = known.map_or(own, |(_, version)| Some(*version));
    // Apple writes 17_4_1.
    let with_points = |text: &str| text.replace('_', ".");
    let shown = shown.map(|text| {
        if text.contains('_') {
            with_points(text).into()
        } else {
            text.into()
        }
    });
    (Some(name), shown)
}

fn device(text: &str, os: Option<&str>) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "SmartTV", "SMART-TV", "Smart-TV", "AppleTV", "BRAVIA", "CrKey", "GoogleTV", "Web0S",
    ]) {
        return Some("tv");
    }
    match os {
        Some("iPadOS") => Some("tablet"),
        Some("iOS" | "Windows Phone") => Some("mobile"),
        Some("Android") if !says(&["Mobile"]) => Some("tablet"),
        Some("Android" | "Tizen") => Some("mobile"),
        Some(_) => Some("desktop"),
        None if says(&["Mobile"]) => Some("mobile"),
        None => None,
    }
}
