//! Types of expressions as far as they can be known without an event, so that what can never hold is refused when it is written.
//!
//! Attributes below `data` and `metadata` may be anything. All numbers are one type, as they are for comparisons.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, operators},
};

use super::{ExprError, syntax::Checker};

/// Texts or lists that may be joined in one expression; bounds the memory of one evaluation.
const MAX_JOINS: usize = 16;

/// What is known of a value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    /// An integer, for certain.
    Int,
    /// A number with a fraction, for certain.
    Double,
    /// Some number.
    Number,
    Text,
    List,
    Map,
    Null,
    /// Anything.
    Any,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Bool => "a yes or no",
            Self::Int | Self::Double | Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Map => "an object",
            Self::Null => "null",
            Self::Any => "anything",
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double | Self::Number)
    }

    const fn may_be_number(self) -> bool {
        self.is_number() || matches!(self, Self::Any)
    }

    const fn may_be_bool(self) -> bool {
        matches!(self, Self::Bool | Self::Any)
    }

    /// Whether two values may be equal.
    fn may_equal(self, other: Self) -> bool {
        let free = |of: Self| matches!(of, Self::Any | Self::Null);
        free(self) || free(other) || self == other || (self.is_number() && other.is_number())
    }

    /// Whether two values may have an order.
    const fn may_order(self, other: Self) -> bool {
        let numbers = self.may_be_number() && other.may_be_number();
        let texts = matches!(self, Self::Text | Self::Any) && matches!(other, Self::Text | Self::Any);
        numbers || texts || (self.may_be_bool() && other.may_be_bool())
    }

    /// One type for two possible values.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (a, b) if a.is_number() && b.is_number() => Self::Number,
            _ => Self::Any,
        }
    }
}

