//! The modules that are shipped: what they ask of their host, what they can be called for, and how
//! large they are.

use std::collections::BTreeSet;

use serde_json::Value;
use wasmparser::{Parser, Payload};

use super::{read, root};

/// A module that is shipped.
struct Module {
    file: &'static str,
    /// Number of its listener in the reference.
    listener: usize,
    /// What it needs beside its reference, to keep claims in etcd.
    with_etcd: &'static [&'static str],
    /// Envoy compiles it once for each worker before that serves.
    bytes_max: usize,
}

const CALLS_OF_ETCD: [&str; 4] =
    ["proxy_grpc_call", "proxy_on_grpc_receive", "proxy_on_grpc_close", "proxy_continue_stream"];

const MODULES: [Module; 4] = [
    Module { file: "dana_failover.wasm", listener: 0, with_etcd: &[], bytes_max: 625_000 },
    Module {
        file: "dana_failover_etcd.wasm",
        listener: 0,
        with_etcd: &CALLS_OF_ETCD,
        bytes_max: 730_000,
    },
    Module {
        file: "dana_failover_operators.wasm",
        listener: 1,
        with_etcd: &[
            "proxy_grpc_call",
            "proxy_on_grpc_receive",
            "proxy_on_grpc_close",
            "proxy_set_effective_context",
        ],
        bytes_max: 578_000,
    },
    Module {
        file: "dana_failover_notify.wasm",
        listener: 3,
        with_etcd: &[
            "proxy_grpc_call",
            "proxy_on_grpc_receive",
            "proxy_on_grpc_close",
            "proxy_set_effective_context",
            "proxy_continue_stream",
            "proxy_record_metric",
        ],
        bytes_max: 683_000,
    },
];

impl Module {
    fn bytes(&self) -> Vec<u8> {
        let path = root().join("target/wasm32-unknown-unknown/release").join(self.file);
        std::fs::read(&path).unwrap_or_else(|_| panic!("{path:?}: run `make wasm`"))
    }

    /// Functions of the host that it names, with the module they are in; and what it exports.
    fn interface(&self) -> (Vec<(String, String)>, BTreeSet<String>) {
        let (mut imports, mut exports) = (Vec::new(), BTreeSet::new());
        for payload in Parser::new(0).parse_all(&self.bytes()) {
            let payload = payload.unwrap();
            if let Payload::ImportSection(section) = &payload {
                let all = section.clone().into_imports().map(Result::unwrap);
                imports
                    .extend(all.map(|import| (import.module.to_owned(), import.name.to_owned())));
            }
            if let Payload::ExportSection(section) = payload {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
        }
        (imports, exports)
    }

    /// What the reference allows it, and what it needs beside that with etcd.
    fn allowed(&self) -> BTreeSet<String> {
        let file = |name| -> Value { serde_norway::from_str(&read(name)).unwrap() };
        let (reference, notify) = (file("envoy/envoy.yaml"), file("envoy/notify.yaml"));
        let of_reference = format!("/static_resources/listeners/{}", self.listener);
        let listener = reference.pointer(&of_reference).or_else(|| notify.pointer("/0"));
        let filters = "/filter_chains/0/filters/0/typed_config/http_filters";
        let list = "/typed_config/config/capability_restriction_config/allowed_capabilities";
        let filters = listener.and_then(|one| one.pointer(filters)).unwrap().as_array().unwrap();
        let list = filters.iter().find_map(|filter| filter.pointer(list)).unwrap();
        let listed = list.as_object().unwrap().keys().cloned();
        listed.chain(self.with_etcd.iter().map(|name| (*name).to_owned())).collect()
    }
}

/// No file, no socket, no environment, no clock of the system's: it has what proxy-wasm gives, and of
/// that what its reference allows, all of it and nothing else.
#[test]
fn a_module_has_what_its_reference_allows_and_nothing_else() {
    for module in MODULES {
        let (imports, exports) = module.interface();
        let (callbacks, calls): (BTreeSet<_>, BTreeSet<_>) =
            module.allowed().into_iter().partition(|name| name.starts_with("proxy_on_"));
        assert!(imports.iter().all(|(from, _)| from == "env"), "{imports:?}");
        let imports: BTreeSet<String> = imports.into_iter().map(|(_, name)| name).collect();
        assert_eq!(imports, calls, "{}", module.file);
        // What every module has: its memory and where things stand in it, its start, its version.
        let own = ["memory", "__data_end", "__heap_base", "malloc", "_initialize"];
        let own = own.into_iter().chain(["proxy_abi_version_0_2_1"]).map(str::to_owned);
        let expected: BTreeSet<String> = callbacks.into_iter().chain(own).collect();
        assert_eq!(exports, expected, "{}", module.file);
    }
}

#[test]
fn no_module_grows_unseen() {
    for module in MODULES {
        let (size, most) = (module.bytes().len(), module.bytes_max);
        assert!(size <= most, "{} has {size} bytes, more than {most}", module.file);
        assert!(size > most * 9 / 10, "{} has {size} bytes: lower its limit", module.file);
    }
}
