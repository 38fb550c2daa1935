use proptest::prelude::*;

use super::{interpret::Interpreted, *};
use crate::{build::BatchBuilder, chunk, frame::Frame};

fn batch(events: &[String]) -> Batch {
    let mut builder = BatchBuilder::new();
    for event in events {
        builder.push_json(event.as_bytes(), 1_700_000_000_000).unwrap();
    }
    let frame: Frame = builder.finish(1);
    frame.decode().unwrap()
}

fn rows(map: &Bitmap) -> Vec<usize> {
    map.iter_ones().collect()
}

fn interpreted(source: &str, batch: &Batch) -> Bitmap {
    let expr = syntax::parse(source, &syntax::EVENT).unwrap();
    Interpreted::new(&expr)
        .eval(batch, &Bitmap::new(batch.len(), true))
        .unwrap()
        .yes
}

fn shop() -> Batch {
    batch(&[
        r#"{"type":"api.response","source":"web-1","severity":"high","timestamp":1700000000000,"data":{"status":500,"ms":12.5,"ok":false,"path":"/a","http":{"method":"GET"}},"user_id":"u1","tags":["eu","x"]}"#.to_owned(),
        r#"{"type":"api.response","source":"web-2","severity":"low","timestamp":1700000001000,"data":{"status":200,"ms":3,"ok":true,"path":"/b"},"tags":[]}"#.to_owned(),
        r#"{"type":"user.login","source":"auth","severity":"critical","timestamp":1700000002000,"data":{"status":"500","x.y":7,"path":null}}"#.to_owned(),
        r#"{"type":"error","source":"web-1","timestamp":1700000003000}"#.to_owned(),
    ])
}

#[test]
fn expressions_choose_the_rows_they_say() {
    let batch = shop();
    for (source, expected) in [
        ("true", vec![0, 1, 2, 3]),
        ("false", vec![]),
        ("type == 'api.response'", vec![0, 1]),
        ("type == 'api.response' && data.status >= 500", vec![0]),
        ("data.status == 500", vec![0]),
        ("data.status == '500'", vec![2]),
        ("500 <= data.status", vec![0]),
        ("data.status != 200", vec![0, 2]),
        ("!(data.status == 200)", vec![0, 2]),
        ("data.status in [200, 204]", vec![1]),
        ("source in ['web-1', 'auth']", vec![0, 2, 3]),
        ("source.startsWith('web') && !source.endsWith('2')", vec![0, 3]),
        ("data.path.contains('a') || type.matches('^(err|user)')", vec![0, 2, 3]),
        ("severity >= 'high'", vec![0, 2]),
        ("'high' > severity", vec![1, 3]),
        ("severity == 'medium'", vec![3]),
        ("timestamp >= timestamp('2023-11-14T22:13:22Z')", vec![2, 3]),
        ("timestamp < 1700000001000", vec![0]),
        ("data.ok", vec![1]),
        ("!data.ok", vec![0]),
        ("data.ok != true", vec![0]),
        ("has(data.path)", vec![0, 1, 2]),
        ("has(data.http.method)", vec![0]),
        ("!has(data.http.method)", vec![1, 2, 3]),
        ("data['x.y'] == 7", vec![2]),
        ("data[\"x.y\"] > 6.5", vec![2]),
        ("user_id != ''", vec![0]),
        ("data.ms > 5 || source == 'web-2'", vec![0, 1]),
        ("data.ms < 'a'", vec![]),
        // Interpreted in part.
        ("'eu' in tags", vec![0]),
        ("tags.exists(t, t.matches('^e'))", vec![0]),
        ("size(tags) == 0", vec![1, 2, 3]),
        ("data.status + 1 == 501", vec![0]),
        ("type == 'api.response' && data.ms * 2.0 > 20.0", vec![0]),
        ("data.path == null", vec![2]),
        ("data.ok ? data.ms > 1 : data.status == 500", vec![0, 1]),
    ] {
        let filter = Filter::compile(source).unwrap();
        assert_eq!(
            rows(&filter.eval(&batch).unwrap()),
            expected,
            "{source} by {:?}",
            filter.plan()
        );
        assert_eq!(rows(&interpreted(source, &batch)), expected, "{source} interpreted");
    }
}

