//! A request of an operator, or of somebody who would like to be one.
//!
//! The first byte says whether the token comes with it; the rest is a request.

use std::rc::Rc;

use dana_failover::engine::Admin;
use dana_failover::engine::Config;
use dana_failover::engine::Override;
use dana_failover::engine::Reply;
use dana_failover::engine::{AdminEffect, AdminEvent, Request};
use dana_failover::engine::{Cell, CellEvent, CellRequest, Local};
use dana_failover::engine::{Input, Shell, Ticket, drive};

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
    let mut admin = Local::new(Admin::new(Rc::new(config)));
    let request = Request { headers, body, peer: &[], context: 1 };
    let now = world.time();
    let mut desk = Desk { world, knows, reply: None };
    drive(&mut admin, Input::Event(AdminEvent::Request(request)), now, &mut (), &mut desk);
    desk.reply.expect("an operator is left without an answer")
}

/// What an operator's request is carried out on.
struct Desk<'a> {
    world: &'a mut World,
    knows: bool,
    reply: Option<Reply>,
}

impl Shell<Local<Admin>> for Desk<'_> {
    fn ask(&mut self, _: Ticket, request: CellRequest) -> Option<CellEvent> {
        if let CellRequest::Store { cell, .. } = &request {
            assert!(self.knows, "written without a token");
            assert!(matches!(cell, Cell::Health | Cell::Claims(_)), "{cell:?} is not theirs");
        }
        Some(self.world.store.ask(request))
    }

    fn carry_out(&mut self, effect: AdminEffect) -> Option<AdminEvent<'static>> {
        match effect {
            AdminEffect::Told { line, .. } => {
                assert!(!line.contains(AUTHORIZATION), "the token is told");
                assert!(!line.contains('\n'), "one line: {line:?}");
            }
            AdminEffect::Changed(_) | AdminEffect::Anomaly(_) | AdminEffect::Doubt(_) => {}
            AdminEffect::Reply(reply) => self.reply = Some(reply),
        }
        None
    }
}

/// What operators wrote is text on the page, whatever it looks like: it has as much markup as with
/// plain words.
fn shows_no_markup(world: &mut World) {
    let written = page(world);
    assert!(!contains(&written, b"<script"), "a script");
    let now = world.time();
    let mut health = world.store.health();
    let wishes: Vec<Override> = health.overrides(now).cloned().collect();
    for wish in wishes {
        let plain = Override { reason: "why".to_owned(), actor: "who".to_owned(), ..wish };
        health.override_by(plain, &world.policy.health, now).expect("it stood before");
    }
    world.store.put(Cell::Health, health.encode());
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
