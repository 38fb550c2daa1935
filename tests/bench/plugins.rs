//! What rules cost as plugins, measured by an example of the plugin host.

use std::process::Command;

use streamflow_tests::binaries::root;

use crate::{
    report::Row,
    windows::{example, rows},
};

/// A rule that only counts and a shipped one, beside the same lines compiled natively.
pub fn rules(quick: bool) -> Vec<Row> {
    let folder = root().join("plugins/dist");
    assert!(
        folder.is_dir(),
        "{} is missing; `scripts/build-plugins.sh` builds it",
        folder.display()
    );
    let mut command = Command::new(example("rule_cost"));
    rows(command.arg(folder).args(quick.then_some("--quick")))
}
