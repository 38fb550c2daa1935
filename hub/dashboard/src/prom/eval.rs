//! Evaluates an expression at one point in time after the other.

use std::collections::{BTreeMap, HashMap};

use promql_parser::parser::{Expr, MatrixSelector, VectorSelector};

use super::{
    aggregate, binary, functions,
    labels::{Labels, Point, Series},
    over_time,
    plan::{LOOKBACK, Plan, QueryError, moved, ms, name_of},
};

/// Time in ms, and value.
type Sample = (i64, f64);

/// Most points of an answer, and most values that one query may compute.
const MAX_WORK: usize = 20_000_000;

/// What an expression is at one point in time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Text(String),
    Vector(Vec<Point>),
    /// Samples of a range, only as a whole answer.
    Matrix(Vec<Series>),
}

/// A query with its data.
#[derive(Debug)]
pub(super) struct Evaluator<'a> {
    plan: &'a Plan,
    /// Series by selector.
    data: HashMap<usize, Vec<Series>>,
    work: std::cell::Cell<usize>,
}

impl<'a> Evaluator<'a> {
    /// `data` holds for every need of the plan its series, in the same order.
    pub(super) fn new(plan: &'a Plan, data: Vec<Vec<Series>>) -> Self {
        let data = plan.needs.iter().map(|need| need.selector).zip(data).collect();
        Self {
            plan,
            data,
            work: std::cell::Cell::new(0),
        }
    }

    /// The value at the plan's one point in time.
    pub(super) fn instant(&self) -> Result<Value, QueryError> {
        let at = self.plan.times.start;
        if let Some(matrix) = bare_matrix(&self.plan.expr) {
            let series = self.range(matrix, at)?;
            return Ok(Value::Matrix(
                series
                    .map(|(series, samples)| Series {
                        labels: series.labels.clone(),
                        samples: samples.to_vec(),
                    })
                    .filter(|series| !series.samples.is_empty())
                    .collect(),
            ));
        }
        self.eval(&self.plan.expr, at)
    }

    /// The values over the plan's points in time, by series.
    pub(super) fn range_query(&self) -> Result<Vec<Series>, QueryError> {
        let mut found: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        for at in self.plan.times.iter() {
            match self.eval(&self.plan.expr, at)? {
                Value::Scalar(value) => found.entry(Labels::new()).or_default().push((at, value)),
                Value::Vector(points) => {
                    for point in unique(points)? {
                        found.entry(point.labels).or_default().push((at, point.value));
                    }
                }
                Value::Text(_) | Value::Matrix(_) => {
                    return Err(QueryError::Bad(
                        "invalid expression type for range query, must be Scalar or instant Vector".to_owned(),
                    ));
                }
            }
        }
        Ok(found
            .into_iter()
            .map(|(labels, samples)| Series { labels, samples })
            .collect())
    }

    /// The value at a point in time.
    pub(super) fn eval(&self, expr: &Expr, at: i64) -> Result<Value, QueryError> {
        let value = match expr {
            Expr::NumberLiteral(number) => Value::Scalar(number.val),
            Expr::StringLiteral(text) => Value::Text(text.val.clone()),
            Expr::Paren(paren) => self.eval(&paren.expr, at)?,
            Expr::VectorSelector(selector) => Value::Vector(self.newest(selector, at)?),
            Expr::Unary(unary) => match self.eval(&unary.expr, at)? {
                Value::Scalar(value) => Value::Scalar(-value),
                Value::Vector(points) => {
                    let negative = |point: Point| {
                        let value = -point.value;
                        point.become_unnamed(value)
                    };
                    Value::Vector(unique(points.into_iter().map(negative).collect())?)
                }
                Value::Text(_) | Value::Matrix(_) => return Err(type_error("a number or an instant vector")),
            },
            Expr::Binary(both) => {
                let (left, right) = (self.eval(&both.lhs, at)?, self.eval(&both.rhs, at)?);
                binary::apply(both, left, right)?
            }
            Expr::Aggregate(aggregate) => {
                let param = aggregate
                    .param
                    .as_deref()
                    .map(|param| self.eval(param, at))
                    .transpose()?;
                let points = self.vector(&aggregate.expr, at)?;
                Value::Vector(aggregate::apply(aggregate, param, points)?)
            }
            Expr::Call(call) if over_time::is_known(call.func.name) => self.over_time(call, at)?,
            Expr::Call(call) => functions::apply(self, call, at)?,
            Expr::MatrixSelector(_) => return Err(type_error("an instant vector, not a range")),
            Expr::Subquery(_) | Expr::Extension(_) => return Err(type_error("a supported expression")),
        };
        if let Value::Vector(points) = &value {
            self.spend(points.len() + 1)?;
        }
        Ok(value)
    }

