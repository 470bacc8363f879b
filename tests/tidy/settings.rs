//! `docs/settings.md` has every setting: what it takes as the parser says it, its default, and what it does. Of that
//! table and the parser the two schemas are made, for editors and tools.
//! `UPDATE_DOCS=1 cargo test --test tidy settings` writes all of them anew.

#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use dana_failover::engine::Config;
use serde_json::{Map, Value, json};

use super::probe::{Shape, everything, has_safe_minimum};
use super::{read, root};

const PAGE: &str = "docs/settings.md";
const SCHEMA: &str = "docs/config.schema.json";
const ENVOY_SCHEMA: &str = "docs/envoy.schema.json";

/// A line of the table.
struct Row {
    path: String,
    takes: String,
    default: String,
    does: String,
}

fn rows() -> Vec<Row> {
    let text = read(PAGE);
    let lines = text.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let line = line.replace("\\|", "\u{1}");
            let cells: Vec<String> = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().replace('\u{1}', "\\|"))
                .collect();
            let [path, takes, default, does] = cells.as_slice() else { panic!("{line}") };
            let path = path.trim_matches('`').to_owned();
            let (takes, default) = (takes.clone(), default.clone());
            Row { path, takes, default, does: does.clone() }
        })
        .collect()
}

/// Compares a file with what it should be, or writes it.
fn holds(path: &str, text: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), text).unwrap();
        return;
    }
    let found = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    for (found, expected) in found.lines().zip(text.lines()) {
        assert_eq!(found, expected, "{path}: UPDATE_DOCS=1 cargo test --test tidy settings");
    }
    assert_eq!(found, text, "{path}: UPDATE_DOCS=1 cargo test --test tidy settings");
}

/// What a setting takes, as the page says it.
fn takes(path: &str, shape: &Shape) -> String {
    let is_safe = matches!(shape, Shape::Number { least, .. } if has_safe_minimum(path, *least));
    let star = if is_safe { " *" } else { "" };
    format!("{}{star}", shape.in_words())
}

#[test]
fn the_page_has_every_setting_and_what_it_takes() {
    let leaves = everything().leaves();
    let rows = rows();
    let told: BTreeSet<&String> = rows.iter().map(|row| &row.path).collect();
    assert_eq!(told.len(), rows.len(), "each once");
    let missing: Vec<&String> = leaves.keys().filter(|path| !told.contains(path)).collect();
    assert!(missing.is_empty(), "{PAGE} lacks {missing:?}");
    let gone: Vec<&&String> = told.iter().filter(|path| !leaves.contains_key(**path)).collect();
    assert!(gone.is_empty(), "{PAGE} has what is no setting: {gone:?}");
    let mut text = read(PAGE);
    for Row { path, takes: told, default, does } in &rows {
        let said = if told.is_empty() { " ".to_owned() } else { format!(" {told} ") };
        let old = format!("| `{path}` |{said}| {default} | {does} |");
        assert!(text.contains(&old), "{old}");
        let new = format!("| `{path}` | {} | {default} | {does} |", takes(path, &leaves[path]));
        text = text.replace(&old, &new);
    }
    holds(PAGE, &text);
}

/// A default that is written out changes nothing.
#[test]
fn defaults_are_those_of_the_parser() {
    let gateway = |name: &str| json!({"name": name, "cluster": name});
    let parsed = |config: &Value| {
        let config = Config::parse(config.to_string().as_bytes());
        let config = config.unwrap_or_else(|errors| panic!("{errors:?}"));
        format!("{:?}", Config { digest: String::new(), ..config })
    };
    let base = json!({"gateways": [gateway("a"), gateway("b")]});
    let expected = parsed(&base);
    let mut tried = 0;
    for Row { path, default, .. } in rows() {
        let text = default.trim_matches('`');
        let number = text.parse::<u64>().ok().map(Value::from);
        let is_word = default.starts_with('`');
        let word = is_word.then(|| serde_json::from_str(text).unwrap_or_else(|_| json!(text)));
        let Some(value) = number.or(word) else {
            let known = ["required", "none", "all", "any", "always", "unwatched", "its name"];
            assert!(known.contains(&text) || text.starts_with("as "), "{path}: {default}");
            continue;
        };
        // What only stands in another role's configuration, or within an operation.
        if ["notify.", "operations[]", "audit."].iter().any(|front| path.starts_with(front)) {
            continue;
        }
        let mut config = base.clone();
        let mut at = &mut config;
        for name in path.split('.') {
            at = &mut at[name];
        }
        *at = value;
        if path.starts_with("idempotency.store.etcd") {
            let etcd = &mut config["idempotency"]["store"]["etcd"];
            etcd["cluster"] = json!("c");
            etcd["realm"] = json!("r");
            let bare = json!({"gateways": base["gateways"], "idempotency": {"store": {"etcd":
                {"cluster": "c", "realm": "r"}}}});
            assert_eq!(parsed(&config), parsed(&bare), "{path}");
        } else {
            assert_eq!(parsed(&config), expected, "{path}");
        }
        tried += 1;
    }
    assert!(tried > 45, "{tried}");
}

