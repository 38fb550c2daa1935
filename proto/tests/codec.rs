//! The columnar codec from outside: lossless, bounded, and readable for ever.

#[path = "codec/golden.rs"]
mod golden;
#[path = "codec/hostile.rs"]
mod hostile;
#[path = "codec/json.rs"]
mod json;
#[path = "codec/lossless.rs"]
mod lossless;
#[path = "codec/lookup.rs"]
mod lookup;
#[path = "codec/rejection.rs"]
mod rejection;