    /// The value of an expression that is an instant vector.
    pub(super) fn vector(&self, expr: &Expr, at: i64) -> Result<Vec<Point>, QueryError> {
        match self.eval(expr, at)? {
            Value::Vector(points) => Ok(points),
            _ => Err(type_error("an instant vector")),
        }
    }

    /// The value of an expression that is a number.
    pub(super) fn scalar(&self, expr: &Expr, at: i64) -> Result<f64, QueryError> {
        match self.eval(expr, at)? {
            Value::Scalar(value) => Ok(value),
            _ => Err(type_error("a number")),
        }
    }

    /// The value of an expression that is a text.
    pub(super) fn text(&self, expr: &Expr, at: i64) -> Result<String, QueryError> {
        match self.eval(expr, at)? {
            Value::Text(text) => Ok(text),
            _ => Err(type_error("a text")),
        }
    }

    fn spend(&self, work: usize) -> Result<(), QueryError> {
        self.work.set(self.work.get() + work);
        if self.work.get() > MAX_WORK {
            return Err(QueryError::Execution(format!(
                "the query computes more than {MAX_WORK} values; take fewer series, a shorter range or a longer step"
            )));
        }
        Ok(())
    }

    fn series(&self, selector: &VectorSelector) -> &[Series] {
        self.data.get(&name_of(selector)).map_or(&[], Vec::as_slice)
    }

    /// The newest sample of each series, not older than the lookback.
    fn newest(&self, selector: &VectorSelector, at: i64) -> Result<Vec<Point>, QueryError> {
        let at = moved(selector, at, self.plan.times);
        let series = self.series(selector);
        self.spend(series.len())?;
        let newest = |series: &Series| {
            let end = series.samples.partition_point(|(time, _)| *time <= at);
            let (time, value) = *series.samples.get(end.checked_sub(1)?)?;
            (time > at - LOOKBACK).then(|| Point {
                labels: series.labels.clone(),
                value,
                at: time,
            })
        };
        Ok(series.iter().filter_map(newest).collect())
    }

    /// The samples of each series in the range that ends at a point in time.
    fn range(
        &self,
        matrix: &MatrixSelector,
        at: i64,
    ) -> Result<impl Iterator<Item = (&Series, &[Sample])>, QueryError> {
        let end = moved(&matrix.vs, at, self.plan.times);
        let begin = end.saturating_sub(ms(matrix.range));
        let series = self.series(&matrix.vs);
        self.spend(series.len())?;
        Ok(series.iter().map(move |series| {
            let from = series.samples.partition_point(|(time, _)| *time <= begin);
            let to = series.samples.partition_point(|(time, _)| *time <= end);
            (series, series.samples.get(from..to).unwrap_or(&[]))
        }))
    }

    fn over_time(&self, call: &promql_parser::parser::Call, at: i64) -> Result<Value, QueryError> {
        let args = &call.args.args;
        let (param, range) = match args.as_slice() {
            [range] => (f64::NAN, range),
            [param, range] => (self.scalar(param, at)?, range),
            _ => return Err(type_error("a range")),
        };
        let Some(matrix) = bare_matrix(range) else {
            return Err(type_error("a range such as `metric[5m]`"));
        };
        let end = moved(&matrix.vs, at, self.plan.times);
        let window = (end.saturating_sub(ms(matrix.range)), end);
        let mut points = Vec::new();
        let mut work = 0;
        for (series, samples) in self.range(matrix, at)? {
            work += samples.len();
            if let Some(value) = over_time::apply(call.func.name, param, samples, window) {
                let point = Point {
                    labels: series.labels.clone(),
                    value,
                    at,
                };
                points.push(if over_time::keeps_name(call.func.name) {
                    point
                } else {
                    point.become_unnamed(value)
                });
            }
        }
        self.spend(work / 8)?;
        Ok(Value::Vector(unique(points)?))
    }
}

fn bare_matrix(expr: &Expr) -> Option<&MatrixSelector> {
    match expr {
        Expr::MatrixSelector(matrix) => Some(matrix),
        Expr::Paren(paren) => bare_matrix(&paren.expr),
        _ => None,
    }
}

/// Refuses two values with the same labels.
pub(super) fn unique(points: Vec<Point>) -> Result<Vec<Point>, QueryError> {
    let mut seen = std::collections::HashSet::with_capacity(points.len());
    for point in &points {
        if !seen.insert(&point.labels) {
            return Err(QueryError::Execution(
                "vector cannot contain metrics with the same labelset".to_owned(),
            ));
        }
    }
    Ok(points)
}

pub(super) fn type_error(expected: &str) -> QueryError {
    QueryError::Bad(format!("expected {expected}"))
}
