//! The folder: which files are there, whether they have changed, and what they say.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use streamflow_alerting::{RefusedPart, Wanted, WantedFile};

use crate::{
    command::rule_file::{self, Mistake},
    prom_rules::PromSource,
};

/// Endings of files that are read.
const ENDINGS: [&str; 3] = ["toml", "yaml", "yml"];
/// Files of a folder.
const MOST: usize = 1000;

/// What tells a file from itself after a change, by name.
pub type Look = BTreeMap<PathBuf, (SystemTime, u64)>;

/// What the files say.
#[derive(Debug, Default)]
pub struct Read {
    /// Rules, channels and routing.
    pub wanted: Wanted,
    /// Groups as Prometheus has them.
    pub groups: PromSource,
    /// What is wrong; nothing of these files is wanted.
    pub mistakes: Vec<Mistake>,
}

/// Looks which files are there. Hidden ones, such as those of an editor, are passed over; links are followed.
///
/// # Errors
/// When the folder cannot be read, or holds too many files.
pub fn look(folder: &Path) -> io::Result<Look> {
    let mut look = Look::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let ending = path.extension().and_then(|ending| ending.to_str());
        if hidden || !ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            continue;
        }
        // A file that goes away meanwhile is gone; a link to nowhere is read, and that fails by name.
        let state =
            std::fs::metadata(&path).map(|found| (found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len()));
        look.insert(path, state.unwrap_or((SystemTime::UNIX_EPOCH, 0)));
    }
    if look.len() > MOST {
        return Err(io::Error::other(format!("more than {MOST} files")));
    }
    Ok(look)
}

/// Reads the files.
pub fn read(look: &Look) -> Read {
    let mut read = Read::default();
    for path in look.keys() {
        let name = path.display().to_string();
        match rule_file::read_all(path) {
            Ok(provided) => {
                read.groups
                    .extend(provided.groups.into_iter().map(|group| (name.clone(), group)));
                read.wanted.files.push(WantedFile {
                    name,
                    rules: provided.rules,
                    channels: provided.channels,
                    routing: provided.routing,
                });
            }
            Err(wrong) => {
                read.mistakes.extend(wrong);
                read.wanted.broken.insert(name);
            }
        }
    }
    read
}

/// A mistake that the running hub has found, with the line that it is likely about.
pub fn mistake(part: &RefusedPart) -> Mistake {
    let text = std::fs::read_to_string(&part.file).unwrap_or_default();
    let name = match part.kind {
        "channels" => format!("channel {}", part.name),
        "routing" => "routing".to_owned(),
        _ => part.name.clone(),
    };
    Mistake {
        file: part.file.clone(),
        at: rule_file::containing(&text, if part.name.is_empty() { &part.field } else { &part.name }),
        rule: Some(name),
        field: Some(part.field.clone()).filter(|field| !field.is_empty()),
        reason: part.reason.clone(),
        line: None,
        column: None,
        text: None,
    }
}

/// Every mistake that can be found without a running hub.
pub fn check(folder: &Path) -> Vec<String> {
    let look = match look(folder) {
        Ok(look) => look,
        Err(error) => {
            return vec![format!(
                "{}: {error}; provisioning.rules names a folder",
                folder.display()
            )];
        }
    };
    let read = read(&look);
    let mut found: Vec<String> = read.mistakes.iter().map(ToString::to_string).collect();
    let mut named: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut routing: Option<&str> = None;
    for file in &read.wanted.files {
        let rules = file.rules.iter().map(|rule| ("rule", rule.name.as_str()));
        let channels = file.channels.iter().map(|channel| ("channel", channel.name()));
        for (what, name) in rules.chain(channels) {
            if let Some(other) = named.insert((what, name), &file.name) {
                found.push(format!(
                    "{}: {name}: name: there is a {what} of this name in {other} already",
                    file.name
                ));
            }
        }
        if file.routing.is_some()
            && let Some(other) = routing.replace(&file.name)
        {
            found.push(format!(
                "{}: routing: only one file may hold it, and {other} does",
                file.name
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_at_by_ending_and_every_mistake_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("a.toml", "[[rules]]\nname = \"a\"\nthreshold = 1\n");
        put("b.yaml", "rules:\n- name: a\n  threshold: 1\n");
        put(".c.toml", "[[");
        put("d.txt", "[[");
        put("e.yml", "- name: e\n  levl: error\n  threshold: 1\n");
        put("f.toml", "[routing.route]\n");
        put("g.toml", "[routing.route]\n");
        let seen = look(dir.path()).unwrap();
        assert_eq!(seen.len(), 5);
        let read = read(&seen);
        assert_eq!((read.wanted.files.len(), read.wanted.broken.len()), (4, 1));
        let found = check(dir.path());
        let all = found.join("\n");
        assert_eq!(found.len(), 3, "{all}");
        for part in [
            "e.yml:2: e: levl: unknown field",
            "b.yaml: a: name: there is a rule",
            "g.toml: routing: only one file",
        ] {
            assert!(all.contains(part), "{part} is not in {all}");
        }
        assert!(check(&dir.path().join("none"))[0].contains("names a folder"));
    }
}
