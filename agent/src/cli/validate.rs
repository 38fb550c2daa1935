//! `validate`

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::output::{self, Failure};
use super::{Common, Output};
use crate::process::Processors;

/// Checks the configuration.
pub fn validate(args: &Common) -> Result<(), Failure> {
    let config = args.load_with(&|config| {
        let built = Processors::apart(config, &CancellationToken::new());
        built.err().map(|error| error.0).unwrap_or_default()
    })?;
    let (sources, processors) = (config.sources.len(), config.processors.len());
    let file = args.config.display();
    match args.output {
        Output::Json => output::json(
            &json!({ "valid": true, "file": file.to_string(), "sources": sources, "processors": processors, "config": config }),
        ),
        Output::Text => Ok(output::line(format_args!(
            "{file}: fine, {} and {}",
            counted(sources, "source"),
            counted(processors, "processor")
        ))?),
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
