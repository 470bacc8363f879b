#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dana_failover_fuzz::trail::run(data));
