//! The metrics that a worker has defined, by name. One is looked for with each request, and there are
//! more than a thousand, so it is found without writing its name.

use std::collections::BTreeMap;

use crate::engine::metrics::Family;

/// Metrics by a hash of their families and labels; where two have the same, the second one stands at the next number.
#[derive(Debug, Default)]
pub(super) struct DefinedMetrics(BTreeMap<u64, (String, u32)>);

impl DefinedMetrics {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their full names.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|(name, _)| name.as_str())
    }

    /// The host's number of a metric.
    pub(super) fn find(&self, family: &Family, values: &[&str]) -> Option<u32> {
        let mut place = hash(family, values);
        loop {
            let (name, metric) = self.0.get(&place)?;
            if family.is_named(values, name) {
                return Some(*metric);
            }
            place = place.wrapping_add(1);
        }
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, family: &Family, values: &[&str], name: String, metric: u32) {
        let mut place = hash(family, values);
        while self.0.contains_key(&place) {
            place = place.wrapping_add(1);
        }
        self.0.insert(place, (name, metric));
    }
}

/// FNV-1a: cheap, and names come from fixed tables.
fn hash(family: &Family, values: &[&str]) -> u64 {
    let text = values.iter().flat_map(|value| value.bytes().chain([0]));
    let bytes = family.name.bytes().chain(text);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::metrics::{REQUESTS, SWITCHES};

    #[test]
    fn each_is_found_by_its_own_labels_alone() {
        let mut metrics = DefinedMetrics::default();
        let labels = [["a", "b", "c"], ["ab", "", "c"], ["a", "b", "d"]];
        for (number, values) in (0..).zip(labels) {
            assert_eq!(metrics.find(&SWITCHES, &values), None);
            metrics.insert(&SWITCHES, &values, SWITCHES.full_name(&values), number);
        }
        let found = labels.map(|values| metrics.find(&SWITCHES, &values));
        assert_eq!(found, [Some(0), Some(1), Some(2)]);
        assert_eq!(metrics.find(&REQUESTS, &["a", "b", "c", ""]), None);
        assert_eq!((metrics.len(), metrics.names().count()), (3, 3));
        for (values, other) in [(["a", "", "c"], ["a", "c", ""]), (["", "", ""], ["a", "", ""])] {
            let name = SWITCHES.full_name(&values);
            assert!(SWITCHES.is_named(&values, &name) && !SWITCHES.is_named(&other, &name));
        }
    }

    #[test]
    fn one_whose_place_is_taken_stands_beside_it() {
        let mut metrics = DefinedMetrics::default();
        let (one, other) = (["a", "b", "c"], ["d", "e", "f"]);
        // Somebody else has its hash.
        let place = hash(&SWITCHES, &other);
        metrics.0.insert(place, (SWITCHES.full_name(&one), 1));
        assert_eq!(metrics.find(&SWITCHES, &other), None);
        metrics.insert(&SWITCHES, &other, SWITCHES.full_name(&other), 2);
        assert_eq!(metrics.find(&SWITCHES, &other), Some(2));
    }
}
