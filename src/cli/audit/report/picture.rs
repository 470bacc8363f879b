//! The period as a picture: who was first, how many payments each gateway executed, and when it switched.

use std::fmt::Write as _;

use super::super::story::Story;
use crate::cli::html::escaped;
use crate::engine::{Clock, Timestamp, Zone};

const WIDTH: u64 = 960;
const LEFT: u64 = 110;
const LANE: u64 = 26;
const BARS: u64 = 120;
/// Columns of the bars.
const COLUMNS: u64 = 240;
const COLOURS: [&str; 4] = ["#1f6feb", "#d97706", "#6b7280", "#9333ea"];

/// An SVG that needs nothing else.
pub(super) fn svg(story: &Story, zone: &Zone) -> String {
    let stays = story.stays();
    let mut names: Vec<&str> = stays.iter().map(|stay| stay.gateway.as_str()).collect();
    names.extend(story.gateways.keys().map(String::as_str));
    let mut lanes: Vec<&str> = Vec::new();
    names.into_iter().filter(|name| !name.is_empty()).for_each(|name| {
        if !lanes.contains(&name) {
            lanes.push(name);
        }
    });
    let height = LANE * lanes.len() as u64 + BARS + 50;
    let span = (story.end - story.begin).max(1);
    let x = |at: u64| LEFT + at.saturating_sub(story.begin) * (WIDTH - LEFT - 10) / span;
    let lane = |name: &str| lanes.iter().position(|lane| *lane == name).unwrap_or_default();
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg viewBox='0 0 {WIDTH} {height}' role=img aria-label='who was first for new payments, and how many were executed'>"
    );
    for (place, name) in lanes.iter().enumerate() {
        let y = place as u64 * LANE + 18;
        let _ = write!(svg, "<text x=0 y={y}>{}</text>", escaped(name));
    }
    for stay in &stays {
        let place = lane(&stay.gateway);
        let (left, right) = (x(stay.from), x(stay.to));
        let y = place as u64 * LANE + 6;
        let width = right.saturating_sub(left).max(1);
        let title = escaped(&format!("{} first", stay.gateway));
        let colour = colour(place);
        let _ = write!(
            svg,
            "<rect x={left} y={y} width={width} height=16 fill='{colour}'><title>{title}</title></rect>"
        );
    }
    bars(&mut svg, story, &lanes, LANE * lanes.len() as u64 + 20);
    for switch in story.switches() {
        let at = x(switch.at);
        let bottom = height - 30;
        let time = Clock(Timestamp::from_millis(switch.at), zone);
        let title = escaped(&format!("{time}: {}", switch.sentence()));
        let _ = write!(
            svg,
            "<line x1={at} x2={at} y1=0 y2={bottom} class=switch><title>{title}</title></line>"
        );
    }
    let clock = |at| escaped(&Clock(Timestamp::from_millis(at), zone).to_string());
    let (begin, end, y, right) = (clock(story.begin), clock(story.end), height - 8, WIDTH - 10);
    let _ = write!(
        svg,
        "<text x={LEFT} y={y}>{begin}</text><text x={right} y={y} text-anchor=end>{end}</text></svg>"
    );
    svg
}

/// That of a lane; from the fourth on all have one.
fn colour(lane: usize) -> &'static str {
    COLOURS.get(lane).or(COLOURS.last()).copied().unwrap_or_default()
}

/// Payments that were executed, column by column, those of one gateway above those of another.
fn bars(svg: &mut String, story: &Story, lanes: &[&str], top: u64) {
    let first = story.begin / 60_000;
    let minutes = (story.end / 60_000 - first + 1).max(1);
    let each = minutes.div_ceil(COLUMNS).max(1);
    let mut columns: Vec<Vec<u64>> = Vec::new();
    for (minute, counts) in &story.minutes {
        let column = usize::try_from(minute.saturating_sub(first) / each).unwrap_or_default();
        if columns.len() <= column {
            columns.resize(column + 1, vec![0; lanes.len()]);
        }
        for (name, count) in counts {
            let lane = lanes.iter().position(|lane| lane == name);
            let cell =
                columns.get_mut(column).zip(lane).and_then(|(column, lane)| column.get_mut(lane));
            cell.into_iter().for_each(|cell| *cell += count);
        }
    }
    let most =
        columns.iter().map(|column| column.iter().sum::<u64>()).max().unwrap_or_default().max(1);
    let (space, count) = (WIDTH - LEFT - 10, minutes.div_ceil(each));
    for (at, column) in columns.iter().enumerate() {
        let (left, right) = (space * at as u64 / count, space * (at as u64 + 1) / count);
        let mut bottom = top + BARS;
        for (lane, executed) in column.iter().enumerate().filter(|(_, executed)| **executed > 0) {
            let height = (executed * BARS / most).max(1);
            bottom = bottom.saturating_sub(height);
            let (x, width, colour) = (LEFT + left, (right - left).max(1), colour(lane));
            let _ = write!(
                svg,
                "<rect x={x} y={bottom} width={width} height={height} fill='{colour}'/>"
            );
        }
    }
    let y = top + 12;
    let _ =
        write!(svg, "<text x=0 y={y}>payments</text><text x=0 y={}>{most} at most</text>", y + 18);
}
