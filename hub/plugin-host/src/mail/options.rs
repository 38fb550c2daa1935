//! `[mail]`: the relay through which channels send mail.

use std::path::PathBuf;

use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};
use streamflow_model::Span;

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailOptions {
    /// Name or address of the relay; empty: this hub sends no mail.
    pub host: String,
    /// Its port; unless set 587 with `starttls`, 465 with `tls`, 25 with `none`.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub security: Security,
    /// User of the relay; empty: no sign-in.
    pub username: String,
    /// The user's password, as `env:NAME` or `file:/path`.
    pub password: String,
    /// Sender of messages that name none, such as `StreamFlow <alerts@example.com>`.
    pub from: String,
    /// File of certificates (PEM) that the relay's must come from, in place of those that the machine trusts.
    pub ca: Option<PathBuf>,
    /// For one message, from the first address lookup to the relay's last word.
    pub timeout: Span,
}

/// How the connection to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// Plain at first, TLS before anything is said; a relay that does not offer it is not used.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None: for a relay on this machine or in a trusted network, without a password.
    None,
}

impl Default for MailOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: None,
            security: Security::default(),
            username: String::new(),
            password: String::new(),
            from: String::new(),
            ca: None,
            timeout: Span::from_secs(20),
        }
    }
}

impl MailOptions {
    /// The relay's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            Security::StartTls => 587,
            Security::Tls => 465,
            Security::None => 25,
        })
    }

    /// The configured sender, if it is one.
    pub(crate) fn sender(&self) -> Option<Mailbox> {
        self.from.parse().ok()
    }

    /// Values that cannot work, for who checks a configuration: key and reason.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        if self.host.is_empty() {
            return Vec::new();
        }
        let mut wrong = Vec::new();
        if self.sender().is_none() {
            let reason = format!(
                "`{}` is not an address; write `alerts@example.com` or `StreamFlow <alerts@example.com>`",
                self.from
            );
            wrong.push(("mail.from", reason));
        }
        if self.username.is_empty() != self.password.is_empty() {
            wrong.push(("mail.username", "username and password go together".to_owned()));
        } else if !self.username.is_empty() && self.security == Security::None {
            let reason = "would send the password readable for everybody on the way; use `starttls` or `tls`";
            wrong.push(("mail.security", reason.to_owned()));
        }
        if !self.password.is_empty() && !self.password.starts_with("env:") && !self.password.starts_with("file:") {
            wrong.push(("mail.password", "write \"env:NAME\" or \"file:/path\"".to_owned()));
        }
        if self.timeout == Span::ZERO {
            wrong.push(("mail.timeout", "must be longer than 0".to_owned()));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> MailOptions {
        MailOptions {
            host: "smtp.example.com".to_owned(),
            from: "StreamFlow <alerts@example.com>".to_owned(),
            ..MailOptions::default()
        }
    }

    #[test]
    fn ports_follow_from_the_protection() {
        let port = |security, port| {
            MailOptions {
                security,
                port,
                ..options()
            }
            .port()
        };
        assert_eq!(port(Security::StartTls, None), 587);
        assert_eq!(port(Security::Tls, None), 465);
        assert_eq!(port(Security::None, None), 25);
        assert_eq!(port(Security::Tls, Some(2465)), 2465);
    }

    #[test]
    fn what_cannot_work_is_named_by_its_key() {
        let check = |change: fn(&mut MailOptions), expected: &[&str]| {
            let mut options = options();
            change(&mut options);
            let keys: Vec<&str> = options.mistakes().iter().map(|(key, _)| *key).collect();
            assert_eq!(keys, expected);
        };
        check(|_| {}, &[]);
        check(|mail| mail.host = String::new(), &[]);
        check(|mail| mail.from = "nobody".to_owned(), &["mail.from"]);
        check(|mail| mail.from = String::new(), &["mail.from"]);
        check(|mail| mail.username = "u".to_owned(), &["mail.username"]);
        check(|mail| mail.password = "env:X".to_owned(), &["mail.username"]);
        let user = |mail: &mut MailOptions| {
            mail.username = "u".to_owned();
            mail.password = "env:X".to_owned();
        };
        let mut with_user = options();
        user(&mut with_user);
        assert_eq!(with_user.mistakes(), []);
        with_user.security = Security::None;
        assert_eq!(with_user.mistakes()[0].0, "mail.security");
        with_user.security = Security::Tls;
        with_user.password = "hunter2".to_owned();
        let mistakes = with_user.mistakes();
        assert_eq!(mistakes[0].0, "mail.password");
        assert!(!mistakes[0].1.contains("hunter2"));
        check(|mail| mail.timeout = Span::ZERO, &["mail.timeout"]);
    }
}
