//! A CloudEvent 1.0 in structured mode: one JSON document with the Alertmanager message as its data.

use serde::Serialize;
use streamflow_sdk::{Failure, Notice, http::Request, message as words};

use crate::message::{Message, rfc3339};

#[derive(Serialize)]
pub(crate) struct CloudEvent<'a> {
    specversion: &'static str,
    /// The same over all attempts, as `id` and `source` together have to be.
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a Message<'a>,
}

impl<'a> CloudEvent<'a> {
    pub(crate) fn of(notice: &'a Notice, data: &'a Message<'a>) -> Self {
        let what = if notice.test {
            "test"
        } else {
            words::state(notice.state)
        };
        Self {
            specversion: "1.0",
            id: &notice.idempotency_key,
            // A URI reference, and never empty.
            source: if notice.external_url.is_empty() {
                "/streamflow"
            } else {
                &notice.external_url
            },
            kind: format!("streamflow.alert.{what}"),
            subject: &notice.key,
            time: rfc3339(notice.at),
            datacontenttype: "application/json",
            data,
        }
    }

    pub(crate) fn put_in(&self, mut request: Request) -> Result<Request, Failure> {
        request.body = serde_json::to_vec(self).map_err(|error| Failure::Permanent(error.to_string()))?;
        Ok(request.header("content-type", "application/cloudevents+json; charset=utf-8"))
    }
}
