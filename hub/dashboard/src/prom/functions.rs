//! Functions over instant vectors and numbers.

use promql_parser::{
    label::MatchOp,
    parser::{Call, Expr},
};

use super::{
    eval::{Evaluator, Value, type_error, unique},
    histogram,
    labels::{Labels, NAME, Point},
    plan::QueryError,
};

const KNOWN: [&str; 26] = [
    "abs",
    "absent",
    "ceil",
    "clamp",
    "clamp_max",
    "clamp_min",
    "exp",
    "floor",
    "histogram_quantile",
    "label_join",
    "label_replace",
    "ln",
    "log10",
    "log2",
    "pi",
    "round",
    "scalar",
    "sgn",
    "sort",
    "sort_desc",
    "sqrt",
    "time",
    "timestamp",
    "vector",
    "deg",
    "rad",
];

pub(super) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

pub(super) fn apply(evaluator: &Evaluator<'_>, call: &Call, at: i64) -> Result<Value, QueryError> {
    let args = &call.args.args;
    let arg = |place: usize| {
        args.get(place)
            .map(|arg| &**arg)
            .ok_or_else(|| type_error("more arguments"))
    };
    let number = |place: usize| evaluator.scalar(arg(place)?, at);
    let points = |place: usize| evaluator.vector(arg(place)?, at);
    #[expect(clippy::cast_precision_loss, reason = "times in ms stay far below 2^53")]
    let now = at as f64 / 1000.0;
    let vector = match call.func.name {
        "time" => return Ok(Value::Scalar(now)),
        "pi" => return Ok(Value::Scalar(std::f64::consts::PI)),
        "scalar" => {
            let points = points(0)?;
            return Ok(Value::Scalar(match points.as_slice() {
                [one] => one.value,
                _ => f64::NAN,
            }));
        }
        "vector" => vec![Point {
            labels: Labels::new(),
            value: number(0)?,
            at,
        }],
        "timestamp" => {
            #[expect(clippy::cast_precision_loss, reason = "times in ms stay far below 2^53")]
            let time = |point: Point| {
                let of = point.at as f64 / 1000.0;
                point.become_unnamed(of)
            };
            points(0)?.into_iter().map(time).collect()
        }
        "absent" => absent(arg(0)?, &points(0)?, at),
        "sort" => sorted(points(0)?, false),
        "sort_desc" => sorted(points(0)?, true),
        "histogram_quantile" => histogram::quantiles(number(0)?, points(1)?),
        "label_replace" => label_replace(evaluator, call, at)?,
        "label_join" => label_join(evaluator, call, at)?,
        "clamp" => {
            let (least, most) = (number(1)?, number(2)?);
            if least > most {
                Vec::new()
            } else {
                each(points(0)?, |value| clamp(value, least, most))
            }
        }
        "clamp_min" => {
            let least = number(1)?;
            each(points(0)?, |value| clamp(value, least, f64::INFINITY))
        }
        "clamp_max" => {
            let most = number(1)?;
            each(points(0)?, |value| clamp(value, f64::NEG_INFINITY, most))
        }
        "round" => {
            let inverse = 1.0 / if args.len() > 1 { number(1)? } else { 1.0 };
            each(points(0)?, |value| (value * inverse + 0.5).floor() / inverse)
        }
        "abs" => each(points(0)?, f64::abs),
        "ceil" => each(points(0)?, f64::ceil),
        "floor" => each(points(0)?, f64::floor),
        "exp" => each(points(0)?, f64::exp),
        "sqrt" => each(points(0)?, f64::sqrt),
        "ln" => each(points(0)?, f64::ln),
        "log2" => each(points(0)?, f64::log2),
        "log10" => each(points(0)?, f64::log10),
        "deg" => each(points(0)?, f64::to_degrees),
        "rad" => each(points(0)?, f64::to_radians),
        "sgn" => each(points(0)?, |value| {
            if value == 0.0 || value.is_nan() {
                value
            } else {
                value.signum()
            }
        }),
        other => {
            return Err(QueryError::Bad(format!(
                "the function `{other}` is not supported by this hub"
            )));
        }
    };
    Ok(Value::Vector(unique(vector)?))
}

