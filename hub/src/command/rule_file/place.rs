//! In which line of a file a part of it stands. The parsers forget that; it is looked for in the text, and may not be found.

use std::path::Path;

/// The line, from 1, that gives `field` of the `nth` entry of a list, else the one where the entry begins.
/// An empty `list` means that the whole text is the entry.
pub fn line(path: &Path, text: &str, list: &str, nth: usize, field: &str) -> Option<u32> {
    let yaml = matches!(path.extension().and_then(|end| end.to_str()), Some("yaml" | "yml"));
    let lines: Vec<&str> = text.lines().collect();
    let (start, end) = if list.is_empty() {
        (0, lines.len())
    } else if yaml {
        yaml_entry(&lines, list, nth)?
    } else {
        toml_entry(&lines, list, nth)?
    };
    let key = field.split(['.', '[']).next().unwrap_or_default();
    let inside = lines.get(start..end)?;
    let found = inside.iter().position(|line| gives(line, list, key, yaml));
    let at = start + found.unwrap_or_default();
    u32::try_from(at + 1).ok()
}

/// The first line that holds some text.
pub fn containing(text: &str, part: &str) -> Option<u32> {
    let part = part.lines().next().map(str::trim).filter(|part| !part.is_empty())?;
    let at = text.lines().position(|line| line.contains(part))?;
    u32::try_from(at + 1).ok()
}

fn gives(line: &str, list: &str, key: &str, yaml: bool) -> bool {
    let line = line.trim_start();
    if line.starts_with(&format!("[{list}.{key}]")) {
        return true;
    }
    let line = if yaml { line.trim_start_matches("- ") } else { line };
    let line = line.trim_start().trim_start_matches(['"', '\'']);
    let after = line
        .strip_prefix(key)
        .map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
    after.is_some_and(|rest| rest.starts_with(if yaml { ':' } else { '=' }) || (!yaml && rest.starts_with('.')))
}

fn toml_entry(lines: &[&str], list: &str, nth: usize) -> Option<(usize, usize)> {
    let head = format!("[[{list}]]");
    let mut heads = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with(&head));
    let (start, _) = heads.nth(nth)?;
    let below = format!("[{list}.");
    let end = lines.iter().skip(start + 1).position(|line| {
        let line = line.trim_start();
        line.starts_with('[') && !line.starts_with(&below) && !line.starts_with(&format!("[{below}"))
    });
    Some((start, end.map_or(lines.len(), |more| start + 1 + more)))
}

fn yaml_entry(lines: &[&str], list: &str, nth: usize) -> Option<(usize, usize)> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let head = format!("{list}:");
    // A file that is a list alone has no head.
    let first = lines
        .iter()
        .position(|line| line.starts_with(&head))
        .map_or(0, |at| at + 1);
    let dashed = |line: &&str| line.trim_start().starts_with("- ") || line.trim() == "-";
    let indent = lines
        .iter()
        .skip(first)
        .find(|line| dashed(line))
        .map(|line| depth(line))?;
    let inside = |line: &&&str| {
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        blank || depth(line) > indent || dashed(line)
    };
    let end = first + lines.iter().skip(first).take_while(inside).count();
    let entries = lines.iter().enumerate().take(end).skip(first);
    let starts: Vec<usize> = entries
        .filter(|(_, line)| depth(line) == indent && dashed(line))
        .map(|(at, _)| at)
        .collect();
    let start = *starts.get(nth)?;
    Some((start, starts.get(nth + 1).copied().unwrap_or(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_their_fields_are_found() {
        let toml = "# x\n[[rules]]\nname = \"a\"\nfor = \"1m\"\n[rules.pattern]\nwithin = \"1m\"\n[[rules]]\nname = \"b\"\nlevel = 3\n[routing]\nlevel = 4\n";
        let at = |nth, field| line(Path::new("r.toml"), toml, "rules", nth, field);
        assert_eq!(
            [
                at(0, "for"),
                at(0, "pattern.within"),
                at(0, "level"),
                at(1, "level"),
                at(2, "level")
            ],
            [Some(4), Some(5), Some(2), Some(9), None]
        );
        let yaml =
            "rules:\n# c\n- name: a\n  for: 1m\n\n- for: 2m\n  name: b\n  labels:\n    - x\nchannels:\n- name: c\n";
        let at = |list, nth, field| line(Path::new("r.yaml"), yaml, list, nth, field);
        assert_eq!(
            [
                at("rules", 0, "for"),
                at("rules", 1, "for"),
                at("rules", 1, "level"),
                at("channels", 0, "name"),
                at("rules", 2, "for")
            ],
            [Some(4), Some(6), Some(6), Some(11), None]
        );
        assert_eq!(line(Path::new("r.yaml"), "name: a\nfor: 1m\n", "", 0, "for"), Some(2));
        assert_eq!(containing(yaml, "labels:"), Some(8));
    }
}
