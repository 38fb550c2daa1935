use proptest::prelude::*;

use super::*;
use crate::{bitmap::Bitmap, build::BatchBuilder, filter::Columns};

#[test]
fn reads_and_prints_what_users_write() {
    for (text, shown) in [
        ("count()", "count()"),
        (" rate( ) ", "rate()"),
        ("avg(data.ms)", "avg(data.ms)"),
        ("p5(data.ms)", "p05(data.ms)"),
        ("p50(data.ms)", "p50(data.ms)"),
        ("p99(data.ms)", "p99(data.ms)"),
        ("p999(data.ms)", "p999(data.ms)"),
        ("p100(data.ms)", "p100(data.ms)"),
        ("distinct(user_id)", "distinct(user_id)"),
        ("topk(5,data.path)", "topk(5, data.path)"),
        ("sum(data[\"a.b\"])", "sum(data[\"a.b\"])"),
    ] {
        let spec = AggregateSpec::parse(text).unwrap();
        assert_eq!(spec.to_string(), shown);
        assert_eq!(AggregateSpec::parse(shown).unwrap(), spec);
    }
    for text in [
        "count",
        "count(data.x)",
        "avg()",
        "mean(data.x)",
        "p(data.x)",
        "p0x(data.x)",
        "avg(x)",
        "avg(data.x",
        "topk(data.x)",
        "topk(0, data.x)",
        "topk(101, data.x)",
        "topk(5, x)",
        "",
    ] {
        assert!(AggregateSpec::parse(text).is_err(), "{text}");
    }
}

fn accumulate(spec: &AggregateSpec, values: &[(i64, f64)]) -> Accumulator {
    let mut acc = Accumulator::new(spec);
    for (at, value) in values {
        match spec.func {
            Func::Count | Func::Rate => acc.add_events(1),
            Func::Distinct => acc.add_coupon(distinct::Distinct::coupon(&value.to_string())),
            Func::TopK(_) => acc.add_value(&frequent::Hashed::new(&value.to_string())),
            _ => acc.add_number(*at, *value),
        }
    }
    acc
}

fn naive(func: Func, values: &[(i64, f64)]) -> Option<f64> {
    let mut finite: Vec<f64> = values.iter().map(|(_, v)| *v).filter(|v| v.is_finite()).collect();
    let count = finite.len() as f64;
    let sum: f64 = finite.iter().sum();
    let first = values.iter().min_by(|a, b| a.partial_cmp(b).unwrap());
    let last = values.iter().max_by(|a, b| a.partial_cmp(b).unwrap());
    finite.sort_by(f64::total_cmp);
    match func {
        Func::Count => Some(count),
        Func::Rate => Some(count / 10.0),
        Func::Distinct => {
            finite.dedup();
            Some(finite.len() as f64)
        }
        _ if finite.is_empty() => None,
        Func::Sum => Some(sum),
        Func::Avg => Some(sum / count),
        Func::Min => finite.first().copied(),
        Func::Max => finite.last().copied(),
        Func::Stddev => Some((finite.iter().map(|v| (v - sum / count).powi(2)).sum::<f64>() / count).sqrt()),
        Func::Percentile(q) => finite.get((q * (count - 1.0)) as usize).copied(),
        Func::First => first.map(|(_, v)| *v),
        Func::Last => last.map(|(_, v)| *v),
        Func::TopK(_) => {
            let of = |value: &f64| finite.iter().filter(|v| *v == value).count();
            finite.iter().map(of).max().map(|most| most as f64)
        }
    }
}

fn close(a: Option<f64>, b: Option<f64>, relative: f64) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= relative * a.abs().max(b.abs()) + 1e-6,
        (a, b) => a == b,
    }
}

const ALL: [&str; 14] = [
    "count()",
    "rate()",
    "sum(data.x)",
    "avg(data.x)",
    "min(data.x)",
    "max(data.x)",
    "stddev(data.x)",
    "p50(data.x)",
    "p99(data.x)",
    "p999(data.x)",
    "p100(data.x)",
    "distinct(data.x)",
    "first(data.x)",
    "last(data.x)",
];

