use super::*;
use crate::bindings::channel::streamflow::plugin::types::Batch;

fn events(count: u32) -> Events {
    let none = || TextColumn {
        texts: String::new(),
        ends: Vec::new(),
        index: Vec::new(),
    };
    Events::new(Batch {
        count,
        time: vec![0; count as usize],
        severity: vec![0; count as usize],
        kind: none(),
        source: none(),
        columns: Vec::new(),
    })
}

#[test]
fn nothing_said_changes_nothing() {
    let mut output = Output::unchanged(&events(10));
    output.keep(|_| true);
    output.set_integers("data.n", |_| None);
    let answer = Answer::from(output);
    assert!(
        answer.keep.is_none() && answer.set.is_empty() && answer.drop.is_empty(),
        "{answer:?}"
    );
}

#[test]
fn bits_begin_with_the_least_and_conditions_add_up() {
    let mut output = Output::unchanged(&events(10));
    output.keep(|row| row != 0);
    output.keep(|row| row != 9);
    assert_eq!(Answer::from(output).keep, Some(vec![0b1111_1110, 0b0000_0001]));
}

#[test]
fn texts_are_sent_once_and_a_field_is_set_once() {
    let mut output = Output::unchanged(&events(4));
    output.set_texts("data.word", |_| Some("earlier"));
    output.set_texts("data.word", |row| [Some("a"), None, Some("bc"), Some("a")][row]);
    output.set_floats("data.ratio", |row| Some([f64::INFINITY, 1.0, 0.5, f64::NAN][row]));
    output.drop("data.old");
    output.drop("data.old");
    let answer = Answer::from(output);
    assert_eq!(answer.drop, ["data.old"]);
    let [word, ratio] = answer.set.as_slice() else {
        panic!("{answer:?}");
    };
    let ColumnData::Text(TextColumn { texts, ends, index }) = &word.column.data else {
        panic!("{word:?}");
    };
    assert_eq!(
        (word.name.as_str(), word.column.path.as_str()),
        ("data.word", "data.word")
    );
    assert_eq!(
        (texts.as_str(), ends.as_slice(), index.as_slice()),
        ("abc", &[1, 3][..], &[0, 0, 1, 0][..])
    );
    assert_eq!(word.column.present, Some(vec![0b1101]));
    assert_eq!(ratio.column.present, Some(vec![0b0110]), "infinity is no value");
}
