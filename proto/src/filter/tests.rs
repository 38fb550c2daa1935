use super::{interpret::Interpreted, *};
use crate::{build::BatchBuilder, chunk, frame::Frame};

mod properties;

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
        // What can never be answered.
        ("type > 5", 1, 6, "a text and a number have no order"),
        ("type == 5", 1, 6, "are never equal"),
        ("source in ['a', 1]", 1, 17, "a text is never a number"),
        ("timestamp.startsWith('1')", 1, 21, "about texts, not a number"),
        ("tags.contains('a')", 1, 14, "`value in list`"),
        ("tags == 'a'", 1, 6, "are never equal"),
        ("data.n + 1", 1, 8, "must say yes or no"),
        ("type && true", 1, 6, "`&&` takes a yes or no, not a text"),
        ("!source", 1, 1, "`!` takes a yes or no"),
        ("type + 1 == 'a'", 1, 6, "a text cannot be calculated with"),
        ("type.name == 'a'", 1, 5, "a text has no field `name`"),
        ("type == 'é' && kind == 'b'", 1, 16, "`kind` is unknown"),
        ("source in type", 1, 8, "`in` looks into a list"),
        ("data.a.map(x, data.s) == []", 1, 11, "its own variable"),
        ("tags.exists(t, t + t == 'aa')", 1, 18, "only numbers are added"),
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
        format!("{} == 'a'", vec!["source"; 20].join(" + ")),
    ] {
        assert!(Filter::compile(&source).is_err(), "{}", &source[..40.min(source.len())]);
    }
    let many = vec!["type == 'a'"; 100].join(" || ");
    Filter::compile(&many).unwrap();
}

/// What an event can make an expression do is bounded as well.
#[test]
fn macros_run_over_so_many_elements_and_no_more() {
    let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
    let event = |n| format!(r#"{{"type":"a","source":"s","data":{{"few":{},"n":{n}}}}}"#, list(n));
    let batch = batch(&[event(1000), event(1001), event(20_000)]);
    for source in [
        "data.few.all(x, x == 1)",
        "data.few.exists(x, x == 1)",
        "size(data.few.map(x, x + 1)) == data.n",
        "size(data.few.filter(x, x == 1)) == data.n",
        "data.few.exists_one(x, x == 2) || data.n > 0 && data.few.all(x, x > 0)",
    ] {
        let filter = Filter::compile(source).unwrap();
        assert_eq!(rows(&filter.eval(&batch).unwrap()), [0], "{source}");
    }
    // The rest of an expression still answers.
    let other = Filter::compile("data.few.all(x, x == 1) || data.n > 1000").unwrap();
    assert_eq!(rows(&other.eval(&batch).unwrap()), [0, 1, 2]);
}

#[test]
fn says_how_each_predicate_is_answered_and_what_skips_chunks() {
    let shown = |source: &str| -> Vec<String> {
        let filter = Filter::compile(source).unwrap();
        let each = filter.explain().into_iter();
        each.map(|one| format!("{} | {:?} | {:?}", one.text, one.way, one.skip))
            .collect()
    };
    assert_eq!(
        shown("type == 'a' && data.ms >= 5 && (source in ['x', 'y'] || severity == 'high') && has(data.k)"),
        [
            "type == 'a' | Dictionary | Some(Bloom)",
            "data.ms >= 5 | Numbers | None",
            "source in ['x', 'y'] | Dictionary | Some(Bloom)",
            "severity == 'high' | Dictionary | Some(Bloom)",
            "has(data.k) | Presence | None",
        ]
    );
    assert_eq!(
        shown("!(type == 'a') || source == 'x'"),
        ["type == 'a' | Dictionary | None", "source == 'x' | Dictionary | None"]
    );
    assert_eq!(
        shown("data.ok && (data.a + data.b) * 2 > 10 && timestamp < 5"),
        [
            "data.ok | Booleans | None",
            "timestamp < 5 | Numbers | Some(Times)",
            "(data.a + data.b) * 2 > 10 | Interpreter(\"a comparison of a computed value\") | None",
        ]
    );
    assert_eq!(
        shown("tags.exists(t, t.startsWith('e')) && 'é' != source"),
        [
            "'é' != source | Dictionary | None",
            "tags.exists(t, t.startsWith('e')) | Interpreter(\"a value that is not an attribute\") | None",
        ]
    );
    assert_eq!(shown("5 < data.n"), ["5 < data.n | Numbers | None"]);
    let reads = Filter::compile("type == 'a' && data.ms > 1 && size(tags) > 0 && metadata.k == data.x").unwrap();
    assert_eq!(reads.reads(), ["data", "data.ms", "metadata", "tags", "type"]);
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
        // An integer beside a decimal becomes one.
        ("value * 2 > threshold + 14", true, false, true),
        ("value / 0 > threshold", true, false, true),
        ("-1 * value < 0", true, false, false),
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
    assert!(
        Condition::compile("value > 'a'").is_err(),
        "types are checked when it is written"
    );
    assert!(
        Condition::compile("value > double(labels.source)")
            .unwrap()
            .eval(&input)
            .is_err()
    );
    let bare = ConditionInput {
        threshold: None,
        ..input
    };
    assert!(Condition::compile("value > threshold").unwrap().eval(&bare).is_err());
}
