use serde_json::{Value, json};
use streamflow_sdk::{
    Channel, Failure, State,
    http::Response,
    testing::{self, FakeHost},
};

use crate::Post;

fn channel() -> Post {
    testing::channel(&json!({"url": "https://example.org/hook"})).expect("a channel")
}

#[test]
fn an_alert_is_posted() {
    let host = FakeHost::new();
    let mut notice = testing::notice();
    notice.state = State::Resolved;
    channel().deliver(&notice, 1).expect("delivered");
    let request = &host.requests()[0];
    assert_eq!(request.url, "https://example.org/hook");
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    assert_eq!(body["text"], format!("over: {}", notice.title));
}

#[test]
fn a_busy_receiver_is_tried_again() {
    let host = FakeHost::new();
    host.answer(Response {
        status: 503,
        ..Response::default()
    });
    let failure = channel().deliver(&testing::notice(), 1).expect_err("not delivered");
    assert!(matches!(failure, Failure::Transient { .. }));
}
