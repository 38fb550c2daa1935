//! `plugin.toml`: what a plugin is, which rights it asks for, and how its configuration looks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    EnvelopeField,
    input::{Input, InputText},
};

/// A plugin's manifest, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Unique name in a hub.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// What it extends.
    pub kind: Kind,
    /// Version of the interface, `0.1`.
    pub api: String,
    /// One line for people.
    pub description: String,
    /// Hosts that it may send HTTP requests to.
    pub http: Vec<HttpGrant>,
    /// It sends mail.
    pub mail: bool,
    /// Secrets that it names by itself. Those named in its configuration by the operator need no declaration.
    pub secrets: Vec<String>,
    /// It needs no more memory than this; the hub's own limit may be lower.
    pub memory_mib: Option<u32>,
    /// It needs no more time for a call than this; the hub's own limit may be lower.
    pub deadline_ms: Option<u32>,
    /// A channel that is also told when somebody acknowledges an alert.
    pub acknowledgements: bool,
    /// What a rule or a transform is given.
    pub input: Input,
    /// JSON schema of its configuration.
    pub schema: Map<String, Value>,
    /// SHA-256 of the component that the manifest belongs to, in hexadecimal; the packer writes it.
    pub sha256: Option<String>,
}

/// What a plugin extends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Evaluates events and windows.
    Rule,
    /// Delivers notifications.
    Channel,
    /// Changes events on the agent.
    Transform,
}

impl Kind {
    /// The name in manifests and answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Channel => "channel",
            Self::Transform => "transform",
        }
    }
}

/// One host that a plugin may reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpGrant {
    /// `config:KEY`: the scheme, host and port of the URL that the operator wrote under this key of the configuration.
    Config(String),
    /// `host`, `host:port` or `*.domain`, by https.
    Host {
        /// In lower case; a leading `*.` stands for any subdomain.
        pattern: String,
        /// 443 unless written.
        port: u16,
    },
}

