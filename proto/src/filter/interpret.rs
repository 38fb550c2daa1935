//! The interpreter, for what columns cannot answer.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, IdedExpr, Value,
    common::{
        ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators},
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
        value::Val,
    },
    extractors::This,
};
use serde_json::value::RawValue;

use super::predicate::Answer;
use crate::{
    batch::{Batch, DecodeError},
    bitmap::Bitmap,
    event::Event,
    path,
};

/// Standard CEL; building it costs far more than evaluating an expression.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// What `x.matches("…")` becomes: a call with the number of a pattern that was compiled once.
const MATCHES: &str = "@matches";

/// Elements over which a macro runs; bounds the time of one evaluation.
const MAX_ELEMENTS: i64 = 1000;

/// An expression as the interpreter runs it.
#[derive(Clone, Debug)]
pub(super) struct Interpreted {
    expr: IdedExpr,
    patterns: Arc<Vec<regex::Regex>>,
    /// Attributes that it reads.
    pub(super) reads: Vec<&'static str>,
}

impl Interpreted {
    pub(super) fn new(expr: &IdedExpr) -> Self {
        let mut expr = expr.clone();
        let mut patterns = Vec::new();
        prepare(&mut expr, &mut patterns);
        let references = expr.references();
        let reads = path::ROOTS
            .into_iter()
            .filter(|name| references.has_variable(name))
            .collect();
        Self {
            expr,
            patterns: Arc::new(patterns),
            reads,
        }
    }

    /// A context with the expression's patterns; holds no variable.
    fn context<'v>(&self) -> Context<'static, 'v> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        if !self.patterns.is_empty() {
            let patterns = Arc::clone(&self.patterns);
            let matches = move |This(text): This<Arc<String>>, number: i64| {
                usize::try_from(number)
                    .ok()
                    .and_then(|number| patterns.get(number))
                    .is_some_and(|pattern| pattern.is_match(&text))
            };
            // The name cannot be written in CEL, so nothing else has it.
            drop(context.add_function(MATCHES, matches));
        }
        context
    }

    /// Answers for the asked rows, one event at a time.
    pub(super) fn eval(&self, batch: &Batch, asked: &Bitmap) -> Result<Answer, DecodeError> {
        let root = self.context();
        let mut answer = Answer {
            yes: Bitmap::new(asked.len(), false),
            no: Bitmap::new(asked.len(), false),
        };
        for row in asked.iter_ones() {
            let event = batch.event(row)?;
            let mut context = root.new_inner_scope();
            for name in &self.reads {
                if let Some(value) = attribute(&event, name) {
                    context.add_variable_as_val(*name, value);
                }
            }
            match self.run(&context) {
                Ok(Some(true)) => answer.yes.set(row, true),
                Ok(Some(false)) => answer.no.set(row, true),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(answer)
    }

    /// The verdict with these variables; `None` when the result is no boolean.
    pub(super) fn verdict(&self, variables: Vec<(String, Box<dyn Val>)>) -> Result<Option<bool>, String> {
        let mut context = self.context();
        for (name, value) in variables {
            context.add_variable_as_val(name, value);
        }
        self.run(&context).map_err(|e| e.to_string())
    }

    fn run(&self, context: &Context<'_, '_>) -> Result<Option<bool>, ExecutionError> {
        let value = Value::resolve_val(&self.expr, context)?;
        Ok(value.downcast_ref::<CelBool>().map(|verdict| *verdict.inner()))
    }
}

/// Replaces patterns by their numbers, and makes `has(data.a.b)` false, not unanswered, where `data.a` is no map, which is what columns say.
fn prepare(node: &mut IdedExpr, patterns: &mut Vec<regex::Regex>) {
    match &mut node.expr {
        Expr::Call(call) => {
            if let Some(target) = &mut call.target {
                prepare(target, patterns);
            }
            if call.func_name == "matches"
                && let [
                    IdedExpr {
                        expr: argument @ Expr::Literal(LiteralValue::String(_)),
                        ..
                    },
                ] = call.args.as_mut_slice()
            {
                let Expr::Literal(LiteralValue::String(pattern)) = &*argument else {
                    return;
                };
                // It compiled when the expression was checked.
                let Ok(pattern) = super::syntax::regex(pattern.inner()) else {
                    return;
                };
                let number = i64::try_from(patterns.len()).unwrap_or_default();
                *argument = Expr::Literal(LiteralValue::Int(number.into()));
                call.func_name = MATCHES.to_owned();
                patterns.push(pattern);
                return;
            }
            call.args.iter_mut().for_each(|arg| prepare(arg, patterns));
        }
        Expr::Select(select) if select.test => {
            prepare(&mut select.operand, patterns);
            if let Expr::Select(parent) = &select.operand.expr {
                let (id, operand) = (node.id, (*select.operand).clone());
                let mut present = IdedExpr {
                    id,
                    expr: Expr::Select(SelectExpr {
                        test: true,
                        ..parent.clone()
                    }),
                };
                prepare(&mut present, patterns);
                let kind = call(id, "type", vec![operand]);
                let is_map = call(
                    id,
                    operators::EQUALS,
                    vec![
                        kind,
                        IdedExpr {
                            id,
                            expr: Expr::Ident("map".to_owned()),
                        },
                    ],
                );
                let below = call(id, operators::LOGICAL_AND, vec![is_map, node.clone()]);
                *node = call(id, operators::LOGICAL_AND, vec![present, below]);
            }
        }
        Expr::Select(select) => prepare(&mut select.operand, patterns),
        Expr::List(list) => list.elements.iter_mut().for_each(|e| prepare(e, patterns)),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    prepare(&mut entry.key, patterns);
                    prepare(&mut entry.value, patterns);
                }
            }
        }
        Expr::Comprehension(inner) => {
            let inner = inner.as_mut();
            for part in [
                &mut inner.iter_range,
                &mut inner.accu_init,
                &mut inner.loop_cond,
                &mut inner.loop_step,
                &mut inner.result,
            ] {
                prepare(part, patterns);
            }
            let range = inner.iter_range.clone();
            bound(node, range);
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

/// Lets a macro run only over so many elements; over more it gives no answer.
fn bound(node: &mut IdedExpr, range: IdedExpr) {
    let id = node.id;
    let of = |expr: Expr| IdedExpr { id, expr };
    let most = of(Expr::Literal(LiteralValue::Int(MAX_ELEMENTS.into())));
    let size = call(id, "size", vec![range]);
    let few = call(id, operators::LESS_EQUALS, vec![size, most]);
    let run = std::mem::replace(&mut node.expr, Expr::Unspecified);
    // Nothing has this name, so there is no answer.
    let none = of(Expr::Ident("@too_many".to_owned()));
    *node = call(id, operators::CONDITIONAL, vec![few, of(run), none]);
}

fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: name.to_owned(),
            target: None,
            args,
        }),
    }
}

