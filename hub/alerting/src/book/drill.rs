//! Fire drills: a rule that lives for one drill, whose alert disturbs no other.

use std::{collections::BTreeMap, sync::Arc};

use streamflow_model::{Channel, Level, Rule, RuleDraft};

use super::Book;
use crate::incident::SYSTEM;

impl Book {
    /// Takes up the rule of a drill: it has alerts, and is not among the rules that anybody sees.
    pub(crate) fn begin_drill(&mut self, rule: Rule) {
        self.register.put_builtin(rule);
    }

    /// The drill is over, and with it its alerts.
    pub(crate) fn end_drill(&mut self, rule_id: &str, now: i64) {
        self.close_all(rule_id, SYSTEM, "the drill is over", now);
        self.settle(now);
        self.register.remove_builtin(rule_id);
    }

    /// The channels that an alert of this rule and level would tell now.
    pub(crate) fn would_tell(&self, draft: &RuleDraft, group: &BTreeMap<String, String>, now: i64) -> Vec<String> {
        let mut labels = draft.labels.clone();
        labels.extend(group.clone());
        labels.insert("alertname".to_owned(), draft.name.clone());
        labels.insert("level".to_owned(), draft.level.name().to_owned());
        let routed = || {
            let targets = self.tree.targets(&labels, draft.level);
            targets.into_iter().flat_map(|target| target.channels.clone()).collect()
        };
        let names: Vec<String> = if draft.channels.is_empty() {
            routed()
        } else {
            draft.channels.clone()
        };
        let mut told = self.register.expand(&names, now);
        told.retain(|name| self.takes(name, draft.level));
        told
    }

    /// Whether a channel is told of alerts of this level.
    pub(crate) fn takes(&self, channel: &str, level: Level) -> bool {
        let takes = |channel: &Arc<Channel>| channel.enabled && level >= channel.level;
        self.register.channels().get(channel).is_some_and(takes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_model::{Account, Alert, AlertState, Inhibition, Signal, drill::drill_rule_id};

    use crate::{
        book::Book,
        outbox::Outgoing,
        sample::{self, T0, book, channel, rule, signal},
    };

    fn drill(fields: serde_json::Value) -> (Book, String) {
        let mut book = book(vec![rule(json!({"channels": [], "group_by": ["source"]}))]);
        book.put_channel(channel("drill"));
        let mut private = rule(fields);
        private.id = drill_rule_id("d1");
        let id = private.id.clone();
        book.begin_drill(private);
        (book, id)
    }

    fn met(rule_id: &str) -> Signal {
        Signal {
            rule_id: rule_id.to_owned(),
            account: Some(Box::new(Account {
                summary: "not a real alert".to_owned(),
                message: "This is a fire drill.".to_owned(),
                ..Account::default()
            })),
            ..signal(0, 60.0)
        }
    }

    fn route(book: &mut Book, draft: serde_json::Value) {
        let (routing, compiled) = sample::routing(draft);
        book.set_routing(routing, compiled, T0);
    }

    fn only(book: &Book, rule_id: &str) -> Alert {
        let found = book.open_alerts().find(|alert| alert.rule_id == rule_id);
        Alert::clone(&found.unwrap())
    }

    #[test]
    fn its_rule_is_seen_by_nobody_and_its_alert_says_that_it_is_a_drill_and_ends_with_it() {
        let (mut book, id) = drill(json!({"channels": ["drill"]}));
        assert!(!book.rules().contains_key(&id));
        book.signals(&[met(&id)], T0);
        let changes = book.take_changes();
        let told: Vec<&Outgoing> = changes.outgoing.iter().collect();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].delivery.channel, "drill");
        assert!(
            told[0].notice.title.starts_with("DRILL: errors: "),
            "{}",
            told[0].notice.title
        );
        assert!(changes.fired.is_empty(), "it is not counted among the alerts");
        assert_eq!(
            only(&book, &id).labels["alertname"],
            "errors",
            "routes and silences take it as the real one"
        );
        book.end_drill(&id, T0 + 1);
        assert_eq!(book.open_alerts().count(), 0);
        let over = book.take_changes().outgoing;
        assert_eq!((over.len(), over[0].notice.state), (1, AlertState::Resolved));
        book.signals(&[met(&id)], T0 + 2);
        assert_eq!(book.open_alerts().count(), 0, "its rule is gone");
    }

    #[test]
    fn a_channel_s_own_words_cannot_hide_that_it_is_a_drill() {
        let (mut book, id) = drill(json!({"channels": ["drill"]}));
        let mut worded = channel("drill");
        worded.title_template = Some("{{ level }}".to_owned());
        book.put_channel(worded);
        book.signals(&[met(&id)], T0);
        assert_eq!(book.take_changes().outgoing[0].notice.title, "DRILL: warning");
    }

    #[test]
    fn it_inhibits_nobody_and_shares_no_group() {
        let (mut book, id) = drill(json!({"channels": []}));
        let inhibit: Inhibition = serde_json::from_value(json!({"source": [{"name": "drill", "value": "d1"}],
            "target": [{"name": "alertname", "value": "errors"}], "equal": ["source"]}))
        .unwrap();
        route(
            &mut book,
            json!({"route": {"channels": ["ops"], "group_by": ["source"], "group_wait": "0s"}, "inhibit": [inhibit]}),
        );
        let mut private = rule(json!({"channels": [], "labels": {"drill": "d1"}}));
        private.id.clone_from(&id);
        book.begin_drill(private);
        book.signals(&[met(&id)], T0);
        book.signals(&[signal(0, 60.0)], T0 + 1);
        let real = only(&book, "r1");
        assert!(real.muted_by.is_empty(), "{:?}", real.muted_by);
        let told = book.take_changes().outgoing;
        let about: Vec<(usize, bool)> = told
            .iter()
            .map(|one| (one.delivery.alert_ids.len(), one.notice.title.starts_with("DRILL")))
            .collect();
        assert_eq!(about, [(1, true), (1, false)]);
    }

    #[test]
    fn it_knows_whom_the_real_alert_would_tell() {
        let (mut book, _) = drill(json!({}));
        route(
            &mut book,
            json!({"route": {"channels": ["ops"], "routes": [{"matchers": [{"name": "team", "value": "db"}], "channels": ["drill"]}]}}),
        );
        let would = |draft: serde_json::Value| book.would_tell(&rule(draft).draft, &Default::default(), T0);
        assert_eq!(would(json!({"channels": []})), ["ops"]);
        assert_eq!(would(json!({"channels": [], "labels": {"team": "db"}})), ["drill"]);
        assert_eq!(would(json!({"channels": ["drill"]})), ["drill"]);
    }
}
