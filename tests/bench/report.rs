//! The table.

use std::process::Command;

use streamflow_tests::binaries::root;

/// One line of the table.
#[derive(Debug)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// Our figure, with its unit.
    pub ours: String,
    /// The baseline or peer of the same run.
    pub baseline: String,
    /// Ours to baseline.
    pub ratio: Option<f64>,
    /// What we want.
    pub target: &'static str,
}

/// A large number for people.
pub fn count(n: f64) -> String {
    match n {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e3 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.1}"),
    }
}

/// The value below which `part` of the sorted values lie.
pub fn percentile(sorted: &[f64], part: f64) -> f64 {
    let at = ((sorted.len() as f64 - 1.0) * part).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | StreamFlow | baseline of the same run | ratio | target |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let ratio = row.ratio.map_or_else(|| "–".to_owned(), |r| format!("{r:.2}"));
        text += &format!(
            "| {} | {} | {} | {ratio} | {} |\n",
            row.what, row.ours, row.baseline, row.target
        );
    }
    text
}

/// Replaces the measured part of `docs/benchmarks.md`.
pub fn write(table: &str) {
    const BEGIN: &str = "<!-- measured: begin -->";
    const END: &str = "<!-- measured: end -->";
    let path = root().join("docs/benchmarks.md");
    let text = std::fs::read_to_string(&path).expect("docs/benchmarks.md");
    let (before, rest) = text.split_once(BEGIN).expect("begin mark");
    let (_, after) = rest.split_once(END).expect("end mark");
    let new = format!("{before}{BEGIN}\n{}\n{table}{END}{after}", machine());
    std::fs::write(&path, new).expect("write docs/benchmarks.md");
    println!("written to {}", path.display());
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|l| {
        l.strip_prefix("model name")?
            .split_once(": ")
            .map(|(_, m)| m.to_owned())
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = Command::new("date")
        .arg("+%Y-%m-%d")
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
    format!(
        "Measured {} with `make bench` on {cores} cores of {}.\n",
        date.unwrap_or_default(),
        model.unwrap_or_else(|| "an unnamed CPU".into())
    )
}
