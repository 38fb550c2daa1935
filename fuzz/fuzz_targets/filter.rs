//! See `streamflow_fuzz::filter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamflow_fuzz::filter(data));