#[test]
fn plans_say_what_needs_the_interpreter() {
    assert_eq!(
        Filter::compile("type == 'a' && data.n in [1, 2] && has(data.x)")
            .unwrap()
            .plan(),
        Plan::Columnar
    );
    let Plan::Interpreted { reason } = Filter::compile("data.a == data.b").unwrap().plan() else {
        panic!("columns compared two attributes")
    };
    assert_eq!(reason, "a comparison of computed values");
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (source, line, column, part) in [
        ("", 1, 1, "empty"),
        ("type ==", 1, 8, "Syntax error"),
        ("type == 'a' &&\n  kind == 'b'", 2, 3, "`kind` is unknown"),
        ("severity == 'urgent'", 1, 10, "not a severity"),
        ("shout(type)", 1, 6, "`shout` is unknown"),
        ("type.matches('(')", 1, 13, "regular expression"),
        ("type.matches(source)", 1, 13, "literal pattern"),
        ("timestamp(source) > 1", 1, 10, "takes a literal"),
        ("tags.all(t, tags.all(u, u == t))", 1, 21, "macro inside a macro"),
        ("Event{type: 1}.type == 1", 1, 6, "messages"),
    ] {
        let error = Filter::compile(source).unwrap_err();
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!((error.line, error.column), (line, column), "{source}: {error}");
    }
}

#[test]
fn cost_is_bounded_before_anything_runs() {
    let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    let chain = "!".repeat(2000) + "true";
    let ternaries = "true?true:".repeat(300) + "true";
    let sum = format!("{} == 1", vec!["data.a"; 100].join("+"));
    let list = format!("data.a in [{}]", vec!["1"; 300].join(","));
    let long = format!("type == '{}'", "x".repeat(5000));
    for source in [
        deep,
        chain,
        ternaries,
        sum,
        list,
        long,
        "type.matches('(a{1000}){1000}')".to_owned(),
    ] {
        assert!(Filter::compile(&source).is_err(), "{}", &source[..40.min(source.len())]);
    }
    let many = vec!["type == 'a'"; 100].join(" || ");
    Filter::compile(&many).unwrap();
}

#[test]
fn knows_which_values_a_match_requires() {
    let path = Path::parse("type").unwrap();
    for (source, expected) in [
        ("type == 'a'", Some(vec!["a"])),
        ("type == 'a' && data.x > 1", Some(vec!["a"])),
        ("type in ['a', 'b'] && type in ['b', 'c']", Some(vec!["b"])),
        ("type == 'a' || type == 'b'", Some(vec!["a", "b"])),
        ("type == 'a' || data.x > 1", None),
        ("!(type == 'a')", None),
        ("type != 'a'", None),
        ("'eu' in tags && 'a' == type", Some(vec!["a"])),
    ] {
        let required = Filter::compile(source).unwrap().required(&path);
        assert_eq!(
            required,
            expected.map(|v| v.into_iter().map(str::to_owned).collect()),
            "{source}"
        );
    }
}

#[test]
fn knows_which_attributes_a_match_needs() {
    for (source, expected) in [
        ("type == 'a' && data.x > 1", vec!["data.x", "type"]),
        ("data.x > 1 || data.y > 1", vec![]),
        ("(data.x > 1 && data.y > 1) || data.y < 0", vec!["data.y"]),
        ("!(data.x > 1)", vec!["data.x"]),
        ("has(data.x)", vec!["data.x"]),
        ("!has(data.x)", vec![]),
        ("true", vec![]),
    ] {
        let needed: Vec<String> = Filter::compile(source)
            .unwrap()
            .needed()
            .iter()
            .map(Path::to_string)
            .collect();
        assert_eq!(needed, expected, "{source}");
    }
    let both = Filter::compile("type == 'a' && data.path in ['/x', '/y'] && source != 'b'").unwrap();
    let found: Vec<(String, usize)> = both
        .requirements()
        .iter()
        .map(|(path, values)| (path.to_string(), values.len()))
        .collect();
    assert_eq!(found, [("data.path".to_owned(), 2), ("type".to_owned(), 1)]);
}

