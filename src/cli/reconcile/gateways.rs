//! The gateways by their bits.

/// Names of gateways, each with a bit.
#[derive(Clone, Debug, Default)]
pub(super) struct Gateways(Vec<String>);

/// A record has a bit for each.
const MAX: usize = 16;

impl Gateways {
    /// The bits of names with `+` between them. A name beyond the sixteenth has none.
    pub(super) fn bits(&mut self, names: &str) -> u16 {
        names.split('+').filter(|name| !name.is_empty()).fold(0, |bits, name| bits | self.bit(name))
    }

    fn bit(&mut self, name: &str) -> u16 {
        let known = self.0.iter().position(|other| other == name);
        let place = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        if place < MAX { 1 << place } else { 0 }
    }

    /// The names of these bits.
    pub(super) fn names(&self, bits: u16) -> String {
        let names = self.0.iter().take(MAX).enumerate();
        let names =
            names.filter(|(place, _)| bits >> place & 1 == 1).map(|(_, name)| name.as_str());
        names.collect::<Vec<_>>().join("+")
    }
}
