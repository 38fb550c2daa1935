use serde_json::{Value, json};
use streamflow_sdk::testing::{Event, TransformTest, event};

use crate::ParseUserAgent;

fn transform(config: &Value) -> TransformTest<ParseUserAgent> {
    TransformTest::start(include_str!("../plugin.toml"), config).expect("a transform")
}

fn request(agent: &str) -> Event {
    event("request", "web-1").data(json!({"user_agent": agent}))
}

/// User agent, browser, its version, system, its version, device; empty for what it does not say.
const AGENTS: [(&str, [&str; 5]); 17] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
        ["Chrome", "131.0.0.0", "Windows", "10", "desktop"],
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51",
        ["Edge", "131.0.2903.51", "Windows", "10", "desktop"],
    ),
    (
        "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
        ["Internet Explorer", "11.0", "Windows", "7", "desktop"],
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15",
        ["Safari", "17.4.1", "macOS", "10.15.7", "desktop"],
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:133.0) Gecko/20100101 Firefox/133.0",
        ["Firefox", "133.0", "macOS", "10.15", "desktop"],
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ["Firefox", "128.0", "Linux", "", "desktop"],
    ),
    (
        "Mozilla/5.0 (X11; CrOS x86_64 15633.69.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.6045.212 Safari/537.36",
        ["Chrome", "119.0.6045.212", "ChromeOS", "15633.69.0", "desktop"],
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1",
        ["Safari", "17.4", "iOS", "17.4", "mobile"],
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/123.0.6312.52 Mobile/15E148 Safari/604.1",
        ["Chrome", "123.0.6312.52", "iOS", "17.4", "mobile"],
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/126.0 Mobile/15E148 Safari/605.1.15",
        ["Firefox", "126.0", "iPadOS", "16.6", "tablet"],
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
        ["Samsung Internet", "25.0", "Android", "14", "mobile"],
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36 OPR/85.0.0.0",
        ["Opera", "85.0.0.0", "Android", "13", "tablet"],
    ),
    (
        "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36",
        ["Safari", "", "Tizen", "7.0", "tv"],
    ),
    (
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        ["Googlebot", "2.1", "", "", "bot"],
    ),
    (
        "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.69 Mobile Safari/537.36 (compatible; GPTBot/1.2)",
        ["GPTBot", "1.2", "Android", "6.0.1", "bot"],
    ),
    ("curl/8.11.0", ["curl", "8.11.0", "", "", "tool"]),
    ("-", ["", "", "", "", ""]),
];

#[test]
fn known_user_agents_are_read() {
    let events: Vec<Event> = AGENTS.iter().map(|(agent, _)| request(agent)).collect();
    let read = transform(&json!({})).apply(&events).expect("an answer");
    for (event, (agent, expected)) in read.iter().zip(AGENTS) {
        let names = ["browser", "browser_version", "os", "os_version", "device"];
        let found = names.map(|name| {
            let value = event.get(&format!("data.client.{name}")).and_then(Value::as_str);
            value.unwrap_or_default()
        });
        assert_eq!(found, expected, "{agent}");
    }
    assert_eq!(read[16].get("data.client"), None, "nothing is known, nothing is set");
}

#[test]
fn the_paths_are_chosen_and_events_without_a_user_agent_stay_as_they_are() {
    let mut transform = transform(&json!({"field": "metadata.ua", "into": "metadata.client"}));
    let other = event("request", "web-1").data(json!({"user_agent": "curl/8"}));
    let events = [
        event("request", "web-1").field("metadata", json!({"ua": "Wget/1.24"})),
        other.clone(),
    ];
    let read = transform.apply(&events).expect("an answer");
    let client = json!({"browser": "Wget", "browser_version": "1.24", "device": "tool"});
    assert_eq!(read[0].get("metadata.client"), Some(&client));
    assert_eq!(read[1], other);
}

#[test]
fn where_nothing_can_be_set_is_found_at_once() {
    let start =
        |into: &str| TransformTest::<ParseUserAgent>::start(include_str!("../plugin.toml"), &json!({"into": into}));
    for into in ["client", "user_id", "tags", "data.", ""] {
        let error = start(into).err().expect("refused");
        assert!(error.contains("into: "), "{into}: {error}");
    }
    assert!(start("metadata.client").is_ok() && start("data").is_ok());
}
