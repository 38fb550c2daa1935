//! Checked expression to predicate tree: what columns can answer, and what is left to the interpreter.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, Expr, LiteralValue, operators},
};

use super::{
    places::Places,
    predicate::{Leaf, Pred, Test},
    syntax,
};
use crate::path::Path;

/// Integers whose neighbours are doubles too: comparing them as doubles is exact.
const EXACT: i64 = 1 << 53;

/// A comparison's operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Op {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            operators::EQUALS => Self::Eq,
            operators::NOT_EQUALS => Self::Ne,
            operators::LESS => Self::Lt,
            operators::LESS_EQUALS => Self::Le,
            operators::GREATER => Self::Gt,
            operators::GREATER_EQUALS => Self::Ge,
            _ => return None,
        })
    }

    #[inline]
    pub(super) fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ne => left != right,
            Self::Lt => left < right,
            Self::Le => left <= right,
            Self::Gt => left > right,
            Self::Ge => left >= right,
        }
    }

    /// Whether values of different types can be compared: they are simply unequal.
    pub(super) const fn is_equality(self) -> bool {
        matches!(self, Self::Eq | Self::Ne)
    }
}

/// The tree of an expression.
pub(super) fn predicate(expr: &IdedExpr, places: &Places) -> Pred {
    match &expr.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => Pred::Const(*value.inner()),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => Pred::And(flatten(left, right, places, |p| match p {
                Pred::And(parts) => Ok(parts),
                other => Err(other),
            })),
            (operators::LOGICAL_OR, [left, right]) => Pred::Or(flatten(left, right, places, |p| match p {
                Pred::Or(parts) => Ok(parts),
                other => Err(other),
            })),
            (operators::LOGICAL_NOT, [inner]) => Pred::Not(Box::new(predicate(inner, places))),
            _ => leaf(expr, places, call_test(call)),
        },
        Expr::Select(select) if select.test => {
            let test = attribute(&select.operand).filter(|path| matches!(path.root(), "data" | "metadata"));
            leaf(
                expr,
                places,
                test.map(|path| (path.join(&select.field), Test::Has))
                    .ok_or("has() of a computed value"),
            )
        }
        _ => leaf(
            expr,
            places,
            nested(expr)
                .map(|path| (path, Test::IsTrue))
                .ok_or("a value that is not an attribute"),
        ),
    }
}

/// Both sides as one list, columns before interpretation, so that the interpreter sees the fewest rows.
fn flatten(
    left: &IdedExpr,
    right: &IdedExpr,
    places: &Places,
    open: impl Fn(Pred) -> Result<Vec<Pred>, Pred>,
) -> Vec<Pred> {
    let mut parts: Vec<Pred> = [left, right]
        .into_iter()
        .flat_map(|side| open(predicate(side, places)).unwrap_or_else(|p| vec![p]))
        .collect();
    parts.sort_by_key(|part| part.first_reason().is_some());
    parts
}

fn leaf(expr: &IdedExpr, places: &Places, test: Result<(Path, Test), &'static str>) -> Pred {
    Pred::Leaf(Box::new(Leaf::new(expr, places.text_of(expr), test)))
}

fn call_test(call: &CallExpr) -> Result<(Path, Test), &'static str> {
    match (&call.target, call.args.as_slice()) {
        (None, [left, right]) if call.func_name == operators::IN => {
            let path = comparable(left).ok_or("`in` of a computed value")?;
            let Expr::List(list) = &right.expr else {
                return Err("`in` a computed list");
            };
            list_test(&list.elements)
                .map(|test| (path, test))
                .ok_or("`in` a list of mixed or computed values")
        }
        (None, [left, right]) => {
            let (path, name, literal) = match (&left.expr, &right.expr) {
                (_, Expr::Literal(literal)) => (comparable(left), call.func_name.as_str(), literal),
                (Expr::Literal(literal), _) => (comparable(right), syntax::flip(&call.func_name), literal),
                _ => return Err("a comparison of computed values"),
            };
            let op = Op::parse(name).ok_or("arithmetic")?;
            let path = path.ok_or("a comparison of a computed value")?;
            let test = match literal {
                LiteralValue::String(text) => Test::Text(op, text.inner().to_owned()),
                LiteralValue::Boolean(value) if op.is_equality() => Test::Bool(op, *value.inner()),
                other => Test::Number(
                    op,
                    number(other).ok_or("a literal that is neither text, number nor boolean")?,
                ),
            };
            Ok((path, test))
        }
        (
            Some(target),
            [
                IdedExpr {
                    expr: Expr::Literal(LiteralValue::String(text)),
                    ..
                },
            ],
        ) => {
            let path = comparable(target).ok_or("a function of a computed value")?;
            let text = text.inner().to_owned();
            let test = match call.func_name.as_str() {
                "startsWith" => Test::StartsWith(text),
                "endsWith" => Test::EndsWith(text),
                "contains" => Test::Contains(text),
                "matches" => Test::Matches(syntax::regex(&text).map_err(|_| "a pattern that does not compile")?),
                _ => return Err("a function that columns do not know"),
            };
            Ok((path, test))
        }
        _ => Err("a function that columns do not know"),
    }
}

fn list_test(elements: &[IdedExpr]) -> Option<Test> {
    let literals = || {
        elements.iter().map(|e| {
            if let Expr::Literal(literal) = &e.expr {
                Some(literal)
            } else {
                None
            }
        })
    };
    let texts: Option<Vec<String>> = literals()
        .map(|l| {
            if let LiteralValue::String(text) = l? {
                Some(text.inner().to_owned())
            } else {
                None
            }
        })
        .collect();
    texts.map(Test::AnyText).or_else(|| {
        literals()
            .map(|l| number(l?))
            .collect::<Option<Vec<f64>>>()
            .map(Test::AnyNumber)
    })
}

#[expect(clippy::cast_precision_loss, reason = "only values below 2^53 are taken")]
fn number(literal: &LiteralValue) -> Option<f64> {
    match literal {
        LiteralValue::Int(value) => Some(*value.inner())
            .filter(|v| v.unsigned_abs() < EXACT.unsigned_abs())
            .map(|v| v as f64),
        LiteralValue::Double(value) => Some(*value.inner()),
        _ => None,
    }
}

/// An attribute that columns hold as text or number.
fn comparable(expr: &IdedExpr) -> Option<Path> {
    attribute(expr).filter(|path| match path.root() {
        "data" | "metadata" => path.segments().len() > 1,
        "tags" => false,
        _ => path.segments().len() == 1,
    })
}

/// An attribute below `data` or `metadata`, which alone may be boolean.
fn nested(expr: &IdedExpr) -> Option<Path> {
    comparable(expr).filter(|path| path.segments().len() > 1)
}

/// `data.a`, `data["a"]`: a chain of keys from a variable.
fn attribute(expr: &IdedExpr) -> Option<Path> {
    match &expr.expr {
        Expr::Ident(name) => Some(Path::from_segments(vec![name.clone()])),
        Expr::Select(select) if !select.test => attribute(&select.operand).map(|path| path.join(&select.field)),
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.as_slice() {
            [
                base,
                IdedExpr {
                    expr: Expr::Literal(LiteralValue::String(key)),
                    ..
                },
            ] => attribute(base).map(|path| path.join(key.inner())),
            _ => None,
        },
        _ => None,
    }
}
