//! What a query needs: which series over which time; and what of it is not supported.

use std::time::{Duration, SystemTime};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{AtModifier, Call, Expr, Offset, VectorSelector, token},
};

use super::{functions, labels::NAME, over_time};

/// How far back an instant selector looks for a sample, ms.
pub(super) const LOOKBACK: i64 = 300_000;
/// Deepest nesting of a query.
const MAX_DEPTH: usize = 64;
/// Longest query.
const MAX_LENGTH: usize = 4096;

/// Why a query is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// It is not PromQL, or not supported.
    #[error("{0}")]
    Bad(String),
    /// It cannot be computed.
    #[error("{0}")]
    Execution(String),
    /// The hub failed.
    #[error("{0}")]
    Internal(String),
}

/// The points in time at which a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// First, ms.
    pub(super) start: i64,
    /// Last at most, ms.
    pub(super) end: i64,
    /// Between two, ms; not zero.
    pub(super) step: i64,
}

impl Times {
    /// One point in time.
    pub(super) const fn at(time: i64) -> Self {
        Self {
            start: time,
            end: time,
            step: 1,
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(self.start), move |at| at.checked_add(self.step))
            .take_while(move |at| *at <= self.end)
    }
}

/// A query, checked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) expr: Box<Expr>,
    pub(super) times: Times,
    /// Of every selector: what it takes, and the time that it may look at, `(from, to]`, ms.
    pub(super) needs: Vec<Need>,
}

/// What one selector takes.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// Which selector: its place in the expression.
    pub(super) selector: usize,
    pub(super) wanted: Wanted,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Conditions on labels, the name among them. One list must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Vec<Vec<Matcher>>);

impl Wanted {
    /// The conditions of a selector.
    pub(super) fn of(selector: &VectorSelector) -> Self {
        let mut and = selector.matchers.matchers.clone();
        if let Some(name) = &selector.name {
            and.push(Matcher::new(MatchOp::Equal, NAME, name));
        }
        if selector.matchers.or_matchers.is_empty() {
            return Self(vec![and]);
        }
        let or = selector.matchers.or_matchers.iter();
        Self(or.map(|or| and.iter().chain(or).cloned().collect()).collect())
    }

    /// The conditions that concern some labels alone: whether a series with this value there may be wanted.
    pub(super) fn may(&self, name: &str, value: &str) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|all| all.iter().filter(|one| one.name == name).all(|one| one.is_match(value)))
    }

    /// Whether a series with these labels is wanted; an absent label is the empty text.
    pub(super) fn takes(&self, labels: &super::labels::Labels) -> bool {
        let holds = |one: &Matcher| one.is_match(labels.get(&one.name).map_or("", String::as_str));
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(holds))
    }
}

impl Plan {
    /// Reads and checks a query.
    pub(super) fn new(query: &str, times: Times) -> Result<Self, QueryError> {
        if query.len() > MAX_LENGTH {
            return Err(QueryError::Bad(format!("a query has at most {MAX_LENGTH} bytes")));
        }
        let expr = promql_parser::parser::parse(query)
            .map_err(|reason| QueryError::Bad(format!("invalid parameter \"query\": {reason}")))?;
        visit(&expr, 0)?;
        // Selectors are named by their address, which a box keeps.
        let expr = Box::new(expr);
        let mut needs = Vec::new();
        collect(&expr, times, &mut needs);
        Ok(Self { expr, times, needs })
    }
}

fn visit(expr: &Expr, depth: usize) -> Result<(), QueryError> {
    if depth > MAX_DEPTH {
        return Err(QueryError::Bad(format!("a query nests at most {MAX_DEPTH} deep")));
    }
    let deeper = |inner: &Expr| visit(inner, depth + 1);
    match expr {
        Expr::Aggregate(aggregate) => {
            if aggregate.op.id() == token::T_COUNT_VALUES {
                return Err(unsupported("the aggregation `count_values`"));
            }
            if !super::aggregate::is_known(aggregate.op) {
                return Err(unsupported(&format!("the aggregation `{}`", aggregate.op)));
            }
            aggregate.param.as_deref().map_or(Ok(()), deeper)?;
            deeper(&aggregate.expr)
        }
        Expr::Unary(unary) => deeper(&unary.expr),
        Expr::Binary(binary) => {
            if binary.op.id() == token::T_ATAN2 {
                return Err(unsupported("the operator `atan2`"));
            }
            let fills = binary.modifier.as_ref().map(|modifier| &modifier.fill_values);
            if fills.is_some_and(|fill| fill.lhs.is_some() || fill.rhs.is_some()) {
                return Err(unsupported("`fill` of a binary operator"));
            }
            deeper(&binary.lhs)?;
            deeper(&binary.rhs)
        }
        Expr::Paren(paren) => deeper(&paren.expr),
        Expr::Subquery(_) => Err(unsupported("a subquery (`[range:step]`)")),
        Expr::Call(call) => {
            check_call(call)?;
            call.args.args.iter().try_for_each(|arg| deeper(arg))
        }
        Expr::Extension(_) => Err(unsupported("an extension")),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::MatrixSelector(_) => Ok(()),
    }
}

fn check_call(call: &Call) -> Result<(), QueryError> {
    let name = call.func.name;
    if functions::is_known(name) || over_time::is_known(name) {
        Ok(())
    } else {
        Err(unsupported(&format!("the function `{name}`")))
    }
}

fn unsupported(what: &str) -> QueryError {
    QueryError::Bad(format!(
        "{what} is not supported by this hub; docs/metrics.md lists what is"
    ))
}

/// The name of a selector: its address.
pub(super) fn name_of(selector: &VectorSelector) -> usize {
    std::ptr::from_ref(selector) as usize
}

fn collect(expr: &Expr, times: Times, needs: &mut Vec<Need>) {
    match expr {
        Expr::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                collect(param, times, needs);
            }
            collect(&aggregate.expr, times, needs);
        }
        Expr::Unary(unary) => collect(&unary.expr, times, needs),
        Expr::Binary(binary) => {
            collect(&binary.lhs, times, needs);
            collect(&binary.rhs, times, needs);
        }
        Expr::Paren(paren) => collect(&paren.expr, times, needs),
        Expr::Call(call) => call.args.args.iter().for_each(|arg| collect(arg, times, needs)),
        Expr::VectorSelector(selector) => needs.push(need(selector, LOOKBACK, times)),
        Expr::MatrixSelector(matrix) => needs.push(need(&matrix.vs, ms(matrix.range), times)),
        Expr::Subquery(_) | Expr::Extension(_) | Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
    }
}

fn need(selector: &VectorSelector, back: i64, times: Times) -> Need {
    let (first, last) = (moved(selector, times.start, times), moved(selector, times.end, times));
    Need {
        selector: name_of(selector),
        wanted: Wanted::of(selector),
        from: first.min(last).saturating_sub(back),
        to: first.max(last),
    }
}

/// The time that a selector looks at when the query is evaluated at `at`: `@` first, then `offset`.
pub(super) fn moved(selector: &VectorSelector, at: i64, times: Times) -> i64 {
    let at = match &selector.at {
        None => at,
        Some(AtModifier::Start) => times.start,
        Some(AtModifier::End) => times.end,
        Some(AtModifier::At(time)) => match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => ms(since),
            Err(before) => -ms(before.duration()),
        },
    };
    match &selector.offset {
        None => at,
        Some(Offset::Pos(back)) => at.saturating_sub(ms(*back)),
        Some(Offset::Neg(ahead)) => at.saturating_add(ms(*ahead)),
    }
}

/// A length of time in ms.
pub(super) fn ms(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}
