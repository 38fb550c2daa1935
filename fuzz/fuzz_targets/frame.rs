//! See `streamflow_fuzz::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamflow_fuzz::frame(data));
