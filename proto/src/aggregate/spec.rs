//! What to compute, as users write it: `count()`, `p99(data.ms)`.

use std::{fmt, str::FromStr};

use crate::path::Path;

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
        "`{0}` is not a function; use count, rate, sum, avg, min, max, stddev, distinct, first, last or a percentile such as p95"
    )]
    Unknown(String),
    /// `count(x)`.
    #[error("`{0}` takes no attribute")]
    TakesNone(String),
    /// `avg()`.
    #[error("`{0}` needs an attribute, for example {0}(data.ms)")]
    NeedsOne(String),
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
    /// Reads `count()`, `rate()` or `name(attribute)`.
    ///
    /// # Errors
    /// When the function or the attribute is none.
    pub fn parse(text: &str) -> Result<Self, AggregateError> {
        let form = || AggregateError::Form(text.to_owned());
        let (name, rest) = text.trim().split_once('(').ok_or_else(form)?;
        let argument = rest.strip_suffix(')').ok_or_else(form)?.trim();
        let name = name.trim();
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
        let path = Path::parse(argument).map_err(|e| AggregateError::Path {
            text: argument.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(Self { func, path: Some(path) })
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
        match &self.path {
            Some(path) => write!(f, "{}({path})", self.func),
            None => write!(f, "{}()", self.func),
        }
    }
}
