//! `[egress]`: which targets are allowed besides public ones.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::address;

/// `[egress]`: where plugins may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressOptions {
    /// Targets that are allowed although they are private or use another port: `host`, `host:port`, an address, or a network
    /// such as `10.1.0.0/16` or `10.1.0.0/16:9093`.
    pub allow: Vec<String>,
    /// Ports of public targets.
    pub ports: Vec<u16>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            ports: vec![80, 443, 8080, 8443],
        }
    }
}

impl EgressOptions {
    /// The entries of `allow` that name nothing, for who checks a configuration.
    pub fn unusable(&self) -> impl Iterator<Item = &str> {
        let wrong = self.allow.iter().filter(|text| Entry::parse(text).is_none());
        wrong.map(String::as_str)
    }
}

/// A target that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; to allow it, add \"{entry}\" to [egress] allow")]
pub struct Denied {
    reason: String,
    entry: String,
}

/// An entry of the list that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[egress] allow: `{0}` is not a host, an address or a network, with or without a port")]
pub struct AllowError(String);

/// Decides about targets.
#[derive(Debug, Clone)]
pub struct Policy {
    entries: Vec<Entry>,
    ports: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    target: Target,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Net(IpNet),
    Host(String),
}

impl Policy {
    /// From configuration.
    ///
    /// # Errors
    /// The first entry that names nothing.
    pub fn new(options: &EgressOptions) -> Result<Self, AllowError> {
        let entry = |text: &String| Entry::parse(text).ok_or_else(|| AllowError(text.clone()));
        Ok(Self {
            entries: options.allow.iter().map(entry).collect::<Result<_, _>>()?,
            ports: options.ports.clone(),
        })
    }

    /// The same rules with one more usual port of public targets.
    pub(crate) fn with_port(&self, port: u16) -> Self {
        let mut with = self.clone();
        with.ports.push(port);
        with
    }

    /// Whether `ip`, which `host` stands for, may be connected to on `port`.
    ///
    /// # Errors
    /// Why not, and which entry would allow it.
    pub fn check(&self, host: &str, ip: IpAddr, port: u16) -> Result<(), Denied> {
        if self.entries.iter().any(|entry| entry.matches(host, ip, port)) {
            return Ok(());
        }
        let shown = if host.parse::<IpAddr>() == Ok(ip) {
            host.to_owned()
        } else {
            format!("{host} ({ip})")
        };
        let deny = |reason| {
            let entry = if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            Err(Denied { reason, entry })
        };
        if let Some(kind) = address::special(ip) {
            return deny(format!("{shown} is {kind}"));
        }
        if !self.ports.contains(&port) {
            return deny(format!("port {port} of {shown} is not one of [egress] ports"));
        }
        Ok(())
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(net) = network(text) {
            return Some(Self {
                target: Target::Net(net),
                port: None,
            });
        }
        if let Some((inside, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let port = if rest.is_empty() {
                None
            } else {
                Some(port(rest.strip_prefix(':')?)?)
            };
            return Some(Self {
                target: Target::Net(network(inside)?),
                port,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, number)) => (host, Some(port(number)?)),
            None => (text, None),
        };
        let target = match network(host) {
            Some(net) => Target::Net(net),
            None => Target::Host(host_name(host)?),
        };
        Some(Self { target, port })
    }

    fn matches(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match &self.target {
                Target::Net(net) => net.contains(&ip),
                Target::Host(name) => name == host,
            }
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

/// Names are compared as URLs have them: in lower case.
fn host_name(text: &str) -> Option<String> {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!text.is_empty() && text.chars().all(named)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str]) -> Policy {
        let allow = allow.iter().map(|text| (*text).to_owned()).collect();
        Policy::new(&EgressOptions {
            allow,
            ..EgressOptions::default()
        })
        .unwrap()
    }

    #[test]
    fn entries_allow_exactly_what_they_name() {
        let check = |entry: &str, host: &str, ip: &str, port: u16, allowed: bool| {
            let verdict = policy(&[entry]).check(host, ip.parse().unwrap(), port);
            assert_eq!(verdict.is_ok(), allowed, "{entry} for {host} {ip} {port}: {verdict:?}");
        };
        check("127.0.0.1:9093", "127.0.0.1", "127.0.0.1", 9093, true);
        check("127.0.0.1:9093", "127.0.0.1", "127.0.0.1", 9094, false);
        check("127.0.0.1:9093", "localhost", "127.0.0.1", 9093, true);
        check("127.0.0.1", "127.0.0.1", "127.0.0.1", 1, true);
        check("127.0.0.1", "127.0.0.2", "127.0.0.2", 1, false);
        check("10.0.0.0/8", "10.9.9.9", "10.9.9.9", 9093, true);
        check("10.0.0.0/8:443", "10.9.9.9", "10.9.9.9", 9093, false);
        check("10.0.0.0/8:443", "10.9.9.9", "10.9.9.9", 443, true);
        check("[::1]:80", "::1", "::1", 80, true);
        check("[fd00::/8]:80", "fd12::1", "fd12::1", 80, true);
        check("::1", "::1", "::1", 80, true);
        check("Alerts.Internal:80", "alerts.internal", "10.0.0.1", 80, true);
        check("alerts.internal", "other.internal", "10.0.0.1", 80, false);
        check("127.0.0.1", "x", "::ffff:127.0.0.1", 80, false);
    }

    #[test]
    fn public_targets_need_a_usual_port() {
        let public = "93.184.216.34".parse().unwrap();
        policy(&[]).check("example.org", public, 443).unwrap();
        let denied = policy(&[]).check("example.org", public, 25).unwrap_err();
        assert!(
            denied.to_string().ends_with("add \"example.org:25\" to [egress] allow"),
            "{denied}"
        );
        policy(&["example.org:25"]).check("example.org", public, 25).unwrap();
        let mail = policy(&[]).with_port(25);
        mail.check("example.org", public, 25).unwrap();
        mail.check("example.org", "10.0.0.1".parse().unwrap(), 25).unwrap_err();
    }

    #[test]
    fn a_refusal_says_what_to_add() {
        let denied = policy(&[]).check("::1", "::1".parse().unwrap(), 80).unwrap_err();
        assert_eq!(
            denied.to_string(),
            "::1 is a loopback address; to allow it, add \"[::1]:80\" to [egress] allow"
        );
        let denied = policy(&[])
            .check("db.internal", "10.0.0.7".parse().unwrap(), 80)
            .unwrap_err();
        let expected =
            "db.internal (10.0.0.7) is a private address; to allow it, add \"db.internal:80\" to [egress] allow";
        assert_eq!(denied.to_string(), expected);
    }

    #[test]
    fn entries_that_name_nothing_are_refused() {
        for text in [
            "",
            ":80",
            "a b",
            "host:",
            "host:0",
            "host:x",
            "10.0.0.0/99",
            "[::1]80",
            "http://host",
            "*.example.org",
        ] {
            assert_eq!(Entry::parse(text), None, "{text}");
            let allow = vec!["10.0.0.1".to_owned(), text.to_owned()];
            let options = EgressOptions {
                allow,
                ..EgressOptions::default()
            };
            assert_eq!(options.unusable().collect::<Vec<_>>(), [text]);
        }
    }
}