proptest! {
    #[test]
    fn counts_of_frequent_values_keep_their_bounds(
        values in prop::collection::vec(prop_oneof![0u32..5, 0u32..2000], 1..3000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let spec = AggregateSpec::parse("topk(3, data.x)").unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len())).chain([0, values.len()]).collect();
        cuts.sort_unstable();
        let mut merged = Accumulator::new(&spec);
        for part in cuts.windows(2) {
            let mut acc = Accumulator::new(&spec);
            values[part[0]..part[1]].iter().for_each(|v| acc.add_value(&frequent::Hashed::new(&v.to_string())));
            merged.merge(&acc);
        }
        let truth = |value: &str| values.iter().filter(|v| v.to_string() == value).count() as u64;
        let n = values.len() as u64;
        let top = merged.top();
        prop_assert_eq!(merged.value(1).unwrap() as u64, top[0].count);
        for entry in &top {
            let real = truth(&entry.value);
            prop_assert!(entry.count - entry.error <= real && real <= entry.count, "{entry:?} {real}");
            prop_assert!(entry.error <= n / 100, "{entry:?} of {n}");
        }
        // Nothing more frequent was left out.
        let least = top.last().unwrap().count;
        for value in 0..2000u32 {
            let name = value.to_string();
            prop_assert!(top.iter().any(|entry| entry.value == name) || truth(&name) <= least.max(merged.unseen()), "{name}");
        }
        let bytes = bincode::serde::encode_to_vec(&merged, bincode::config::standard()).unwrap();
        let (back, _): (Accumulator, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(back.top(), top);
    }

    #[test]
    fn parts_merge_to_the_whole_and_the_whole_is_right(
        values in prop::collection::vec((0i64..50, prop_oneof![-1e6..1e6f64, (0i32..5).prop_map(f64::from)]), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        for text in ALL {
            let spec = AggregateSpec::parse(text).unwrap();
            let (left, right) = values.split_at(cut.index(values.len() + 1));
            let whole = accumulate(&spec, &values).value(10_000);
            let mut merged = accumulate(&spec, left);
            merged.merge(&accumulate(&spec, right));
            prop_assert!(close(merged.value(10_000), whole, 1e-6), "{text}: {:?} {:?}", merged.value(10_000), whole);
            prop_assert_eq!(merged.samples(), values.len() as u64);
            let tolerance = if matches!(spec.func, Func::Percentile(_)) { 0.011 } else { 1e-6 };
            prop_assert!(close(whole, naive(spec.func, &values), tolerance), "{text}: {:?} {:?}", whole, naive(spec.func, &values));
            let bytes = bincode::serde::encode_to_vec(&merged, bincode::config::standard()).unwrap();
            let (back, _): (Accumulator, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
            prop_assert_eq!(back.value(10_000), merged.value(10_000));
        }
    }
}

proptest! {
    /// Kept in columns, aggregates are what each of them is by itself.
    #[test]
    fn aggregates_side_by_side_are_those_that_stand_alone(
        rows in prop::collection::vec((0_u32..3, any::<bool>(), prop_oneof![3 => (-9i32..9).prop_map(|n| n.to_string()), 1 => Just("\"x\"".to_owned())]), 1..120),
    ) {
        const PLACES: [u32; 3] = [4, 0, 2];
        let mut builder = BatchBuilder::new();
        for (n, (_, _, value)) in rows.iter().enumerate() {
            let json = format!(r#"{{"type":"t","source":"s","timestamp":{},"data":{{"x":{value}}}}}"#, 1_700_000_000_000 + n);
            builder.push_json(json.as_bytes(), 1_700_000_000_000).unwrap();
        }
        let batch = builder.finish(1).decode().unwrap();
        let mut picked = Picked { counts: vec![0; 3], ..Picked::default() };
        let mut places = vec![0; rows.len()];
        for (row, (group, chosen, _)) in (0_u32..).zip(&rows) {
            places[row as usize] = PLACES[*group as usize];
            if *chosen {
                picked.rows.push(row);
                picked.groups.push(*group);
                picked.counts[*group as usize] += 1;
            }
        }
        let chosen = Bitmap::from_fn(rows.len(), |row| rows[row].1);
        for text in ALL {
            let spec = AggregateSpec::parse(text).unwrap();
            let mut alone = vec![Accumulator::new(&spec); 5];
            let mut together = Accumulators::new(&spec);
            (0..5).for_each(|_| together.push(&spec));
            // Twice, so that something was there before.
            for _ in 0..2 {
                let mut columns = Columns::new(&batch);
                fold(&spec, &mut columns, &chosen, &places, &mut alone).unwrap();
                together.fold(&spec, &mut columns, &picked, &PLACES).unwrap();
            }
            let bytes = bincode::serde::encode_to_vec(&together, bincode::config::standard()).unwrap();
            let (read, _): (Accumulators, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
            for (number, alone) in alone.iter().enumerate() {
                for together in [&together, &read] {
                    prop_assert_eq!(together.value(number, 10_000), alone.value(10_000), "{}", text);
                    prop_assert_eq!(together.only_grows(number), alone.only_grows(), "{}", text);
                    prop_assert_eq!(together.top(number), alone.top());
                    let whole = together.get(number);
                    prop_assert_eq!((whole.samples(), whole.ignored()), (alone.samples(), alone.ignored()));
                    prop_assert_eq!(whole.value(10_000), alone.value(10_000));
                }
            }
        }
    }
}

#[test]
fn sums_do_not_drift() {
    let spec = AggregateSpec::parse("sum(data.x)").unwrap();
    let values: Vec<(i64, f64)> = [(0, 1e16)]
        .into_iter()
        .chain(std::iter::repeat_n((0, 1.0), 1000))
        .chain([(0, -1e16)])
        .collect();
    assert_eq!(accumulate(&spec, &values).value(1), Some(1000.0));
}

#[test]
fn what_is_no_number_is_left_out_and_counted() {
    let spec = AggregateSpec::parse("avg(data.x)").unwrap();
    let acc = accumulate(&spec, &[(0, f64::NAN), (1, f64::INFINITY), (2, 4.0)]);
    assert_eq!((acc.value(1), acc.samples(), acc.ignored()), (Some(4.0), 1, 2));
}

#[test]
fn distinct_stays_within_its_error_and_never_falls() {
    let spec = AggregateSpec::parse("distinct(data.x)").unwrap();
    let mut acc = Accumulator::new(&spec);
    let mut before = 0.0;
    for n in 0..100_000 {
        acc.add_coupon(distinct::Distinct::coupon(&n.to_string()));
        if n % 1000 == 0 {
            let now = acc.value(1).unwrap();
            assert!(now >= before);
            before = now;
        }
    }
    assert!((acc.value(1).unwrap() / 100_000.0 - 1.0).abs() < 0.05);
}

#[test]
fn folds_rows_into_their_groups() {
    let mut builder = BatchBuilder::new();
    for (i, data) in [
        r#"{"x":1,"s":"a"}"#,
        r#"{"x":2.5,"s":"b"}"#,
        r#"{"s":"a"}"#,
        r#"{"x":"text","s":7}"#,
        r#"{"x":-4}"#,
    ]
    .iter()
    .enumerate()
    {
        let json = format!(
            r#"{{"type":"t","source":"s","timestamp":{},"data":{data}}}"#,
            1_700_000_000_000i64 + i as i64
        );
        builder.push_json(json.as_bytes(), 1_700_000_000_000).unwrap();
    }
    let batch = builder.finish(1).decode().unwrap();
    let mut rows = Bitmap::new(5, true);
    rows.set(1, false);
    let groups = [0, 0, 1, 0, 1];
    for (text, expected) in [
        ("count()", [Some(2.0), Some(2.0)]),
        ("sum(data.x)", [Some(1.0), Some(-4.0)]),
        ("last(data.x)", [Some(1.0), Some(-4.0)]),
        ("distinct(data.s)", [Some(2.0), Some(1.0)]),
        ("topk(1, data.s)", [Some(1.0), Some(1.0)]),
        ("min(data.none)", [None, None]),
    ] {
        let spec = AggregateSpec::parse(text).unwrap();
        let mut accs = vec![Accumulator::new(&spec), Accumulator::new(&spec)];
        fold(&spec, &mut Columns::new(&batch), &rows, &groups, &mut accs).unwrap();
        assert_eq!([accs[0].value(1000), accs[1].value(1000)], expected, "{text}");
    }
}

#[test]
fn long_values_are_told_apart_and_shortened() {
    let long = |end: &str| format!("{}{end}", "ü".repeat(5000));
    let spec = AggregateSpec::parse("topk(2, data.x)").unwrap();
    let mut acc = Accumulator::new(&spec);
    for end in ["a", "b", "a"] {
        acc.add_value(&frequent::Hashed::new(&long(end)));
    }
    let top = acc.top();
    assert_eq!((top[0].count, top[1].count), (2, 1));
    assert!(top.iter().all(|entry| entry.value.len() < 256));
}

#[test]
fn a_state_that_no_events_make_is_not_sound() {
    let times = (10, 20);
    let of = |text: &str| AggregateSpec::parse(text).unwrap();
    let with = |text: &str, numbers: &[(i64, f64)]| {
        let mut accumulator = Accumulator::new(&of(text));
        numbers
            .iter()
            .for_each(|(at, number)| accumulator.add_number(*at, *number));
        accumulator
    };
    let numbers = [
        "sum(data.x)",
        "avg(data.x)",
        "min(data.x)",
        "max(data.x)",
        "stddev(data.x)",
        "first(data.x)",
        "last(data.x)",
        "p90(data.x)",
    ];
    for text in numbers {
        assert!(with(text, &[]).is_sound(&of(text), 1, times), "{text}");
        assert!(
            with(text, &[(15, -2.5), (20, 7.0)]).is_sound(&of(text), 2, times),
            "{text}"
        );
        assert!(
            !with(text, &[(15, 1.0), (20, 7.0)]).is_sound(&of(text), 1, times),
            "{text}: more values than events"
        );
        for other in numbers.iter().filter(|other| **other != text) {
            assert!(
                !with(text, &[(15, 1.0)]).is_sound(&of(other), 1, times),
                "{text} for {other}"
            );
        }
    }
    for text in ["first(data.x)", "last(data.x)"] {
        assert!(!with(text, &[(i64::MIN, 1.0)]).is_sound(&of(text), 1, times), "{text}");
    }
    let changed = |text: &str, state: state::State| {
        let mut accumulator = with(text, &[(15, 1.0)]);
        accumulator.state = state;
        accumulator.is_sound(&of(text), 1, times)
    };
    let mut total = moments::Total::default();
    total.add(f64::NAN);
    assert!(!changed("avg(data.x)", state::State::Avg(total)));
    assert!(!changed("min(data.x)", state::State::Min(f64::NEG_INFINITY)));
    assert!(!changed("max(data.x)", state::State::Max(f64::INFINITY)));
    assert!(
        !changed("stddev(data.x)", state::State::Stddev(Box::default())),
        "of no value"
    );
    assert!(with("sum(data.x)", &[(15, f64::MAX), (15, f64::MAX)]).overflowed());

    let spec = of("distinct(data.x)");
    for values in [0, 1, 7, 300, 5000] {
        let mut accumulator = Accumulator::new(&spec);
        (0..values).for_each(|n| accumulator.add_coupon(distinct::Distinct::coupon(&n.to_string())));
        assert!(accumulator.is_sound(&spec, values, times), "{values}");
        assert!(
            values < 100 || !accumulator.is_sound(&spec, values / 2, times),
            "{values}"
        );
        let bytes = bincode::serde::encode_to_vec(&accumulator, bincode::config::standard()).unwrap();
        let (read, _) =
            bincode::serde::decode_from_slice::<Accumulator, _>(&bytes, bincode::config::standard()).unwrap();
        assert!(read.is_sound(&spec, values, times), "{values} read back");
    }
}

/// Bytes of a sketch as another machine may make them.
#[test]
fn a_set_that_contradicts_itself_is_not_sound() {
    use datasketches::hll::{HllSketch, HllType};

    const COMPACT: u8 = 8;
    let spec = AggregateSpec::parse("distinct(data.x)").unwrap();
    let written = |values: u64| {
        let mut sketch = HllSketch::new(12, HllType::Hll8).unwrap();
        (0..values).for_each(|value| sketch.update(value));
        sketch.serialize()
    };
    let sound = |bytes: &[u8], values: u64| {
        assert!(HllSketch::deserialize(bytes).is_ok(), "the library takes it");
        let mut accumulator = Accumulator::new(&spec);
        let text = bincode::serde::encode_to_vec(bytes.to_vec(), bincode::config::standard()).unwrap();
        let (set, _) = bincode::serde::decode_from_slice(&text, bincode::config::standard()).unwrap();
        (0..values).for_each(|_| accumulator.add_coupon(distinct::Distinct::coupon("x")));
        accumulator.state = state::State::Distinct(set);
        accumulator.is_sound(&spec, values, (10, 20))
    };
    for values in [1, 8, 9, 600, 5000] {
        assert!(sound(&written(values), values), "{values}");
    }
    // It says that it holds one value and has no place for another, whose values would be lost.
    let mut full = written(1);
    full[5] &= !COMPACT;
    for other in 1..8_u32 {
        full.extend((other << 26 | other).to_le_bytes());
    }
    assert!(!sound(&full, 1));
    // Any number, without values that make it; and one that shows when it is merged.
    let mut claimed = written(5000);
    claimed[8..16].copy_from_slice(&1e18_f64.to_le_bytes());
    assert!(!sound(&claimed, 5000));
    let mut high = written(5000);
    high[40..].fill(60);
    assert!(!sound(&high, 5000));
}
