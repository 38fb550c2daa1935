//! What to compute, as users write it: `count()`, `p99(data.ms)`.

use std::{fmt, str::FromStr};

use crate::path::Path;

/// Most values of a `topk`.
pub const MAX_TOP: u32 = 100;

/// The function.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Func {
    /// Number of events.
    Count,
    /// Events per second over the whole window.
    Rate,
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Avg,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Population standard deviation.
    Stddev,
    /// Quantile between 0 and 1, within 1 % of the value.
    Percentile(f64),
    /// Number of different values, within about 2 %.
    Distinct,
    /// Value of the event with the smallest timestamp; of several, the smallest value.
    First,
    /// Value of the event with the largest timestamp; of several, the largest value.
    Last,
    /// The most frequent values, this many of them; as a number, how often the first of them occurred at most.
    TopK(u32),
}

/// A function and the attribute it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateSpec {
    /// The function.
    pub func: Func,
    /// The attribute; `None` for `count()` and `rate()`.
    pub path: Option<Path>,
}

/// Why a text is not an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// Not of the form `name(attribute)`.
    #[error("`{0}` is not an aggregate; write for example count(), avg(data.ms) or p99(data.ms)")]
    Form(String),
    /// No such function.
    #[error(
        "`{0}` is not a function; use count, rate, sum, avg, min, max, stddev, distinct, first, last, topk or a percentile such as p95"
    )]
    Unknown(String),
    /// `count(x)`.
    #[error("`{0}` takes no attribute")]
    TakesNone(String),
    /// `avg()`.
    #[error("`{0}` needs an attribute, for example {0}(data.ms)")]
    NeedsOne(String),
    /// `topk(0, x)` or `topk(x)`.
    #[error("topk needs how many and an attribute, for example topk(5, data.path), with 1 to {MAX_TOP} values")]
    Top,
    /// The attribute is not one.
    #[error("`{text}` is not an attribute: {reason}")]
    Path {
        /// As written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl AggregateSpec {
    /// Reads `count()`, `rate()`, `topk(5, attribute)` or `name(attribute)`.
    ///
    /// # Errors
    /// When the function or the attribute is none.
    pub fn parse(text: &str) -> Result<Self, AggregateError> {
        let form = || AggregateError::Form(text.to_owned());
        let (name, rest) = text.trim().split_once('(').ok_or_else(form)?;
        let argument = rest.strip_suffix(')').ok_or_else(form)?.trim();
        let name = name.trim();
        if name == "topk" {
            return Self::top(argument);
        }
        let func = Func::from_str(name)?;
        let takes_none = matches!(func, Func::Count | Func::Rate);
        if takes_none {
            return if argument.is_empty() {
                Ok(Self { func, path: None })
            } else {
                Err(AggregateError::TakesNone(name.to_owned()))
            };
        }
        if argument.is_empty() {
            return Err(AggregateError::NeedsOne(name.to_owned()));
        }
        Ok(Self {
            func,
            path: Some(attribute(argument)?),
        })
    }

    fn top(argument: &str) -> Result<Self, AggregateError> {
        let (many, path) = argument.split_once(',').ok_or(AggregateError::Top)?;
        let many = many.trim().parse().ok().filter(|k| (1..=MAX_TOP).contains(k));
        Ok(Self {
            func: Func::TopK(many.ok_or(AggregateError::Top)?),
            path: Some(attribute(path.trim())?),
        })
    }

    /// Whether its state is a sketch, which takes kilobytes and not bytes.
    #[must_use]
    pub const fn is_sketch(&self) -> bool {
        matches!(self.func, Func::Percentile(_) | Func::Distinct | Func::TopK(_))
    }

    /// Most bytes that the state of one group may take, about.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        match self.func {
            Func::Percentile(_) => 16 << 10,
            Func::Distinct => 4 << 10,
            Func::TopK(k) => super::frequent::counters(k) * 128,
            _ => 64,
        }
    }

    /// Whether its value depends on the length of its window.
    #[must_use]
    pub const fn is_rate(&self) -> bool {
        matches!(self.func, Func::Rate)
    }

    /// Whether parts of a window give the whole by adding or comparing their values, as exactly as the whole itself.
    #[must_use]
    pub const fn is_scalar_growth(&self) -> bool {
        matches!(self.func, Func::Count | Func::Rate | Func::Max | Func::Sum)
    }

    /// Whether further events can only make the value larger. A sum is decided by its values, see [`super::Accumulator::only_grows`].
    #[must_use]
    pub const fn may_only_grow(&self) -> bool {
        matches!(
            self.func,
            Func::Count | Func::Rate | Func::Max | Func::Distinct | Func::Sum
        )
    }
}

fn attribute(text: &str) -> Result<Path, AggregateError> {
    Path::parse(text).map_err(|e| AggregateError::Path {
        text: text.to_owned(),
        reason: e.to_string(),
    })
}

impl FromStr for Func {
    type Err = AggregateError;

    fn from_str(name: &str) -> Result<Self, AggregateError> {
        Ok(match name {
            "count" => Self::Count,
            "rate" => Self::Rate,
            "sum" => Self::Sum,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "stddev" => Self::Stddev,
            "distinct" => Self::Distinct,
            "first" => Self::First,
            "last" => Self::Last,
            _ => {
                return name
                    .strip_prefix('p')
                    .and_then(quantile)
                    .map(Self::Percentile)
                    .ok_or_else(|| AggregateError::Unknown(name.to_owned()));
            }
        })
    }
}

/// `5` is 0.05, `99` is 0.99, `999` is 0.999 and `100` is 1.
fn quantile(digits: &str) -> Option<f64> {
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match digits {
        "100" => Some(1.0),
        _ if digits.len() < 3 => format!("0.{digits:0>2}").parse().ok(),
        _ => format!("0.{digits}").parse().ok(),
    }
}

impl fmt::Display for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "count",
            Self::Rate => "rate",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Stddev => "stddev",
            Self::Distinct => "distinct",
            Self::First => "first",
            Self::Last => "last",
            Self::TopK(_) => "topk",
            Self::Percentile(q) if *q >= 1.0 => "p100",
            Self::Percentile(q) => {
                let decimals = q.to_string();
                let digits = decimals.trim_start_matches("0.");
                return write!(f, "p{digits:0<2}");
            }
        })
    }
}

impl fmt::Display for AggregateSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.func) {
            (Some(path), Func::TopK(k)) => write!(f, "topk({k}, {path})"),
            (Some(path), func) => write!(f, "{func}({path})"),
            (None, _) => write!(f, "{}()", self.func),
        }
    }
}
