//! An audit trail, heads that were published, and what an earlier look has told: three texts, parted by a
//! zero byte.

use dana_failover::cli::audit::verify_bytes;
use dana_failover::engine::AuditEntry;

/// # Panics
/// Where an entry that is taken over from a call is not the same bytes, or a trail that stands there twice
/// is called true.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let [trail, heads, before] = [(); 3].map(|()| parts.next().unwrap_or_default());
    for line in trail.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line);
        if let Some(entry) = AuditEntry::parse(&line) {
            assert_eq!(format!("{{{}}}", entry.as_str()), line, "byte by byte");
        }
    }
    let once = verify_bytes(trail, heads, before);
    let lines = trail.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    assert!(once.entries() <= lines, "{} entries in {lines} lines", once.entries());
    let twice = verify_bytes(&[trail, b"\n", trail].concat(), heads, before);
    assert!(once.entries() == 0 || twice.is_untrue(), "each entry stands there twice");
}
