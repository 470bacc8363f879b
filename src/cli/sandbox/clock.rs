//! The sandbox's clock, in the one form SNAP allows: `YYYY-MM-DDTHH:mm:ss+07:00`.

use std::time::{SystemTime, UNIX_EPOCH};

/// SNAP demands GMT+7 whatever the machine's own zone is.
const JAKARTA_OFFSET_SECONDS: u64 = 7 * 3600;
const DAY_SECONDS: u64 = 86_400;

/// The present moment as SNAP writes it.
pub(super) fn timestamp() -> String {
    timestamp_after(0)
}

/// So many seconds from now, or before.
pub(super) fn timestamp_after(seconds: i64) -> String {
    format(unix_seconds().saturating_add_signed(seconds))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the command line tool is native only, where the system has a clock"
)]
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Days to a civil date after Howard Hinnant's `civil_from_days`, for dates after 1970.
fn format(unix_seconds: u64) -> String {
    let local = unix_seconds.saturating_add(JAKARTA_OFFSET_SECONDS);
    let (days, seconds) = (local / DAY_SECONDS, local % DAY_SECONDS);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+07:00")
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn a_moment_is_written_in_gmt_plus_seven() {
        assert_eq!(format(0), "1970-01-01T07:00:00+07:00");
        assert_eq!(format(951_782_399), "2000-02-29T06:59:59+07:00");
        assert_eq!(format(1_795_364_259), "2026-11-22T23:17:39+07:00");
    }
}