impl Checker<'_> {
    /// Refuses an expression that is no condition, or that asks what can never be answered.
    pub(super) fn check_types(&mut self, expr: &mut IdedExpr) -> Result<(), ExprError> {
        match self.type_of(expr)? {
            Type::Bool | Type::Any => Ok(()),
            other => Err(self.error(
                expr.id,
                format!("the expression gives {}; it must say yes or no", other.name()),
            )),
        }
    }

    fn type_of(&mut self, node: &mut IdedExpr) -> Result<Type, ExprError> {
        let id = node.id;
        if is_label(node) && self.names.has("labels") {
            return Ok(Type::Text);
        }
        match &mut node.expr {
            Expr::Ident(name) => Ok(self.type_of_name(name)),
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(_) => Type::Bool,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => Type::Int,
                LiteralValue::Double(_) => Type::Double,
                LiteralValue::String(_) => Type::Text,
                LiteralValue::Null => Type::Null,
                LiteralValue::Bytes(_) => Type::Any,
            }),
            Expr::Select(select) => match self.type_of(&mut select.operand)? {
                _ if select.test => Ok(Type::Bool),
                Type::Map | Type::Any => Ok(Type::Any),
                other => Err(self.error(id, format!("{} has no field `{}`", other.name(), select.field))),
            },
            Expr::List(list) => {
                list.elements.iter_mut().try_for_each(|e| self.type_of(e).map(drop))?;
                Ok(Type::List)
            }
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.type_of(&mut entry.key)?;
                        self.type_of(&mut entry.value)?;
                    }
                }
                Ok(Type::Map)
            }
            Expr::Call(call) => self.type_of_call(id, call),
            Expr::Comprehension(inner) => self.type_of_macro(id, inner),
            Expr::Struct(_) | Expr::Unspecified => Ok(Type::Any),
        }
    }

    fn type_of_name(&self, name: &str) -> Type {
        if self.scope.iter().any(|known| known == name) {
            return Type::Any;
        }
        match name {
            "type" | "source" | "severity" | "id" | "correlation_id" | "session_id" | "user_id" => Type::Text,
            "timestamp" => Type::Int,
            "tags" => Type::List,
            "data" | "metadata" | "labels" => Type::Map,
            "value" | "threshold" => Type::Double,
            _ => Type::Any,
        }
    }

    fn type_of_call(&mut self, id: u64, call: &mut CallExpr) -> Result<Type, ExprError> {
        let name = call.func_name.clone();
        if let Some(target) = &mut call.target {
            let of = self.type_of(target)?;
            let argument = call.args.first_mut().map_or(Ok(Type::Any), |arg| self.type_of(arg))?;
            return self.type_of_method(id, &name, of, argument);
        }
        let types = call
            .args
            .iter_mut()
            .map(|arg| self.type_of(arg))
            .collect::<Result<Vec<Type>, ExprError>>()?;
        match (name.as_str(), types.as_slice()) {
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [of]) => self.want_bool(id, &name, *of),
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                self.want_bool(id, &name, *left)?;
                self.want_bool(id, &name, *right)
            }
            (operators::CONDITIONAL, [of, yes, no]) => {
                self.want_bool(id, &name, *of)?;
                Ok(yes.or(*no))
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                if left.may_equal(*right) {
                    return Ok(Type::Bool);
                }
                Err(self.error(id, format!("{} and {} are never equal", left.name(), right.name())))
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                if left.may_order(*right) {
                    return Ok(Type::Bool);
                }
                Err(self.error(id, format!("{} and {} have no order", left.name(), right.name())))
            }
            (operators::IN, [left, right]) => self.type_of_in(id, *left, *right, &call.args),
            (operators::NEGATE, [of]) if of.may_be_number() => Ok(*of),
            (operators::ADD, [left, right]) if !(left.is_number() || right.is_number()) => {
                self.type_of_join(id, *left, *right, call)
            }
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                [left, right],
            ) => self.type_of_arithmetic(id, *left, *right, call),
            (operators::INDEX, [of, _]) => match of {
                Type::Map | Type::List | Type::Any => Ok(Type::Any),
                other => Err(self.error(id, format!("{} has no elements", other.name()))),
            },
            ("size", [of]) => match of {
                Type::Text | Type::List | Type::Map | Type::Any => Ok(Type::Int),
                other => Err(self.error(id, format!("{} has no size", other.name()))),
            },
            ("int", [_]) => Ok(Type::Int),
            ("double", [_]) => Ok(Type::Double),
            ("string", [_]) => Ok(Type::Text),
            ("bool", [_]) => Ok(Type::Bool),
            (operators::NEGATE, [of]) => Err(self.error(id, format!("{} has no sign", of.name()))),
            (_, types) => Err(self.error(
                id,
                format!("`{name}` is not written with {} arguments here", types.len()),
            )),
        }
    }

    fn want_bool(&self, id: u64, name: &str, of: Type) -> Result<Type, ExprError> {
        if of.may_be_bool() {
            return Ok(Type::Bool);
        }
        let sign = match name {
            operators::LOGICAL_NOT => "!",
            operators::LOGICAL_AND => "&&",
            operators::LOGICAL_OR => "||",
            _ => "?",
        };
        Err(self.error(id, format!("`{sign}` takes a yes or no, not {}", of.name())))
    }

    fn type_of_method(&self, id: u64, name: &str, of: Type, argument: Type) -> Result<Type, ExprError> {
        let text = |of: Type| matches!(of, Type::Text | Type::Any);
        match name {
            "size" if matches!(of, Type::Text | Type::List | Type::Map | Type::Any) => Ok(Type::Int),
            "contains" | "startsWith" | "endsWith" | "matches" if text(of) && text(argument) => Ok(Type::Bool),
            "contains" if of == Type::List => Err(self.error(id, "a list holds a value when `value in list`")),
            "contains" | "startsWith" | "endsWith" | "matches" => {
                let wrong = if text(of) { argument } else { of };
                Err(self.error(id, format!("`{name}` is about texts, not {}", wrong.name())))
            }
            _ => Err(self.error(id, format!("{} has no function `{name}`", of.name()))),
        }
    }

    fn type_of_in(&mut self, id: u64, left: Type, right: Type, args: &[IdedExpr]) -> Result<Type, ExprError> {
        if !matches!(right, Type::List | Type::Map | Type::Any) {
            return Err(self.error(id, format!("`in` looks into a list or an object, not {}", right.name())));
        }
        if let Some(Expr::List(list)) = args.get(1).map(|list| &list.expr) {
            let mut elements = list.elements.clone();
            for element in &mut elements {
                let of = self.type_of(element)?;
                if !left.may_equal(of) {
                    let message = format!("{} is never {}", left.name(), of.name());
                    return Err(self.error(element.id, message));
                }
            }
        }
        Ok(Type::Bool)
    }

    /// `+` of what are no numbers for certain.
    fn type_of_join(&mut self, id: u64, left: Type, right: Type, call: &CallExpr) -> Result<Type, ExprError> {
        let joinable = |of: Type| matches!(of, Type::Text | Type::List | Type::Any);
        if !joinable(left) || !joinable(right) || !left.may_equal(right) {
            return Err(self.error(id, format!("{} and {} cannot be added", left.name(), right.name())));
        }
        let by_macro = |arg: &IdedExpr| matches!(&arg.expr, Expr::Ident(name) if name.starts_with('@'));
        if !self.scope.is_empty() {
            if call.args.first().is_some_and(by_macro) {
                return Ok(Type::List);
            }
            return Err(self.error(
                id,
                "inside a macro only numbers are added; name one of them with int() or double()",
            ));
        }
        self.joins += 1;
        if self.joins > MAX_JOINS {
            return Err(self.error(
                id,
                format!("at most {MAX_JOINS} texts or lists are joined in one expression"),
            ));
        }
        Ok(if left == Type::Any { right } else { left })
    }

    /// CEL does not mix integers and decimals in arithmetic; an integer that is written beside a decimal becomes one.
    fn type_of_arithmetic(&self, id: u64, left: Type, right: Type, call: &mut CallExpr) -> Result<Type, ExprError> {
        if !left.may_be_number() || !right.may_be_number() {
            let wrong = if left.may_be_number() { right } else { left };
            return Err(self.error(id, format!("{} cannot be calculated with", wrong.name())));
        }
        let [first, second] = call.args.as_mut_slice() else {
            return Ok(Type::Number);
        };
        let mixed = match (left, right) {
            (Type::Double, Type::Int) => !to_double(second),
            (Type::Int, Type::Double) => !to_double(first),
            _ => false,
        };
        if mixed {
            return Err(self.error(
                id,
                "an integer and a decimal are not calculated with each other; use double()",
            ));
        }
        match (left, right) {
            (Type::Double, _) | (_, Type::Double) => Ok(Type::Double),
            (Type::Int, Type::Int) => Ok(Type::Int),
            _ => Ok(Type::Number),
        }
    }

    fn type_of_macro(&mut self, id: u64, inner: &mut ComprehensionExpr) -> Result<Type, ExprError> {
        let range = self.type_of(&mut inner.iter_range)?;
        if !matches!(range, Type::List | Type::Map | Type::Any) {
            return Err(self.error(
                id,
                format!("a macro runs over a list or an object, not {}", range.name()),
            ));
        }
        let own = [
            Some(inner.iter_var.clone()),
            inner.iter_var2.clone(),
            Some(inner.accu_var.clone()),
        ];
        self.scope.extend(own.into_iter().flatten());
        let copied = items(inner).is_some_and(|items| {
            let references = items.references();
            references
                .variables()
                .iter()
                .any(|name| !self.scope.iter().any(|own| own.as_str() == *name))
        });
        if copied {
            self.scope.clear();
            return Err(self.error(
                id,
                "map() may only make values of its own variable, so that its result stays small",
            ));
        }
        let start = self.type_of(&mut inner.accu_init)?;
        let parts = [&mut inner.loop_cond, &mut inner.loop_step, &mut inner.result];
        let checked = parts.into_iter().try_for_each(|part| self.type_of(part).map(drop));
        self.scope.clear();
        checked?;
        Ok(if start == Type::Int { Type::Bool } else { start })
    }
}

