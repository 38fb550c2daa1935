//! The window engine and the backtest, measured in-process by examples of their own room, and peers that compute the same windows.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use streamflow_tests::binaries::root;

use crate::report::Row;

/// An example of a room, built beside this program.
pub fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("this program's own path");
    let path = own.with_file_name("examples").join(name);
    assert!(path.is_file(), "{} is missing; `make bench` builds it", path.display());
    path
}

/// Rows that another program prints as lines of a table; each is shown as soon as it is known.
pub fn rows(command: &mut Command) -> Vec<Row> {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("a program that runs");
    let printed = BufReader::new(child.stdout.take().expect("its output"));
    let rows = printed.lines().map_while(Result::ok).filter_map(|line| {
        println!("{line}");
        cells(&line)
    });
    let rows = rows.collect();
    let status = child.wait().expect("a program that ends");
    assert!(status.success(), "{command:?}: {status}");
    rows
}

fn cells(line: &str) -> Option<Row> {
    let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let [what, ours, baseline, ratio, target]: [&str; 5] = line.split(" | ").collect::<Vec<_>>().try_into().ok()?;
    // They live as long as the table.
    let kept = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    Some(Row {
        what: kept(what),
        ours: ours.to_owned(),
        baseline: baseline.to_owned(),
        ratio: ratio.parse().ok(),
        target: kept(target),
    })
}

/// The engine alone: speed by rules and aggregates, growth, size of its state.
pub fn engine(quick: bool) -> Vec<Row> {
    rows(Command::new(example("rule_scaling")).args(quick.then_some("--quick")))
}

/// A rule over stored events.
pub fn backtest(quick: bool) -> Vec<Row> {
    rows(Command::new(example("backtest_speed")).arg(if quick { "1" } else { "8" }))
}

/// bytewax and DuckDB on the same file.
pub fn peers(quick: bool) -> Vec<Row> {
    let script = root().join("tests/bench/window_peers.py");
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg(example("window_peer"))
        .args(quick.then_some("--quick"));
    rows(&mut command)
}
