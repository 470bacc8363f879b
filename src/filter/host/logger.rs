//! Where `log`'s macros write: Envoy's log.

use super::envoy::write_log;

/// Before every line, so that it is found among Envoy's own. It stands here and nowhere else.
const PREFIX: &str = "dana: ";

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Trace => 0,
            log::Level::Debug => 1,
            log::Level::Info => 2,
            log::Level::Warn => 3,
            log::Level::Error => 4,
        };
        write_log(level, &format!("{PREFIX}{}", record.args()));
    }

    fn flush(&self) {}
}

/// Makes `log`'s macros write to Envoy's log.
pub(in crate::filter) fn install() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
}