#[test]
fn conditions_decide() {
    let labels = [
        ("source".to_owned(), "web-1".to_owned()),
        ("data.service".to_owned(), "cart".to_owned()),
    ];
    let input = ConditionInput {
        value: 10.0,
        threshold: Some(5.0),
        labels: &labels,
    };
    for (source, expected, upward, threshold) in [
        ("value > threshold", true, true, true),
        ("threshold <= value", true, true, true),
        ("value >= 11", false, true, false),
        ("value < threshold", false, false, true),
        ("value == 10", true, false, false),
        ("value > 1.5 && labels.source == 'web-1'", true, true, false),
        ("value > threshold * 3.0", false, true, true),
        ("labels.data.service == 'cart'", true, false, false),
        ("labels['data.service'] == 'cart' || value > 99", true, true, false),
        ("value * 2.0 > threshold", true, false, true),
        ("!(value > threshold)", false, false, true),
    ] {
        let condition = Condition::compile(source).unwrap();
        assert_eq!(condition.eval(&input).unwrap(), expected, "{source}");
        assert_eq!(
            (condition.is_upward(), condition.uses_threshold()),
            (upward, threshold),
            "{source}"
        );
    }
    assert!(
        Condition::compile("data.x > 1")
            .unwrap_err()
            .message
            .contains("`data` is unknown")
    );
    assert!(Condition::compile("value > 'a'").unwrap().eval(&input).is_err());
    let bare = ConditionInput {
        threshold: None,
        ..input
    };
    assert!(Condition::compile("value > threshold").unwrap().eval(&bare).is_err());
}