fn each(points: Vec<Point>, change: impl Fn(f64) -> f64) -> Vec<Point> {
    let one = |point: Point| {
        let value = change(point.value);
        point.become_unnamed(value)
    };
    points.into_iter().map(one).collect()
}

fn clamp(value: f64, least: f64, most: f64) -> f64 {
    if least.is_nan() || most.is_nan() {
        f64::NAN
    } else if value < least {
        least
    } else if value > most {
        most
    } else {
        value
    }
}

/// Not a number comes last either way.
fn sorted(mut points: Vec<Point>, descending: bool) -> Vec<Point> {
    points.sort_by(|a, b| {
        let nan = a.value.is_nan().cmp(&b.value.is_nan());
        let order = a.value.total_cmp(&b.value);
        nan.then(if descending { order.reverse() } else { order })
    });
    points
}

/// One when there is nothing, with the labels that the selector names.
fn absent(arg: &Expr, points: &[Point], at: i64) -> Vec<Point> {
    if !points.is_empty() {
        return Vec::new();
    }
    let mut labels = Labels::new();
    if let Expr::VectorSelector(selector) = arg {
        let mut twice = Vec::new();
        for matcher in selector.matchers.matchers.iter().filter(|one| one.name != NAME) {
            match matcher.op {
                MatchOp::Equal if !labels.contains_key(&matcher.name) => {
                    labels.insert(matcher.name.clone(), matcher.value.clone());
                }
                _ => twice.push(&matcher.name),
            }
        }
        twice.into_iter().for_each(|name| drop(labels.remove(name)));
    }
    vec![Point { labels, value: 1.0, at }]
}

fn check_label(name: &str) -> Result<(), QueryError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(QueryError::Bad(format!("invalid label name `{name}`")))
}

fn set(labels: &mut Labels, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

fn label_replace(evaluator: &Evaluator<'_>, call: &Call, at: i64) -> Result<Vec<Point>, QueryError> {
    let [points, target, replacement, source, pattern] = call.args.args.as_slice() else {
        return Err(type_error("five arguments for label_replace"));
    };
    let text = |arg: &Expr| evaluator.text(arg, at);
    let (target, replacement, source, pattern) = (text(target)?, text(replacement)?, text(source)?, text(pattern)?);
    check_label(&target)?;
    let pattern = regex::Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|e| QueryError::Bad(format!("invalid regular expression in label_replace: {e}")))?;
    let mut points = evaluator.vector(points, at)?;
    for point in &mut points {
        let value = point.labels.get(&source).cloned().unwrap_or_default();
        if let Some(found) = pattern.captures(&value) {
            let mut text = String::new();
            found.expand(&replacement, &mut text);
            set(&mut point.labels, &target, text);
        }
    }
    Ok(points)
}

fn label_join(evaluator: &Evaluator<'_>, call: &Call, at: i64) -> Result<Vec<Point>, QueryError> {
    let [points, target, separator, sources @ ..] = call.args.args.as_slice() else {
        return Err(type_error("at least three arguments for label_join"));
    };
    let (target, separator) = (evaluator.text(target, at)?, evaluator.text(separator, at)?);
    check_label(&target)?;
    let sources = sources
        .iter()
        .map(|source| evaluator.text(source, at))
        .collect::<Result<Vec<String>, QueryError>>()?;
    let mut points = evaluator.vector(points, at)?;
    for point in &mut points {
        let values: Vec<&str> = sources
            .iter()
            .map(|source| point.labels.get(source).map_or("", String::as_str))
            .collect();
        let joined = values.join(&separator);
        set(&mut point.labels, &target, joined);
    }
    Ok(points)
}
