//! One Envoy, two gateways, and all cells of a table on them.

use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::cell::Cell;
use super::{Column, Row};
use crate::support::envoy::{Envoy, quick, rendered, trapping, with};
use crate::support::sandbox::Sandbox;

/// How long a claim in flight is believed; far longer than it takes the filter to come back.
pub(super) const LEASE: Duration = Duration::from_millis(6000);
/// From the end of an attempt to its repeat; far more than two requests take one after the other.
pub(super) const REPEAT_AFTER: Duration = Duration::from_millis(2000);
/// Before a "not found" counts, and again before it proves.
pub(super) const SETTLE_DELAY: Duration = Duration::from_millis(2500);

/// How many cells are played at a time: they wait most of their time, but all begin at once.
const CELLS_MAX: usize = 27;

/// Where a table is played.
pub(super) struct World {
    pub(super) sandbox: Sandbox,
    pub(super) envoy: Envoy,
    traps: bool,
}

fn settings(changes: &Value) -> Value {
    let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap();
    let delays = json!({
        "idempotency": {
            "lease_ms": millis(LEASE),
            "repeat_after_ms": millis(REPEAT_AFTER),
            "settle_delay_ms": millis(SETTLE_DELAY),
        },
        // An answer of a busy machine is none that did not come.
        "timeouts": {"response_ms": 2500, "inquiry_ms": 2500},
        // A gateway that refuses for a while is to stay the first one.
        "heartbeat": {"fall": 100, "stale_ms": 60_000},
    });
    with(with(quick(), &delays), changes)
}

impl World {
    pub(super) fn start() -> Self {
        let sandbox = Sandbox::start();
        let envoy = Envoy::start(&rendered(&sandbox, &settings(&json!({}))));
        Self { sandbox, envoy, traps: false }
    }

    /// With the filter that dies on demand.
    pub(super) fn start_trapping(changes: &Value) -> Self {
        let sandbox = Sandbox::start();
        let envoy = Envoy::start(&trapping(&sandbox, &settings(changes)));
        Self { sandbox, envoy, traps: true }
    }

    /// Plays every row against every column, and fails with a list of the cells that went wrong.
    pub(super) fn play(&self, rows: &[Row], columns: &[Column]) {
        let cells: Vec<Cell<'_>> = rows
            .iter()
            .flat_map(|row| columns.iter().map(move |column| (row, column)))
            .map(|(row, column)| Cell::new(self, row, column))
            .collect();
        let results = Mutex::new(vec![Ok(()); cells.len()]);
        let all = |wanted: fn(&Cell<'_>) -> bool, step: Step| {
            let wanted = cells.iter().enumerate().filter(|(_, cell)| wanted(cell));
            together(wanted, &results, step);
        };
        let one_by_one = |gateway: &str| {
            for cell in cells.iter().enumerate().filter(|(_, cell)| cell.at() == gateway) {
                together([cell].into_iter(), &results, |cell| cell.first());
            }
        };

        if self.traps {
            // A death costs every request in flight.
            one_by_one("primary");
            self.sandbox.fault("primary", &json!({"fault": "refuse"}));
            one_by_one("secondary");
            self.sandbox.heal("primary");
            all(|cell| !cell.is_refused(), |cell| cell.next_step().and_then(|()| cell.end()));
        } else {
            all(|cell| !cell.is_refused(), |cell| cell.whole());
            all(|cell| cell.is_refused(), |cell| cell.first());
        }
        // Nobody else may need the primary now.
        self.sandbox.fault("primary", &json!({"fault": "refuse"}));
        all(|cell| cell.is_refused(), |cell| cell.next_step());
        self.sandbox.heal("primary");
        all(|cell| cell.is_refused(), |cell| cell.end());

        let results = results.into_inner().unwrap();
        let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
        let (bad, all) = (wrong.len(), cells.len());
        assert!(wrong.is_empty(), "{bad} of {all} cells:\n\n{}", wrong.join("\n"));
        assert_eq!(self.sandbox.ledger()["executed_at_both"], 0);
    }
}

/// What became of a cell: its story, if it went wrong.
type Outcome = Result<(), String>;
type Step = fn(&Cell<'_>) -> Outcome;

/// Takes one step with all these cells at a time, but for those that went wrong before.
fn together<'a, 'b: 'a>(
    cells: impl Iterator<Item = (usize, &'a Cell<'b>)> + Send,
    results: &Mutex<Vec<Outcome>>,
    step: Step,
) {
    let waiting = Mutex::new(cells);
    std::thread::scope(|scope| {
        for _ in 0..CELLS_MAX {
            scope.spawn(|| {
                loop {
                    let Some((number, cell)) = waiting.lock().unwrap().next() else {
                        return;
                    };
                    let is_well = results.lock().unwrap()[number].is_ok();
                    if is_well {
                        let outcome = take(cell, step);
                        results.lock().unwrap()[number] = outcome;
                    }
                }
            });
        }
    });
}

/// Takes a step. A helper that gives up panics; that ends this cell and not the table.
fn take(cell: &Cell<'_>, step: Step) -> Outcome {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(cell)));
    let outcome = outcome.unwrap_or_else(|panic| Err(reason(panic.as_ref())));
    outcome.map_err(|what| cell.story(&what))
}

fn reason(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}
