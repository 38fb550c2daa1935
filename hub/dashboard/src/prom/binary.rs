//! Operators between two values: arithmetic, comparison, and the set operators.

use std::collections::{HashMap, HashSet};

use promql_parser::parser::{
    BinModifier, BinaryExpr, LabelModifier, VectorMatchCardinality,
    token::{self, TokenId},
};

use super::{
    eval::{Value, type_error, unique},
    labels::{Labels, NAME, Point, keep},
    plan::QueryError,
};

pub(super) fn apply(expr: &BinaryExpr, left: Value, right: Value) -> Result<Value, QueryError> {
    let default = BinModifier::default();
    let modifier = expr.modifier.as_ref().unwrap_or(&default);
    let op = Op {
        id: expr.op.id(),
        compares: expr.op.is_comparison_operator(),
        answers: modifier.return_bool,
    };
    match (left, right) {
        (Value::Scalar(a), Value::Scalar(b)) => Ok(Value::Scalar(op.number(a, b))),
        (Value::Vector(points), Value::Scalar(b)) => with_number(op, points, |value| (value, b)),
        (Value::Scalar(a), Value::Vector(points)) => with_number(op, points, |value| (a, value)),
        (Value::Vector(left), Value::Vector(right)) => {
            let points = match expr.op.id() {
                token::T_LAND | token::T_LOR | token::T_LUNLESS => set(expr.op.id(), modifier, left, right),
                _ => matched(op, modifier, left, right)?,
            };
            Ok(Value::Vector(unique(points)?))
        }
        _ => Err(type_error("numbers or instant vectors around an operator")),
    }
}

#[derive(Debug, Clone, Copy)]
struct Op {
    id: TokenId,
    compares: bool,
    /// A comparison answers 0 or 1 in place of leaving out.
    answers: bool,
}

impl Op {
    /// The result as a number; a comparison is 0 or 1.
    fn number(self, a: f64, b: f64) -> f64 {
        match self.id {
            token::T_ADD => a + b,
            token::T_SUB => a - b,
            token::T_MUL => a * b,
            token::T_DIV => a / b,
            token::T_MOD => a % b,
            token::T_POW => a.powf(b),
            _ => f64::from(u8::from(self.holds(a, b))),
        }
    }

    #[expect(clippy::float_cmp, reason = "PromQL compares floats exactly")]
    fn holds(self, a: f64, b: f64) -> bool {
        match self.id {
            token::T_EQLC => a == b,
            token::T_NEQ => a != b,
            token::T_GTR => a > b,
            token::T_LSS => a < b,
            token::T_GTE => a >= b,
            token::T_LTE => a <= b,
            _ => false,
        }
    }

    fn renames(self) -> bool {
        !self.compares || self.answers
    }
}

fn with_number(op: Op, points: Vec<Point>, sides: impl Fn(f64) -> (f64, f64)) -> Result<Value, QueryError> {
    let each = |point: Point| {
        let (a, b) = sides(point.value);
        if op.renames() {
            Some(point.become_unnamed(op.number(a, b)))
        } else {
            op.holds(a, b).then_some(point)
        }
    };
    Ok(Value::Vector(unique(points.into_iter().filter_map(each).collect())?))
}

/// What must be equal on both sides.
fn signature(labels: &Labels, modifier: &BinModifier) -> Labels {
    keep(labels, modifier.matching.as_ref(), true)
}

fn set(op: TokenId, modifier: &BinModifier, left: Vec<Point>, right: Vec<Point>) -> Vec<Point> {
    let of = |points: &[Point]| -> HashSet<Labels> {
        points.iter().map(|point| signature(&point.labels, modifier)).collect()
    };
    match op {
        token::T_LAND => {
            let other = of(&right);
            left.into_iter()
                .filter(|point| other.contains(&signature(&point.labels, modifier)))
                .collect()
        }
        token::T_LUNLESS => {
            let other = of(&right);
            left.into_iter()
                .filter(|point| !other.contains(&signature(&point.labels, modifier)))
                .collect()
        }
        _ => {
            let known = of(&left);
            let more = right
                .into_iter()
                .filter(|point| !known.contains(&signature(&point.labels, modifier)));
            left.into_iter().chain(more).collect()
        }
    }
}

fn matched(op: Op, modifier: &BinModifier, left: Vec<Point>, right: Vec<Point>) -> Result<Vec<Point>, QueryError> {
    // The `one` side must have one series for each signature.
    let swapped = matches!(modifier.card, VectorMatchCardinality::OneToMany(_));
    let (many, one) = if swapped { (right, left) } else { (left, right) };
    let mut by_signature: HashMap<Labels, Point> = HashMap::with_capacity(one.len());
    for point in one {
        let signature = signature(&point.labels, modifier);
        if let Some(double) = by_signature.insert(signature.clone(), point) {
            return Err(twice(&signature, &double, if swapped { "left" } else { "right" }));
        }
    }
    let group = match &modifier.card {
        VectorMatchCardinality::ManyToOne(labels) | VectorMatchCardinality::OneToMany(labels) => Some(&labels.labels),
        VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => None,
    };
    let mut taken: HashSet<Labels> = HashSet::new();
    let mut points = Vec::new();
    for point in many {
        let signature = signature(&point.labels, modifier);
        let Some(other) = by_signature.get(&signature) else {
            continue;
        };
        let (a, b) = if swapped {
            (other.value, point.value)
        } else {
            (point.value, other.value)
        };
        if op.compares && !op.answers && !op.holds(a, b) {
            continue;
        }
        if group.is_none() && !taken.insert(signature.clone()) {
            return Err(twice(&signature, &point, "left"));
        }
        let value = if op.renames() { op.number(a, b) } else { a };
        points.push(Point {
            labels: joined(op, modifier, group.map(Vec::as_slice), &point.labels, &other.labels),
            value,
            at: point.at.max(other.at),
        });
    }
    Ok(points)
}

fn joined(op: Op, modifier: &BinModifier, group: Option<&[String]>, many: &Labels, one: &Labels) -> Labels {
    let mut labels = many.clone();
    if op.renames() {
        labels.remove(NAME);
    }
    match (group, &modifier.matching) {
        (Some(extra), _) => {
            for name in extra {
                match one.get(name).filter(|value| !value.is_empty()) {
                    Some(value) => drop(labels.insert(name.clone(), value.clone())),
                    None => drop(labels.remove(name)),
                }
            }
        }
        (None, Some(LabelModifier::Include(on))) => labels.retain(|name, _| on.labels.contains(name)),
        (None, Some(LabelModifier::Exclude(ignored))) => labels.retain(|name, _| !ignored.labels.contains(name)),
        (None, None) => {}
    }
    labels
}

fn twice(signature: &Labels, point: &Point, side: &str) -> QueryError {
    QueryError::Execution(format!(
        "found duplicate series for the match group {signature:?} on the {side} hand-side of the operation, one of them {:?}; \
         many-to-many matching not allowed: matching labels must be unique on one side",
        point.labels
    ))
}
