//! Reads `agent.toml` and the environment into a [`Config`] and reports every mistake, each with its line and key.
//!
//! A section with a mistake is read again without the offending entry until it is clean, so one run of `validate` finds all of them.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue, ValueDeserializer};

use super::check::check;
use super::{Config, ProcessorOptions, SourceOptions};

/// Variables with this prefix override the file: `STREAMFLOW_AGENT__SPOOL__MAX_BYTES=2GiB`.
pub const ENV_PREFIX: &str = "STREAMFLOW_AGENT__";

const TOP_LEVEL: &str =
    "`data_dir`, `name`, `hub`, `spool`, `batch`, `edge`, `plugins`, `metrics`, `log`, `sources`, `processors`";

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or the environment variable.
    pub file: String,
    /// Line in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Dotted key, such as `sources[1].paths`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A further look at a configuration that can be read: its mistakes, as dotted key and message.
pub type Look<'a> = &'a dyn Fn(&Config) -> Vec<(String, String)>;

/// Reads the file at `path` with the overrides of `env`.
pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Config, Vec<Problem>> {
    load_with(path, env, &|_| Vec::new())
}

/// The same with a further look, whose findings are reported like the others.
pub fn load_with(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    look: Look<'_>,
) -> Result<Config, Vec<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            file: path.display().to_string(),
            line: None,
            key: String::new(),
            message: format!("cannot be read: {error}; give the right file with --config"),
        }]
    })?;
    parse_with(&path.display().to_string(), &text, env, look)
}

/// The same for text that is already in memory; `file` is only for messages.
pub fn parse(file: &str, text: &str, env: impl IntoIterator<Item = (String, String)>) -> Result<Config, Vec<Problem>> {
    parse_with(file, text, env, &|_| Vec::new())
}

fn parse_with(
    file: &str,
    text: &str,
    env: impl IntoIterator<Item = (String, String)>,
    look: Look<'_>,
) -> Result<Config, Vec<Problem>> {
    let env: Vec<(String, String)> = env.into_iter().collect();
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        text,
        from_env: HashMap::new(),
        env_spans: Vec::new(),
        kept: HashMap::new(),
        problems: Vec::new(),
    };
    for error in errors {
        reader.report(error.span(), String::new(), error.message().to_owned());
    }
    if !reader.problems.is_empty() {
        reader.problems.sort_by_key(|problem| problem.line);
        return Err(reader.problems);
    }
    let mut root = document.into_inner();
    reader.apply_env(&mut root, &env);
    let lines = root.clone();
    let config = reader.config(root);
    // An entry that was left out because of a mistake has its default now; one message about it is enough.
    let broken: Vec<String> = reader.problems.iter().map(|problem| problem.key.clone()).collect();
    let mut mistakes = check(&config);
    if mistakes.is_empty() && broken.is_empty() {
        mistakes = look(&config);
    }
    for (key, message) in mistakes {
        let key = reader.as_written(&key);
        if !broken
            .iter()
            .any(|broken| broken.starts_with(&key) || key.starts_with(broken))
        {
            reader.report(find(&lines, &key), key, message);
        }
    }
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// Variable that set a key; such values have no place in the file.
    from_env: HashMap<String, &'a str>,
    /// Where the values of variables stand: one after the other, behind the end of the file.
    env_spans: Vec<(Range<usize>, &'a str)>,
    /// For each list the places, as written, of the entries that could be read.
    kept: HashMap<String, Vec<usize>>,
    problems: Vec<Problem>,
}

type Value<'a> = Spanned<DeValue<'a>>;

impl<'a> Reader<'a> {
    fn report(&mut self, span: Option<Range<usize>>, key: String, message: String) {
        let (file, line) = match self.variable(span.as_ref(), &key) {
            Some(variable) => (format!("environment variable {variable}"), None),
            None => (
                self.file.to_owned(),
                span.and_then(|span| line_of(self.text, span.start)),
            ),
        };
        self.problems.push(Problem {
            file,
            line,
            key,
            message,
        });
    }

