//! The last lines of each plugin, so that its author and its operator can read them without the hub's own log.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use streamflow_model::Instant;

/// Most lines of one plugin; older ones go.
const MAX_LINES: usize = 1_000;
/// Most bytes of the lines of one plugin; older ones go.
const MAX_BYTES: usize = 512 << 10;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LineLevel {
    /// For the plugin's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// A line that a plugin logged, or that the hub wrote about one of its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Line {
    /// Grows by one with every line of this plugin since the hub started.
    pub seq: u64,
    /// When.
    pub at: Instant,
    /// How much it matters.
    pub level: LineLevel,
    /// Version of the plugin.
    pub version: String,
    /// The rule or channel for which the plugin worked; empty while a configuration is checked.
    pub used_by: String,
    /// Number of the instance since the hub started; null when the hub wrote the line.
    pub instance: Option<u64>,
    /// The line.
    pub line: String,
}

/// The last lines of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PluginLogs {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Ask with `after` = this number for what comes next.
    pub last: u64,
    /// Lines since the hub started that were above 100 a second and are nowhere.
    pub dropped: u64,
}

/// One plugin's lines, over all its versions.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    // Locked for a push or a copy, from the threads of all instances: a task of its own would need a queue with a bound, which is this.
    ring: Mutex<Ring>,
    instances: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Line>,
    bytes: usize,
    last: u64,
    dropped: u64,
}

impl Ring {
    fn push(&mut self, mut line: Line) {
        self.last += 1;
        line.seq = self.last;
        self.bytes += size(&line);
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(size(&oldest));
        }
    }
}

fn size(line: &Line) -> usize {
    size_of::<Line>() + line.line.len() + line.used_by.len() + line.version.len()
}

/// What a line says, and about whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) level: LineLevel,
    pub(crate) version: &'a str,
    pub(crate) used_by: &'a str,
    pub(crate) instance: Option<u64>,
    pub(crate) line: &'a str,
}

impl Journal {
    /// A number for a new instance.
    pub(crate) fn instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn push(&self, at: Instant, entry: Entry<'_>) {
        self.ring().push(Line {
            seq: 0,
            at,
            level: entry.level,
            version: entry.version.to_owned(),
            used_by: entry.used_by.to_owned(),
            instance: entry.instance,
            line: entry.line.to_owned(),
        });
    }

    /// A line was above the limit.
    pub(crate) fn drop_line(&self) {
        self.ring().dropped += 1;
    }

    /// The lines behind this number and of this level and above; when there are more than `most`, the newest of them.
    pub(crate) fn read(&self, after: u64, least: LineLevel, most: usize) -> PluginLogs {
        let ring = self.ring();
        let newest_first = ring
            .lines
            .iter()
            .rev()
            .take_while(|line| line.seq > after)
            .filter(|line| line.level >= least)
            .take(most);
        let mut lines: Vec<Line> = newest_first.cloned().collect();
        lines.reverse();
        PluginLogs {
            lines,
            last: ring.last,
            dropped: ring.dropped,
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The journals of all plugins that were ever loaded, by name.
#[derive(Debug, Default)]
pub(crate) struct Journals(Mutex<BTreeMap<String, Arc<Journal>>>);

impl Journals {
    /// The journal of this name; it is made when there is none.
    pub(crate) fn of(&self, plugin: &str) -> Arc<Journal> {
        Arc::clone(self.all().entry(plugin.to_owned()).or_default())
    }

    pub(crate) fn find(&self, plugin: &str) -> Option<Arc<Journal>> {
        self.all().get(plugin).cloned()
    }

    /// The plugin is gone, and so are its lines.
    pub(crate) fn forget(&self, plugin: &str) {
        self.all().remove(plugin);
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Journal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(journal: &Journal, level: LineLevel, line: &str) {
        let entry = Entry {
            level,
            version: "1",
            used_by: "r",
            instance: Some(1),
            line,
        };
        journal.push(Instant(5), entry);
    }

    #[test]
    fn the_newest_lines_stay_within_both_bounds() {
        let journal = Journal::default();
        for n in 0..MAX_LINES + 10 {
            say(&journal, LineLevel::Info, &n.to_string());
        }
        let all = journal.read(0, LineLevel::Debug, usize::MAX);
        assert_eq!((all.lines.len(), all.last), (MAX_LINES, MAX_LINES as u64 + 10));
        assert_eq!((all.lines[0].line.as_str(), all.lines[0].seq), ("10", 11));
        for _ in 0..300 {
            say(&journal, LineLevel::Info, &"x".repeat(4096));
        }
        let ring = journal.ring();
        assert!(
            ring.bytes <= MAX_BYTES && ring.lines.len() < 300,
            "{}",
            ring.lines.len()
        );
        assert_eq!(ring.bytes, ring.lines.iter().map(size).sum::<usize>());
    }

    #[test]
    fn a_reader_goes_on_where_it_was_and_may_look_at_what_matters() {
        let journal = Journal::default();
        say(&journal, LineLevel::Info, "a");
        say(&journal, LineLevel::Error, "b");
        let first = journal.read(0, LineLevel::Debug, 10);
        assert_eq!((first.lines.len(), first.last, first.dropped), (2, 2, 0));
        say(&journal, LineLevel::Debug, "c");
        journal.drop_line();
        let texts = |logs: &PluginLogs| logs.lines.iter().map(|line| line.line.clone()).collect::<Vec<_>>();
        let next = journal.read(first.last, LineLevel::Debug, 10);
        assert_eq!((texts(&next), next.dropped), (vec!["c".to_owned()], 1));
        assert_eq!(texts(&journal.read(0, LineLevel::Error, 10)), ["b"]);
        assert_eq!(texts(&journal.read(0, LineLevel::Debug, 2)), ["b", "c"]);
    }

    #[test]
    fn lines_of_a_plugin_outlive_its_versions_but_not_the_plugin() {
        let journals = Journals::default();
        say(&journals.of("a"), LineLevel::Info, "x");
        assert_eq!(journals.of("a").read(0, LineLevel::Debug, 9).lines.len(), 1);
        assert!(journals.find("b").is_none());
        journals.forget("a");
        assert!(journals.find("a").is_none());
    }
}
