//! Reads `table.md`, the claim's whole machine. Nothing here knows the engine's own transitions:
//! words become predicates and results, and every word that is not known is a mistake.

const TEXT: &str = include_str!("table.md");

const STATES: [&str; 8] =
    ["absent", "in flight", "settled", "rejected", "in doubt", "failed", "cancelled", "refunded"];
const EVENTS: [&str; 18] = [
    "time",
    "200xx00",
    "NO",
    "not known",
    "5003800",
    "doubtful",
    "never sent",
    "success",
    "pending",
    "failed",
    "cancelled",
    "refunded",
    "not found",
    "executed at g",
    "not executed",
    "again",
    "again unkept",
    "sent",
];

/// What must be true of a record, an event and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    LastAttempt,
    OneSpoken,
    SpokenIsOne,
    AfterNo,
    LeaseOver,
    RepeatOver,
    RepeatRuns,
    TellerIsOne,
    Alone,
    AskedBeforeTheEnd,
    AskedBeforeTheChange,
    Said,
    SpokenMeetsThem,
    SharedLedger,
    OneOfSeveral,
    SettledDown,
    Noted,
    NotedByTeller,
    NotedBySpoken,
    LongNoted,
    Same,
    Rested,
    Young,
}

/// Gateways by their part in the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Them,
    ThemWithoutTeller,
    ThemWithoutSpoken,
    Teller,
    Spoken,
}

/// When the last attempt ended, as far as the result says so anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Now,
    AsBefore,
    WithItsLease,
    WithItsRepeat,
}

/// What becomes of the record, or of a request for the same payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Becomes {
    Stays,
    Contradicted,
    /// And a repeat has ended.
    ContradictedAsBefore,
    /// A repeat has ended, and nothing else.
    AsBefore,
    Released,
    Settled(Who),
    SaidSettled(Who),
    Overturned(Who),
    OverturnedBySaying(Who),
    Rejected(Who),
    Failed(Who),
    Cancelled(Who),
    Refunded(Who),
    InDoubt(Who, Ended),
    /// Whatever ran is over, and nothing else changes.
    InDoubtAsBefore,
    Noted(Who),
    InFlight,
    InFlightAfterNo,
    RepeatRuns,
    InProgress,
    InProgressRepeat,
    Executed,
    ExecutedRepeat,
    InProgressUnknown,
    Replay,
    Mismatch,
    Retry,
    Repeat,
    Unknown,
    Closed,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Each with what it must be.
    when: Vec<(Condition, bool)>,
    pub(crate) becomes: Becomes,
    /// As it stands in the file.
    pub(crate) text: String,
}

/// All lines.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
    /// The lines of each state and event, by their places.
    cells: Vec<Vec<usize>>,
}

