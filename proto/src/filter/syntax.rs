//! Text to checked expression: limits, names, and the few spellings that are rewritten once so that every evaluator sees plain CEL.
//!
//! Rewritten: `timestamp("2026-01-02T03:04:05Z")` to milliseconds; an ordering of `severity` to the list of severities that satisfy it.

use cel::{
    IdedExpr, Program,
    common::ast::{CallExpr, EntryExpr, Expr, ListExpr, LiteralValue, SourceInfo, operators},
};

use super::{ExprError, places::Places, plan::Op};
use crate::{event::Severity, path};

/// Longest expression, bytes.
const MAX_BYTES: usize = 4096;
/// Deepest nesting, of brackets and of the parsed tree.
const MAX_DEPTH: usize = 32;
/// Longest literal list.
const MAX_LIST: usize = 256;
/// Compiled size of one regular expression, bytes; bounds the time and memory of `matches`.
const MAX_REGEX: usize = 1 << 20;

/// Functions of standard CEL that have bounded cost, and its macros after expansion.
const FUNCTIONS: [&str; 27] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "double",
    "string",
    "bool",
];

/// What an expression may name.
pub(super) struct Names {
    variables: &'static [&'static str],
    /// Said when another name is used.
    hint: &'static str,
}

impl Names {
    /// Whether it is one of the variables.
    pub(super) fn has(&self, name: &str) -> bool {
        self.variables.contains(&name)
    }
}

/// Over an event.
pub(super) const EVENT: Names = Names {
    variables: &path::ROOTS,
    hint: "an event has type, source, severity, timestamp, id, tags, correlation_id, session_id, user_id, data.* and metadata.*",
};

/// Over a window's result.
pub(super) const VERDICT: Names = Names {
    variables: &["value", "threshold", "labels"],
    hint: "a condition knows value, threshold and labels.*",
};

/// Parses and checks.
pub(super) fn parse(source: &str, names: &Names) -> Result<IdedExpr, ExprError> {
    parse_with_places(source, names).map(|(expr, _)| expr)
}

/// The same, with where each part stands in the text.
pub(super) fn parse_with_places(source: &str, names: &Names) -> Result<(IdedExpr, Places), ExprError> {
    if source.len() > MAX_BYTES {
        return Err(at_start(format!(
            "the expression has {} bytes, at most {MAX_BYTES} are allowed",
            source.len()
        )));
    }
    if source.trim().is_empty() {
        return Err(at_start(
            "the expression is empty; write `true` to match everything".to_owned(),
        ));
    }
    check_brackets(source)?;
    let program = Program::compile(source).map_err(|e| match e.errors.into_iter().next() {
        Some(first) => {
            let (line, column) = (
                u32::try_from(first.pos.0).unwrap_or(1),
                u32::try_from(first.pos.1).unwrap_or(1),
            );
            ExprError {
                message: first.msg,
                line: line.max(1),
                column: column.max(1),
            }
        }
        None => at_start("the expression does not parse".to_owned()),
    })?;
    let mut expr = program.expression().clone();
    let mut checker = Checker {
        names,
        info: program.source_info(),
        scope: Vec::new(),
        joins: 0,
    };
    checker.check(&mut expr, 0)?;
    checker.check_types(&mut expr)?;
    let places = Places::of(source, program.source_info(), &expr);
    Ok((expr, places))
}

fn at_start(message: String) -> ExprError {
    ExprError {
        message,
        line: 1,
        column: 1,
    }
}

/// Refuses deep nesting before the parser recurses into it.
fn check_brackets(source: &str) -> Result<(), ExprError> {
    let (mut depth, mut ternaries, mut unary, mut quote) = (0usize, 0usize, 0usize, None);
    let (mut line, mut column) = (1, 0);
    let mut escaped = false;
    for c in source.chars() {
        column += 1;
        if c == '\n' {
            (line, column) = (line + 1, 0);
        }
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == open {
                quote = None;
            }
            continue;
        }
        unary = if matches!(c, '!' | '-') { unary + 1 } else { 0 };
        match c {
            '"' | '\'' => quote = Some(c),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '?' => ternaries += 1,
            _ => {}
        }
        if depth > MAX_DEPTH || ternaries > MAX_DEPTH || unary > MAX_DEPTH {
            return Err(ExprError {
                message: format!("nested deeper than {MAX_DEPTH}"),
                line,
                column,
            });
        }
    }
    Ok(())
}

/// What checks an expression.
pub(super) struct Checker<'a> {
    pub(super) names: &'a Names,
    info: &'a SourceInfo,
    /// Variables of the macros around the current node.
    pub(super) scope: Vec<String>,
    /// Texts and lists joined so far.
    pub(super) joins: usize,
}

