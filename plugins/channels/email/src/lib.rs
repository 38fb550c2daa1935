//! Sends mail through the hub's relay: text and HTML, one thread for each incident.

mod html;

use serde::Deserialize;
use streamflow_sdk::{
    Channel, Failure, Level, Notice, State, export_channel,
    group::{self, Listing},
    mail::Message,
    message,
};

/// Alerts of a group that a message lists.
const MAX_ALERTS: u32 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    to: Addresses,
    from: Option<String>,
    reply_to: Option<String>,
    #[serde(default)]
    subject_prefix: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Addresses {
    Text(String),
    List(Vec<String>),
}

struct Email {
    config: Config,
    to: Vec<String>,
}

impl Channel for Email {
    type Config = Config;

    fn init(config: Config) -> Result<Self, String> {
        let to: Vec<String> = match &config.to {
            Addresses::Text(text) => text
                .split(',')
                .map(|one| one.trim().to_owned())
                .filter(|one| !one.is_empty())
                .collect(),
            Addresses::List(list) => list.clone(),
        };
        if to.is_empty() {
            return Err("to: no address".to_owned());
        }
        let optional = config.from.iter().chain(&config.reply_to);
        for address in to.iter().chain(optional) {
            let (_, domain) = address
                .rsplit_once('@')
                .ok_or_else(|| format!("`{address}` is not an address"))?;
            if domain.trim_end_matches('>').is_empty() || address.chars().any(char::is_control) {
                return Err(format!("`{address}` is not an address"));
            }
        }
        Ok(Self { config, to })
    }

    fn deliver(&mut self, notice: &Notice, _attempt: u32) -> Result<String, Failure> {
        let listing = group::members(notice, MAX_ALERTS);
        let subject = format!("{} {}", self.config.subject_prefix, message::heading(notice));
        let mut mail = Message::new(subject.trim(), text(notice, &listing)).html(html::page(notice, &listing));
        mail.from.clone_from(&self.config.from);
        mail.to.clone_from(&self.to);
        let (thread, this) = (id(notice, &notice.id), id(notice, &notice.idempotency_key));
        mail = mail
            // The same over all attempts: mailboxes recognise a repetition.
            .header("Message-ID", this)
            .header("In-Reply-To", &thread)
            .header("References", thread)
            .header("Auto-Submitted", "auto-generated")
            .header("X-StreamFlow-State", message::state(notice.state));
        if notice.state == State::Firing && matches!(notice.level, Level::Error | Level::Critical) {
            mail = mail.header("Importance", "high");
        }
        if let Some(reply_to) = &self.config.reply_to {
            mail = mail.header("Reply-To", reply_to);
        }
        Ok(mail.send()?)
    }
}

/// `<left@right>` of what is allowed there.
fn id(notice: &Notice, of: &str) -> String {
    let left: String = of
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let after_scheme = notice.external_url.split("://").nth(1).unwrap_or_default();
    let host: String = after_scheme
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        .collect();
    let right = if host.is_empty() { "streamflow.invalid" } else { &host };
    format!("<{left}@{right}>")
}

fn text(notice: &Notice, listing: &Listing) -> String {
    let mut text = format!("{}\n\n{}\n", notice.title, notice.body);
    if let [alert] = listing.members.as_slice() {
        for (name, value) in &alert.labels {
            text.push_str(&format!("\n{name}: {value}"));
        }
    }
    text.push('\n');
    for (name, url) in message::links(notice) {
        text.push_str(&format!("\n{name}: {url}"));
    }
    text.push('\n');
    text
}

export_channel!(Email);

#[cfg(test)]
mod tests;