/// `labels.source`, and `labels.data.service` for a label that is named like a path.
fn is_label(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::Select(select) if !select.test => {
            matches!(&select.operand.expr, Expr::Ident(name) if name == "labels") || is_label(&select.operand)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            matches!(call.args.first().map(|of| &of.expr), Some(Expr::Ident(name)) if name == "labels")
        }
        _ => false,
    }
}

/// Makes an integer that is written a decimal; `false` when it is no such literal.
fn to_double(node: &mut IdedExpr) -> bool {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a literal that a person wrote beside a decimal"
    )]
    match &mut node.expr {
        Expr::Literal(LiteralValue::Int(value)) => {
            let value = *value.inner() as f64;
            node.expr = Expr::Literal(LiteralValue::Double(value.into()));
            true
        }
        Expr::Call(call) if call.func_name == operators::NEGATE => call.args.first_mut().is_some_and(to_double),
        _ => false,
    }
}

/// What each round of a macro adds to its list, for the macros that make one.
fn items(inner: &ComprehensionExpr) -> Option<&IdedExpr> {
    let step = match &inner.loop_step.expr {
        Expr::Call(call) if call.func_name == operators::CONDITIONAL => call.args.get(1)?,
        _ => &inner.loop_step,
    };
    match &step.expr {
        Expr::Call(call) if call.func_name == operators::ADD => {
            call.args.get(1).filter(|items| matches!(items.expr, Expr::List(_)))
        }
        _ => None,
    }
}
