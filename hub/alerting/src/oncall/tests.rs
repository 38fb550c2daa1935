use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn roster(change: Value) -> Result<Roster, Vec<RuleError>> {
    let mut schedule = json!({"name": "primary", "time_zone": "Europe/Vienna",
        "people": [{"name": "eva", "channels": ["eva-sms", "eva-mail"]}, {"name": "max", "channels": ["max-sms"]}],
        "rotations": [{"people": ["eva", "max"], "starts_on": "2026-01-05", "hand_over": "09:00"}]});
    schedule
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    let channel = |name: &str| match name {
        "nobody" => Err("there is no channel called `nobody`".to_owned()),
        _ => Ok(()),
    };
    Roster::compile(serde_json::from_value(schedule).unwrap(), &channel)
}

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn turns_change_at_the_hour_of_the_time_zone_in_winter_and_in_summer() {
    let roster = roster(json!({})).unwrap();
    for (time, person) in [
        ("2026-01-05T07:59:59Z", None),
        ("2026-01-05T08:00:00Z", Some("eva")),
        ("2026-01-12T07:59:59Z", Some("eva")),
        ("2026-01-12T08:00:00Z", Some("max")),
        ("2026-03-30T06:59:59Z", Some("max")),
        ("2026-03-30T07:00:00Z", Some("eva")),
    ] {
        assert_eq!(roster.who(at(time)).person.as_deref(), person, "{time}");
    }
    let eva = roster.who(at("2026-01-06T00:00:00Z"));
    assert_eq!(eva.channels, ["eva-sms", "eva-mail"]);
    assert_eq!(eva.until, Some(Instant(at("2026-01-12T08:00:00Z"))));
    assert!(eva.why.contains("2026-01-05T08:00:00"), "{}", eva.why);
    let nobody = roster.who(at("2025-12-24T00:00:00Z"));
    assert_eq!(
        nobody.channels,
        ["eva-sms", "eva-mail", "max-sms"],
        "never nobody at all"
    );
    assert_eq!(nobody.until, Some(Instant(at("2026-01-05T08:00:00Z"))));
}

#[test]
fn an_override_wins_and_a_later_rotation_wins_at_its_hours() {
    let night = json!({"people": ["max"], "starts_on": "2026-01-01", "every_days": 1,
        "hours": {"time_zone": "Europe/Vienna", "spans": [{"from": "22:00", "to": "06:00"}]}});
    let day = json!({"people": ["eva"], "starts_on": "2026-01-01"});
    let roster = roster(json!({"rotations": [day, night],
        "overrides": [{"person": "eva", "from": "2026-02-01T22:00:00Z", "until": "2026-02-01T23:00:00Z"}]}))
    .unwrap();
    for (time, person) in [
        ("2026-02-01T12:00:00Z", "eva"),
        ("2026-02-01T21:30:00Z", "max"),
        ("2026-02-01T22:30:00Z", "eva"),
        ("2026-02-01T23:00:00Z", "max"),
        ("2026-02-02T05:00:00Z", "eva"),
    ] {
        assert_eq!(roster.who(at(time)).person.as_deref(), Some(person), "{time}");
    }
    assert!(roster.who(at("2026-02-01T22:30:00Z")).why.starts_with("takes over"));
    assert_eq!(
        roster.who(at("2026-02-01T21:30:00Z")).until,
        Some(Instant(at("2026-02-01T22:00:00Z")))
    );
}

#[test]
fn mistakes_are_named_with_their_place() {
    let errors = roster(json!({"time_zone": "Mars", "people": [{"name": "eva", "channels": ["nobody"]}, {"name": "eva", "channels": []}],
        "rotations": [{"people": ["eva", "zoe"], "starts_on": "2026-01-05", "every_days": 0}, {"people": [], "starts_on": "2026-01-05"}],
        "overrides": [{"person": "zoe", "from": 5, "until": 5}]}))
    .unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "time_zone",
            "people[0].name",
            "people[0].channels[0]",
            "people[1].channels",
            "people[1].name",
            "rotations[0].every_days",
            "rotations[0].people[1]",
            "rotations[1].people",
            "overrides[0].person",
            "overrides[0].until",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Everybody's turns are equally long, in order, without a gap; who is on call changes only when it was said to.
    #[test]
    fn turns_follow_each_other(every in 1_u32..20, start in 0_i64..400 * 24) {
        let roster = roster(json!({"rotations": [{"people": ["eva", "max"], "starts_on": "2026-01-05", "hand_over": "02:30", "every_days": every}]})).unwrap();
        let mut now = at("2026-01-10T00:00:00Z") + start * 3_600_000;
        for _ in 0..5 {
            let who = roster.who(now);
            let until = who.until.unwrap().0;
            prop_assert!(until > now);
            prop_assert_eq!(&roster.who(until - 1).person, &who.person);
            prop_assert_ne!(&roster.who(until).person, &who.person);
            now = until;
        }
    }
}
