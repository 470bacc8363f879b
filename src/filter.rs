//! Carries the engine's decisions out inside Envoy, and decides nothing itself.
//!
//! The only part that names the proxy-wasm ABI; all host calls stand in [`host`]. What does not
//! need them is generic over [`host::Host`], so it compiles and is tested natively.

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

    /// Dies where a gateway's answer has the header `x-trap`.
    #[expect(clippy::panic, reason = "to die is what it is for")]
    pub(super) fn spring(host: &impl Host) {
        let headers = host.headers(Side::Response).unwrap_or_default();
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

    use super::host::{Envoy, install_log};
    use super::root::Root;
    use super::stream::{Flow, Stream};

    mod export {
        proxy_wasm::main! {{
            super::install_log();
            proxy_wasm::set_root_context(|context| {
                Box::new(super::Plugin { context, root: None })
            });
        }}
    }

    struct Plugin {
        context: u32,
        /// There once the plugin is configured.
        root: Option<Root<Envoy>>,
    }

    impl Context for Plugin {
        fn on_http_call_response(&mut self, token: u32, _: usize, _: usize, _: usize) {
            if let Some(root) = &mut self.root {
                root.answered(token);
            }
        }
    }

    impl RootContext for Plugin {
        fn on_configure(&mut self, _: usize) -> bool {
            let configured = Envoy
                .configuration()
                .map_err(|error| vec![error.to_string()])
                .and_then(|bytes| Root::configure(Envoy, self.context, &bytes));
            match configured {
                Ok(root) => {
                    let period = u32::try_from(root.period().get()).unwrap_or(1000);
                    let ticks = Envoy.set_tick_period(period);
                    self.root = Some(root);
                    ticks.is_ok()
                }
                Err(mistakes) => {
                    for mistake in mistakes {
                        log::error!("dana: {mistake}");
                    }
                    false
                }
            }
        }

        fn on_tick(&mut self) {
            if let Some(root) = &mut self.root {
                root.tick();
            }
        }

        fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
            let worker = self.root.as_ref()?.worker();
            Some(Box::new(Http(Stream::new(Rc::clone(worker), context))))
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
            super::trap::spring(&Envoy);
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
}

#[cfg(test)]
mod tests;
