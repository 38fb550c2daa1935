//! `tap`

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use streamflow_proto::bitmap::Bitmap;
use streamflow_proto::frame::Frame;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Common;
use super::output::Failure;
use super::run;
use crate::batch::Sink;
use crate::config::{LogOptions, SourceOptions};
use crate::pipeline::Sources;
use crate::source::file::ReadFrom;
use crate::spool::inbox::{Block, Closed};

#[derive(Debug, Args)]
pub struct TapArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Stop after this many events.
    #[arg(short = 'n', long)]
    limit: Option<u64>,
    /// Begin with what is in the files already.
    #[arg(long)]
    from_beginning: bool,
}

/// Prints events until Ctrl-C or the limit.
pub fn tap(args: &TapArgs) -> Result<(), Failure> {
    let mut config = args.common.load()?;
    for source in &mut config.sources {
        if let SourceOptions::File(file) = source {
            file.read_from = if args.from_beginning {
                ReadFrom::Beginning
            } else {
                ReadFrom::End
            };
        }
    }
    // A source that waits, for a transform or for a file that it may not read, would look like one without events.
    run::log(&LogOptions {
        level: "warn".to_owned(),
        format: config.log.format,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut interrupt = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let done = CancellationToken::new();
    let printer = Printer {
        left: AtomicU64::new(args.limit.unwrap_or(u64::MAX)),
        done: done.clone(),
    };
    let give_up = CancellationToken::new();
    let sources = Sources::run(&config, Arc::new(printer), &give_up)?;
    runtime.block_on(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            () = done.cancelled() => {}
        }
        give_up.cancel();
        // A second Ctrl-C ends it at once, whatever a source still does.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = tokio::task::spawn_blocking(move || sources.stop()) => {}
        }
    });
    runtime.shutdown_background();
    Ok(())
}

/// Prints each event as one line of JSON.
struct Printer {
    left: AtomicU64,
    done: CancellationToken,
}

impl Sink for Printer {
    fn append(&self, block: Block) -> Result<(), Closed> {
        let Some(frame) = block.frame else { return Ok(()) };
        let left = self.left.load(Ordering::Relaxed);
        match print(&frame, left) {
            Ok(printed) => {
                self.left.store(left - printed, Ordering::Relaxed);
                if left > printed {
                    return Ok(());
                }
            }
            // The reader of a pipe went away.
            Err(error) => tracing::debug!(%error, "cannot print"),
        }
        self.done.cancel();
        Err(Closed)
    }
}

/// Prints up to `limit` events of a frame; answers how many.
pub(super) fn print(frame: &Frame, limit: u64) -> io::Result<u64> {
    let batch = frame.decode().map_err(io::Error::other)?;
    let events = batch
        .events(&Bitmap::new(batch.len(), true))
        .map_err(io::Error::other)?;
    let mut out = io::stdout().lock();
    let mut printed = 0;
    for event in events.iter().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        serde_json::to_writer(&mut out, event)?;
        out.write_all(b"\n")?;
        printed += 1;
    }
    out.flush()?;
    Ok(printed)
}
