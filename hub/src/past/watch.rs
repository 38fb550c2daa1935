//! A place among those that run, and the answer as lines while it runs.

use std::{
    future::Future,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use streamflow_model::Instant;
use streamflow_storage::Scanned;
use streamflow_web::{ApiError, ApiResult};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{
    Past,
    backtest::{self, Asked, PagingAsked, Progress, Report},
    routes::refused,
};

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_millis(250);
/// Lines that may wait for a slow reader; newer progress is dropped then.
const LINES: usize = 16;
const NDJSON: &str = "application/x-ndjson";

/// A place among those that run; counts how it ended when it is given back.
pub(super) struct Place {
    past: Past,
    outcome: &'static str,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Takes one.
    ///
    /// # Errors
    /// 429 when none is free.
    pub(super) fn take(past: &Past) -> ApiResult<Self> {
        let Ok(permit) = past.slots.clone().try_acquire_owned() else {
            past.meters.runs.with_label_values(&["refused"]).inc();
            let message = format!(
                "{} backtests run already, which is as many as may; try again when one has ended",
                super::AT_ONCE
            );
            return Err(ApiError::too_many(5).with_message(message));
        };
        past.meters.running.inc();
        Ok(Self {
            past: past.clone(),
            outcome: "cancelled",
            _permit: permit,
        })
    }

    /// It came to its end.
    pub(super) const fn ended(&mut self, well: bool) {
        self.outcome = if well { "done" } else { "failed" };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.past.meters.running.dec();
        self.past.meters.runs.with_label_values(&[self.outcome]).inc();
    }
}

/// Whether the caller wants lines.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|list| list.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == NDJSON))
}

/// Something that runs over the past and can be watched.
pub(super) trait Run: Send + Sized + 'static {
    /// Its answer.
    type Report: Serialize + Send;

    /// Where it begins, of event time.
    fn begin(&self) -> Instant;

    /// Runs it; `on_progress` hears of every part.
    fn run(
        self,
        past: &Past,
        on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> impl Future<Output = ApiResult<(Self::Report, Scanned)>> + Send;
}

/// A backtest of one rule.
pub(super) struct Single {
    pub(super) asked: Asked,
    pub(super) paging: Option<PagingAsked>,
}

impl Run for Single {
    type Report = Report;

    fn begin(&self) -> Instant {
        self.asked.from
    }

    async fn run(
        self,
        past: &Past,
        on_progress: impl FnMut(Progress) -> ControlFlow<()> + Send + 'static,
    ) -> ApiResult<(Report, Scanned)> {
        let Self { asked, paging } = self;
        let run = backtest::run(&past.options, past.store.as_ref(), asked, paging, on_progress);
        let report = run.await.map_err(refused)?;
        let scanned = report.scanned;
        Ok((report, scanned))
    }
}

/// Runs it and answers when it is over. It ends when the caller goes, because this future is dropped then.
pub(super) async fn answer(past: &Past, mut place: Place, run: impl Run) -> ApiResult<Response> {
    let work = run.run(past, |_| ControlFlow::Continue(()));
    let report = tokio::select! {
        report = work => report,
        () = past.stop.cancelled() => return Err(ApiError::unavailable(5)),
    };
    place.ended(report.is_ok());
    let (report, scanned) = report?;
    past.meters.events.inc_by(scanned.events);
    Ok(axum::Json(report).into_response())
}

/// Runs it beside the answer, which gets a line of progress now and then, and the result as the last line.
pub(super) fn lines(past: &Past, place: Place, run: impl Run) -> Response {
    let (sender, receiver) = mpsc::channel::<Bytes>(LINES);
    tokio::spawn(work(past.clone(), place, run, sender));
    let body = stream::unfold(receiver, |mut receiver| async move {
        let line = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(line), receiver))
    });
    // Compressed lines would wait in the compressor.
    let headers = [(header::CONTENT_TYPE, NDJSON), (header::CONTENT_ENCODING, "identity")];
    (headers, Body::from_stream(body)).into_response()
}

async fn work(past: Past, mut place: Place, run: impl Run, sender: mpsc::Sender<Bytes>) {
    let newest = Arc::new(Mutex::new(Progress::begin(run.begin())));
    let seen = Arc::clone(&newest);
    let note = move |progress: Progress| {
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        ControlFlow::Continue(())
    };
    let run = run.run(&past, note);
    tokio::pin!(run);
    let mut ticks = tokio::time::interval(PAUSE);
    let result = loop {
        tokio::select! {
            result = &mut run => break result,
            // Dropping the run ends it.
            () = sender.closed() => return,
            () = past.stop.cancelled() => return,
            _ = ticks.tick() => {
                let progress = *newest.lock().unwrap_or_else(PoisonError::into_inner);
                let mut line = serde_json::to_value(progress).unwrap_or_default();
                line["type"] = Value::from("progress");
                // A reader that is slow hears less of it.
                drop(sender.try_send(line_of(&line)));
            }
        }
    };
    place.ended(result.is_ok());
    let line = match result {
        Ok((report, scanned)) => {
            past.meters.events.inc_by(scanned.events);
            let mut line = serde_json::to_value(report).unwrap_or_default();
            line["type"] = Value::from("result");
            line
        }
        Err(error) => json!({"type": "error", "status": error.status().as_u16(), "message": error.to_string()}),
    };
    drop(sender.send(line_of(&line)).await);
}

fn line_of(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}
