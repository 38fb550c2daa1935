use super::*;

#[test]
fn ids_are_found_however_they_are_written() {
    let id = "0190d6c4-0000-7000-8000-000000000001";
    let parsed: Uuid = id.parse().unwrap();
    for raw in [
        format!(r#"{{"id":"{id}"}}"#),
        format!(r#"{{"\u0069d":"{id}"}}"#),
        format!(r#"{{"a":{{"id":1}},"id" : "{id}"}}"#),
        format!(r#"{{"id":"x","type":"t","id":"{id}"}}"#),
        format!(r#"{{"id":5,"n":1e999,"\u0069d":"{id}"}}"#),
    ] {
        assert_eq!(given_id(raw.as_bytes()), Some(parsed), "{raw}");
    }
    for raw in [
        r#"{"a":1}"#,
        r#"{"data":{"id":"x"}}"#,
        r#"{"id":"x"}"#,
        r#"{"id":5}"#,
        r#"{"id":"#,
    ] {
        assert_eq!(given_id(raw.as_bytes()), None, "{raw}");
    }
}

#[test]
fn clients_cannot_make_label_values() {
    assert_eq!(top_field("data.x.y"), "data");
    assert_eq!(top_field("tags[3]"), "tags");
    assert_eq!(top_field("anything"), "other");
}

#[test]
fn verdicts_come_back_in_the_order_sent() {
    let [a, b] = [1, 2].map(Uuid::from_u128);
    let refused = || Rejection {
        field: "type".to_owned(),
        reason: "missing".to_owned(),
    };
    let outcome = merged(vec![0, 2, 3], vec![Ok(a), Err(refused()), Ok(a)], vec![(1, b)]);
    assert_eq!(outcome.ids, [a, b, a]);
    assert_eq!(
        outcome.rejected,
        [RejectedEvent {
            index: 2,
            field: "type".to_owned(),
            reason: "missing".to_owned()
        }]
    );
}
