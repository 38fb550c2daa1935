//! Every mistake is found at once, with its line and key.

use super::*;
use crate::source::file::format::Format;
use crate::spool::WhenFull;

const GOOD: &str = r#"
data_dir = "/tmp/agent"
[hub]
endpoints = ["hub.example:4433", "[::1]:4433"]
[spool]
max_bytes = "1GiB"
when_full = "drop_oldest"
[[sources]]
kind = "file"
paths = ["/var/log/*.log"]
format = "logfmt"
[[sources]]
kind = "host"
interval = "10s"
[[processors]]
kind = "filter"
match = "severity != 'low'"
"#;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn problems(text: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    parse("agent.toml", text, env(pairs))
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_good_file_is_read() {
    let config = parse("agent.toml", GOOD, env(&[])).unwrap();
    assert_eq!(config.spool.when_full, WhenFull::DropOldest);
    assert_eq!(config.spool.max_bytes.0, 1 << 30);
    let [SourceOptions::File(file), SourceOptions::Host(host)] = &config.sources[..] else {
        panic!()
    };
    assert_eq!(file.format, Format::Logfmt);
    assert_eq!(host.interval.0.as_secs(), 10);
}

#[test]
fn the_shipped_file_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/agent.toml");
    load(&path, env(&[])).unwrap();
}

#[test]
fn variables_override_the_file() {
    let config = parse(
        "agent.toml",
        GOOD,
        env(&[
            ("STREAMFLOW_AGENT__SPOOL__MAX_BYTES", "2GiB"),
            ("STREAMFLOW_AGENT__BATCH__MAX_EVENTS", "500"),
            ("STREAMFLOW_AGENT__HUB__ENDPOINTS", "[\"other:1\"]"),
            ("STREAMFLOW_AGENT__NAME", "web-1"),
            ("UNRELATED", "x"),
        ]),
    )
    .unwrap();
    assert_eq!((config.spool.max_bytes.0, config.batch.max_events), (2 << 30, 500));
    assert_eq!(
        (config.hub.endpoints, config.name),
        (vec!["other:1".to_owned()], "web-1".to_owned())
    );
}

#[test]
fn all_mistakes_are_reported_at_once_with_line_and_key() {
    let text = r#"
data_dri = "/tmp/agent"
[hub]
endpoints = ["hub.example"]
heartbeat = "soon"
[spool]
max_bytes = "1GX"
when_full = "explode"
colour = "red"
[[sources]]
kind = "file"
paths = []
format = "xml"
[[sources]]
kind = "journal"
[[sources]]
path = "/x"
[[processors]]
kind = "filter"
match = "severity !="
[[processors]]
kind = "filter"
"#;
    let found = problems(
        text,
        &[
            ("STREAMFLOW_AGENT__LOG__FORMAT", "xml"),
            ("STREAMFLOW_AGENT__BATCH__MAX_EVENTS", "0"),
        ],
    );
    for expected in [
        "agent.toml:2: data_dri: unknown key",
        "agent.toml:4: hub.endpoints: `hub.example` has no port",
        "agent.toml:5: hub.heartbeat: `soon` is not a length of time",
        "agent.toml:7: spool.max_bytes: `1GX` is not a size",
        "agent.toml:8: spool.when_full: unknown variant `explode`",
        "agent.toml:9: spool.colour: unknown field `colour`",
        "agent.toml:12: sources[0].paths: is empty",
        "agent.toml:13: sources[0].format: unknown variant `xml`",
        "agent.toml:15: sources[1].kind: unknown kind `journal`, expected `file` or `host`",
        "agent.toml:16: sources[2].kind: is missing",
        "agent.toml:20: processors[0].match: does not parse",
        "agent.toml:21: processors[1]: missing field `match`",
        "environment variable STREAMFLOW_AGENT__LOG__FORMAT: log.format: unknown variant `xml`",
        "environment variable STREAMFLOW_AGENT__BATCH__MAX_EVENTS: batch.max_events: must be between",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 14, "{found:#?}");
}

#[test]
fn an_unknown_source_does_not_shift_the_places_of_the_next() {
    let text = "[hub]\nendpoints = [\"h:1\"]\n[[sources]]\nkind = \"journal\"\n[[sources]]\nkind = \"file\"\npaths = [\"log\"]\n";
    let found = problems(text, &[]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("agent.toml:4: sources[0].kind: unknown kind `journal`"));
    assert!(
        found[1].starts_with("agent.toml:7: sources[1].paths: `log` must be an absolute path"),
        "{found:#?}"
    );
}

#[test]
fn a_wrong_variable_is_named_and_not_the_file() {
    let found = problems(
        GOOD,
        &[
            ("STREAMFLOW_AGENT__SPOOLS__MAX_BYTES", "2GiB"),
            ("STREAMFLOW_AGENT__HUB__ENDPOINT", "other:1"),
            ("STREAMFLOW_AGENT__HUB__ENDPOINTS", "[\"other:1\", 3]"),
            ("STREAMFLOW_AGENT__BATCH", "{ max_events = 5, linger = 7 }"),
            ("STREAMFLOW_AGENT__DATA_DIR__X", "y"),
        ],
    );
    for expected in [
        "environment variable STREAMFLOW_AGENT__SPOOLS__MAX_BYTES: spools: unknown key",
        "environment variable STREAMFLOW_AGENT__HUB__ENDPOINT: hub.endpoint: unknown field",
        "environment variable STREAMFLOW_AGENT__HUB__ENDPOINTS: hub.endpoints: invalid type: integer `3`",
        "environment variable STREAMFLOW_AGENT__BATCH: batch.linger: ",
        "environment variable STREAMFLOW_AGENT__DATA_DIR__X: data_dir.x: does not name a setting",
    ] {
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 5, "{found:#?}");
}

#[test]
fn broken_toml_names_its_lines() {
    let found = problems("data_dir = \n[hub\nendpoints = 3 4\n", &[]);
    assert!(found[0].starts_with("agent.toml:1: "), "{found:#?}");
    assert!(found.len() > 1, "{found:#?}");
}

#[test]
fn a_missing_file_says_what_to_do() {
    let found = load(Path::new("/nowhere/agent.toml"), env(&[])).unwrap_err();
    assert!(found[0].to_string().contains("--config"));
}

#[test]
fn a_deadline_that_would_never_be_met_is_a_mistake() {
    let limits = |deadline: u32| format!("{GOOD}[plugins.limits]\ntransform_deadline_ms = {deadline}\n");
    let found = problems(&limits(20_001), &[]);
    assert!(
        matches!(found.as_slice(), [one] if one.contains("plugins.limits.transform_deadline_ms: must be between 1 and 20000")),
        "{found:?}"
    );
    parse("agent.toml", &limits(20_000), env(&[])).unwrap();
}
