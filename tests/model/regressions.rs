//! Stories that once went wrong, each as short as it gets. The world itself checks them.

use dana_failover::engine::Entry;

use super::ledger::Deed;
use super::setup::{Kind, Setup};
use super::steps::{Act, Answer, Fate};
use super::world::World;

const EXECUTES: Fate = Fate { refuse: 0, deed: Deed::Execute, answer: Answer::Honest, named: true };

const fn pays(payment: usize, key: usize, fate: Fate) -> Act {
    Act::Through { wish: 0, payment, key, fate }
}

fn play<'a>(setup: &'a Setup, story: &[Act]) -> World<'a> {
    let mut world = World::new(setup);
    for act in story {
        world.act(*act);
    }
    world
}

/// The binding of a payment that was never sent is taken away by its place and its millisecond; a
/// second one of the same payment, claimed within that, loses its own, and with it goes the proof
/// that the header key is used.
#[test]
fn a_binding_survives_the_release_of_an_earlier_one_of_the_same_millisecond() {
    let begins = |worker| Act::Pay { payment: 0, other_amount: false, key: 1, worker };
    let none = Fate { refuse: 2, ..EXECUTES };
    let setup = Setup::new(Kind::HeaderKeys);
    play(
        &setup,
        &[
            begins(0),
            Act::Finish { run: 0 },
            // Nobody can be connected to: its claim goes, and then another worker claims.
            Act::Deliver { run: 0, fate: none },
            Act::Step { run: 0 },
            Act::Step { run: 0 },
            begins(1),
            Act::Finish { run: 1 },
            Act::Finish { run: 0 },
            Act::Deliver { run: 0, fate: EXECUTES },
            Act::Finish { run: 0 },
            // Another payment under the same key.
            pays(3, 1, EXECUTES),
        ],
    );
}

/// A payment that was refused is sent again under its header key, while that is taken by another
/// one: who retried wrote no binding, and so never lost that race.
#[test]
fn a_retry_notices_that_its_header_key_was_taken_meanwhile() {
    let refused = Fate { deed: Deed::Refuse, ..EXECUTES };
    let setup = Setup::new(Kind::HeaderKeys);
    play(
        &setup,
        &[
            pays(0, 1, refused),
            Act::Pay { payment: 0, other_amount: false, key: 1, worker: 1 },
            // It reads health and what its key leads to.
            Act::Step { run: 0 },
            Act::Step { run: 0 },
            pays(3, 1, EXECUTES),
            Act::Finish { run: 0 },
        ],
    );
}

/// A payment whose outcome is unknown comes again under a header key that is another one's. The
/// code of a mismatch reads as failed.
#[test]
fn a_header_key_denies_no_payment_that_may_be_charged() {
    let setup = Setup::new(Kind::HeaderKeys);
    let timeout = Fate { answer: Answer::Timeout, ..EXECUTES };
    play(&setup, &[pays(3, 0, timeout), pays(0, 1, EXECUTES), pays(3, 1, EXECUTES)]);
}

/// Two gateways may have a payment, and the first one is away when its status is asked for. Where
/// they share a ledger only the first healthy one was asked: what the second one had said was never
/// said again, and nobody else's "not found" counted.
#[test]
fn with_a_shared_ledger_what_is_in_doubt_can_be_resolved_by_asking() {
    let setup = Setup::new(Kind::SharedLedger { lag: 0 });
    let asks = Act::Through { wish: 1, payment: 0, key: 0, fate: EXECUTES };
    let away = Fate { refuse: 1, ..EXECUTES };
    let lost = Fate { deed: Deed::Refuse, answer: Answer::Timeout, named: false, ..EXECUTES };
    let mut world = play(
        &setup,
        &[
            pays(0, 0, lost),
            Act::Pass { millis: 60_000 },
            // The first one cannot be connected to, and is not asked.
            pays(1, 0, away),
            pays(2, 0, away),
            asks,
            Act::Pass { millis: 60_000 },
            // It is back.
            pays(3, 0, EXECUTES),
        ],
    );
    world.settle_down();
    let Entry::Claim(claim) = world.find(0) else {
        panic!("its claim stays");
    };
    assert!(claim.is_resolved(), "however often it is asked for: {claim:?}");
}
