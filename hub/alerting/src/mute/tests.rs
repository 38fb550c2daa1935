use proptest::prelude::*;
use serde_json::{Value, json};
use streamflow_model::{Instant, Matcher};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn silence(id: &str, matchers: Value, from: i64, to: i64) -> (Silence, Matchers) {
    let matchers: Vec<Matcher> = serde_json::from_value(matchers).unwrap();
    let compiled = Matchers::compile("matchers", &matchers).unwrap();
    let silence = Silence {
        id: id.to_owned(),
        matchers,
        starts_at: Instant(from),
        ends_at: Instant(to),
        comment: String::new(),
        created_by: "eva".to_owned(),
        created_at: Instant(0),
        updated_at: Instant(0),
    };
    (silence, compiled)
}

fn inhibition(rules: Value) -> Vec<Inhibitor> {
    let rules: Vec<Inhibition> = serde_json::from_value(rules).unwrap();
    rules
        .iter()
        .map(|rule| Inhibitor::compile("inhibit", rule).unwrap())
        .collect()
}

#[test]
fn a_silence_mutes_what_matches_from_its_start_to_its_end() {
    let mut mutes = Mutes::default();
    let (one, matchers) = silence("s1", json!([{"name": "source", "value": "web-1"}]), 100, 200);
    mutes.put_silence(one, matchers);
    let web = labels(&[("source", "web-1")]);
    for (now, muted) in [(99, false), (100, true), (199, true), (200, false)] {
        assert_eq!(!mutes.reasons("k", &web, now).is_empty(), muted, "{now}");
    }
    assert!(mutes.reasons("k", &labels(&[("source", "web-2")]), 150).is_empty());
    assert_eq!(mutes.reasons("k", &web, 150), ["silence:s1"]);
    assert_eq!(
        [50, 100, 200].map(|now| mutes.next_change(now)),
        [Some(100), Some(200), None]
    );
    assert_eq!(mutes.expired(150, 150, 10), Vec::<String>::new());
    assert_eq!(mutes.expired(250, 300, 10), ["s1"]);
    assert_eq!(mutes.expired(0, 300, 0), ["s1"], "the oldest of too many");
}

#[test]
fn a_window_mutes_at_its_times_within_its_bounds() {
    let day = 86_400_000;
    let maintenance = json!({"name": "patches", "matchers": [{"name": "team", "value": "db"}], "starts_at": 2 * day, "ends_at": 5 * day,
        "hours": {"spans": [{"from": "02:00", "to": "04:00"}]}});
    let window = Window::compile(serde_json::from_value(maintenance).unwrap()).unwrap();
    let three = 3 * 3_600_000;
    let on: Vec<i64> = (0..8).filter(|n| window.is_on(n * day + three)).collect();
    assert_eq!(on, [2, 3, 4]);
    let mut mutes = Mutes::default();
    mutes.put_window(window);
    let db = labels(&[("team", "db")]);
    assert_eq!(mutes.reasons("k", &db, 2 * day + three), ["maintenance:patches"]);
    assert_eq!(mutes.next_change(2 * day + three), Some(2 * day + 4 * 3_600_000));
    assert!(mutes.remove_window("patches") && mutes.reasons("k", &db, 2 * day + three).is_empty());
}

#[test]
fn a_source_inhibits_its_targets_with_equal_labels_and_never_itself() {
    let mut mutes = Mutes::default();
    mutes.set_inhibition(inhibition(json!([
        {"source": [{"name": "alertname", "value": "host down"}], "target": [{"name": "level", "op": "=~", "value": "warning|error"}], "equal": ["source"]},
    ])));
    let down = |source| labels(&[("alertname", "host down"), ("level", "error"), ("source", source)]);
    let slow = |source| labels(&[("alertname", "slow"), ("level", "warning"), ("source", source)]);
    assert!(mutes.source("k1", "a1", &down("web-1"), true));
    assert!(!mutes.source("k1", "a1", &down("web-1"), true), "known already");
    assert!(!mutes.source("k2", "a2", &slow("web-1"), true), "no source");
    assert_eq!(mutes.reasons("k2", &slow("web-1"), 0), ["inhibition:a1"]);
    assert!(mutes.reasons("k3", &slow("web-2"), 0).is_empty());
    assert!(mutes.reasons("k1", &down("web-1"), 0).is_empty(), "not itself");
    assert!(
        mutes.reasons("k4", &down("web-1"), 0).is_empty(),
        "what is on both sides is not inhibited, else two would silence each other"
    );
    assert!(mutes.source("k1", "a1", &down("web-1"), false));
    assert!(mutes.reasons("k2", &slow("web-1"), 0).is_empty());
}

proptest! {
    /// Whatever the silences: reasons change only at the moments that `next_change` names.
    #[test]
    fn reasons_change_only_when_they_are_said_to(spans in prop::collection::vec((0_i64..500, 1_i64..300), 0..8)) {
        let mut mutes = Mutes::default();
        for (nth, (from, length)) in spans.iter().enumerate() {
            let (one, matchers) = silence(&nth.to_string(), json!([{"name": "a", "op": "=~", "value": ".*"}]), *from, from + length);
            mutes.put_silence(one, matchers);
        }
        let mut now = 0;
        while let Some(next) = mutes.next_change(now) {
            prop_assert!(next > now);
            for probe in now..next {
                prop_assert_eq!(mutes.reasons("k", &Labels::new(), probe), mutes.reasons("k", &Labels::new(), now));
            }
            prop_assert_ne!(mutes.reasons("k", &Labels::new(), next), mutes.reasons("k", &Labels::new(), now));
            now = next;
        }
        prop_assert!(mutes.reasons("k", &Labels::new(), now).is_empty());
    }
}
