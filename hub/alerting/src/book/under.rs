//! What somebody outside takes for the same, and what a person reads about what mutes an alert.

use streamflow_model::Alert;

use super::Book;

impl Book {
    /// What fires now under a key by which receivers know alerts, or groups of them: its id, in words.
    pub(crate) fn fires_under(&self, key: &str) -> Option<String> {
        if let Some(cold) = self.cold.get(key) {
            // One that rests is unpacked only to be named.
            let fires = cold.is_open() && cold.fired_at().is_some();
            let alert: Option<Alert> = fires.then(|| cold.read()).flatten();
            return alert.map(|alert| format!("alert {}", alert.id));
        }
        if let Some(incident) = self.incident(key) {
            let fires = incident.is_open() && incident.alert.fired_at.is_some();
            return fires.then(|| format!("alert {}", incident.alert.id));
        }
        let group = self.group(key)?;
        self.fires_in(key).then(|| format!("group {}", group.id))
    }

    /// Why nobody is told of an alert, as `muted_by` lists it, for people.
    pub(crate) fn why_muted(&self, reason: &str) -> String {
        let worded = |what: &str, comment: &str| match comment.trim() {
            "" => what.to_owned(),
            comment => format!("{what} ({comment})"),
        };
        match reason.split_once(':') {
            Some(("silence", id)) => self.mutes.silence(id).map(|silence| {
                let what = format!("the silence of {} until {}", silence.created_by, silence.ends_at);
                worded(&what, &silence.comment)
            }),
            Some(("maintenance", name)) => self
                .windows()
                .find(|window| window.name == name)
                .map(|window| worded(&format!("the maintenance window `{name}`"), &window.comment)),
            Some(("inhibition", id)) => self
                .look_id(crate::id::AlertId::of(id))
                .map(|incident| format!("the alert `{}`, which inhibits it", incident.alert.title)),
            _ => None,
        }
        .unwrap_or_else(|| reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamflow_model::{AlertState, Silence};

    use crate::{
        matchers::Matchers,
        sample::{self, MINUTE, T0, book, rule, signal},
    };

    #[test]
    fn what_fires_under_a_key_is_known_for_alerts_and_for_groups() {
        let mut alone = book(vec![rule(json!({}))]);
        alone.signals(&[signal(0, 60.0)], T0);
        let key = alone.take_changes().outgoing[0].notice.key.clone();
        let first = alone.open_alerts().next().unwrap().id.clone();
        assert_eq!(alone.fires_under(&key), Some(format!("alert {first}")));
        alone.signals(&[signal(1, 1.0)], T0 + MINUTE);
        assert_eq!(alone.take_changes().outgoing[0].notice.state, AlertState::Resolved);
        assert_eq!(
            alone.fires_under(&key),
            None,
            "nothing fires, so its end may be told again"
        );
        alone.rest_all();
        assert_eq!(alone.fires_under(&key), None, "nor when it rests");
        alone.signals(&[signal(2, 60.0)], T0 + 2 * MINUTE);
        alone.rest_all();
        assert_ne!(alone.fires_under(&key), Some(format!("alert {first}")));
        assert!(alone.fires_under(&key).is_some(), "another one has its key now");

        let draft = json!({"route": {"channels": ["ops"], "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1m"}});
        let (routing, compiled) = sample::routing(draft);
        let mut grouped = book(vec![rule(json!({"channels": []}))]);
        grouped.set_routing(routing, compiled, T0);
        grouped.signals(&[signal(0, 60.0)], T0);
        let key = grouped.take_changes().outgoing[0].notice.key.clone();
        assert!(grouped.fires_under(&key).is_some_and(|id| id.starts_with("group ")));
        grouped.signals(&[signal(1, 1.0)], T0 + MINUTE);
        assert_eq!(grouped.fires_under(&key), None);
    }

    #[test]
    fn a_silence_is_named_by_its_comment() {
        let mut book = book(vec![rule(json!({}))]);
        let silence: Silence =
            serde_json::from_value(json!({"id": "s1", "matchers": [{"name": "source", "value": "web-1"}],
            "starts_at": T0, "ends_at": T0 + MINUTE, "comment": "moving the database", "created_by": "eva",
            "created_at": T0, "updated_at": T0}))
            .unwrap();
        let matchers = Matchers::compile("matchers", &silence.matchers).unwrap();
        book.put_silence(silence, matchers, T0);
        let why = book.why_muted("silence:s1");
        assert!(
            why.starts_with("the silence of eva until ") && why.ends_with("(moving the database)"),
            "{why}"
        );
        assert_eq!(book.why_muted("silence:gone"), "silence:gone");
        book.signals(&[signal(0, 60.0)], T0);
        let inhibitor = book.open_alerts().next().unwrap().id.clone();
        let why = book.why_muted(&format!("inhibition:{inhibitor}"));
        assert!(why.contains("errors: 60 > 50"), "{why}");
    }
}