impl Table {
    pub(crate) fn read() -> Self {
        let mut table =
            Self { rows: Vec::new(), cells: vec![Vec::new(); STATES.len() * EVENTS.len()] };
        let mut state = "";
        for (number, line) in TEXT.lines().enumerate() {
            if let Some(name) = line.strip_prefix("## ") {
                state = name.trim();
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, events, when, becomes, _] = cells.as_slice() else {
                continue;
            };
            if *events == "event" || events.starts_with("---") {
                continue;
            }
            for event in words(events) {
                table.cells[cell(state, event)].push(table.rows.len());
            }
            table.rows.push(Row {
                when: words(when).map(condition).collect(),
                becomes: result(becomes),
                text: format!("table.md:{}: {state} {line}", number + 1),
            });
        }
        table
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The one row of `state` and `event` whose conditions hold, and its place.
    pub(crate) fn row(
        &self,
        state: &str,
        event: &str,
        holds: impl Fn(Condition) -> bool,
    ) -> (usize, &Row) {
        let places = self.cells[cell(state, event)].iter().map(|at| (*at, &self.rows[*at]));
        let mut fitting =
            places.filter(|(_, row)| row.when.iter().all(|(c, wanted)| holds(*c) == *wanted));
        let found = fitting.next().unwrap_or_else(|| panic!("no row for {state} x {event}"));
        let second = fitting.next().map(|(_, row)| &row.text);
        assert_eq!(second, None, "two rows for {state} x {event}: {}", found.1.text);
        found
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn cell(state: &str, event: &str) -> usize {
    let place = |names: &[&str], name: &str| {
        let place = names.iter().position(|known| *known == name);
        place.unwrap_or_else(|| panic!("table.md: {name:?} is neither a state nor an event"))
    };
    place(&STATES, state) * EVENTS.len() + place(&EVENTS, event)
}

fn condition(text: &str) -> (Condition, bool) {
    let (word, wanted) = text.strip_prefix("not ").map_or((text, true), |word| (word, false));
    let condition = match word {
        "last attempt" => Condition::LastAttempt,
        "one spoken" => Condition::OneSpoken,
        "spoken is one of them" => Condition::SpokenIsOne,
        "after a NO" => Condition::AfterNo,
        "lease over" => Condition::LeaseOver,
        "repeat over" => Condition::RepeatOver,
        "repeat runs" => Condition::RepeatRuns,
        "g is one of them" => Condition::TellerIsOne,
        "alone" => Condition::Alone,
        "asked before the end" => Condition::AskedBeforeTheEnd,
        "said" => Condition::Said,
        "meets them" => Condition::SpokenMeetsThem,
        "shared ledger" => Condition::SharedLedger,
        "asked before the change" => Condition::AskedBeforeTheChange,
        "one of several" => Condition::OneOfSeveral,
        "settled down" => Condition::SettledDown,
        "noted" => Condition::Noted,
        "noted by g" => Condition::NotedByTeller,
        "noted by spoken" => Condition::NotedBySpoken,
        "long noted" => Condition::LongNoted,
        "the same" => Condition::Same,
        "rested" => Condition::Rested,
        "young" => Condition::Young,
        other => panic!("table.md: the condition {other:?} means nothing"),
    };
    (condition, wanted)
}

fn who(text: &str) -> Who {
    match text {
        "them" => Who::Them,
        "them without g" => Who::ThemWithoutTeller,
        "them without spoken" => Who::ThemWithoutSpoken,
        "g" => Who::Teller,
        "spoken" => Who::Spoken,
        other => panic!("table.md: {other:?} names nobody"),
    }
}

fn result(text: &str) -> Becomes {
    if let Some((state, by)) = text.split_once(" by ") {
        let by = who(by);
        return match state {
            "settled" => Becomes::Settled(by),
            "said settled" => Becomes::SaidSettled(by),
            "overturned: settled" => Becomes::Overturned(by),
            "overturned: said settled" => Becomes::OverturnedBySaying(by),
            "rejected" => Becomes::Rejected(by),
            "failed" => Becomes::Failed(by),
            "cancelled" => Becomes::Cancelled(by),
            "refunded" => Becomes::Refunded(by),
            "noted" => Becomes::Noted(by),
            other => panic!("table.md: {other:?} is no state"),
        };
    }
    if let Some((among, ended)) =
        text.strip_prefix("in doubt among ").and_then(|t| t.split_once(", ended "))
    {
        let ended = match ended {
            "now" => Ended::Now,
            "as before" => Ended::AsBefore,
            "with its lease" => Ended::WithItsLease,
            "with its repeat" => Ended::WithItsRepeat,
            other => panic!("table.md: ended {other:?}"),
        };
        return Becomes::InDoubt(who(among), ended);
    }
    match text {
        "stays" => Becomes::Stays,
        "contradicted" => Becomes::Contradicted,
        "contradicted, as before the repeat" => Becomes::ContradictedAsBefore,
        "as before the repeat" => Becomes::AsBefore,
        "released" => Becomes::Released,
        "in doubt as before" => Becomes::InDoubtAsBefore,
        "in flight" => Becomes::InFlight,
        "in flight after a NO" => Becomes::InFlightAfterNo,
        "repeat runs" => Becomes::RepeatRuns,
        "in progress until an answer is due" => Becomes::InProgress,
        "in progress, unknown, until an answer is due" => Becomes::InProgressRepeat,
        "executed" => Becomes::Executed,
        "executed, until an answer is due" => Becomes::ExecutedRepeat,
        "in progress, unknown, for as long as a repeat waits" => Becomes::InProgressUnknown,
        "replay" => Becomes::Replay,
        "mismatch" => Becomes::Mismatch,
        "retry" => Becomes::Retry,
        "repeat" => Becomes::Repeat,
        "unknown" => Becomes::Unknown,
        "closed" => Becomes::Closed,
        other => panic!("table.md: the result {other:?} means nothing"),
    }
}
