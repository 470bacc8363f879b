//! A whole request, as a merchant or anybody else may send it, and the same payment once more.

use dana_failover::engine::{Class, Matched};
use serde_json::Value;

use super::text::{Asked, contains};
use super::world::{Run, World};

/// What must never be told or kept; nobody who does not know this line sends it.
const SECRET: &str = "Bearer fd41c0f0b7e94f2fa3c8";

/// # Panics
/// Where a payment would be sent unclaimed or to another gateway than before, is named otherwise
/// when it comes again, or a secret is told or kept.
pub fn run(data: &[u8]) {
    let asked = Asked::read(data);
    let mut world = World::new();
    let mut secrets = vec![("authorization", SECRET), ("x-signature", SECRET)];
    if data.len() % 2 == 1 {
        secrets.push(("authorization-customer", SECRET));
    }
    let class = match world.policy.operations.find(&String::from_utf8_lossy(asked.path)) {
        Matched::Operation(found) => Some(found.operation.class),
        Matched::Unmatched | Matched::Ambiguous => None,
    };
    let moves_money = matches!(class, Some(Class::Charge | Class::FollowUp));
    let headers = asked.headers(&secrets);
    let mut first = world.ask(&headers, asked.body, &[]);
    assert!(first.is_sent() || first.replies.len() == 1, "{} answers", first.replies.len());
    assert!(class.is_some() || !first.is_sent(), "what no operation is was sent");
    if first.is_sent() {
        assert!(!moves_money || first.claimed_before > 0, "sent before it was claimed");
        world.time_out(&mut first, "primary");
        // Whatever was in doubt may be repeated now.
        world.now += 6000;
        let body = respelled(asked.body).unwrap_or_else(|| asked.body.to_vec());
        let second = world.ask(&headers, &body, &[]);
        if moves_money {
            if second.is_sent() {
                assert_eq!(first.idempotency_key(), second.idempotency_key(), "two names");
            } else {
                assert_eq!(first.notes[0].key, second.notes[0].key, "one payment has two names");
            }
            let cluster = second.cluster(&world);
            assert!(matches!(cluster, None | Some("dana_primary")), "sent on to {cluster:?}");
        }
        hides(&second, data);
    }
    hides(&first, data);
    for cell in world.store.cells() {
        let bytes = world.store.load(cell).bytes;
        let is_hidden = contains(data, SECRET.as_bytes()) || !contains(&bytes, SECRET.as_bytes());
        assert!(is_hidden, "{cell:?}");
    }
}

/// The same document with other white space, escapes and order.
fn respelled(body: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(body).ok()?;
    serde_json::to_vec_pretty(&value).ok()
}

/// Nothing that others see shows a secret, unless the sender put it where it is shown.
fn hides(run: &Run, data: &[u8]) {
    let needle = SECRET.as_bytes();
    assert!(contains(data, needle) || !contains(&run.told(), needle), "a secret is told");
}
