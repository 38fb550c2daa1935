//! A predicate over the rows of a batch, in three values: yes, no, and neither when an event gives no answer.

use std::rc::Rc;

use cel::IdedExpr;

use super::{columns::Columns, interpret::Interpreted, plan::Op};
use crate::{
    batch::{Bools, DecodeError, Dict, Numbers},
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
    /// As it was written.
    pub(super) text: String,
    /// The same question for the interpreter.
    pub(super) fallback: Interpreted,
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
    pub(super) fn new(expr: &IdedExpr, text: String, test: Result<(Path, Test), &'static str>) -> Self {
        Self {
            test,
            text,
            fallback: Interpreted::new(expr),
        }
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

    /// The asked rows for which the answer is yes; cheaper than [`Pred::eval`], because nobody asks whether the others said no.
    pub(super) fn matches(&self, columns: &mut Columns<'_>, asked: &Bitmap) -> Result<Bitmap, DecodeError> {
        match self {
            Self::And(parts) => parts.iter().try_fold(asked.clone(), |open, part| {
                if open.is_empty() {
                    Ok(open)
                } else {
                    part.matches(columns, &open)
                }
            }),
            Self::Or(parts) => parts.iter().try_fold(Bitmap::new(asked.len(), false), |yes, part| {
                let open = asked.and_not(&yes);
                if open.is_empty() {
                    Ok(yes)
                } else {
                    Ok(yes.or(&part.matches(columns, &open)?))
                }
            }),
            Self::Leaf(leaf) => leaf.matches(columns, asked),
            Self::Const(_) | Self::Not(_) => self.eval(columns, asked).map(|answer| answer.yes),
        }
    }

    /// Answers for the asked rows; says nothing of others.
    pub(super) fn eval(&self, columns: &mut Columns<'_>, asked: &Bitmap) -> Result<Answer, DecodeError> {
        let none = || Bitmap::new(asked.len(), false);
        match self {
            Self::Const(true) => Ok(Answer {
                yes: asked.clone(),
                no: none(),
            }),
            Self::Const(false) => Ok(Answer {
                yes: none(),
                no: asked.clone(),
            }),
            Self::Not(inner) => inner.eval(columns, asked).map(|a| Answer { yes: a.no, no: a.yes }),
            Self::And(parts) => {
                let mut whole = Answer {
                    yes: asked.clone(),
                    no: none(),
                };
                for part in parts {
                    let open = asked.and_not(&whole.no);
                    if open.is_empty() {
                        break;
                    }
                    let answer = part.eval(columns, &open)?;
                    whole = Answer {
                        yes: whole.yes.and(&answer.yes),
                        no: whole.no.or(&answer.no),
                    };
                }
                Ok(whole)
            }
            Self::Or(parts) => {
                let mut whole = Answer {
                    yes: none(),
                    no: asked.clone(),
                };
                for part in parts {
                    let open = asked.and_not(&whole.yes);
                    if open.is_empty() {
                        break;
                    }
                    let answer = part.eval(columns, &open)?;
                    whole = Answer {
                        yes: whole.yes.or(&answer.yes),
                        no: whole.no.and(&answer.no),
                    };
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

    fn matches(&self, columns: &mut Columns<'_>, asked: &Bitmap) -> Result<Bitmap, DecodeError> {
        match &self.test {
            // Only for `!=` do values of other types pass.
            Ok((path, test)) if test.on_another_type() != Some(true) => {
                Ok(test.yes(&test.column(columns, path)?, asked))
            }
            _ => self.eval(columns, asked).map(|answer| answer.yes),
        }
    }
}

/// The column that a test is about.
enum Column {
    None,
    Present(Rc<Bitmap>),
    Texts(Rc<Dict>),
    Numbers(Rc<Numbers>),
    Bools(Rc<Bools>),
}

impl Test {
    fn eval(&self, columns: &mut Columns<'_>, path: &Path, asked: &Bitmap) -> Result<Answer, DecodeError> {
        let column = self.column(columns, path)?;
        let yes = self.yes(&column, asked);
        let typed = match &column {
            Column::None => Bitmap::new(asked.len(), false),
            Column::Present(_) => asked.clone(),
            Column::Texts(dict) => choose(asked, |row| dict.ids[row] != Dict::ABSENT),
            Column::Numbers(numbers) => asked.and(&numbers.present),
            Column::Bools(bools) => asked.and(&bools.present),
        };
        let no = typed.and_not(&yes);
        let Some(verdict) = self.on_another_type() else {
            return Ok(Answer { yes, no });
        };
        let others = asked.and(&*columns.present(path)?).and_not(&typed);
        let (yes, no) = if verdict {
            (yes.or(&others), no)
        } else {
            (yes, no.or(&others))
        };
        Ok(Answer { yes, no })
    }

    fn column(&self, columns: &mut Columns<'_>, path: &Path) -> Result<Column, DecodeError> {
        let column = match self {
            Self::Has => Some(Column::Present(columns.present(path)?)),
            Self::Number(..) | Self::AnyNumber(_) => columns.numbers(path)?.map(Column::Numbers),
            Self::Bool(..) | Self::IsTrue => columns.bools(path)?.map(Column::Bools),
            // A time is a number here, although columns can show it as text.
            _ if path.root() == "timestamp" => None,
            _ => columns.strings(path)?.map(Column::Texts),
        };
        Ok(column.unwrap_or(Column::None))
    }

    /// Asked rows whose value has the test's type and passes.
    fn yes(&self, column: &Column, asked: &Bitmap) -> Bitmap {
        match column {
            Column::None => Bitmap::new(asked.len(), false),
            Column::Present(present) => asked.and(present),
            // Each text once where most rows are asked for; of few rows only their own.
            Column::Texts(dict) if asked.count_ones() < dict.values.len() => {
                chosen(asked, |row| dict.get(row).is_some_and(|text| self.text(text)))
            }
            Column::Texts(dict) => {
                let verdicts: Vec<bool> = dict.values.iter().map(|value| self.text(value)).collect();
                choose(asked, |row| {
                    verdicts.get(dict.ids[row] as usize).is_some_and(|verdict| *verdict)
                })
            }
            Column::Numbers(numbers) => choose(&asked.and(&numbers.present), |row| self.number(numbers.values[row])),
            Column::Bools(bools) => choose(&asked.and(&bools.present), |row| self.boolean(bools.values.get(row))),
        }
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

/// The rows of `from` that pass; looks at rows one by one where few are asked for.
fn choose(from: &Bitmap, passes: impl Fn(usize) -> bool) -> Bitmap {
    let asked = from.count_ones();
    if asked * 4 > from.len() {
        return Bitmap::from_fn(from.len(), passes).and(from);
    }
    chosen(from, passes)
}

/// The same, one by one however many.
fn chosen(from: &Bitmap, passes: impl Fn(usize) -> bool) -> Bitmap {
    let mut chosen = Bitmap::new(from.len(), false);
    from.iter_ones()
        .filter(|row| passes(*row))
        .for_each(|row| chosen.set(row, true));
    chosen
}
