//! Values of windows in, verdicts on them out: what a rule of kind `anomaly` does with what its windows say.
//!
//! Its windows run as those of a threshold rule whose condition always holds, so each window of each group says its value once it has closed. Here that value is
//! judged by what was learned before it, and then learned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use streamflow_model::{Account, Completeness, OpenGroup, Rule, Signal, rule::AnomalyMethod, rule::Compiled};
use streamflow_proto::aggregate::Func;

use super::{
    model::{Frame, Judged, Noise},
    models::Models,
};

/// The part that a checkpoint holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct AnomalyState {
    pub(crate) models: Models,
    /// Groups whose alert is open, as far as is known here.
    met: BTreeSet<Vec<String>>,
    /// Windows that end by then have been judged.
    until: Option<i64>,
}

/// What a rule takes for normal, ready to be asked.
#[derive(Debug, Clone)]
pub(crate) struct Anomaly {
    frame: Frame,
    names: Vec<String>,
    /// Length of a window and the time between the ends of two, ms.
    size: i64,
    slide: i64,
    /// No events make a value of zero, and more events can only make it larger.
    counts: bool,
}

/// Windows that have closed.
pub(crate) struct Closed<'a> {
    pub(crate) rule: &'a Rule,
    /// What they said.
    pub(crate) signals: Vec<Signal>,
    /// All that end by then have.
    pub(crate) until: i64,
    pub(crate) watermark: i64,
    pub(crate) now: i64,
    pub(crate) completeness: &'a mut dyn FnMut(i64) -> Completeness,
    /// Most groups.
    pub(crate) cap: usize,
}

impl Anomaly {
    /// `None` when the rule is of another kind.
    pub(crate) fn new(rule: &Rule, compiled: &Compiled) -> Option<Self> {
        let size = rule.draft.window.size().ms().max(1);
        let slide = rule.draft.window.slide().map_or(size, |slide| slide.ms().max(1));
        Some(Self {
            frame: frame(compiled, size, slide)?,
            names: compiled.group_by.iter().map(ToString::to_string).collect(),
            size,
            slide,
            counts: matches!(compiled.aggregate.func, Func::Count | Func::Rate | Func::Distinct),
        })
    }

    /// Owes alerting a verdict on a group whose alert is open.
    pub(crate) fn owe(&self, state: &mut AnomalyState, open: &OpenGroup) {
        let labels = self.names.iter().map(|name| open.labels.get(name).cloned());
        state.met.extend(labels.collect::<Option<Vec<String>>>());
    }

    /// Judges windows and learns from them, in the order of time; answers what alerting is to hear.
    pub(crate) fn review(&self, state: &mut AnomalyState, closed: Closed<'_>) -> Vec<Signal> {
        let mut by_end: BTreeMap<i64, Vec<Signal>> = BTreeMap::new();
        for signal in closed.signals {
            by_end.entry(signal.window_end).or_default().push(signal);
        }
        // Of a long silence only as many windows as are remembered.
        let remembered = self
            .slide
            .saturating_mul(i64::try_from(self.frame.spec.history).unwrap_or(i64::MAX));
        let from = state
            .until
            .map(|until| until.max(closed.until.saturating_sub(remembered)));
        if self.counts
            && let Some(from) = from
        {
            let ends = std::iter::successors(from.checked_add(self.slide), |end| end.checked_add(self.slide));
            for end in ends.take_while(|end| *end <= closed.until) {
                by_end.entry(end).or_default();
            }
        }
        state.until = Some(state.until.map_or(closed.until, |until| until.max(closed.until)));
        let mut out = Vec::new();
        for (end, signals) in by_end {
            for signal in signals {
                self.judge(state, signal, closed.cap, &mut out);
            }
            if !self.counts {
                continue;
            }
            for labels in state.models.unseen(end.saturating_sub(self.slide)) {
                let nothing = Signal {
                    rule_id: closed.rule.id.clone(),
                    rule_version: closed.rule.version,
                    labels: self.names.iter().cloned().zip(labels).collect(),
                    value: Some(0.0),
                    top: Vec::new(),
                    met: true,
                    running: false,
                    window_start: end.saturating_sub(self.size),
                    window_end: end,
                    revision: 0,
                    watermark: closed.watermark,
                    completeness: (closed.completeness)(end),
                    stored_at: closed.now,
                    account: None,
                };
                self.judge(state, nothing, closed.cap, &mut out);
            }
        }
        out
    }

    fn judge(&self, state: &mut AnomalyState, mut signal: Signal, cap: usize, out: &mut Vec<Signal>) {
        let labels: Vec<String> = self
            .names
            .iter()
            .map(|name| signal.labels.get(name).cloned().unwrap_or_default())
            .collect();
        let Some(value) = signal.value else {
            // Without events there is nothing to judge; zeros are judged as such.
            if !self.counts && state.met.contains(&labels) {
                signal.met = false;
                if signal.completeness.complete {
                    state.met.remove(&labels);
                }
                out.push(signal);
            }
            return;
        };
        let (at, complete) = (
            signal.window_end.saturating_sub(self.slide),
            signal.completeness.complete,
        );
        let judged = state.models.judge(&self.frame, &labels, at, value);
        if complete && signal.revision == 0 {
            state.models.learn(&self.frame, &labels, at, value, cap);
        }
        // What is missing may make up for what is too little.
        let above = judged.band.is_some_and(|band| value > band.upper);
        let certain = complete || !self.counts || above;
        let anomalous = judged.anomalous && certain;
        let known = state.met.contains(&labels);
        if !anomalous && !known {
            return;
        }
        signal.met = anomalous;
        if anomalous {
            state.met.insert(labels);
        } else if complete {
            state.met.remove(&labels);
        }
        signal.account = Some(Box::new(self.account(value, &judged)));
        out.push(signal);
    }

    fn account(&self, value: f64, judged: &Judged) -> Account {
        let Some(band) = judged.band else {
            return Account {
                summary: format!("{} (nothing is known of what is normal)", number(value)),
                ..Account::default()
            };
        };
        let range = format!("{} … {}", number(band.lower), number(band.upper));
        let summary = if value > band.upper {
            format!("{} is above {range}", number(value))
        } else if value < band.lower {
            format!("{} is below {range}", number(value))
        } else {
            format!("{} is within {range}", number(value))
        };
        let method = match self.frame.spec.method {
            AnomalyMethod::Robust => "the last windows",
            AnomalyMethod::Seasonal => "the same hours of earlier weeks and the last windows",
        };
        let message = format!(
            "{summary}.\nExpected by {method}: {}. It is {} robust deviations away; {} are allowed.",
            number(band.expected),
            number(judged.score.abs()),
            number(self.frame.spec.deviations)
        );
        let data = [
            ("observed", value),
            ("lower", band.lower),
            ("expected", band.expected),
            ("upper", band.upper),
            ("score", judged.score),
        ];
        let mut data: Map<String, Value> = data
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        data.insert("method".to_owned(), json!(self.frame.spec.method));
        Account { summary, message, data }
    }
}

/// What stays the same for all groups of a rule.
pub(crate) fn frame(compiled: &Compiled, size: i64, slide: i64) -> Option<Frame> {
    #[expect(clippy::cast_precision_loss, reason = "a length of time in ms is far below 2^52")]
    let noise = match compiled.aggregate.func {
        Func::Count => Noise::Counts(1.0),
        Func::Rate => Noise::Counts(1000.0 / size.max(1) as f64),
        _ => Noise::Unknown,
    };
    Some(Frame {
        spec: compiled.anomaly.clone()?,
        noise,
        window: slide,
    })
}

/// At most three digits after the point, and none that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
