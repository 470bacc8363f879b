//! The operators' module: what it is made of. Its answers are its own, so nothing comes back that
//! it would have to see.

use std::rc::Rc;

use crate::engine::{Config, OPERATORS_MODULE};
use crate::filter::admin::{AdminRoot, AdminStream};
use crate::filter::host::Envoy;

pub(super) type Root = Rc<AdminRoot<Envoy>>;
pub(super) type Stream = AdminStream<Envoy>;

pub(super) const MODULE: &str = OPERATORS_MODULE;

#[expect(clippy::unnecessary_wraps, reason = "the payments' module can fail to start")]
pub(super) fn start(config: Config) -> Result<Root, String> {
    Ok(Rc::new(AdminRoot::new(Envoy, config)))
}

pub(super) fn open(root: &Root, number: u32) -> Box<Stream> {
    Box::new(Stream::new(Rc::clone(root), number))
}
