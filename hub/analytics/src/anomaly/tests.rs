use proptest::prelude::*;
use streamflow_model::rule::{AnomalyMethod, CompiledAnomaly, Direction};

use super::{
    model::{Frame, Model, Noise},
    models::Models,
    robust,
};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

fn frame(method: AnomalyMethod, noise: Noise) -> Frame {
    Frame {
        spec: CompiledAnomaly {
            method,
            time_zone: None,
            history: 60,
            learning: 30 * MINUTE,
            deviations: 3.5,
            direction: Direction::Both,
            min_change: 0.0,
        },
        noise,
        window: MINUTE,
    }
}

/// Numbers that look random and are the same every time (the "minimal standard" generator).
fn noise(seed: &mut u64) -> f64 {
    *seed = *seed * 48_271 % 2_147_483_647;
    f64::from(u32::try_from(*seed % 1000).unwrap()) / 1000.0
}

#[test]
fn median_and_deviation_are_those_of_the_book() {
    assert_eq!(robust::median(&mut []), None);
    assert_eq!(robust::median(&mut [3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(robust::median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
    // Iglewicz and Hoaglin's own kind of example: one wild value moves neither.
    let (location, scale) = robust::location_and_scale(&mut [2.0, 3.0, 3.0, 4.0, 5.0, 900.0]).unwrap();
    assert_eq!((location, scale), (3.5, 1.4826));
    // More than half are the same: the mean deviation stands in.
    let (location, scale) = robust::location_and_scale(&mut [5.0, 5.0, 5.0, 5.0, 9.0]).unwrap();
    assert!(location == 5.0 && (scale - 0.8 * 1.2533).abs() < 1e-12, "{scale}");
    assert_eq!(robust::location_and_scale(&mut [7.0, 7.0]), Some((7.0, 0.0)));
}

#[test]
fn a_spike_is_odd_after_learning_and_not_before() {
    let frame = frame(AnomalyMethod::Robust, Noise::Unknown);
    let (mut model, mut seed) = (Model::default(), 7);
    for minute in 0..200 {
        let (at, value) = (minute * MINUTE, 100.0 + 10.0 * noise(&mut seed));
        let judged = model.judge(&frame, at, value);
        assert_eq!(judged.band.is_some(), minute >= 30, "minute {minute}");
        assert!(!judged.anomalous, "minute {minute}: {judged:?}");
        model.learn(&frame, at, value);
    }
    let at = 200 * MINUTE;
    let band = model.band(&frame, at).unwrap();
    assert!(
        band.lower < 100.0 && band.upper > 110.0 && (103.0..107.0).contains(&band.expected),
        "{band:?}"
    );
    assert!(model.judge(&frame, at, 200.0).anomalous && model.judge(&frame, at, 0.0).anomalous);
    let mut one_sided = frame.clone();
    one_sided.spec.direction = Direction::Below;
    assert!(!model.judge(&one_sided, at, 200.0).anomalous);
    one_sided.spec.direction = Direction::Above;
    assert!(!model.judge(&one_sided, at, 0.0).anomalous);
    one_sided.spec.min_change = 500.0;
    assert!(
        !model.judge(&one_sided, at, 200.0).anomalous,
        "less than the smallest change that matters"
    );
    // Spikes do not widen the band; a new level becomes normal once half of the history is of it.
    for minute in 200..205 {
        model.learn(&frame, minute * MINUTE, 1000.0);
    }
    assert!(model.judge(&frame, 205 * MINUTE, 300.0).anomalous);
    for minute in 205..270 {
        model.learn(&frame, minute * MINUTE, 1000.0 + noise(&mut seed));
    }
    assert!(!model.judge(&frame, 270 * MINUTE, 1000.5).anomalous);
    model.learn(&frame, 271 * MINUTE, f64::NAN);
    assert!(model.band(&frame, 272 * MINUTE).unwrap().expected.is_finite());
}

#[test]
fn steady_counts_may_vary_as_counts_do() {
    let frame = frame(AnomalyMethod::Robust, Noise::Counts(1.0));
    let mut model = Model::default();
    (0..60).for_each(|minute| model.learn(&frame, minute * MINUTE, 100.0));
    let at = 60 * MINUTE;
    assert_eq!(model.band(&frame, at).unwrap().deviation, 10.0);
    assert!(!model.judge(&frame, at, 130.0).anomalous && model.judge(&frame, at, 136.0).anomalous);
    let mut quiet = Model::default();
    (0..60).for_each(|minute| quiet.learn(&frame, minute * MINUTE, 0.0));
    let band = quiet.band(&frame, at).unwrap();
    assert_eq!((band.lower, band.upper), (0.0, 3.5));
}

#[test]
fn a_week_follows_the_clock_of_its_time_zone() {
    // 2026-03-02, a Monday; summer time in Vienna began at 01:00 UTC of the 29th.
    const BEGIN: i64 = 1772409600000;
    const SUMMER: i64 = 1774746000000;
    const MONDAY_AFTER: i64 = 1774828800000;
    let spec = |zone: Option<&str>| {
        let draft = serde_json::json!({"name": "r", "kind": "anomaly", "window": "10m", "aggregate": "avg(data.x)",
            "anomaly": {"method": "seasonal", "time_zone": zone, "min_change": 30}});
        let draft: streamflow_model::RuleDraft = serde_json::from_value(draft).unwrap();
        draft.compile().map(|compiled| compiled.anomaly.unwrap())
    };
    let odd_on_monday = |zone: Option<&str>| {
        let frame = Frame {
            spec: spec(zone).unwrap(),
            noise: Noise::Unknown,
            window: 10 * MINUTE,
        };
        let (mut model, mut seed, mut odd) = (Model::default(), 5, 0);
        for at in (BEGIN..MONDAY_AFTER + DAY).step_by(600_000) {
            let wall = at + if at < SUMMER { 1 } else { 2 } * 3_600_000;
            let value = if (8..18).contains(&(wall / 3_600_000 % 24)) {
                100.0
            } else {
                1.0
            };
            let value = value * (1.0 + 0.1 * noise(&mut seed));
            odd += usize::from(at >= MONDAY_AFTER && model.judge(&frame, at, value).anomalous);
            model.learn(&frame, at, value);
        }
        odd
    };
    assert_eq!(odd_on_monday(Some("Europe/Vienna")), 0);
    assert!(
        odd_on_monday(None) >= 6,
        "by UTC the working day begins an hour too early"
    );
    let refused = spec(Some("Vienna")).unwrap_err();
    assert_eq!(refused[0].field, "anomaly.time_zone");
}

#[test]
fn a_week_has_its_shape() {
    let mut frame = frame(AnomalyMethod::Seasonal, Noise::Unknown);
    frame.spec.learning = 7 * DAY + 30 * MINUTE;
    let (mut model, mut seed) = (Model::default(), 11);
    // By day a hundred times as much as by night, and nothing on the first day of each week.
    let shape = |at: i64| match (at / DAY % 7, at / 3_600_000 % 24) {
        (0, _) => 1.0,
        (_, 8..18) => 100.0,
        _ => 1.0,
    };
    let mut odd = 0;
    for minute in 0..(21 * DAY / MINUTE) {
        let at = minute * MINUTE;
        let value = shape(at) * (1.0 + 0.1 * noise(&mut seed));
        odd += usize::from(model.judge(&frame, at, value).anomalous);
        model.learn(&frame, at, value);
    }
    let (noon, midnight, sunday_noon) = (22 * DAY + DAY / 2, 22 * DAY, 21 * DAY + DAY / 2);
    let expected = |at: i64| model.band(&frame, at).unwrap().expected;
    assert!((95.0..115.0).contains(&expected(noon)), "{}", expected(noon));
    assert!(expected(midnight) < 10.0 && expected(sunday_noon) < 10.0);
    assert!(
        model.judge(&frame, sunday_noon, 100.0).anomalous,
        "what is normal on other days is odd on this one"
    );
    assert!(odd * 100 < (14 * DAY / MINUTE) as usize, "{odd} false alarms");
}

#[test]
fn groups_are_bounded_and_a_window_is_learned_once() {
    let frame = frame(AnomalyMethod::Robust, Noise::Unknown);
    let mut models = Models::default();
    let label = |n: i64| vec![format!("host-{n}")];
    for n in 0..10 {
        models.learn(&frame, &label(n), n * MINUTE, 1.0, 4);
        models.learn(&frame, &label(n), n * MINUTE, 1e9, 4);
    }
    assert_eq!((models.len(), models.evicted), (4, 6));
    assert_eq!(models.unseen(8 * MINUTE), [label(6), label(7)]);
    let mut restored = models.clone();
    restored.reindex();
    restored.learn(&frame, &label(11), 11 * MINUTE, 1.0, 4);
    assert_eq!(restored.unseen(8 * MINUTE), [label(7)]);
}

proptest! {
    #[test]
    fn median_equals_the_middle_of_the_sorted_values(mut values in prop::collection::vec(-1e6f64..1e6, 1..50)) {
        let got = robust::median(&mut values.clone()).unwrap();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let wanted = if values.len() % 2 == 1 { values[middle] } else { values[middle - 1] + (values[middle] - values[middle - 1]) / 2.0 };
        prop_assert_eq!(got, wanted);
    }

    #[test]
    fn a_band_holds_what_it_expects_and_no_value_breaks_it(values in prop::collection::vec(prop_oneof![any::<f64>(), -1e3f64..1e3], 0..80)) {
        for noise in [Noise::Unknown, Noise::Counts(1.0)] {
            let mut frame = frame(AnomalyMethod::Robust, noise);
            frame.spec.learning = 0;
            let mut model = Model::default();
            for (value, minute) in values.iter().zip(0..) {
                let judged = model.judge(&frame, minute * MINUTE, *value);
                if let Some(band) = judged.band.filter(|band| band.expected.is_finite() && band.expected >= 0.0) {
                    prop_assert!(band.lower <= band.expected && band.expected <= band.upper && band.deviation > 0.0, "{band:?}");
                }
                model.learn(&frame, minute * MINUTE, *value);
            }
        }
    }
}