    /// The variable that a message is about, by the place of the value or else by its key.
    fn variable(&self, span: Option<&Range<usize>>, key: &str) -> Option<&'a str> {
        let stands = |within: &Range<usize>| span.is_some_and(|span| within.contains(&span.start));
        let by_place = self.env_spans.iter().find(|(within, _)| stands(within));
        if let Some((_, variable)) = by_place {
            return Some(*variable);
        }
        let by_key = self
            .from_env
            .iter()
            .find(|(set, _)| key == **set || key.starts_with(&format!("{set}.")));
        by_key.map(|(_, variable)| *variable)
    }

    /// A key whose list entries are numbered as in the file: entries that could not be read count there.
    fn as_written(&self, key: &str) -> String {
        let written = || {
            let (list, rest) = key.split_once('[')?;
            let (index, rest) = rest.split_once(']')?;
            let place = self.kept.get(list)?.get(index.parse::<usize>().ok()?)?;
            Some(format!("{list}[{place}]{rest}"))
        };
        written().unwrap_or_else(|| key.to_owned())
    }

    fn apply_env(&mut self, root: &mut DeTable<'a>, env: &'a [(String, String)]) {
        let mut end = self.text.len() + 1;
        for (name, text) in env {
            let Some(path) = name.strip_prefix(ENV_PREFIX) else {
                continue;
            };
            let path = path.to_lowercase();
            let keys: Vec<&str> = path.split("__").collect();
            self.from_env.insert(keys.join("."), name);
            // `64` and `true` mean what they mean in the file; anything that is not TOML is text.
            let value = DeValue::parse(text).map_or_else(|_| DeValue::String(text.into()), Spanned::into_inner);
            // Spans past the end of the file tell these values apart from each other and from those of the file.
            let within = end..end + text.len() + 1;
            end = within.end;
            self.env_spans.push((within.clone(), name.as_str()));
            let value = Spanned::new(within.clone(), shifted(value, within.start));
            if !insert(root, &keys, value) {
                let message = "does not name a setting: a part of it is a value, not a table";
                self.report(None, keys.join("."), message.to_owned());
            }
        }
    }

    fn config(&mut self, mut root: DeTable<'a>) -> Config {
        let mut config = Config::default();
        if let Some(data_dir) = self.take(&mut root, "data_dir") {
            config.data_dir = data_dir;
        }
        if let Some(name) = self.take(&mut root, "name") {
            config.name = name;
        }
        config.hub = self.take(&mut root, "hub").unwrap_or_default();
        config.spool = self.take(&mut root, "spool").unwrap_or_default();
        config.batch = self.take(&mut root, "batch").unwrap_or_default();
        config.edge = self.take(&mut root, "edge").unwrap_or_default();
        config.plugins = self.take(&mut root, "plugins").unwrap_or_default();
        config.metrics = self.take(&mut root, "metrics").unwrap_or_default();
        config.log = self.take(&mut root, "log").unwrap_or_default();
        config.sources = self.list(
            &mut root,
            "sources",
            "`file` or `host`",
            |reader, kind, value, key| match kind {
                "file" => Some(reader.read(value, key).map(SourceOptions::File)),
                "host" => Some(reader.read(value, key).map(SourceOptions::Host)),
                _ => None,
            },
        );
        config.processors = self.list(
            &mut root,
            "processors",
            "`filter` or `plugin`",
            |reader, kind, value, key| match kind {
                "filter" => Some(reader.read(value, key).map(ProcessorOptions::Filter)),
                "plugin" => Some(reader.read(value, key).map(ProcessorOptions::Plugin)),
                _ => None,
            },
        );
        for key in root.keys() {
            self.report(
                Some(key.span()),
                key.get_ref().to_string(),
                format!("unknown key, expected one of {TOP_LEVEL}"),
            );
        }
        config
    }

    fn take<T: DeserializeOwned>(&mut self, root: &mut DeTable<'a>, key: &str) -> Option<T> {
        let value = root.remove(key)?;
        self.read(value, key)
    }

    /// Reads an array of tables whose `kind` says what each one is.
    fn list<T>(
        &mut self,
        root: &mut DeTable<'a>,
        name: &str,
        known: &str,
        build: impl Fn(&mut Self, &str, Value<'a>, &str) -> Option<Option<T>>,
    ) -> Vec<T> {
        let Some(value) = root.remove(name) else {
            return Vec::new();
        };
        let span = value.span();
        let DeValue::Array(items) = value.into_inner() else {
            self.report(
                Some(span),
                name.to_owned(),
                format!("write it as a list of tables: [[{name}]]"),
            );
            return Vec::new();
        };
        let mut built = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let key = format!("{name}[{index}]");
            let span = item.span();
            let DeValue::Table(mut table) = item.into_inner() else {
                self.report(Some(span), key, format!("expected a table: [[{name}]]"));
                continue;
            };
            let Some(kind) = table.remove("kind") else {
                self.report(
                    Some(span),
                    format!("{key}.kind"),
                    format!("is missing, write kind = … with {known}"),
                );
                continue;
            };
            let kind_name = kind.get_ref().as_str().unwrap_or_default();
            match build(self, kind_name, Spanned::new(span, DeValue::Table(table)), &key) {
                Some(options) => {
                    if let Some(options) = options {
                        built.push(options);
                        self.kept.entry(name.to_owned()).or_default().push(index);
                    }
                }
                None => {
                    let message = format!("unknown kind `{kind_name}`, expected {known}");
                    self.report(Some(kind.span()), format!("{key}.kind"), message);
                }
            }
        }
        built
    }

    fn read<T: DeserializeOwned>(&mut self, mut value: Value<'a>, key: &str) -> Option<T> {
        loop {
            match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(read) => return Some(read),
                Err(error) => {
                    let pruned = error.span().and_then(|span| prune(&mut value, &span));
                    let at = pruned
                        .as_ref()
                        .map_or_else(|| key.to_owned(), |entry| format!("{key}.{entry}"));
                    self.report(error.span(), at, error.message().to_owned());
                    pruned.as_ref()?;
                }
            }
        }
    }
}

