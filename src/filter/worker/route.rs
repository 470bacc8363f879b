//! Whether Envoy's route names in each answer the gateway that gave it, as `gateway_header: route` says.
//!
//! The route takes away what a gateway has written there, and writes it anew from the metadata of the
//! endpoint. Where it does not, a gateway could say that it is another one, and payments would be
//! settled at the wrong one. So with each tick one answer is compared with what Envoy itself says.

use std::cell::Cell;

/// What is known of the route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Seen {
    /// The next answer is compared.
    #[default]
    Unchecked,
    /// It was right, since the last tick.
    Right,
    /// It was wrong once, and is asked no more.
    Wrong,
}

/// What Envoy's route is seen to do.
#[derive(Debug, Default)]
pub(in crate::filter) struct Route(Cell<Seen>);

impl Route {
    /// The worker ticks.
    pub(in crate::filter) fn check_again(&self) {
        if self.0.get() == Seen::Right {
            self.0.set(Seen::Unchecked);
        }
    }

    /// An answer was right.
    #[cfg(test)]
    pub(in crate::filter) fn believe(&self) {
        self.0.set(Seen::Right);
    }

    /// Whether an answer of a gateway is this one's, as it says. `endpoint` asks Envoy for the name in
    /// the metadata of the endpoint; `None` where Envoy does not say.
    pub(in crate::filter) fn believes(
        &self,
        named: &str,
        endpoint: impl FnOnce() -> Option<Option<String>>,
    ) -> bool {
        match self.0.get() {
            Seen::Right => true,
            Seen::Wrong => false,
            Seen::Unchecked => {
                let is_right = endpoint().map(|endpoint| endpoint.as_deref() == Some(named));
                match is_right {
                    Some(true) => self.0.set(Seen::Right),
                    Some(false) => self.refute(),
                    None => {}
                }
                is_right == Some(true)
            }
        }
    }

    fn refute(&self) {
        self.0.set(Seen::Wrong);
        log::error!(
            "an answer's x-dana-gateway is not what the metadata of its endpoint say, though \
             gateway_header is route: the route must remove that header and write it, as \
             envoy/envoy.yaml has it. Until Envoy is configured anew its endpoints are asked"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(route: &Route, named: &str, endpoint: Option<Option<&str>>) -> bool {
        route.believes(named, || endpoint.map(|endpoint| endpoint.map(str::to_owned)))
    }

    #[test]
    fn the_route_is_believed_until_the_next_tick_and_never_after_it_was_wrong() {
        let route = Route::default();
        assert!(!says(&route, "primary", None), "not compared, and not known to be wrong");
        assert!(says(&route, "primary", Some(Some("primary"))));
        assert!(says(&route, "secondary", None), "another one of the same tick");
        route.check_again();
        for endpoint in [Some("secondary"), None] {
            let route = Route::default();
            assert!(!says(&route, "primary", Some(endpoint)));
            route.check_again();
            assert!(!says(&route, "primary", Some(Some("primary"))), "wrong once");
        }
        assert!(!says(&route, "primary", None), "compared again with each tick");
    }
}
