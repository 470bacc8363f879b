//! A request of an operator, or of somebody who would like to be one.
//!
//! The first byte says whether the token comes with it; the rest is a request.

use std::collections::VecDeque;
use std::rc::Rc;

use dana_failover::engine::admin::{Admin, AdminEffect};
use dana_failover::engine::config::Config;
use dana_failover::engine::event::{Event, Request};
use dana_failover::engine::health::{Health, Override};
use dana_failover::engine::protocol::Reply;
use dana_failover::engine::store::Cell;

use super::text::{Asked, contains};
use super::world::World;

/// The token below, with the name `ops` before it.
const AUTHORIZATION: &str = "Basic b3BzOjNiMWZkN2QyYzg1ODRhZGQ=";
const TOKEN: &str = "3b1fd7d2c8584add";
const ADMIN: &str = r#"{
    "gateways": [
        {"name": "primary", "cluster": "dana_primary"},
        {"name": "secondary", "cluster": "dana_secondary"}],
    "idempotency": {"store": {"local": {"claims_max": 16}}},
    "admin": {"role": "admin", "token_sha256": "@"}
}"#;
const TOKEN_SHA256: &str = "2b24f6d5cd58ef0bf6d5151f0a499bf987082a48f9185669ba983f9a920af5ca";

/// # Panics
/// Where something is done or told without the token, the token is told, or markup of a stranger
/// stands on the page.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let asked = Asked::read(rest);
    let knows = first % 2 == 1;
    let more: &[(&str, &str)] = if knows { &[("authorization", AUTHORIZATION)] } else { &[] };
    let mut headers = asked.headers(more);
    if first % 4 > 1 {
        headers[0].1 = b"GET";
    }
    let mut world = World::new();
    let reply = ask(&mut world, &headers, asked.body, knows);
    let authorized = knows || contains(rest, TOKEN.as_bytes());
    assert!(authorized || reply.status == 401, "{} without a token", reply.status);
    shows_no_markup(&mut world);
}

fn ask(world: &mut World, headers: &[(&[u8], &[u8])], body: &[u8], knows: bool) -> Reply {
    let config = ADMIN.replace('@', TOKEN_SHA256);
    let config = Config::parse(config.as_bytes()).expect("the configuration is right");
    let mut admin = Admin::new(Rc::new(config));
    let request = Request { headers, body, peer: &[], context: 1 };
    let now = world.time();
    let mut todo: VecDeque<AdminEffect> = admin.handle(Event::Request(request), now).into();
    while let Some(effect) = todo.pop_front() {
        let event = match effect {
            AdminEffect::Load(cell) => Event::Loaded(cell, world.loaded(cell)),
            AdminEffect::Store { cell, bytes, expected } => {
                assert!(knows, "written without a token");
                assert!(matches!(cell, Cell::Health | Cell::Claims(_)), "{cell:?} is not theirs");
                if world.store(cell, bytes, expected) {
                    Event::Stored(cell)
                } else {
                    Event::Conflict(cell)
                }
            }
            AdminEffect::Told(line) => {
                assert!(!line.contains(AUTHORIZATION), "the token is told");
                assert!(!line.contains('\n'), "one line: {line:?}");
                continue;
            }
            AdminEffect::Changed(_) | AdminEffect::Anomaly(_) => continue,
            AdminEffect::Reply(reply) => return reply,
        };
        todo.extend(admin.handle(event, now));
    }
    panic!("an operator is left without an answer");
}

/// What operators wrote is text on the page, whatever it looks like: it has as much markup as with
/// plain words.
fn shows_no_markup(world: &mut World) {
    let written = page(world);
    assert!(!contains(&written, b"<script"), "a script");
    let now = world.time();
    let mut health = Health::decode(&world.loaded(Cell::Health).bytes);
    let wishes: Vec<Override> = health.overrides(now).cloned().collect();
    for wish in wishes {
        let plain = Override { reason: "why".to_owned(), actor: "who".to_owned(), ..wish };
        health.override_by(plain, &world.policy.health, now).expect("it stood before");
    }
    world.put(Cell::Health, health.encode());
    let plain = page(world);
    let tags = |page: &[u8]| page.iter().filter(|byte| **byte == b'<').count();
    assert_eq!(tags(&written), tags(&plain), "words became markup");
}

fn page(world: &mut World) -> Vec<u8> {
    let headers = [
        (":method", "GET"),
        (":path", "/"),
        ("accept", "text/html"),
        ("authorization", AUTHORIZATION),
    ];
    let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let page = ask(world, &headers, b"", true);
    assert_eq!(page.status, 200);
    page.body
}