/// Removes the entry that a message points at and says which it was.
fn prune(value: &mut Value<'_>, span: &Range<usize>) -> Option<String> {
    let DeValue::Table(table) = value.get_mut() else {
        return None;
    };
    let within = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    let key = table
        .iter()
        .find(|(key, entry)| within(key.span()) || within(entry.span()))?
        .0
        .get_ref()
        .to_string();
    let deeper = table.get_mut(key.as_str()).and_then(|entry| prune(entry, span));
    if let Some(inner) = deeper {
        return Some(format!("{key}.{inner}"));
    }
    table.remove(key.as_str());
    Some(key)
}

/// A value with the places of all its parts moved by `by`.
fn shifted(value: DeValue<'_>, by: usize) -> DeValue<'_> {
    let moved = |span: Range<usize>| span.start + by..span.end + by;
    match value {
        DeValue::Array(items) => DeValue::Array(
            items
                .into_iter()
                .map(|item| Spanned::new(moved(item.span()), shifted(item.into_inner(), by)))
                .collect(),
        ),
        DeValue::Table(entries) => DeValue::Table(
            entries
                .into_iter()
                .map(|(key, entry)| {
                    let key = Spanned::new(moved(key.span()), key.into_inner());
                    (key, Spanned::new(moved(entry.span()), shifted(entry.into_inner(), by)))
                })
                .collect(),
        ),
        plain => plain,
    }
}

/// Sets a nested value; false when a key on the way is not a table.
fn insert<'a>(table: &mut DeTable<'a>, keys: &[&str], value: Value<'a>) -> bool {
    let Some((first, rest)) = keys.split_first() else {
        return true;
    };
    let key = Spanned::new(value.span(), DeString::Owned((*first).to_owned()));
    if rest.is_empty() {
        table.remove(*first);
        table.insert(key, value);
        return true;
    }
    let entry = table
        .entry(key)
        .or_insert_with(|| Spanned::new(value.span(), DeValue::Table(DeTable::new())));
    match entry.get_mut() {
        DeValue::Table(inner) => insert(inner, rest, value),
        _ => false,
    }
}

fn line_of(text: &str, offset: usize) -> Option<usize> {
    let before = text.as_bytes().get(..offset)?;
    Some(before.iter().filter(|byte| **byte == b'\n').count() + 1)
}

/// Where the value of a dotted key stands in the file; its nearest existing parent otherwise.
fn find(root: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut table = root;
    let mut span = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, mut value)) = table.iter().find(|(key, _)| key.get_ref() == name) else {
            break;
        };
        span = Some(key.span());
        if let (Some(index), DeValue::Array(array)) = (index, value.get_ref())
            && let Some(item) = array.get(index)
        {
            value = item;
            span = Some(item.span());
        }
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    span
}

#[cfg(test)]
mod tests;
