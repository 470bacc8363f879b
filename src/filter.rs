//! Carries the engine's decisions out inside Envoy, and decides nothing itself.
//!
//! The only part that names the proxy-wasm ABI; all host calls stand in [`host`]. What does not
//! need them is generic over [`host::Host`], so it compiles and is tested natively.

#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "called by Envoy only"))]
mod admin;
pub mod host;
pub mod pairs;
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "called by Envoy only"))]
mod root;
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "called by Envoy only"))]
mod stream;
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "called by Envoy only"))]
mod worker;

/// A way to die on demand, for tests: the claims of a real VM must outlive it.
#[cfg(all(feature = "trap", target_family = "wasm"))]
mod trap {
    use super::host::{Host, Side};
    use super::pairs;

    /// Dies where a gateway's answer, or an operator's request, has the header `x-trap`.
    #[expect(clippy::panic, reason = "to die is what it is for")]
    pub(super) fn spring(host: &impl Host, side: Side) {
        let headers = host.headers(side).unwrap_or_default();
        if pairs::decode(&headers)
            .is_some_and(|pairs| pairs.iter().any(|(name, _)| *name == b"x-trap"))
        {
            panic!("died of x-trap");
        }
    }
}

#[cfg(target_family = "wasm")]
mod plugin {
    //! The ABI's contexts, handed on to [`Root`] and [`Stream`].

    use std::rc::Rc;

    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType};

    use super::admin::{AdminRoot, AdminStream};
    use super::host::{Envoy, install_log};
    use super::root::Root;
    use super::stream::{Flow, Stream};
    use crate::engine::config::{Config, Role};

    mod export {
        proxy_wasm::main! {{
            super::install_log();
            proxy_wasm::set_root_context(|_| {
                Box::new(super::Plugin { part: super::Part::None })
            });
        }}
    }

    struct Plugin {
        part: Part,
    }

    /// What the plugin does, by its configuration's `admin.role`.
    enum Part {
        /// Not configured yet.
        None,
        /// It decides about payments.
        Payments(Box<Root<Envoy>>),
        /// It serves operators.
        Admin(Rc<AdminRoot<Envoy>>),
    }

    impl Plugin {
        /// # Errors
        /// Every mistake in the configuration, one line each.
        fn configure(&mut self) -> Result<(), Vec<String>> {
            let bytes = Envoy.configuration().map_err(|error| vec![error.to_string()])?;
            let config = Config::parse(&bytes)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            self.part = match config.role {
                Role::Payments => {
                    let root = Root::configure(Envoy, &config);
                    let root = root.map_err(|error| vec![error])?;
                    let period = u32::try_from(root.period().get()).unwrap_or(1000);
                    Envoy.set_tick_period(period).map_err(|error| vec![error.to_string()])?;
                    Part::Payments(Box::new(root))
                }
                Role::Admin { .. } => Part::Admin(Rc::new(AdminRoot::new(Envoy, config))),
            };
            Ok(())
        }
    }

    impl Context for Plugin {
        fn on_http_call_response(&mut self, token: u32, _: usize, _: usize, _: usize) {
            if let Part::Payments(root) = &mut self.part {
                root.answered(token);
            }
        }
    }

    impl RootContext for Plugin {
        fn on_configure(&mut self, _: usize) -> bool {
            let configured = self.configure();
            for mistake in configured.as_ref().err().into_iter().flatten() {
                log::error!("dana: {mistake}");
            }
            configured.is_ok()
        }

        fn on_tick(&mut self) {
            if let Part::Payments(root) = &mut self.part {
                root.tick();
            }
        }

        fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
            match &self.part {
                Part::None => None,
                Part::Payments(root) => {
                    Some(Box::new(Http(Stream::new(Rc::clone(root.worker()), context))))
                }
                Part::Admin(root) => {
                    Some(Box::new(Operator(AdminStream::new(Rc::clone(root), context))))
                }
            }
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    struct Http(Stream<Envoy>);

    const fn action(flow: Flow) -> Action {
        match flow {
            Flow::Continue => Action::Continue,
            Flow::Hold => Action::Pause,
        }
    }

    impl Context for Http {
        fn on_http_call_response(&mut self, token: u32, _: usize, _: usize, _: usize) {
            self.0.call_answered(token);
        }
    }

    impl HttpContext for Http {
        fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
            action(self.0.request_headers(ends))
        }

        fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
            action(self.0.request_body(size, ends))
        }

        fn on_http_request_trailers(&mut self, _: usize) -> Action {
            action(self.0.request_trailers())
        }

        fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
            #[cfg(feature = "trap")]
            super::trap::spring(&Envoy, super::host::Side::Response);
            action(self.0.response_headers(ends))
        }

        fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
            action(self.0.response_body(size, ends))
        }

        fn on_http_response_trailers(&mut self, _: usize) -> Action {
            action(self.0.response_trailers())
        }

        fn on_log(&mut self) {
            self.0.log();
        }
    }

    /// A request of an operator. Its answer is our own, and passes as it is.
    struct Operator(AdminStream<Envoy>);

    impl Context for Operator {}

    impl HttpContext for Operator {
        fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
            #[cfg(feature = "trap")]
            super::trap::spring(&Envoy, super::host::Side::Request);
            action(self.0.request_headers(ends))
        }

        fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
            action(self.0.request_body(size, ends))
        }

        fn on_http_request_trailers(&mut self, _: usize) -> Action {
            action(self.0.request_trailers())
        }

        fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
            Action::Continue
        }

        fn on_http_response_body(&mut self, _: usize, _: bool) -> Action {
            Action::Continue
        }

        fn on_http_response_trailers(&mut self, _: usize) -> Action {
            Action::Continue
        }
    }
}

#[cfg(test)]
mod tests;
