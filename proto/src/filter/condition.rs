//! A rule's verdict: CEL over the aggregate's value, the threshold and the group's labels.

use cel::{
    IdedExpr,
    common::{
        ast::{Expr, LiteralValue, operators},
        types::CelDouble,
        value::Val,
    },
};

use super::{
    EvalError, ExprError,
    interpret::{self, Interpreted},
    plan::Op,
    syntax,
};

/// What a condition decides on.
#[derive(Debug, Clone, Copy)]
pub struct ConditionInput<'a> {
    /// The aggregate's value.
    pub value: f64,
    /// The rule's threshold.
    pub threshold: Option<f64>,
    /// The group's attributes and their values.
    pub labels: &'a [(String, String)],
}

/// A checked expression over `value`, `threshold` and `labels`.
#[derive(Clone, Debug)]
pub struct Condition {
    source: String,
    native: Option<(Op, Bound)>,
    interpreted: Interpreted,
    trend: Trend,
    uses_threshold: bool,
    uses_labels: bool,
}

/// The right side of `value OP …`.
#[derive(Clone, Copy, Debug)]
enum Bound {
    Threshold,
    Literal(f64),
}

/// How the verdict follows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    /// Not at all.
    Constant,
    /// A larger value can only make it truer.
    Upward,
    /// In some other way.
    Other,
}

impl Condition {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let expr = syntax::parse(source, &syntax::VERDICT)?;
        Ok(Self {
            source: source.to_owned(),
            native: native(&expr),
            trend: trend(&expr),
            uses_threshold: expr.references().has_variable("threshold"),
            uses_labels: expr.references().has_variable("labels"),
            interpreted: Interpreted::new(&expr),
        })
    }

    /// The verdict.
    ///
    /// # Errors
    /// When the expression gives none, for example because it compares a number with a text.
    #[inline]
    pub fn eval(&self, input: &ConditionInput<'_>) -> Result<bool, EvalError> {
        let Some((op, bound)) = self.native else {
            return self.interpret(input);
        };
        let bound = match bound {
            Bound::Literal(bound) => bound,
            Bound::Threshold => input.threshold.ok_or_else(no_threshold)?,
        };
        Ok(op.holds(&input.value, &bound))
    }

    fn interpret(&self, input: &ConditionInput<'_>) -> Result<bool, EvalError> {
        let number = |value: f64| -> Box<dyn Val> { Box::new(CelDouble::from(value)) };
        let labels = interpret::map(
            input
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), interpret::text(value))),
        );
        let mut variables = vec![("value".to_owned(), number(input.value)), ("labels".to_owned(), labels)];
        variables.extend(
            input
                .threshold
                .map(|threshold| ("threshold".to_owned(), number(threshold))),
        );
        // A label may be named like a path; CEL looks for the longest name first, so `labels.data.service` finds it.
        variables.extend(
            input
                .labels
                .iter()
                .map(|(key, value)| (format!("labels.{key}"), interpret::text(value))),
        );
        let verdict = self.interpreted.verdict(variables).map_err(EvalError::Condition)?;
        verdict.ok_or_else(|| EvalError::Condition("it is not a boolean".to_owned()))
    }

    /// Whether a larger value can only make it truer, so that a growing aggregate may be judged before its window ends.
    #[must_use]
    pub fn is_upward(&self) -> bool {
        self.trend == Trend::Upward
    }

    /// Whether it needs a threshold.
    #[must_use]
    pub const fn uses_threshold(&self) -> bool {
        self.uses_threshold
    }

    /// Whether it reads the group's labels.
    #[must_use]
    pub const fn uses_labels(&self) -> bool {
        self.uses_labels
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

#[cold]
fn no_threshold() -> EvalError {
    EvalError::Condition("there is no threshold".to_owned())
}

fn native(expr: &IdedExpr) -> Option<(Op, Bound)> {
    let Expr::Call(call) = &expr.expr else { return None };
    let [left, right] = call.args.as_slice() else {
        return None;
    };
    let bound = |side: &IdedExpr| match &side.expr {
        Expr::Ident(name) if name == "threshold" => Some(Bound::Threshold),
        Expr::Literal(LiteralValue::Double(literal)) => Some(Bound::Literal(*literal.inner())),
        #[expect(
            clippy::cast_precision_loss,
            reason = "CEL compares an integer with a double as doubles"
        )]
        Expr::Literal(LiteralValue::Int(literal)) => Some(Bound::Literal(*literal.inner() as f64)),
        _ => None,
    };
    match (is_value(left), is_value(right)) {
        (true, false) => Some((Op::parse(&call.func_name)?, bound(right)?)),
        (false, true) => Some((Op::parse(syntax::flip(&call.func_name))?, bound(left)?)),
        _ => None,
    }
}

fn is_value(expr: &IdedExpr) -> bool {
    matches!(&expr.expr, Expr::Ident(name) if name == "value")
}

fn trend(expr: &IdedExpr) -> Trend {
    if !expr.references().has_variable("value") {
        return Trend::Constant;
    }
    let Expr::Call(call) = &expr.expr else {
        return Trend::Other;
    };
    let [left, right] = call.args.as_slice() else {
        return Trend::Other;
    };
    match call.func_name.as_str() {
        operators::LOGICAL_AND | operators::LOGICAL_OR => match (trend(left), trend(right)) {
            (Trend::Other, _) | (_, Trend::Other) => Trend::Other,
            _ => Trend::Upward,
        },
        operators::GREATER | operators::GREATER_EQUALS if is_value(left) && trend(right) == Trend::Constant => {
            Trend::Upward
        }
        operators::LESS | operators::LESS_EQUALS if is_value(right) && trend(left) == Trend::Constant => Trend::Upward,
        _ => Trend::Other,
    }
}
