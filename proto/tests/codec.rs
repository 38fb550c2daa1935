//! The columnar codec from outside: lossless, bounded, and readable for ever.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

#[path = "codec/edit.rs"]
mod edit;
#[path = "codec/golden.rs"]
mod golden;
#[path = "codec/hostile.rs"]
mod hostile;
#[path = "codec/json.rs"]
mod json;
#[path = "codec/lookup.rs"]
mod lookup;
#[path = "codec/lossless.rs"]
mod lossless;
#[path = "codec/rejection.rs"]
mod rejection;
