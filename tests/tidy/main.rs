//! The rules that no compiler knows: who may name whom, how long a file may be, and that what the
//! documents say is what the code does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

mod capacity;
mod docs;
mod house;
mod logs;
mod module;
mod probe;
mod settings;

use std::fs;
use std::path::{Path, PathBuf};

use dana_failover::engine::Config;
use serde_json::Value;

const COLUMNS_MAX: usize = 140;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(below: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(below)];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(&place).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no {ending} below {below}");
    found
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Names the files of `files` in which `is_wrong` holds for a line.
fn check(files: &[(String, String)], rule: &str, is_wrong: impl Fn(&str, &str) -> bool) {
    let mut wrong = Vec::new();
    for (name, text) in files {
        for (number, line) in text.lines().enumerate() {
            if is_wrong(name, line) {
                wrong.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_filter_names_the_host() {
    let sources = files("src", ".rs");
    check(&sources, "a host call outside src/filter/host/envoy.rs", |name, line| {
        let calls = line.contains("proxy_wasm::") || line.contains("unsafe extern");
        calls && !name.starts_with("src/filter/host/envoy")
    });
    check(&sources, "a callback outside src/filter/plugin", |name, line| {
        let is_callback = line.contains("no_mangle") || line.contains("fn proxy_on_");
        is_callback && !name.starts_with("src/filter/plugin")
    });
}

#[test]
fn the_engine_has_no_clock_no_effect_and_no_unordered_map() {
    let banned = [
        "std::time::",
        "std::fs",
        "std::net",
        "std::thread",
        "std::env",
        "HashMap",
        "HashSet",
        "log::",
        "println!",
        "crate::filter",
        "crate::cli",
    ];
    check(&files("src/engine", ".rs"), "not in the engine", |name, line| {
        let is_test = name.contains("/tests");
        !is_test && !line.trim_start().starts_with("//") && banned.iter().any(|b| line.contains(b))
    });
}

#[test]
fn lines_are_short_enough_to_grasp() {
    check(&files("src", ".rs"), "longer than a screen is wide", |name, line| {
        !name.contains("/tests") && line.chars().count() > COLUMNS_MAX
    });
}

#[test]
fn names_say_what_things_are() {
    let vague = ["Manager", "Helper", "Util", "get_"];
    check(&files("src", ".rs"), "a vague name", |_, line| {
        let declares = ["struct ", "enum ", "trait ", "fn ", "mod "];
        let declared = declares.iter().find_map(|word| line.split_once(word).map(|(_, rest)| rest));
        let foreign = line.contains("fn proxy_")
            || line.contains("fn get_type(")
            || line.trim_start().starts_with("//");
        !foreign && declared.is_some_and(|name| vague.iter().any(|vague| name.starts_with(vague)))
    });
}

#[test]
fn the_documents_name_files_and_settings_that_exist() {
    for (document, base) in [("ARCHITECTURE.md", "src/"), ("README.md", "")] {
        let text = read(document);
        for word in text.split(['`', ' ', '(', ')', ',']).filter(|word| word.ends_with(".rs")) {
            let places = [
                format!("{base}{word}"),
                format!("src/engine/{word}"),
                format!("src/engine/config/{word}"),
                word.to_owned(),
            ];
            let exists = places.iter().any(|place| Path::new(&root().join(place)).exists());
            assert!(exists, "{document} names {word}");
        }
    }
    let readme = read("README.md");
    let config = files("src/engine/config", ".rs").into_iter();
    let config: String =
        config.filter(|(name, _)| !name.contains("/tests")).map(|(_, text)| text).collect();
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let fields = line.split('|').nth(1).unwrap();
        for field in fields.split('`').skip(1).step_by(2) {
            let leaf = field.rsplit('.').next().unwrap().trim_end_matches("[]");
            assert!(config.contains(&format!("\"{leaf}\"")), "README documents {field}");
        }
    }
}

/// What is named in backticks as a file, a test or a make target is there. Only whole names count: a
/// reader who looks for one finds it.
#[test]
fn the_guides_name_files_tests_and_targets_that_exist() {
    let sources: String = [files("src", ".rs"), files("tests", ".rs")]
        .concat()
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let makefile = read("Makefile");
    let endings = [".rs", ".md", ".toml", ".yaml", ".yml", ".py", ".sh", ".json", ".lock"];
    let roots = ["src/", "tests/", "docs/", "envoy/", "fuzz/"];
    let mut found = [0; 3];
    for document in ["CONTRIBUTING.md", "RELEASE.md"] {
        let text = read(document);
        for quoted in text.split('`').skip(1).step_by(2) {
            for word in quoted.split(' ') {
                let is_path = endings.iter().any(|ending| word.ends_with(ending))
                    || roots.iter().any(|root| word.starts_with(root));
                if is_path {
                    assert!(root().join(word).exists(), "{document} names {word}");
                    found[0] += 1;
                }
                if word.matches('_').count() > 3
                    && word.chars().all(|c| c == '_' || c.is_lowercase())
                {
                    let declared = format!("fn {word}()");
                    assert!(sources.contains(&declared), "{document} names the test {word}");
                    found[1] += 1;
                }
            }
            if let Some(target) = quoted.strip_prefix("make ") {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{document} names make {target}");
                found[2] += 1;
            }
        }
    }
    assert!(found.iter().all(|many| *many > 5), "{found:?}");
}

/// CI does what developers do, by make alone, and what it takes from others is pinned.
#[test]
fn the_workflow_calls_make_and_pins_what_it_uses() {
    let workflow: Value = serde_norway::from_str(&read(".github/workflows/ci.yml")).unwrap();
    let makefile = read("Makefile");
    assert_eq!(workflow["permissions"], serde_json::json!({"contents": "read"}));
    let jobs = workflow["jobs"].as_object().unwrap().values();
    let steps: Vec<&Value> = jobs.flat_map(|job| job["steps"].as_array().unwrap()).collect();
    let mut called = Vec::new();
    for step in steps {
        if let Some(uses) = step["uses"].as_str() {
            let (_, commit) = uses.split_once('@').unwrap();
            let is_commit = commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit());
            assert!(is_commit, "{uses} may change: name its commit");
        } else {
            let run = step["run"].as_str().unwrap();
            let target = run.strip_prefix("make ").and_then(|rest| rest.split(' ').next());
            let target = target.unwrap_or_else(|| panic!("{run} is no make target"));
            assert!(makefile.contains(&format!("\n{target}:")), "there is no make {target}");
            called.push(target);
        }
    }
    called.sort_unstable();
    assert_eq!(called, ["demo", "deny", "lint", "test", "typos", "wasm"]);
}

/// The payments' part of an Envoy configuration.
fn plugin(yaml: &Value) -> &Value {
    let listener = yaml.pointer("/static_resources/listeners/0/filter_chains/0/filters/0").unwrap();
    listener.pointer("/typed_config/http_filters/0/typed_config/config").unwrap()
}

/// What the reference configuration tells the payments' filter.
fn reference() -> Config {
    let yaml: Value = serde_norway::from_str(&read("envoy/envoy.yaml")).unwrap();
    let value = plugin(&yaml).pointer("/configuration/value").unwrap();
    let config = Config::parse(value.to_string().as_bytes());
    config.unwrap_or_else(|errors| panic!("{errors:?}"))
}

#[test]
fn the_reference_configuration_is_read_by_the_filters_own_parser() {
    let yaml: Value = serde_norway::from_str(&read("envoy/envoy.yaml")).unwrap();
    let (plugin, config) = (plugin(&yaml), reference());
    let clusters = yaml.pointer("/static_resources/clusters").unwrap().as_array().unwrap();
    let named = |name: &str| clusters.iter().find(|cluster| cluster["name"] == name);
    for gateway in &config.gateways {
        let cluster = named(&gateway.cluster).expect("each gateway's cluster is there");
        let metadata = "/load_assignment/endpoints/0/lb_endpoints/0/metadata/filter_metadata";
        let metadata = cluster.pointer(metadata).unwrap();
        assert_eq!(metadata["dana.failover"]["gateway"], gateway.name.as_str());
    }
    for composite in &config.composites {
        let cluster = named(&composite.cluster).expect("each composite is there");
        let members = cluster.pointer("/cluster_type/typed_config/clusters").unwrap();
        let names: Vec<_> = members.as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
        let clusters = composite.members.iter().map(|member| {
            let gateway = config.gateways.iter().find(|g| &g.name == member).unwrap();
            Value::from(gateway.cluster.as_str())
        });
        assert_eq!(names, clusters.collect::<Vec<_>>(), "{}", composite.cluster);
    }
    assert_eq!(plugin["failure_policy"], "FAIL_RELOAD");
    assert_eq!(plugin["allow_on_headers_stop_iteration"], true);
}

/// The reference for production differs from the other one by its TLS, and by nothing else.
#[test]
fn the_references_do_the_same() {
    let file = |name: &str| -> Value { serde_norway::from_str(&read(name)).unwrap() };
    let (plain, mut tls) = (file("envoy/envoy.yaml"), file("envoy/tls.yaml"));
    let mut take = |pointer: &str, member: &str| {
        let object = tls.pointer_mut(pointer).and_then(Value::as_object_mut);
        let taken = object.and_then(|object| object.remove(member));
        assert!(taken.is_some(), "{pointer}/{member} is there");
    };
    take("", "node");
    take("/static_resources/listeners/0/filter_chains/0", "transport_socket");
    for cluster in [0, 1] {
        take(&format!("/static_resources/clusters/{cluster}"), "transport_socket");
    }
    for listener in [0, 1] {
        let chain = format!("/static_resources/listeners/{listener}/filter_chains/0/filters/0");
        // Operators are behind another filter.
        let filter = format!("typed_config/http_filters/{listener}/typed_config/config");
        take(&format!("{chain}/{filter}/configuration/value"), "scope");
    }
    for (listener, gateway) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let chain = format!("/static_resources/listeners/{listener}/filter_chains/0/filters/0");
        let filter = format!("typed_config/http_filters/{}/typed_config/config", listener % 2);
        take(&format!("{chain}/{filter}/configuration/value/gateways/{gateway}"), "tls");
    }
    let address = "/static_resources/listeners/0/address/socket_address/address";
    *tls.pointer_mut(address).unwrap() = "127.0.0.1".into();
    assert_eq!(tls, plain);
}