impl HttpGrant {
    fn parse(text: &str) -> Option<Self> {
        if let Some(key) = text.strip_prefix("config:") {
            return (!key.is_empty()).then(|| Self::Config(key.to_owned()));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)?),
            None => (text, 443),
        };
        let labels = host.strip_prefix("*.").unwrap_or(host);
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let fine =
            labels.contains('.') && labels.chars().all(named) && labels.split('.').all(|label| !label.is_empty());
        fine.then(|| Self::Host {
            pattern: host.to_owned(),
            port,
        })
    }

    /// As the manifest writes it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Config(key) => format!("config:{key}"),
            Self::Host { pattern, port: 443 } => pattern.clone(),
            Self::Host { pattern, port } => format!("{pattern}:{port}"),
        }
    }
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or a key that manifests do not have.
    #[error("plugin.toml: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A value that cannot be.
    #[error("plugin.toml: {key}: {reason}")]
    Value {
        /// Where.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    plugin: Plugin,
    #[serde(default)]
    capabilities: Capabilities,
    #[serde(default)]
    notices: Notices,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    input: InputText,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    component: Component,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    name: String,
    version: String,
    kind: Kind,
    api: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Capabilities {
    http: Vec<String>,
    mail: bool,
    secrets: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Notices {
    acknowledgements: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Limits {
    memory_mib: Option<u32>,
    deadline_ms: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Component {
    sha256: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Config {
    schema: Map<String, Value>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// The first thing that is wrong with it, naming the key.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let Text {
            plugin,
            capabilities,
            notices,
            limits,
            input,
            config,
            component,
        } = toml::from_str(text)?;
        let refuse = |key, reason: String| Err(ManifestError::Value { key, reason });
        if !is_plugin_name(&plugin.name) {
            return refuse("plugin.name", "1 to 64 of a-z, 0-9 and -, a letter first".to_owned());
        }
        if plugin.version.is_empty() || plugin.version.len() > 64 || plugin.version.chars().any(|c| !is_version_char(c))
        {
            return refuse(
                "plugin.version",
                "1 to 64 of letters, digits, `.`, `-` and `+`".to_owned(),
            );
        }
        if plugin.description.len() > 256 {
            return refuse("plugin.description", "longer than 256 bytes".to_owned());
        }
        if let Some(name) = capabilities.secrets.iter().find(|name| !is_name(name, "-_")) {
            return refuse("capabilities.secrets", format!("`{name}` is not a secret's name"));
        }
        let mut http = Vec::with_capacity(capabilities.http.len());
        for text in &capabilities.http {
            match HttpGrant::parse(text) {
                Some(grant) => http.push(grant),
                None => {
                    return refuse(
                        "capabilities.http",
                        format!("`{text}` is not `host`, `host:port`, `*.domain` or `config:KEY`"),
                    );
                }
            }
        }
        let input = input.check(plugin.kind)?;
        if plugin.kind != Kind::Channel && notices.acknowledgements {
            return refuse("notices", "only channels have them".to_owned());
        }
        Ok(Self {
            name: plugin.name,
            version: plugin.version,
            kind: plugin.kind,
            api: plugin.api,
            description: plugin.description,
            http,
            mail: capabilities.mail,
            secrets: capabilities.secrets,
            memory_mib: limits.memory_mib,
            deadline_ms: limits.deadline_ms,
            acknowledgements: notices.acknowledgements,
            input,
            schema: config.schema,
            sha256: component.sha256,
        })
    }

    /// The rights it asks for, one text each, as people are asked to approve them.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        let mut list: Vec<String> = self.http.iter().map(|grant| format!("http {}", grant.text())).collect();
        list.extend(self.mail.then(|| "mail".to_owned()));
        list.extend(self.secrets.iter().map(|name| format!("secret {name}")));
        list
    }

    /// What it is shown of the fields that every event has, by name; a channel is shown none.
    pub fn envelope(&self) -> impl Iterator<Item = &'static str> {
        let shown = self.input.envelope.fields().map(EnvelopeField::name);
        shown.filter(|_| self.kind != Kind::Channel)
    }

    /// Keys of the configuration that hold secrets: those that the schema marks `writeOnly`.
    #[must_use]
    pub fn secret_keys(&self) -> Vec<String> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let write_only = |schema: &Value| schema.get("writeOnly").and_then(Value::as_bool).unwrap_or(false);
        properties
            .map(|properties| {
                properties
                    .iter()
                    .filter(|(_, schema)| write_only(schema))
                    .map(|(key, _)| key.clone())
                    .collect()
            })
            .unwrap_or_default()
    }
}

/// Whether a text can be a plugin's name.
#[must_use]
pub fn is_plugin_name(text: &str) -> bool {
    is_name(text, "-")
}

const fn is_version_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')
}

