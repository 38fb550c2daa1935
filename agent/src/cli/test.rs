//! `test`

use std::io::{self, BufRead, Write};

use clap::Args;
use streamflow_proto::build::BatchBuilder;
use tokio_util::sync::CancellationToken;

use super::output::Failure;
use super::{Common, one, tap};
use crate::clock;
use crate::config::{Config, SourceOptions};
use crate::process::Processors;
use crate::source::file::FileOptions;
use crate::source::file::format::{self, Context};

#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Name of the file source whose format applies; the first one when left out.
    #[arg(short, long)]
    source: Option<String>,
}

/// Turns lines into events and prints them; what was turned away or not understood is said on stderr.
pub fn test(args: &TestArgs) -> Result<(), Failure> {
    let config = args.common.load()?;
    let options = pick(&config, args.source.as_deref())?;
    // Nobody waits here: a transform that would have its source wait says so at once.
    let never = CancellationToken::new();
    never.cancel();
    let mut processors = Processors::apart(&config, &never)?;
    let context = Context {
        kind: &options.event_type,
        source: options.source.as_deref().unwrap_or(&config.name),
        path: "stdin",
        metadata: br#"{"file":"stdin"}"#,
    };
    let mut builder = BatchBuilder::new();
    let mut failed = false;
    for (number, line) in io::stdin().lock().split(b'\n').enumerate() {
        let line = line?;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line = &line[..line.len().min(options.max_line_bytes.0 as usize)];
        let outcome = format::push(options.format, line, &context, clock::now_ms(), &mut builder);
        let processed = match processors.finish(&mut builder) {
            Ok(processed) => processed,
            Err(blocked) => {
                let what = "on_error is \"block\", so the source would wait here and read nothing behind it";
                writeln!(io::stderr(), "line {}: {blocked}; {what}", number + 1)?;
                return Err(Failure::Said);
            }
        };
        if let Some(frame) = &processed.frame {
            tap::print(frame, u64::MAX)?;
        }
        let remark = match outcome {
            Err(rejection) => format!("cannot be kept in any form: {rejection}"),
            Ok(_) if !processed.errors.is_empty() => {
                let words: Vec<_> = processed.errors.iter().map(|mishap| mishap.words.as_str()).collect();
                words.join("; ")
            }
            Ok(outcome) => match outcome.malformed {
                Some(reason) => format!("is not {:?}, kept as text: {reason}", options.format).to_lowercase(),
                None if processed.filtered > 0 => "turned away by a filter or a transform".into(),
                None => continue,
            },
        };
        failed |= processed.filtered == 0;
        writeln!(io::stderr(), "line {}: {remark}", number + 1)?;
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

fn pick<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a FileOptions, Failure> {
    let files = config
        .sources
        .iter()
        .filter(|source| name.is_none_or(|name| source.name() == name));
    let file = files.filter_map(|source| match source {
        SourceOptions::File(file) => Some(file),
        SourceOptions::Host(_) => None,
    });
    file.into_iter().next().ok_or_else(|| {
        let names: Vec<String> = config
            .sources
            .iter()
            .filter(|source| source.kind() == "file")
            .map(SourceOptions::name)
            .collect();
        one(
            "--source",
            format!("no such file source; there are: {}", names.join(", ")),
        )
    })
}
