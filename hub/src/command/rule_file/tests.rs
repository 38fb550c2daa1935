use super::*;

fn wrong(name: &str, text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let mistakes = read(&path).err().unwrap_or_default();
    let prefix = format!("{}", path.display());
    mistakes
        .iter()
        .map(|mistake| mistake.to_string().replace(&prefix, name))
        .collect()
}

#[test]
fn every_mistake_of_every_rule_is_named_at_once() {
    let found = wrong(
        "rules.toml",
        "[[rules]]\nname = \"a\"\nmatch = \"type == 'x' &&\\n  kind == 'y'\"\nthrshold = 3\nwindow = \"0s\"\n\
         [[rules]]\nname = \"b\"\nlevel = \"loud\"\ncondition = \"value >\"\nthreshold = \"many\"\n",
    );
    for part in [
        "rules.toml:4: a: thrshold: unknown field",
        "rules.toml:5: a: window: must be between",
        "rules.toml:3: a: match: `kind` is unknown",
        "2 |   kind == 'y'\n          ^",
        "rules.toml:1: a: threshold: is required",
        "rules.toml:8: b: level: unknown variant `loud`",
        "rules.toml:10: b: threshold: invalid type",
        "rules.toml:9: b: condition: ",
    ] {
        assert!(
            found.iter().any(|one| one.contains(part)),
            "{part} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 7, "{found:#?}");
}

#[test]
fn broken_syntax_is_named_with_its_place() {
    assert!(wrong("r.json", "{\"name\": }")[0].starts_with("r.json:1:10: "));
    assert!(wrong("r.toml", "name = \"a\"\nfor = = 3\n")[0].starts_with("r.toml:2:"));
    assert!(wrong("r.yaml", "name: a\nmatch: [\n")[0].starts_with("r.yaml:"));
    assert!(wrong("r.json", "[]")[0].contains("holds no rule"));
    assert!(wrong("r.json", "[{\"aggregate\": \"count()\"}]")[0].contains("rule 1: name: missing field"));
}

#[test]
fn one_rule_a_list_and_a_named_list_are_read() {
    let rule = "{\"name\":\"a\",\"threshold\":1,\"id\":\"x\",\"version\":3}";
    for text in [rule.to_owned(), format!("[{rule}]"), format!("{{\"rules\":[{rule}]}}")] {
        assert!(wrong("r.json", &text).is_empty(), "{text}");
    }
    assert!(wrong("r.json", &format!("[{rule},{rule}]"))[0].contains("another rule"));
}

#[test]
fn yaml_says_the_same_and_names_its_lines() {
    let text = "rules:\n  - name: a\n    threshold: 1\n    for: 5m\n  - name: b\n    threshold: 1\n    level: loud\n    labels: {team: x}\n";
    assert_eq!(wrong("r.yaml", text).len(), 1);
    assert!(
        wrong("r.yaml", text)[0].starts_with("r.yaml:7: b: level: unknown variant"),
        "{:?}",
        wrong("r.yaml", text)
    );
    assert!(wrong("r.yml", &text.replace("loud", "error")).is_empty());
}

#[test]
fn a_document_holds_channels_and_routing_as_well() {
    let text = "[[rules]]\nname = \"a\"\nthreshold = 1\nchannels = [\"ops\"]\n\n[[channels]]\nname = \"ops\"\nplugin = \"webhook\"\n\
                config = {url = \"https://example.org\"}\n\n[routing.route]\nchannels = [\"ops\"]\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.toml");
    std::fs::write(&path, text).unwrap();
    let provided = read_all(&path).unwrap();
    assert_eq!((provided.rules.len(), provided.channels.len()), (1, 1));
    assert!(provided.routing.is_some());
    let found = wrong(
        "x.toml",
        &format!(
            "{}\nsilences = 3\n",
            text.replace("plugin", "plugn")
                .replace("[routing.route]", "[routing.root]")
        ),
    );
    assert!(
        found
            .iter()
            .any(|one| one.contains("channel ops: plugn: unknown field")),
        "{found:#?}"
    );
    assert!(
        found.iter().any(|one| one.contains("routing: root: unknown field")),
        "{found:#?}"
    );
}

#[test]
fn a_mistake_of_a_channel_does_not_tell_its_values() {
    let channel = |config: &str| format!("[[channels]]\nname = \"ops\"\nplugin = \"slack\"\nconfig = {config}\n");
    for config in ["\"https://hooks.example.org/S3CRET, expected\"", "5376"] {
        let found = wrong("c.toml", &channel(config)).join("\n");
        assert!(
            found.contains("config: invalid type: ") && found.contains(", expected a map"),
            "{found}"
        );
        assert!(!found.contains("S3CRET") && !found.contains("5376"), "{found}");
    }
}
