//! `sum by (…)` and its like.

use std::collections::BTreeMap;

use promql_parser::parser::{AggregateExpr, token, token::TokenType};

use super::{
    eval::{Value, type_error},
    labels::{Labels, Point, keep},
    plan::QueryError,
};

pub(super) fn is_known(op: TokenType) -> bool {
    matches!(
        op.id(),
        token::T_SUM
            | token::T_AVG
            | token::T_COUNT
            | token::T_MIN
            | token::T_MAX
            | token::T_GROUP
            | token::T_STDDEV
            | token::T_STDVAR
            | token::T_TOPK
            | token::T_BOTTOMK
            | token::T_QUANTILE
    )
}

pub(super) fn apply(expr: &AggregateExpr, param: Option<Value>, points: Vec<Point>) -> Result<Vec<Point>, QueryError> {
    let param = match param {
        None => f64::NAN,
        Some(Value::Scalar(value)) => value,
        Some(_) => return Err(type_error("a number as the aggregation's parameter")),
    };
    let mut groups: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
    for point in points {
        groups
            .entry(keep(&point.labels, expr.modifier.as_ref(), false))
            .or_default()
            .push(point);
    }
    let op = expr.op.id();
    if op == token::T_TOPK || op == token::T_BOTTOMK {
        return Ok(groups
            .into_values()
            .flat_map(|group| best(group, param, op == token::T_TOPK))
            .collect());
    }
    let one = |(labels, group): (Labels, Vec<Point>)| Point {
        at: group.iter().map(|point| point.at).max().unwrap_or_default(),
        value: combine(op, param, group.iter().map(|point| point.value).collect()),
        labels,
    };
    Ok(groups.into_iter().map(one).collect())
}

#[expect(clippy::cast_precision_loss, reason = "numbers of series stay far below 2^53")]
fn combine(op: token::TokenId, param: f64, values: Vec<f64>) -> f64 {
    let count = values.len() as f64;
    let each = || values.iter().copied();
    match op {
        token::T_SUM => sum(each()),
        token::T_AVG => sum(each()) / count,
        token::T_COUNT => count,
        token::T_MIN => each().fold(f64::NAN, |a, b| if b < a || a.is_nan() { b } else { a }),
        token::T_MAX => each().fold(f64::NAN, |a, b| if b > a || a.is_nan() { b } else { a }),
        token::T_STDDEV => variance(each()).sqrt(),
        token::T_STDVAR => variance(each()),
        token::T_QUANTILE => quantile(param, values),
        // group
        _ => 1.0,
    }
}

/// The `k` largest or smallest; values that are not numbers last.
fn best(mut group: Vec<Point>, k: f64, largest: bool) -> Vec<Point> {
    group.sort_by(|a, b| {
        let order = match (a.value.is_nan(), b.value.is_nan()) {
            (true, true) => std::cmp::Ordering::Equal,
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            _ if largest => b.value.total_cmp(&a.value),
            _ => a.value.total_cmp(&b.value),
        };
        order.then_with(|| a.labels.cmp(&b.labels))
    });
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest whole number; not a number becomes zero"
    )]
    group.truncate(k.max(0.0) as usize);
    group
}

/// Kahan's sum in Neumaier's form, as Prometheus sums.
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        if next.is_infinite() {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - next) + value;
        } else {
            lost += (value - next) + sum;
        }
        sum = next;
    }
    sum + lost
}

/// Population variance.
#[expect(clippy::cast_precision_loss, reason = "numbers of values stay far below 2^53")]
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut squares, mut count) = (0.0, 0.0, 0_u64);
    for value in values {
        count += 1;
        let delta = value - mean;
        mean += delta / count as f64;
        squares += delta * (value - mean);
    }
    squares / count as f64
}

/// Quantile with linear interpolation between the two nearest values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks lie between zero and the number of values"
)]
pub(super) fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // Not a number sorts first, as in Prometheus.
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then_with(|| a.total_cmp(b)));
    let rank = q * (values.len() as f64 - 1.0);
    let lower = rank.floor().max(0.0);
    let upper = (lower + 1.0).min(values.len() as f64 - 1.0);
    let weight = rank - rank.floor();
    values[lower as usize] * (1.0 - weight) + values[upper as usize] * weight
}
