//! Rules that have no windows, patterns and absences, beside those that have: the same batches in, the same kind of verdicts out.

use std::{collections::HashMap, rc::Rc};

use streamflow_model::{OpenGroup, Rule, RuleError, RuleKind};
use streamflow_proto::{batch::DecodeError, bitmap::Bitmap, filter::Columns, path::Path};

use super::{
    agents::Agents,
    part::Part,
    verdict::Verdicts,
    watch::{Glance, Links, Watch, WatchState, WatchStateRef, question},
};
use crate::Options;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    all: Vec<Watch>,
    /// State from a checkpoint, until its rule is seen.
    saved: HashMap<(String, String), WatchState>,
    /// Rules by a type that they require, and those that any event may concern.
    by_type: HashMap<String, Vec<usize>, foldhash::fast::RandomState>,
    always: Vec<usize>,
    /// The attribute `type`.
    kind: Option<Path>,
    /// Since when the hub has listened without a break, wall clock ms.
    listening_since: i64,
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Rows that came after their turn.
    pub(super) late: Option<Bitmap>,
    pub(super) unreadable: u64,
}

impl Watches {
    /// Takes over what a checkpoint holds.
    pub(super) fn resume(&mut self, saved: Vec<(String, String, WatchState)>) {
        let saved = saved.into_iter().map(|(id, question, state)| ((id, question), state));
        self.saved = saved.collect();
    }

    /// What a checkpoint must hold.
    pub(super) fn state(&self) -> Vec<(&str, &str, WatchStateRef<'_>)> {
        let all = self.all.iter();
        all.map(|watch| (watch.rule.id.as_str(), watch.question.as_str(), watch.state()))
            .collect()
    }

    /// Takes over the present rules, of those the ones that have no windows and are no plugin's. Those that ask what they asked before keep their state.
    pub(super) fn set_rules(&mut self, rules: &[Rule], watermark: i64, refused: &mut Vec<(String, Vec<RuleError>)>) {
        let earlier = std::mem::take(&mut self.all).into_iter();
        let mut earlier: HashMap<String, Watch> = earlier.map(|watch| (watch.rule.id.clone(), watch)).collect();
        let own =
            |rule: &&Rule| rule.draft.enabled && !rule.draft.kind.has_windows() && rule.draft.kind != RuleKind::Plugin;
        for rule in rules.iter().filter(own) {
            let question = question(&rule.draft);
            if let Some(mut watch) = earlier.remove(&rule.id).filter(|watch| watch.question == question) {
                watch.rule = rule.clone();
                self.all.push(watch);
                continue;
            }
            let compiled = match rule.draft.compile() {
                Ok(compiled) => compiled,
                Err(errors) => {
                    refused.push((rule.draft.name.clone(), errors));
                    continue;
                }
            };
            let saved = self.saved.remove(&(rule.id.clone(), question.clone()));
            let Some(mut watch) = Watch::new(rule, compiled, question, watermark) else {
                continue;
            };
            if let Some(state) = saved {
                watch.resume(state);
            }
            self.all.push(watch);
        }
        self.saved.clear();
        self.file();
    }

    /// Files rules by the types that they require.
    fn file(&mut self) {
        self.kind = Path::parse("type").ok();
        self.by_type.clear();
        self.always.clear();
        for (number, watch) in self.all.iter().enumerate() {
            match self.kind.as_ref().and_then(|kind| watch.types(kind)) {
                Some(types) => types
                    .into_iter()
                    .for_each(|name| self.by_type.entry(name).or_default().push(number)),
                None => self.always.push(number),
            }
        }
    }

    pub(super) fn owe(&mut self, open: &OpenGroup) {
        if let Some(watch) = self.all.iter_mut().find(|watch| watch.rule.id == open.rule_id) {
            watch.owe(open);
        }
    }

    /// The hub begins to listen, or does so again after a break.
    pub(super) const fn listen_from(&mut self, now: i64) {
        self.listening_since = now;
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Watch> {
        self.all.iter()
    }

    /// The rules that rows of this batch may concern.
    fn candidates(&self, columns: &mut Columns<'_>) -> Result<Vec<usize>, DecodeError> {
        let mut chosen = self.always.clone();
        if let Some(kind) = self.kind.as_ref().filter(|_| !self.by_type.is_empty())
            && let Some(dict) = columns.strings(kind)?
        {
            chosen.extend(dict.values.iter().filter_map(|name| self.by_type.get(name)).flatten());
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }

    /// Takes a span in.
    pub(super) fn add(
        &mut self,
        glance: &Glance<'_>,
        part: &mut Part<'_>,
        options: &Options,
        agents: &Agents,
        out: &mut Verdicts,
    ) -> Taken {
        let mut taken = Taken::default();
        if self.all.is_empty() {
            return taken;
        }
        let candidates = match &part.sight.candidates {
            Some(known) => Rc::clone(known),
            None => {
                let fresh = self.candidates(&mut part.columns).unwrap_or_else(|error| {
                    taken.unreadable += 1;
                    tracing::warn!(position = glance.position, %error, "a batch cannot be read for patterns and absences");
                    Vec::new()
                });
                Rc::clone(part.sight.candidates.insert(Rc::new(fresh)))
            }
        };
        let listening_since = self.listening_since;
        for number in candidates.iter() {
            let Some(watch) = self.all.get_mut(*number) else {
                continue;
            };
            // Decided by the log's clock, so that a replay decides the same.
            if glance.stored_at < watch.since() {
                continue;
            }
            let before = watch.losses();
            let links = Links {
                agents,
                listening_since,
            };
            match watch.add(*number, glance, part, options, &links, out) {
                Ok(late) => {
                    taken.late = match (taken.late.take(), late) {
                        (Some(known), Some(more)) => Some(known.or(&more)),
                        (known, more) => known.or(more),
                    };
                }
                Err(error) => {
                    taken.unreadable += 1;
                    let rule = &watch.rule.draft.name;
                    tracing::warn!(position = glance.position, rule, %error, "a batch cannot be read for a rule");
                }
            }
            watch.count_losses(before, out);
        }
        taken
    }

    /// Lets the watermark pass.
    pub(super) fn advance(&mut self, options: &Options, agents: &Agents, out: &mut Verdicts) {
        let listening_since = self.listening_since;
        for watch in &mut self.all {
            let before = watch.losses();
            let links = Links {
                agents,
                listening_since,
            };
            watch.advance(options, &links, out);
            watch.count_losses(before, out);
        }
    }
}