fn is_name(name: &str, also: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Envelope, Field, FieldType};

    const SMALLEST: &str = "[plugin]\nname = \"a\"\nversion = \"1.0.0\"\nkind = \"channel\"\napi = \"0.1\"\n";

    #[test]
    fn the_smallest_manifest_asks_for_nothing() {
        let manifest = Manifest::parse(SMALLEST).unwrap();
        assert_eq!(manifest.capabilities(), Vec::<String>::new());
        assert_eq!(manifest.secret_keys(), Vec::<String>::new());
    }

    #[test]
    fn rights_and_secret_keys_are_listed() {
        let text = format!(
            "{SMALLEST}[capabilities]\nhttp = [\"config:url\", \"*.example.org\", \"api.example.org:8443\"]\nmail = true\nsecrets = [\"token\"]\n\
             [config.schema]\ntype = \"object\"\n[config.schema.properties.key]\nwriteOnly = true\n[config.schema.properties.url]\ntype = \"string\"\n"
        );
        let manifest = Manifest::parse(&text).unwrap();
        let expected = [
            "http config:url",
            "http *.example.org",
            "http api.example.org:8443",
            "mail",
            "secret token",
        ];
        assert_eq!(manifest.capabilities(), expected);
        assert_eq!(manifest.secret_keys(), ["key"]);
    }

    #[test]
    fn only_channels_are_told_of_acknowledgements() {
        let notices = "[notices]\nacknowledgements = true\n";
        assert!(!Manifest::parse(SMALLEST).unwrap().acknowledgements);
        assert!(
            Manifest::parse(&format!("{SMALLEST}{notices}"))
                .unwrap()
                .acknowledgements
        );
        let rule = SMALLEST.replace("channel", "rule");
        let refused = Manifest::parse(&format!("{rule}{notices}")).unwrap_err().to_string();
        assert!(refused.contains("notices"), "{refused}");
    }

    #[test]
    fn the_input_of_a_rule_is_read() {
        let rule = SMALLEST.replace("channel", "rule");
        let input = "[input]\ntick = \"10s\"\nfields = [{ path = \"data.value\", type = \"float\" }]\n";
        let read = Manifest::parse(&format!("{rule}{input}")).unwrap().input;
        let value = Field {
            path: "data.value".to_owned(),
            kind: FieldType::Float,
        };
        assert_eq!((read.tick_ms, &read.fields), (Some(10_000), &vec![value]));
        let refused = |text: String, words: &str| {
            let message = Manifest::parse(&text).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        };
        refused(format!("{SMALLEST}{input}"), "only rules");
        refused(format!("{rule}{}", input.replace("10s", "soon")), "input.tick");
        refused(format!("{rule}{}", input.replace("float", "double")), "double");
        let twice = input.replace("[{", "[{ path = \"data.value\", type = \"text\" }, {");
        refused(format!("{rule}{twice}"), "twice");

        let envelope = |names: &str| input.replace("[input]", &format!("[input]\nenvelope = [{names}]"));
        assert_eq!(read.envelope, Envelope::ALL);
        let some = Manifest::parse(&format!("{rule}{}", envelope("\"source\"")));
        let some = some.unwrap().input.envelope;
        assert!(some.has(EnvelopeField::Source) && !some.has(EnvelopeField::Timestamp));
        let none = Manifest::parse(&format!("{rule}{}", envelope("")))
            .unwrap()
            .input
            .envelope;
        assert!(!none.has(EnvelopeField::Source));
        refused(format!("{rule}{}", envelope("\"source\", \"source\"")), "twice");
        refused(format!("{rule}{}", envelope("\"time\"")), "`timestamp`");
        refused(format!("{SMALLEST}[input]\nenvelope = []\n"), "only rules");

        let transform = SMALLEST.replace("channel", "transform");
        let fields = "[input]\nfields = [{ path = \"config:fields\", type = \"text\" }]\n";
        assert_eq!(
            Manifest::parse(&format!("{transform}{fields}")).unwrap().input.fields[0].path,
            "config:fields"
        );
        refused(format!("{rule}{fields}"), "only transforms");
        refused(format!("{transform}{input}"), "input.tick");
    }

    #[test]
    fn every_mistake_names_its_key() {
        let check = |text: String, key: &str| {
            let message = Manifest::parse(&text).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        };
        check(SMALLEST.replace("\"a\"", "\"A b\""), "plugin.name");
        check(SMALLEST.replace("1.0.0", "1/0"), "plugin.version");
        check(SMALLEST.replace("channel", "chanel"), "kind");
        check(format!("{SMALLEST}colour = 1\n"), "colour");
        for host in [
            "*",
            "localhost",
            "a..b",
            "https://a.b",
            "a.b:0",
            "a.b/c",
            "config:",
            "A.b",
        ] {
            check(
                format!("{SMALLEST}[capabilities]\nhttp = [\"{host}\"]\n"),
                "capabilities.http",
            );
        }
        check(
            format!("{SMALLEST}[capabilities]\nsecrets = [\"a b\"]\n"),
            "capabilities.secrets",
        );
    }
}
