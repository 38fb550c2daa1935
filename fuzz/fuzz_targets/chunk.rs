//! See `streamflow_fuzz::chunk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| streamflow_fuzz::chunk(data));
