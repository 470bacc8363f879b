//! The payments' module that keeps claims in this Envoy's memory.

use super::Root;
use crate::engine::PAYMENTS_MODULE;
use crate::filter::plugin::at_root;
use crate::filter::stores::LocalOnly;

pub(super) type Stores = LocalOnly;

pub(in super::super) const MODULE: &str = PAYMENTS_MODULE;

pub(in super::super) fn tick(number: u32) {
    let _ = at_root(number, Root::tick);
}
