//! Alerts when sign-ins of one user from one address fail many times within some minutes; a success after that is said in the title.
//!
//! The rule's `match` chooses the sign-in events. The user is `user_id` or `data.user`, the address `data.address` or `data.ip`, else the source; a sign-in
//! failed when `data.success` is false or `data.outcome` is `failure`.

use std::{collections::BTreeMap, slice};

use serde::{Deserialize, Serialize};
use streamflow_sdk::{Alert, Events, Rule, export_rule, keyed::Keyed, window::Sliding};

/// Most pairs of user and address at a time; those without recent failures make room.
const MAX_PAIRS: usize = 500;
/// Longest name that is kept.
const MAX_NAME: usize = 100;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    failures: u64,
    within_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures: 5,
            within_seconds: 300,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Attempts {
    user: String,
    address: String,
    failures: Sliding,
    firing: bool,
}

struct BruteForce {
    config: Config,
    span_ms: i64,
}

impl Rule for BruteForce {
    type Config = Config;
    /// By user and address.
    type State = Keyed<Attempts>;

    fn init(config: Config) -> Result<Self, String> {
        let span_ms = i64::from(config.within_seconds) * 1000;
        Ok(Self { config, span_ms })
    }

    fn on_events(&mut self, events: &Events, pairs: &mut Self::State) -> Result<Vec<Alert>, String> {
        let (user_id, user) = (events.texts("user_id")?, events.texts("data.user")?);
        let (address, ip) = (events.texts("data.address")?, events.texts("data.ip")?);
        let (success, outcome) = (events.booleans("data.success")?, events.texts("data.outcome")?);
        let mut alerts: BTreeMap<String, Alert> = BTreeMap::new();
        for row in events.rows() {
            let succeeded = match (success.get(row), outcome.get(row)) {
                (Some(success), _) => success,
                (None, Some("success")) => true,
                (None, Some("failure")) => false,
                _ => continue,
            };
            let Some(user) = user_id.get(row).or_else(|| user.get(row)) else {
                continue;
            };
            let address = address
                .get(row)
                .or_else(|| ip.get(row))
                .unwrap_or_else(|| events.source(row));
            let at = events.time_ms(row);
            let key = format!("{} from {}", short(user), short(address));
            if succeeded {
                if let Some(attempts) = pairs.get(&key).filter(|attempts| attempts.firing) {
                    let title = format!("{key}: signed in after many failures");
                    alerts.insert(key.clone(), self.alert(&key, attempts, title, at).row(row));
                }
                continue;
            }
            let goes_on = |attempts: &Attempts| attempts.firing || !attempts.failures.is_over(at);
            let new = || Attempts {
                user: short(user).to_owned(),
                address: short(address).to_owned(),
                failures: Sliding::new(self.span_ms),
                firing: false,
            };
            let mut here = pairs.of(slice::from_ref(&key));
            let Some(attempts) = here.or_insert_among(MAX_PAIRS, goes_on, 0, new) else {
                continue;
            };
            attempts.failures.add(at, 1);
            let count = attempts.failures.count(at);
            if count >= self.config.failures {
                attempts.firing = true;
                let title = format!("{key}: {count} failed sign-ins");
                let alert = self.alert(&key, attempts, title, at).row(row);
                alerts.insert(key, alert);
            }
        }
        Ok(alerts.into_values().collect())
    }

    fn on_tick(&mut self, now_ms: i64, pairs: &mut Self::State) -> Result<Vec<Alert>, String> {
        let over = |attempts: &Attempts| attempts.failures.is_over(now_ms);
        let ended = pairs
            .sorted()
            .into_iter()
            .filter(|(_, attempts)| attempts.firing && over(attempts));
        let alerts = ended
            .map(|(key, attempts)| Alert {
                resolved: true,
                ..self.alert(key, attempts, format!("{key}: no more failed sign-ins"), now_ms)
            })
            .collect();
        pairs.retain(|_, attempts| !over(attempts));
        Ok(alerts)
    }
}

impl BruteForce {
    fn alert(&self, key: &str, attempts: &Attempts, title: String, now_ms: i64) -> Alert {
        let count = attempts.failures.count(now_ms);
        #[expect(clippy::cast_precision_loss, reason = "a count of some minutes")]
        let value = count as f64;
        Alert::firing(key, title)
            .body(format!(
                "{count} failed sign-ins within {} seconds.",
                self.config.within_seconds
            ))
            .value(value)
            .label("user", &attempts.user)
            .label("address", &attempts.address)
    }
}

fn short(name: &str) -> &str {
    let mut end = name.len().min(MAX_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

export_rule!(BruteForce);

#[cfg(test)]
mod tests;
