//! The module that is shipped: what it asks of its host, and what it can be called for.

use std::collections::BTreeSet;

use serde_json::Value;
use wasmparser::{Parser, Payload};

use super::{read, root};

/// Functions of the host that the module names, with the module they are in; and what it exports.
fn interface() -> (Vec<(String, String)>, BTreeSet<String>) {
    let path = root().join("target/wasm32-unknown-unknown/release/dana_failover.wasm");
    let bytes = std::fs::read(&path).unwrap_or_else(|_| panic!("{path:?}: run `make wasm`"));
    let (mut imports, mut exports) = (Vec::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        let payload = payload.unwrap();
        if let Payload::ImportSection(section) = &payload {
            let all = section.clone().into_imports().map(Result::unwrap);
            imports.extend(all.map(|import| (import.module.to_owned(), import.name.to_owned())));
        }
        if let Payload::ExportSection(section) = payload {
            exports.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
        }
    }
    (imports, exports)
}

/// What the reference allows the payments' filter.
fn allowed() -> BTreeSet<String> {
    let reference: Value = serde_norway::from_str(&read("envoy/envoy.yaml")).unwrap();
    let filter =
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    let list = "typed_config/config/capability_restriction_config/allowed_capabilities";
    let list = reference.pointer(&format!("{filter}/{list}")).unwrap();
    list.as_object().unwrap().keys().cloned().collect()
}

/// No file, no socket, no environment, no clock of the system's: it has what proxy-wasm gives.
#[test]
fn the_module_asks_for_nothing_but_proxy_wasm() {
    let (imports, _) = interface();
    assert!(imports.len() > 10, "{imports:?}");
    for (module, name) in &imports {
        assert!(module == "env" && name.starts_with("proxy_"), "{module}.{name}");
    }
}

/// Everything that the reference allows is there to be used; what else the SDK brings along is
/// withheld, and no test's Envoy has ever been asked for it.
#[test]
fn what_the_reference_allows_is_in_the_module() {
    let (imports, exports) = interface();
    let imports: BTreeSet<&str> = imports.iter().map(|(_, name)| name.as_str()).collect();
    for name in allowed() {
        let is_callback = name.starts_with("proxy_on_");
        let is_there = if is_callback { exports.contains(&name) } else { imports.contains(&*name) };
        assert!(is_there, "{name}");
    }
}
