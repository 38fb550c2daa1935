//! A predicate over the rows of a batch, in three values: yes, no, and neither when an event gives no answer.

use cel::IdedExpr;

use super::{columns::Columns, interpret::Interpreted, plan::Op};
use crate::{
    batch::{DecodeError, Dict},
    bitmap::Bitmap,
    path::Path,
};

/// What a predicate said of the asked rows. No row is in both; a row in neither gave no answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) yes: Bitmap,
    pub(super) no: Bitmap,
}

/// The tree.
#[derive(Clone, Debug)]
pub(super) enum Pred {
    Const(bool),
    And(Vec<Pred>),
    Or(Vec<Pred>),
    Not(Box<Pred>),
    Leaf(Box<Leaf>),
}

/// One question about an event.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// For columns; `Err` says why they cannot answer.
    pub(super) test: Result<(Path, Test), &'static str>,
    /// The same question for the interpreter.
    fallback: Interpreted,
}

/// A question that columns answer.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Text(Op, String),
    AnyText(Vec<String>),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Matches(regex::Regex),
    Number(Op, f64),
    AnyNumber(Vec<f64>),
    Bool(Op, bool),
    /// Is itself the answer.
    IsTrue,
    Has,
}

impl Leaf {
    pub(super) fn new(expr: &IdedExpr, test: Result<(Path, Test), &'static str>) -> Self {
        Self { test, fallback: Interpreted::new(expr) }
    }
}

impl Pred {
    /// Why the tree needs the interpreter.
    pub(super) fn first_reason(&self) -> Option<&'static str> {
        match self {
            Self::Const(_) => None,
            Self::And(parts) | Self::Or(parts) => parts.iter().find_map(Self::first_reason),
            Self::Not(inner) => inner.first_reason(),
            Self::Leaf(leaf) => leaf.test.as_ref().err().copied(),
        }
    }

    /// Answers for the asked rows; says nothing of others.
    pub(super) fn eval(&self, columns: &mut Columns<'_>, asked: &Bitmap) -> Result<Answer, DecodeError> {
        let none = || Bitmap::new(asked.len(), false);
        match self {
            Self::Const(true) => Ok(Answer { yes: asked.clone(), no: none() }),
            Self::Const(false) => Ok(Answer { yes: none(), no: asked.clone() }),
            Self::Not(inner) => inner.eval(columns, asked).map(|a| Answer { yes: a.no, no: a.yes }),
            Self::And(parts) => {
                let mut whole = Answer { yes: asked.clone(), no: none() };
                for part in parts {
                    let open = asked.and_not(&whole.no);
                    if open.is_empty() {
                        break;
                    }
                    let answer = part.eval(columns, &open)?;
                    whole = Answer { yes: whole.yes.and(&answer.yes), no: whole.no.or(&answer.no) };
                }
                Ok(whole)
            }
            Self::Or(parts) => {
                let mut whole = Answer { yes: none(), no: asked.clone() };
                for part in parts {
                    let open = asked.and_not(&whole.yes);
                    if open.is_empty() {
                        break;
                    }
                    let answer = part.eval(columns, &open)?;
                    whole = Answer { yes: whole.yes.or(&answer.yes), no: whole.no.and(&answer.no) };
                }
                Ok(whole)
            }
            Self::Leaf(leaf) => leaf.eval(columns, asked),
        }
    }
}

impl Leaf {
    fn eval(&self, columns: &mut Columns<'_>, asked: &Bitmap) -> Result<Answer, DecodeError> {
        match &self.test {
            Ok((path, test)) => test.eval(columns, path, asked),
            Err(_) => self.fallback.eval(columns.batch(), asked),
        }
    }
}

impl Test {
    fn eval(&self, columns: &mut Columns<'_>, path: &Path, asked: &Bitmap) -> Result<Answer, DecodeError> {
        let rows = asked.len();
        // Rows whose value has the type that the test is about, and of them those that pass.
        let (typed, passed) = match self {
            Self::Has => {
                let present = columns.present(path)?;
                return Ok(Answer { yes: asked.and(&present), no: asked.and_not(&present) });
            }
            Self::Number(..) | Self::AnyNumber(_) => match columns.numbers(path)? {
                Some(numbers) => (numbers.present.clone(), Bitmap::from_fn(rows, |row| self.number(numbers.values[row]))),
                None => (Bitmap::new(rows, false), Bitmap::new(rows, false)),
            },
            Self::Bool(..) | Self::IsTrue => match columns.bools(path)? {
                Some(bools) => (bools.present.clone(), Bitmap::from_fn(rows, |row| self.boolean(bools.values.get(row)))),
                None => (Bitmap::new(rows, false), Bitmap::new(rows, false)),
            },
            // A time is a number here, although columns can show it as text.
            _ => match columns.strings(path)?.filter(|_| path.root() != "timestamp") {
                Some(dict) => {
                    let verdicts: Vec<bool> = dict.values.iter().map(|value| self.text(value)).collect();
                    let passes = |row: usize| verdicts.get(dict.ids[row] as usize).is_some_and(|verdict| *verdict);
                    (Bitmap::from_fn(rows, |row| dict.ids[row] != Dict::ABSENT), Bitmap::from_fn(rows, passes))
                }
                None => (Bitmap::new(rows, false), Bitmap::new(rows, false)),
            },
        };
        let typed = typed.and(asked);
        let yes = typed.and(&passed);
        let no = typed.and_not(&passed);
        let Some(verdict) = self.on_another_type() else { return Ok(Answer { yes, no }) };
        let others = asked.and(&*columns.present(path)?).and_not(&typed);
        Ok(if verdict { Answer { yes: yes.or(&others), no } } else { Answer { yes, no: no.or(&others) } })
    }

    fn text(&self, value: &str) -> bool {
        match self {
            Self::Text(op, literal) => op.holds(value, literal.as_str()),
            Self::AnyText(list) => list.iter().any(|one| one == value),
            Self::StartsWith(part) => value.starts_with(part.as_str()),
            Self::EndsWith(part) => value.ends_with(part.as_str()),
            Self::Contains(part) => value.contains(part.as_str()),
            Self::Matches(pattern) => pattern.is_match(value),
            _ => false,
        }
    }

    fn number(&self, value: f64) -> bool {
        match self {
            Self::Number(op, literal) => op.holds(&value, literal),
            Self::AnyNumber(list) => list.contains(&value),
            _ => false,
        }
    }

    fn boolean(&self, value: bool) -> bool {
        match self {
            Self::Bool(op, literal) => op.holds(&value, literal),
            _ => value,
        }
    }

    /// Values of different types are unequal, and have no order.
    fn on_another_type(&self) -> Option<bool> {
        match self {
            Self::Text(op, _) | Self::Number(op, _) | Self::Bool(op, _) => op.is_equality().then_some(*op == Op::Ne),
            Self::AnyText(_) | Self::AnyNumber(_) => Some(false),
            _ => None,
        }
    }
}