/// Attributes that events have, lack, or have with several types.
const PATHS: [&str; 15] = [
    "type",
    "source",
    "severity",
    "timestamp",
    "id",
    "user_id",
    "data.s",
    "data.n",
    "data.b",
    "data.mixed",
    "data.o",
    "data.o.x",
    "data.none",
    "metadata.k",
    "data['x.y']",
];

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        prop_oneof![Just("a"), Just("b"), Just("ab"), Just("high"), Just("low"), Just("")]
            .prop_map(|s| format!("'{s}'")),
        (-3i64..5).prop_map(|n| n.to_string()),
        Just("1700000000001".to_owned()),
        Just("9007199254740993".to_owned()),
        (-3i32..5).prop_map(|n| format!("{n}.5")),
        any::<bool>().prop_map(|b| b.to_string()),
        Just("null".to_owned()),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let path = || prop::sample::select(&PATHS[..]);
    let op = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let function = prop::sample::select(&["startsWith", "endsWith", "contains", "matches"][..]);
    let leaf = prop_oneof![
        4 => (path(), op.clone(), literal()).prop_map(|(p, o, l)| format!("{p} {o} {l}")),
        1 => (path(), op, literal()).prop_map(|(p, o, l)| format!("{l} {o} {p}")),
        1 => (path(), prop::collection::vec(literal(), 0..4)).prop_map(|(p, l)| format!("{p} in [{}]", l.join(", "))),
        1 => (path(), function, prop::sample::select(&["a", "b", "ab", ""][..])).prop_map(|(p, f, t)| format!("{p}.{f}('{t}')")),
        1 => prop::sample::select(&["data.s", "data.none", "data.o", "data.o.x", "data.mixed", "data.mixed.y", "metadata.k"][..])
            .prop_map(|p| format!("has({p})")),
        1 => path().prop_map(str::to_owned),
        1 => Just("'a' in tags".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

fn event() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("\"a\""),
        Just("\"ab\""),
        Just("1"),
        Just("-2"),
        Just("2.5"),
        Just("9007199254740993"),
        Just("true"),
        Just("false"),
        Just("null"),
        Just("{\"x\":\"a\"}"),
        Just("{\"x\":1}"),
        Just("{}"),
        Just("[1,\"a\"]"),
        Just("[]"),
        Just("18446744073709551615"),
    ];
    let data = prop::collection::btree_map(
        prop::sample::select(&["s", "n", "b", "mixed", "o", "x.y"][..]),
        value.clone(),
        0..6,
    );
    let optional = (
        prop::option::of(data),
        prop::option::of(value),
        prop::option::of(prop::sample::select(&["a", "ab"][..])),
    );
    let fixed = (
        prop::sample::select(&["a", "b", "ab"][..]),
        prop::sample::select(&["low", "high", "critical"][..]),
        0..3,
    );
    (fixed, optional, any::<bool>()).prop_map(|((kind, severity, ms), (data, meta, user), tagged)| {
        let mut fields = vec![format!(
            r#""type":"{kind}","source":"b","severity":"{severity}","timestamp":{}"#,
            1_700_000_000_000i64 + i64::from(ms)
        )];
        fields.extend(data.map(|data| {
            let pairs: Vec<String> = data.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
            format!("\"data\":{{{}}}", pairs.join(","))
        }));
        fields.extend(meta.map(|v| format!("\"metadata\":{{\"k\":{v}}}")));
        fields.extend(user.map(|v| format!("\"user_id\":\"{v}\"")));
        fields.extend(tagged.then(|| "\"tags\":[\"a\"]".to_owned()));
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn columns_and_interpreter_agree(source in expression(), events in prop::collection::vec(event(), 1..20)) {
        // Some random expressions are refused, for example an unknown severity.
        let Ok(filter) = Filter::compile(&source) else { return Ok(()) };
        let batch = batch(&events);
        prop_assert_eq!(rows(&filter.eval(&batch).unwrap()), rows(&interpreted(&source, &batch)), "{}", source);
    }

    #[test]
    fn what_is_skipped_holds_no_match(source in expression(), events in prop::collection::vec(event(), 1..5)) {
        let Ok(filter) = Filter::compile(&source) else { return Ok(()) };
        let batch = batch(&events);
        let chunk = chunk::encode(&[&batch], 1).unwrap();
        let skipped = !filter.may_match(chunk.min_ts, chunk.max_ts, &Bloom::new(&chunk.bloom));
        let found = filter.eval(&batch).unwrap();
        prop_assert!(!skipped || found.is_empty(), "{}", source);
        // Rules are looked up by the types that they require.
        let required = filter.required(&Path::parse("type").unwrap());
        let types = batch.dict(&Path::parse("type").unwrap()).unwrap().unwrap();
        for row in found.iter_ones() {
            let kind = types.get(row).unwrap();
            prop_assert!(required.as_ref().is_none_or(|list| list.iter().any(|one| one == kind)), "{}", source);
        }
        for (path, values) in filter.requirements() {
            let texts = batch.strings(&path).unwrap();
            for row in found.iter_ones() {
                let text = texts.as_ref().and_then(|texts| texts.get(row));
                prop_assert!(text.is_some_and(|text| values.iter().any(|one| one == text)), "{source}: {path} is {text:?}, not of {values:?}");
            }
        }
        for path in filter.needed() {
            let present = batch.present(&path).unwrap();
            prop_assert!(found.and_not(&present).is_empty(), "{source}: {path}");
        }
    }

    #[test]
    fn arbitrary_text_never_panics(source in ".{0,200}") {
        drop(Filter::compile(&source));
        drop(Condition::compile(&source));
    }
}
