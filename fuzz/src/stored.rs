//! Values of the shared store that somebody else wrote: another version, another plugin, a fault.
//!
//! The first byte says which value it is, the rest is the value.

use dana_failover::engine::Health;
use dana_failover::engine::Timestamp;
use dana_failover::engine::{Body, Origin, Response};
use dana_failover::engine::{Bucket, Cell, Census, Entry, Layout};
use dana_failover::engine::{Config, Policy};

use super::world::{CREATE, Run, World};

const ORDER: &str =
    r#"{"merchantId":"m","partnerReferenceNo":"r-1","amount":{"value":"1.00","currency":"IDR"}}"#;
const OK: &str =
    r#"{"responseCode":"2005400","responseMessage":"Successful","partnerReferenceNo":"r-1"}"#;

/// # Panics
/// Where a value does not read back as itself, a payment is sent over a store that cannot be read,
/// or an unresolved claim is lost.
pub fn run(data: &[u8]) {
    let Some((kind, value)) = data.split_first() else {
        return;
    };
    match kind % 5 {
        0 => layout(value),
        1 => health(value),
        2 => claims(value),
        3 => body(value),
        _ => census(value),
    }
}

fn pay(world: &mut World) -> Run {
    let headers = [(":method", "POST"), (":path", CREATE), ("x-partner-id", "p")];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    world.ask(&headers, ORDER.as_bytes(), &[])
}

fn settle(world: &mut World, run: &mut Run) {
    let evidence =
        Response { origin: Origin::Upstream, status: 200, body: Body::Complete(OK.as_bytes()) };
    world.answer(run, evidence, "primary");
}

fn layout(value: &[u8]) {
    let Ok(mut layout) = Layout::decode(value) else {
        return;
    };
    assert_eq!(Layout::decode(&layout.encode()), Ok(layout.clone()));
    // Number of buckets, seed: another one, and every claim is looked for elsewhere.
    assert!(layout.encode().get(1..21) == value.get(1..21), "its places are others");
    let config: &Config = &World::new().policy.config;
    // Whatever stands there, it fits or it is refused.
    let _ = Policy::over(config.clone(), &layout);
    let _ = Policy::join(config.clone(), &mut layout, Timestamp::default());
}

fn health(value: &[u8]) {
    if let Some(health) = Health::read(value) {
        assert_eq!(Health::read(&health.encode()).as_ref(), Some(&health));
    }
    let mut world = World::new();
    world.store.put(Cell::Health, value.to_vec());
    let mut run = pay(&mut world);
    if run.is_sent() {
        settle(&mut world, &mut run);
        assert!(run.relayed, "a payment that was executed is told");
    }
}

fn claims(value: &[u8]) {
    let before = Bucket::decode(value.to_vec());
    if let Some(bucket) = &before {
        assert_eq!(bucket.clone().into_bytes(), value, "what is read is all there is");
    }
    let mut world = World::new();
    world.store.put(Cell::Claims(0), value.to_vec());
    let mut run = pay(&mut world);
    if run.is_sent() {
        settle(&mut world, &mut run);
    }
    let after = Bucket::decode(world.store.load(Cell::Claims(0)).bytes);
    let Some(before) = before else {
        assert!(!run.is_sent() && after.is_none(), "over a bucket that cannot be read");
        return;
    };
    let after = after.expect("what was readable stays so");
    let own = run.notes.first().and_then(|note| note.key).map(|key| key.to_string());
    let own = own.unwrap_or_default();
    for (key, entry) in before.entries() {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let unresolved = match entry {
            Entry::Claim(claim) => !claim.is_resolved(),
            Entry::Unreadable => true,
            Entry::Absent | Entry::Alias(_) => false,
        };
        // One that lies ahead counts as changed now, and as nothing else.
        let mended = match entry {
            Entry::Claim(claim) => {
                claim.mended(world.time(), &world.policy.claims).map(Entry::Claim)
            }
            Entry::Absent | Entry::Unreadable | Entry::Alias(_) => None,
        };
        let is_it = |kept| kept == entry || Some(kept) == mended;
        if unresolved && !own.starts_with(&hex) {
            assert!(after.entries().any(|(other, kept)| other == key && is_it(kept)), "lost");
        }
    }
}

fn body(value: &[u8]) {
    let mut world = World::new();
    let mut run = pay(&mut world);
    settle(&mut world, &mut run);
    let place = world.store.cells().find(|cell| matches!(cell, Cell::Body(_)));
    world.store.put(place.expect("an answer is kept"), value.to_vec());
    let again = pay(&mut world);
    // Whoever executed it may be asked for its answer, and nobody else.
    let asks = again.is_sent() && again.cluster(&world) == Some("dana_primary");
    assert!(asks || again.replies.len() == 1, "executed is executed");
}

fn census(value: &[u8]) {
    if let Some(census) = Census::decode(value) {
        assert_eq!(Census::decode(&census.encode()).as_ref(), Some(&census));
    }
}