impl Checker<'_> {
    /// A mistake at a node.
    pub(super) fn error(&self, id: u64, message: impl Into<String>) -> ExprError {
        let start = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        // The parser counts bytes, people count characters.
        let before = self.info.source.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        ExprError {
            message: message.into(),
            line: clamp(line),
            column: clamp(column),
        }
    }

    fn check(&mut self, node: &mut IdedExpr, depth: usize) -> Result<(), ExprError> {
        let id = node.id;
        if depth > MAX_DEPTH {
            return Err(self.error(id, format!("nested deeper than {MAX_DEPTH}")));
        }
        match &mut node.expr {
            Expr::Ident(name) => self.check_name(id, name),
            Expr::Literal(_) => Ok(()),
            Expr::Select(select) => self.check(&mut select.operand, depth + 1),
            Expr::List(list) => {
                if list.elements.len() > MAX_LIST {
                    return Err(self.error(id, format!("a list may have at most {MAX_LIST} elements")));
                }
                list.elements.iter_mut().try_for_each(|e| self.check(e, depth + 1))
            }
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => self
                    .check(&mut entry.key, depth + 1)
                    .and_then(|()| self.check(&mut entry.value, depth + 1)),
                EntryExpr::StructField(_) => Err(self.error(entry.id, "messages are not supported")),
            }),
            Expr::Call(call) => {
                if let Some(plain) = self.rewrite(id, call)? {
                    node.expr = plain;
                    return Ok(());
                }
                self.check_call(id, call, depth)
            }
            Expr::Comprehension(inner) => {
                // One loop runs over one attribute at most; a loop in a loop could run for minutes over a 64 KiB array.
                if !self.scope.is_empty() {
                    return Err(self.error(id, "a macro inside a macro is not supported"));
                }
                self.check(&mut inner.iter_range, depth + 1)?;
                self.scope.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
                self.scope.extend(inner.iter_var2.clone());
                let parts = [
                    &mut inner.accu_init,
                    &mut inner.loop_cond,
                    &mut inner.loop_step,
                    &mut inner.result,
                ];
                let checked = parts.into_iter().try_for_each(|part| self.check(part, depth + 1));
                self.scope.clear();
                checked
            }
            Expr::Struct(_) | Expr::Unspecified => Err(self.error(id, "messages are not supported")),
        }
    }

    fn check_name(&self, id: u64, name: &str) -> Result<(), ExprError> {
        if self.names.variables.contains(&name) || self.scope.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(self.error(id, format!("`{name}` is unknown; {}", self.names.hint)))
    }

    fn check_call(&mut self, id: u64, call: &mut CallExpr, depth: usize) -> Result<(), ExprError> {
        let name = call.func_name.as_str();
        if name == "matches" {
            let pattern = match call.args.as_slice() {
                [
                    IdedExpr {
                        expr: Expr::Literal(LiteralValue::String(pattern)),
                        ..
                    },
                ] if call.target.is_some() => pattern.inner(),
                _ => return Err(self.error(id, "write `attribute.matches(\"pattern\")` with a literal pattern")),
            };
            regex(pattern).map_err(|e| self.error(id, format!("not a regular expression: {e}")))?;
        } else if !FUNCTIONS.contains(&name) {
            return Err(self.error(id, format!("function `{name}` is unknown")));
        }
        if let Some(target) = &mut call.target {
            self.check(target, depth + 1)?;
        }
        // The macros build lists by `@result + [x]`; counting that as nesting would be unjust, so depth grows by one as for any call.
        call.args.iter_mut().try_for_each(|arg| self.check(arg, depth + 1))
    }

    /// The plain CEL that a special spelling stands for.
    fn rewrite(&self, id: u64, call: &CallExpr) -> Result<Option<Expr>, ExprError> {
        if call.func_name == "timestamp" && call.target.is_none() {
            let [
                IdedExpr {
                    expr: Expr::Literal(LiteralValue::String(text)),
                    ..
                },
            ] = call.args.as_slice()
            else {
                return Err(self.error(id, "timestamp() takes a literal such as \"2026-01-02T03:04:05Z\""));
            };
            let at: jiff::Timestamp = text
                .inner()
                .parse()
                .map_err(|_| self.error(id, format!("`{}` is not an RFC 3339 time", text.inner())))?;
            return Ok(Some(Expr::Literal(LiteralValue::Int(at.as_millisecond().into()))));
        }
        let [left, right] = call.args.as_slice() else {
            return Ok(None);
        };
        let (operator, literal) = match (&left.expr, &right.expr) {
            (Expr::Ident(name), Expr::Literal(LiteralValue::String(text))) if name == "severity" => {
                (call.func_name.as_str(), text)
            }
            (Expr::Literal(LiteralValue::String(text)), Expr::Ident(name)) if name == "severity" => {
                (flip(&call.func_name), text)
            }
            _ => return Ok(None),
        };
        let bound: Severity = literal
            .inner()
            .parse()
            .map_err(|e| self.error(id, format!("`{}` is not a severity: {e}", literal.inner())))?;
        let Some(op) = Op::parse(operator).filter(|op| !op.is_equality()) else {
            return Ok(None);
        };
        let chosen = Severity::ALL.into_iter().filter(|severity| op.holds(severity, &bound));
        let text = |severity: Severity| Expr::Literal(LiteralValue::String(severity.as_str().to_owned().into()));
        let elements = chosen
            .map(|severity| IdedExpr {
                id,
                expr: text(severity),
            })
            .collect();
        let list = IdedExpr {
            id,
            expr: Expr::List(ListExpr::new(elements)),
        };
        let severity = IdedExpr {
            id,
            expr: Expr::Ident("severity".to_owned()),
        };
        Ok(Some(Expr::Call(CallExpr {
            func_name: operators::IN.to_owned(),
            target: None,
            args: vec![severity, list],
        })))
    }
}

/// The same comparison with its sides exchanged.
pub(super) fn flip(operator: &str) -> &str {
    match operator {
        operators::LESS => operators::GREATER,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::GREATER => operators::LESS,
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        same => same,
    }
}

/// Compiles a pattern with a bound on its size.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX)
        .dfa_size_limit(MAX_REGEX)
        .build()
}
