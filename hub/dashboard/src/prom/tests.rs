//! Evaluation over plain series, and the hub's metrics as samples. What PromQL means is proven against a real Prometheus in `tests/e2e/prometheus.rs`.

use proptest::prelude::*;
use serde_json::json;
use streamflow_analytics::rollup::LabelledSeries;
use streamflow_model::{
    Instant, Metric, MetricDraft,
    metric::{DAY, MINUTE},
};
use streamflow_proto::{
    aggregate::{self, Accumulator},
    bitmap::Bitmap,
    build::BatchBuilder,
    filter::Columns,
};

use super::{
    eval::{Evaluator, Value},
    labels::{Labels, NAME, Series},
    plan::{Plan, QueryError, Times},
    samples::{self, Range},
};

/// Begin of a day.
const T0: i64 = 1_699_920_000_000;

fn series(name: &str, samples: &[(i64, f64)]) -> Series {
    Series {
        labels: Labels::from([(NAME.to_owned(), name.to_owned())]),
        samples: samples.to_vec(),
    }
}

fn value(query: &str, at: i64, all: &[Series]) -> Result<Value, QueryError> {
    let plan = Plan::new(query, Times::at(at))?;
    let data = plan
        .needs
        .iter()
        .map(|need| {
            all.iter()
                .filter(|one| need.wanted.takes(&one.labels))
                .cloned()
                .collect()
        })
        .collect();
    Evaluator::new(&plan, data).instant()
}

