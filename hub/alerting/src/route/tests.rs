use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn channel(name: &str) -> Result<(), String> {
    if name == "nobody" {
        Err("there is no channel called `nobody`".to_owned())
    } else {
        Ok(())
    }
}

fn compiled(draft: Value) -> Result<Compiled, Vec<RuleError>> {
    let known = Known {
        channel: &channel,
        escalation: &|name| name == "page",
    };
    Compiled::compile(&serde_json::from_value(draft).unwrap(), &known)
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn the_deepest_match_takes_it_and_inherits_what_it_leaves_out() {
    let tree = compiled(json!({"route": {"channels": ["ops"], "group_wait": "10s", "routes": [
        {"matchers": [{"name": "team", "value": "db"}], "channels": ["dba"], "group_by": ["source"], "routes": [
            {"level": "critical", "channels": ["pager"], "escalation": "page", "group_wait": "0s"}]},
        {"matchers": [{"name": "team", "op": "=~", "value": "web|db"}], "continue": true, "channels": ["web"]},
        {"level": "error", "channels": ["errors"]},
    ]}}))
    .unwrap()
    .tree;
    let at = |team: &str, level| -> Vec<String> {
        let targets = tree.targets(&labels(&[("team", team)]), level);
        targets.iter().map(|target| target.channels.join(",")).collect()
    };
    assert_eq!(at("db", Level::Warning), ["dba"]);
    assert_eq!(at("db", Level::Critical), ["pager"]);
    assert_eq!(at("web", Level::Warning), ["web"]);
    assert_eq!(at("web", Level::Error), ["web", "errors"]);
    assert_eq!(at("mail", Level::Warning), ["ops"]);
    let db = labels(&[("team", "db"), ("source", "db-1")]);
    let page = tree.targets(&db, Level::Critical)[0];
    assert_eq!(
        (page.group_wait, page.group_interval),
        (Span::ZERO, Span::from_secs(300))
    );
    assert_eq!(page.group_by, ["source"]);
    assert_eq!(page.key(&db), "{}/{team=\"db\"}/{level>=critical}:{source=\"db-1\"}");
    let other = tree.targets(&db, Level::Warning)[0];
    assert_eq!(
        (other.group_wait, other.escalation.as_deref()),
        (Span::from_secs(10), None)
    );
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let errors = compiled(json!({
        "route": {"channels": ["nobody"], "level": "error", "routes": [
            {"matchers": [{"name": "a", "op": "=~", "value": "("}], "escalation": "none", "repeat_interval": "0s"},
            {"routes": [{"channels": ["ops", "nobody"]}]}]},
        "inhibit": [{"source": [], "target": [{"name": "", "value": "x"}]}],
    }))
    .unwrap_err();
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "route",
            "route.channels[0]",
            "route.routes[0].escalation",
            "route.routes[0].repeat_interval",
            "route.routes[0].matchers[0].value",
            "route.routes[1].routes[0].channels[1]",
            "inhibit[0]",
            "inhibit[0].target[0].name",
        ]
    );
    let mut deep = json!({});
    for _ in 0..40 {
        deep = json!({"routes": [deep]});
    }
    assert!(compiled(json!({"route": deep})).is_err());
}

#[test]
fn three_dots_keep_every_alert_apart() {
    let tree = compiled(json!({"route": {"group_by": ["..."]}})).unwrap().tree;
    let (a, b) = (labels(&[("source", "a")]), labels(&[("source", "b")]));
    let target = tree.targets(&a, Level::Info)[0];
    assert_ne!(target.key(&a), target.key(&b));
    let together = compiled(json!({"route": {"group_by": []}})).unwrap().tree;
    let target = together.targets(&a, Level::Info)[0];
    assert_eq!(target.key(&a), target.key(&b));
}

/// A random tree over two labels, each node with a name of its own as its channel.
fn route(depth: u32) -> impl Strategy<Value = Value> {
    let leaf = (0_u8..3, 0_u8..3, 0_u8..4, any::<bool>()).prop_map(|(name, value, level, go_on)| {
        let level = ["info", "warning", "error", "critical"][usize::from(level)];
        let matchers = if name == 2 {
            json!([])
        } else {
            json!([{"name": format!("l{name}"), "value": value.to_string()}])
        };
        json!({"matchers": matchers, "level": level, "continue": go_on})
    });
    leaf.prop_recursive(depth, 24, 4, |inner| {
        (inner.clone(), prop::collection::vec(inner, 0..4)).prop_map(|(mut node, below)| {
            node["routes"] = json!(below);
            node
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// No alert is lost in the tree: there is always a target; a target's route takes the alert; without `continue` there is one.
    #[test]
    fn every_alert_arrives(below in prop::collection::vec(route(3), 0..4), l0 in 0_u8..3, l1 in 0_u8..3, level in 0_usize..4) {
        let go_on = json!(below).to_string().contains("\"continue\":true");
        let tree = compiled(json!({"route": {"channels": ["ops"], "routes": below}})).unwrap().tree;
        let labels = labels(&[("l0", &l0.to_string()), ("l1", &l1.to_string())]);
        let level = [Level::Info, Level::Warning, Level::Error, Level::Critical][level];
        let targets = tree.targets(&labels, level);
        prop_assert!(!targets.is_empty());
        prop_assert!(go_on || targets.len() == 1);
        for target in targets {
            for (name, value) in [("l0", l0), ("l1", l1)] {
                for other in (0..3).filter(|other| *other != value) {
                    let wanted = format!("{name}=\"{other}\"");
                    prop_assert!(!target.route.contains(&wanted), "{} for {:?}", target.route, labels);
                }
            }
        }
    }
}