/// The schema of a shape. `does` has what is said of each setting.
fn schema(path: &str, shape: &Shape, rows: &BTreeMap<String, Row>) -> Value {
    let mut made = match shape {
        Shape::Object(members) => {
            let inner = |(name, member): (&String, &Shape)| {
                let dot = if path.is_empty() { "" } else { "." };
                (name.clone(), schema(&format!("{path}{dot}{name}"), member, rows))
            };
            let members: Map<String, Value> = members.iter().map(inner).collect();
            json!({"type": "object", "additionalProperties": false, "properties": members})
        }
        Shape::Map(inner) => {
            let inner = schema(&format!("{path}{{}}"), inner, rows);
            json!({"type": "object", "additionalProperties": inner})
        }
        Shape::List(inner) => {
            json!({"type": "array", "items": schema(&format!("{path}[]"), inner, rows)})
        }
        Shape::Number { least, most } => {
            // What is below a safe minimum is for tests alone.
            json!({"type": "integer", "minimum": least, "maximum": most})
        }
        Shape::NumberOr { word, least, most } => json!({"anyOf": [
            {"const": word}, {"type": "integer", "minimum": least, "maximum": most}]}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Choice(words) => json!({"enum": words}),
        Shape::Text(words) => json!({"type": "string", "$comment": words}),
    };
    if let Some(row) = rows.get(path) {
        let told = format!("{} Default: {}.", plain(&row.does), plain(&row.default));
        made["description"] = json!(told);
    }
    made
}

/// A cell without its links and code marks.
fn plain(cell: &str) -> String {
    let mut text = cell.replace('`', "").replace("\\|", "|");
    while let Some((before, rest)) = text.split_once("](") {
        let (_, after) = rest.split_once(')').unwrap();
        text = format!("{}{after}", before.replacen('[', "", 1));
    }
    let mut chars = text.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let text = format!("{first}{}", chars.as_str());
    if text.ends_with(['.', ':']) || text.len() < 16 { text } else { format!("{text}.") }
}

fn config_schema() -> Value {
    let rows = rows().into_iter().map(|row| (row.path.clone(), row)).collect();
    let mut schema = schema("", &everything(), &rows);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Configuration of dana-failover");
    schema["required"] = json!(["gateways"]);
    schema["properties"]["gateways"]["minItems"] = json!(2);
    schema["properties"]["gateways"]["items"]["required"] = json!(["name", "cluster"]);
    schema["properties"]["composites"]["items"]["required"] = json!(["members", "cluster"]);
    schema["properties"]["operations"]["items"]["required"] = json!(["path"]);
    schema
}

/// The same for a whole Envoy configuration: of it only the filter's own part is looked at.
fn envoy_schema(config: &Value) -> Value {
    let mut config = config.clone();
    let whole = config.as_object_mut().unwrap();
    whole.remove("$schema");
    let within = |names: &[&str], inner: Value| {
        names.iter().rev().fold(inner, |inner, name| match name.strip_suffix("[]") {
            Some(name) => json!({"properties": {name: {"items": inner}}}),
            None => json!({"properties": {*name: inner}}),
        })
    };
    let ours = json!({"if": {"required": ["value"], "properties": {"@type": {"pattern": "Struct$"}}},
                      "then": {"properties": {"value": {"$ref": "#/$defs/config"}}}});
    let is_ours = json!({"properties": {"name": {"pattern": "^dana"}}, "required": ["name"]});
    let plugin = within(&["typed_config", "config", "configuration"], ours);
    let filter = json!({"if": is_ours, "then": plugin});
    let place = ["filter_chains[]", "filters[]", "typed_config", "http_filters[]"];
    let listener = within(&place, filter);
    let mut schema = within(&["static_resources", "listeners[]"], listener.clone());
    // A file of listeners, for LDS.
    schema["properties"]["resources"] = json!({"items": listener});
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("An Envoy configuration with dana-failover in it");
    schema["$defs"] = json!({"config": config});
    schema
}

#[test]
fn the_schemas_are_made_from_the_parser_and_the_page() {
    let config = config_schema();
    holds(SCHEMA, &format!("{config:#}\n"));
    holds(ENVOY_SCHEMA, &format!("{:#}\n", envoy_schema(&config)));
}

/// Each configuration here fits, and what the parser refuses for its form does not.
#[test]
fn references_fit_the_schema_and_mistakes_do_not() {
    let schema = envoy_schema(&config_schema());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let file = |name: &str| -> Value { serde_norway::from_str(&read(name)).unwrap() };
    for name in ["envoy/envoy.yaml", "envoy/tls.yaml", "envoy/lds/listeners.yaml"] {
        let errors: Vec<String> =
            validator.iter_errors(&file(name)).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    for (place, wrong) in [
        ("/timeouts/response_ms", json!(10)),
        ("/timeouts/respond_ms", json!(10000)),
        ("/gateways/0/cluster", json!(1)),
        ("/gateways", json!([])),
        ("/mode", json!("enforced")),
        ("/heartbeat", json!({"expect": {"status": 99}})),
        ("/audit/intents", json!("yes")),
    ] {
        let mut config = file("envoy/envoy.yaml");
        let manager =
            &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        let filter = &mut manager["typed_config"]["http_filters"][0]["typed_config"];
        let value = &mut filter["config"]["configuration"]["value"];
        let mut at = &mut *value;
        for name in place.split('/').skip(1) {
            at = match name.parse::<usize>() {
                Ok(number) => &mut at[number],
                Err(_) => &mut at[name],
            };
        }
        *at = wrong.clone();
        let parsed = Config::parse(value.to_string().as_bytes());
        assert!(parsed.is_err(), "{place}: {wrong}");
        assert!(!validator.is_valid(&config), "{place}: {wrong}");
    }
}