fn number(query: &str, at: i64, all: &[Series]) -> Option<f64> {
    match value(query, at, all).unwrap() {
        Value::Scalar(value) => Some(value),
        Value::Vector(points) => points.first().map(|point| point.value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ranges_and_lookback_are_open_at_their_begin() {
    let all = [series("x", &[(0, 1.0), (60_000, 2.0), (120_000, 3.0)])];
    assert_eq!(number("count_over_time(x[1m])", 120_000, &all), Some(1.0));
    assert_eq!(number("count_over_time(x[2m])", 120_000, &all), Some(2.0));
    assert_eq!(number("x", 419_999, &all), Some(3.0));
    assert_eq!(number("x", 420_000, &all), None);
    assert_eq!(number("x", -1, &all), None);
}

#[test]
fn work_without_end_is_refused() {
    let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    assert!(matches!(Plan::new(&deep, Times::at(0)), Err(QueryError::Bad(_))));
    let long = format!("{}1", "1+".repeat(10_000));
    assert!(matches!(Plan::new(&long, Times::at(0)), Err(QueryError::Bad(_))));
    let many: Vec<Series> = (0..20_000).map(|n| series(&format!("x{n}"), &[])).collect();
    let times = Times {
        start: 0,
        end: 10_000,
        step: 1,
    };
    let plan = Plan::new("{__name__=~\"x.*\"}", times).unwrap();
    assert!(matches!(
        Evaluator::new(&plan, vec![many]).range_query(),
        Err(QueryError::Execution(_))
    ));
}

#[test]
fn two_series_of_one_name_are_never_one_answer() {
    let all = [series("a", &[(0, 1.0)]), series("b", &[(0, 2.0)])];
    assert!(matches!(
        value("-{__name__=~\"a|b\"}", 0, &all),
        Err(QueryError::Execution(_))
    ));
    assert!(matches!(
        value("{__name__=~\"a|b\"} + 1", 0, &all),
        Err(QueryError::Execution(_))
    ));
}

fn metric(more: serde_json::Value) -> Metric {
    let mut body = json!({"name": "m"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let draft: MetricDraft = serde_json::from_value(body).unwrap();
    Metric {
        id: draft.id(),
        draft,
        builtin: false,
        series_id: String::new(),
        since: Instant(0),
        version: 1,
        created_at: Instant(0),
        updated_at: Instant(0),
    }
}

/// Windows with so many events, of a metric with the label `de`.
fn windows(metric: &Metric, counts: &[(i64, usize)]) -> Vec<LabelledSeries> {
    let spec = metric.draft.compile().unwrap().aggregate;
    let window = |(start, count): &(i64, usize)| {
        let mut builder = BatchBuilder::new();
        for n in 0..*count {
            let event = json!({"type": "a", "source": "s", "timestamp": T0, "data": {"x": n}});
            builder.push_json(event.to_string().as_bytes(), T0).unwrap();
        }
        let batch = builder.finish(1).decode().unwrap();
        let mut columns = Columns::new(&batch);
        let mut accumulators = vec![Accumulator::new(&spec)];
        let rows = Bitmap::new(*count, true);
        aggregate::fold(&spec, &mut columns, &rows, &vec![0; *count], &mut accumulators).unwrap();
        (*start, accumulators.remove(0))
    };
    vec![LabelledSeries {
        labels: vec!["de".to_owned()],
        steps: counts.iter().map(window).collect(),
    }]
}

#[test]
fn gauges_stand_at_the_end_of_their_windows() {
    let count = metric(json!({"group_by": ["data.country"]}));
    let range = Range {
        from: T0,
        to: T0 + 4 * MINUTE,
    };
    let found = samples::gauge(&count, &windows(&count, &[(T0 - MINUTE, 9), (T0 + MINUTE, 3)]), range);
    assert_eq!(
        found[0].labels,
        Labels::from([
            (NAME.to_owned(), "m".to_owned()),
            ("data_country".to_owned(), "de".to_owned())
        ])
    );
    let at = |minute: i64| T0 + minute * MINUTE;
    assert_eq!(
        found[0].samples,
        [(at(1), 0.0), (at(2), 3.0), (at(3), 0.0), (at(4), 0.0)]
    );

    let most = metric(json!({"aggregate": "max(data.x)", "window": "5m", "group_by": ["data.country"]}));
    let range = Range {
        from: T0 + MINUTE,
        to: T0 + 12 * MINUTE,
    };
    let found = samples::gauge(
        &most,
        &windows(&most, &[(T0 - 5 * MINUTE, 9), (T0 + 5 * MINUTE, 3)]),
        range,
    );
    let wanted = [(2, 8.0), (3, 8.0), (4, 8.0), (10, 2.0), (11, 2.0), (12, 2.0)];
    assert_eq!(found[0].samples, wanted.map(|(minute, value)| (at(minute), value)));
}

#[test]
fn counters_begin_anew_with_each_day_and_lose_nothing() {
    let count = metric(json!({"group_by": ["data.country"]}));
    let counts = [
        (T0 + DAY - 3 * MINUTE, 5),
        (T0 + DAY - MINUTE, 7),
        (T0 + DAY, 40),
        (T0 + DAY + 2 * MINUTE, 1),
    ];
    let range = Range {
        from: T0 + DAY - 5 * MINUTE,
        to: T0 + DAY + 5 * MINUTE,
    };
    let found = samples::counter(&count, &windows(&count, &counts), range);
    assert_eq!(found[0].labels[NAME], "m_total");
    let wanted = [
        (-4, 0.0),
        (-3, 0.0),
        (-2, 5.0),
        (-1, 5.0),
        (0, 12.0),
        (1, 40.0),
        (2, 40.0),
        (3, 41.0),
        (4, 41.0),
        (5, 41.0),
    ];
    let mut wanted: Vec<(i64, f64)> = wanted
        .iter()
        .map(|(minute, value)| (T0 + DAY + minute * MINUTE, *value))
        .collect();
    wanted.insert(5, (T0 + DAY + 1, 0.0));
    assert_eq!(found[0].samples, wanted);
    // 7 before midnight, 41 after, seen from two minutes before to five minutes after.
    let gained = number("resets(m_total[7m])", T0 + DAY + 5 * MINUTE, &found);
    assert_eq!(gained, Some(1.0));
    let gained = number("increase(m_total[9m])", T0 + DAY + 5 * MINUTE, &found).unwrap();
    assert!((gained - 53.0).abs() < 53.0 * 0.13, "{gained}");
}

proptest! {
    #[test]
    fn any_query_is_answered_or_refused(query in "[a-z0-9_(){}\\[\\]\"=~!+*/<>:., ]{0,60}") {
        drop(value(&query, 1_000_000, &[series("a", &[(999_000, 1.0)])]));
    }

    #[test]
    fn grammatical_queries_never_fail_the_hub(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "b", "1", "rate(a[5m])", "sum", "by (x)", "(", ")", "+", "/", ">", "bool", "and", "or", "unless", "on (x)", "group_left",
            "topk(2,", "quantile(0.5,", "histogram_quantile(0.5,", "offset 5m", "-", "%", "^", "scalar(", "label_replace(a,\"x\",\"$1\",\"y\",\"(.*)\")",
        ]), 1..8),
    ) {
        let all = [series("a", &[(400_000, 1.0), (999_000, f64::NAN)]), series("b", &[(999_000, f64::INFINITY)])];
        drop(value(&words.join(" "), 1_000_000, &all));
    }
}
