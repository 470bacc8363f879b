//! The contexts of one VM by their numbers, which Envoy gives and names in every callback.

/// Contexts of one kind.
///
/// Numbers count up, so a new one nearly always goes to the end, and a request is found by halving.
#[derive(Debug)]
pub(super) struct Contexts<T> {
    all: Vec<(u32, T)>,
}

impl<T> Contexts<T> {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Adds one, in the place of any that has its number.
    pub(super) fn insert(&mut self, number: u32, context: T) {
        match self.place(number) {
            Ok(place) => {
                if let Some(known) = self.all.get_mut(place) {
                    *known = (number, context);
                }
            }
            Err(place) => self.all.insert(place, (number, context)),
        }
    }

    pub(super) fn by_number(&mut self, number: u32) -> Option<&mut T> {
        let place = self.place(number).ok()?;
        self.all.get_mut(place).map(|(_, context)| context)
    }

    /// The first that is wanted, with its number.
    pub(super) fn first(&mut self, wanted: impl Fn(&T) -> bool) -> Option<(u32, &mut T)> {
        let found = self.all.iter_mut().find(|(_, context)| wanted(context));
        found.map(|(number, context)| (*number, context))
    }

    pub(super) fn remove(&mut self, number: u32) {
        if let Ok(place) = self.place(number) {
            self.all.remove(place);
        }
    }

    fn place(&self, number: u32) -> Result<usize, usize> {
        self.all.binary_search_by_key(&number, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_number_until_it_is_removed() {
        let mut contexts = Contexts::new();
        // The last ones came after the numbers began anew.
        for number in [7, 8, 20, u32::MAX, 1, 2] {
            contexts.insert(number, number.to_string());
        }
        contexts.remove(8);
        contexts.remove(9);
        for (number, is_there) in
            [(0, false), (1, true), (2, true), (7, true), (8, false), (20, true), (u32::MAX, true)]
        {
            let found = contexts.by_number(number).map(|context| context.clone());
            assert_eq!(found, is_there.then(|| number.to_string()), "{number}");
        }
        contexts.insert(7, "another".to_owned());
        assert_eq!(contexts.by_number(7).unwrap(), "another");
        let found = contexts.first(|context| context == "20").map(|(number, _)| number);
        assert_eq!((found, contexts.all.len()), (Some(20), 5));
    }
}
