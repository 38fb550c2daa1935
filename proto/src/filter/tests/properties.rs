use proptest::prelude::*;

use super::*;

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
        prop::sample::select(
            &[
                "9007199254740991",
                "9007199254740992",
                "9007199254740993",
                "-9007199254740993",
                "9223372036854775807",
                "-9223372036854775808",
                "9007199254740992.0",
                "9007199254740993.0",
                "1e300",
                "-0.0",
                "0",
                "18446744073709551615u",
            ][..]
        )
        .prop_map(str::to_owned),
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
        2 => computed(),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

/// What columns cannot answer: arithmetic with its overflows and divisions by zero, decimals that are no number, functions, macros.
fn computed() -> impl Strategy<Value = String> {
    let number = prop::sample::select(
        &[
            "data.n",
            "data.mixed",
            "data.o.x",
            "timestamp",
            "double(data.n)",
            "int(data.mixed)",
            "size(data.s)",
            "size(tags)",
            "-data.n",
        ][..],
    );
    let op = prop::sample::select(&["+", "-", "*", "/", "%"][..]);
    let test = prop::sample::select(&["==", "!=", "<", "<=", ">", ">="][..]);
    let operand = || {
        prop::sample::select(
            &[
                "0",
                "1",
                "-1",
                "0.0",
                "2.5",
                "9223372036854775807",
                "data.n",
                "data.b",
                "1e308",
            ][..],
        )
    };
    prop_oneof![
        4 => (number, op, operand(), test, operand()).prop_map(|(n, o, x, t, y)| format!("{n} {o} {x} {t} {y}")),
        1 => prop::sample::select(&[
            "data.n / 0.0 != data.n / 0.0", "(data.n * 0.0) / 0.0 == 1.0", "!(data.n / 0.0 > 1.0)", "1 / data.n > 0", "data.n % data.mixed == 0",
            "data.s + 'b' == 'ab'", "data.s + data.mixed == 'aa'", "data.o == {'x': 'a'}", "data.o == data.mixed", "data.n in data.o",
            "'x' in data.o", "1 in data.mixed", "data.n in [data.mixed, 1]", "data.mixed[0] == 1", "data.o['x'] == 'a'",
            "tags.exists(t, t == 'a')", "data.mixed.all(x, x != 1)", "data.mixed.exists_one(x, x == 'a')", "size(data.mixed.map(x, x)) == 2",
            "size(data.mixed.filter(x, x == 'a')) > 0", "data.b ? data.n > 1 : data.mixed == 'a'", "data.b || data.n / 0 == 1",
            "data.n / 0 == 1 || data.b", "string(data.n) == '1'", "bool(data.s)", "int(data.s) > 0", "double(data.s) < 1.0",
            "id.contains('-')", "data.s.contains(source)", "type < source", "data.s == data.mixed", "timestamp - 1700000000000 < 2",
        ][..]).prop_map(str::to_owned),
    ]
}

fn event() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("\"a\""),
        Just("\"ab\""),
        Just("1"),
        Just("-2"),
        Just("2.5"),
        Just("9007199254740993"),
        Just("9007199254740992"),
        Just("-9007199254740993"),
        Just("9223372036854775807"),
        Just("-9223372036854775808"),
        Just("9007199254740993.0"),
        Just("1e300"),
        Just("123456789012345678901234567890"),
        Just("-0.0"),
        Just("0"),
        Just("0.1"),
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
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn columns_and_interpreter_agree(source in expression(), events in prop::collection::vec(event(), 1..20), asked: u32) {
        // Some random expressions are refused, for example an unknown severity.
        let Ok(filter) = Filter::compile(&source) else { return Ok(()) };
        let batch = batch(&events);
        let found = filter.eval(&batch).unwrap();
        prop_assert_eq!(rows(&found), rows(&interpreted(&source, &batch)), "{}", source);
        let asked = Bitmap::from_fn(batch.len(), |row| asked >> row & 1 == 1);
        let among = filter.eval_among(&mut Columns::new(&batch), &asked).unwrap();
        prop_assert_eq!(among, found.and(&asked), "{}", source);
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
