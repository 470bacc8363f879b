//! What is demanded of the graph. Each rule gives what breaks it, for people to read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::graph::{Arrow, ENGINE, Graph, room};

pub(super) const ROOMS_MAX: usize = 16;
pub(super) const FLOORS_MAX: usize = 9;

/// Rooms that stand level, from the ground up.
struct Level {
    rooms: &'static [&'static str],
    /// They do not name each other.
    apart: bool,
}

/// Who may name whom: each room those of the levels below its own.
const LEVELS: [Level; 7] = [
    Level { rooms: &["time", "gateway", "limits", "codec", "machine"], apart: false },
    Level { rooms: &["payment", "health", "audit"], apart: true },
    Level { rooms: &["protocol"], apart: true },
    Level { rooms: &["store"], apart: true },
    Level { rooms: &["config"], apart: true },
    Level { rooms: &["event", "metrics"], apart: false },
    Level { rooms: &["exchange", "tick", "admin"], apart: true },
];

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|level| level.rooms.contains(&room))
}

/// More rooms than anybody keeps in mind, or one that nobody has said where it stands.
pub(super) fn rooms(graph: &Graph) -> Vec<String> {
    let mut wrong = Vec::new();
    if graph.rooms.len() > ROOMS_MAX {
        let (many, names) = (graph.rooms.len(), Vec::from_iter(graph.rooms.clone()).join(" "));
        wrong.push(format!("{many} rooms, more than {ROOMS_MAX}: {names}"));
    }
    let strangers = graph.rooms.iter().filter(|room| level(room).is_none());
    wrong
        .extend(strangers.map(|room| format!("the room `{room}` is on no level: LEVELS lacks it")));
    wrong
}

/// Arrows up, and those between rooms that stand apart. The door of all is above all.
pub(super) fn against_the_direction(graph: &Graph) -> Vec<Arrow> {
    let is_wrong = |arrow: &&Arrow| {
        let Some(from) = room(&arrow.from) else { return false };
        let Some(to) = room(&arrow.to) else { return arrow.to == ENGINE };
        let (Some(below), Some(above)) = (level(from), level(to)) else { return false };
        let apart = LEVELS.get(below).is_some_and(|level| level.apart);
        from != to && (above > below || (above == below && apart))
    };
    graph.arrows.iter().filter(is_wrong).cloned().collect()
}

/// Arrows that are part of a cycle between files: what they lead to leads back. An arrow against the
/// direction is told by its own rule, and left out here with all that it closes.
pub(super) fn on_a_cycle(graph: &Graph) -> Vec<Arrow> {
    let along = along_the_direction(graph);
    let ways = Ways::of(along.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str())));
    let closes = |arrow: &&Arrow| ways.way(&arrow.to, &arrow.from).is_some();
    along.iter().filter(closes).cloned().collect()
}

/// The shortest way back from an arrow's head to its tail, if there is one.
pub(super) fn way_back(graph: &Graph, arrow: &Arrow) -> Option<String> {
    let all = graph.arrows.iter().map(|arrow| (arrow.from.as_str(), arrow.to.as_str()));
    Some(Ways::of(all).way(&arrow.to, &arrow.from)?.join(" -> "))
}

fn along_the_direction(graph: &Graph) -> Vec<Arrow> {
    let against = against_the_direction(graph);
    graph.arrows.iter().filter(|arrow| !against.contains(arrow)).cloned().collect()
}

/// Rooms that name each other in a ring, be it by different files: pairs that are part of one. The
/// same arrows are left out.
pub(super) fn rooms_in_a_ring(graph: &Graph) -> Vec<String> {
    let along = along_the_direction(graph);
    let pairs = between_rooms(&along);
    let ways = Ways::of(pairs.iter().copied());
    let closing = pairs.iter().filter(|(from, to)| ways.way(to, from).is_some());
    closing.map(|(from, to)| format!("{from} -> {to}")).collect()
}

fn between_rooms(arrows: &[Arrow]) -> BTreeSet<(&str, &str)> {
    let pairs = arrows.iter().filter_map(|arrow| room(&arrow.from).zip(room(&arrow.to)));
    pairs.filter(|(from, to)| from != to).collect()
}

/// More floors than are allowed. Rooms in a ring count as one, and the same arrows are left out.
pub(super) fn floors(graph: &Graph) -> Vec<String> {
    let along = along_the_direction(graph);
    let pairs = between_rooms(&along);
    let all = Ways::of(pairs.iter().copied());
    let in_ring = |room, other| all.way(room, other).is_some() && all.way(other, room).is_some();
    // A ring goes by the name of its first room.
    let ring = |room| graph.rooms.iter().find(|other| in_ring(room, other)).map_or(room, |one| one);
    let rings = pairs.iter().map(|(from, to)| (ring(from), ring(to)));
    let down = Ways::of(rings.filter(|(from, to)| from != to));
    let longest = graph.rooms.iter().map(|room| down.longest(ring(room))).max_by_key(Vec::len);
    let longest = longest.unwrap_or_default();
    let many = longest.len();
    let told = format!("{many} floors, more than {FLOORS_MAX}: {}", longest.join(" -> "));
    (many > FLOORS_MAX).then_some(told).into_iter().collect()
}

/// What leads where.
struct Ways<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Ways<'a> {
    fn of(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut ways = Self(BTreeMap::new());
        for (from, to) in pairs {
            ways.0.entry(from).or_default().insert(to);
        }
        ways
    }

    fn next(&self, from: &str) -> impl Iterator<Item = &'a str> {
        self.0.get(from).into_iter().flatten().copied()
    }

    /// The shortest way, both ends included.
    fn way(&self, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
        let mut came_from = BTreeMap::from([(from, from)]);
        let mut open = VecDeque::from([from]);
        while let Some(here) = open.pop_front() {
            if here == to {
                let before =
                    |at: &&'a str| came_from.get(at).copied().filter(|before| before != at);
                let mut way: Vec<&str> = std::iter::successors(Some(here), before).collect();
                way.reverse();
                return Some(way);
            }
            for next in self.next(here) {
                if !came_from.contains_key(next) {
                    came_from.insert(next, here);
                    open.push_back(next);
                }
            }
        }
        None
    }

    /// The longest way from here, where there is no ring.
    fn longest(&self, from: &'a str) -> Vec<&'a str> {
        let below = self.next(from).map(|next| self.longest(next)).max_by_key(Vec::len);
        [from].into_iter().chain(below.unwrap_or_default()).collect()
    }
}
