//! What a rule costs as a plugin, measured by an example of the plugin host.

use std::process::Command;

use streamflow_tests::binaries::root;

use crate::{
    report::Row,
    windows::{example, rows},
};

/// A rule that counts by source, beside the same lines compiled natively.
pub fn rule(quick: bool) -> Vec<Row> {
    let file = root().join("plugins/dist/testbed/rule-count.wasm");
    assert!(
        file.is_file(),
        "{} is missing; `scripts/build-plugins.sh` builds it",
        file.display()
    );
    rows(
        Command::new(example("rule_cost"))
            .arg(file)
            .args(quick.then_some("--quick")),
    )
}
