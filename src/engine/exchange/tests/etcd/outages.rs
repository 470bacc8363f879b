//! Outages.
use super::*;