/// An attribute's value; `data` and `metadata` are empty maps rather than absent.
fn attribute(event: &Event, name: &str) -> Option<Box<dyn Val>> {
    match name {
        "type" => Some(text(&event.kind)),
        "source" => Some(text(&event.source)),
        "severity" => Some(text(event.severity.as_str())),
        "timestamp" => Some(Box::new(CelInt::from(event.timestamp))),
        "id" => Some(text(&event.id.to_string())),
        "data" => Some(object(event.data.as_deref())),
        "metadata" => Some(object(event.metadata.as_deref())),
        "tags" => Some(Box::new(CelList::from(
            event.tags.iter().map(|tag| text(tag)).collect::<Vec<_>>(),
        ))),
        "correlation_id" => event.correlation_id.as_deref().map(text),
        "session_id" => event.session_id.as_deref().map(text),
        "user_id" => event.user_id.as_deref().map(text),
        _ => None,
    }
}

fn object(raw: Option<&RawValue>) -> Box<dyn Val> {
    match raw.and_then(|raw| serde_json::from_str(raw.get()).ok()) {
        Some(value) => json(&value),
        None => Box::new(CelMap::from(HashMap::new())),
    }
}

pub(super) fn text(value: &str) -> Box<dyn Val> {
    Box::new(CelString::from(value.to_owned()))
}

pub(super) fn map<'a>(entries: impl Iterator<Item = (&'a str, Box<dyn Val>)>) -> Box<dyn Val> {
    Box::new(CelMap::from(
        entries
            .map(|(key, value)| (CelMapKey::from(key.to_owned()), value))
            .collect::<HashMap<_, _>>(),
    ))
}

/// A number is an integer where it fits, so that arithmetic with literals works whatever its sign.
fn json(value: &serde_json::Value) -> Box<dyn Val> {
    match value {
        serde_json::Value::Null => Box::new(CelNull),
        serde_json::Value::Bool(value) => Box::new(CelBool::from(*value)),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Box::new(CelInt::from(value)),
            (None, Some(value)) => Box::new(CelUInt::from(value)),
            (None, None) => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        serde_json::Value::String(value) => text(value),
        serde_json::Value::Array(values) => Box::new(CelList::from(values.iter().map(json).collect::<Vec<_>>())),
        serde_json::Value::Object(entries) => map(entries.iter().map(|(key, value)| (key.as_str(), json(value)))),
    }
}
