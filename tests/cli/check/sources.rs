//! Where a configuration may come from: standard input, a running Envoy, Kubernetes.

use std::fmt::Write as _;
use std::process::Output;

use serde_json::{Value, json};

use super::{Base, check, files, findings, reference};
use crate::playground;

fn piped(text: &str, options: &[&str]) -> Output {
    playground::piped(&[&["check"], options].concat(), text)
}

/// The fault that is planted, and the line of its mark.
fn faulty() -> (String, usize) {
    let edit = [("failure_policy: FAIL_RELOAD", "§failure_policy: FAIL_OPEN")];
    let (texts, line) = files(Base::Plain, &edit);
    (texts[0].clone(), line)
}

fn is_bad(one: &&Value) -> bool {
    one["severity"] != "note"
}

#[test]
fn standard_input_is_a_file() {
    assert_eq!(piped(&reference(), &["-"]).status.code(), Some(0));
    let output = piped(&faulty().0, &["-"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains(&format!("  -:{}:17", faulty().1)), "{told}");
    let json: Value = serde_norway::from_str(&reference()).unwrap();
    assert_eq!(piped(&json.to_string(), &["-"]).status.code(), Some(0));
    let twice = piped("", &["-", "-"]);
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn an_envoy_without_the_filter_is_none_of_ours() {
    let bare = "static_resources: {clusters: [{name: other, type: STATIC}]}\n";
    let sent = "dynamic_resources: {lds_config: {ads: {}}, cds_config: {ads: {}}}\n";
    for text in [bare, sent] {
        let output = check(&[text.to_owned()], &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("not an Envoy configuration with this filter"), "{told}");
        assert!(output.stdout.is_empty());
    }
}

fn typed(mut value: Value, kind: &str) -> Value {
    value["@type"] = json!(format!("type.googleapis.com/envoy.{kind}"));
    value
}

/// What `/config_dump` answers of an Envoy that has its listeners and clusters from a server.
fn dump(text: &str) -> Value {
    let mut config: Value = serde_norway::from_str(text).unwrap();
    let parts = config["static_resources"].take();
    let parts = |list: &str| parts[list].as_array().unwrap().clone();
    config["dynamic_resources"] = json!({"lds_config": {"ads": {}}, "cds_config": {"ads": {}},
        "ads_config": {"grpc_services": []}});
    let mut routes = Vec::new();
    let listeners = parts("listeners").into_iter().map(|mut listener| {
        let chain = &mut listener["filter_chains"][0];
        let manager = &mut chain["filters"][0]["typed_config"];
        let own = manager["route_config"].take();
        manager["rds"] = json!({"route_config_name": own["name"], "config_source": {"ads": {}}});
        routes.push(json!({"route_config": typed(own, "config.route.v3.RouteConfiguration")}));
        let listener = typed(listener, "config.listener.v3.Listener");
        json!({"name": listener["name"], "active_state": {"listener": listener}})
    });
    let listeners: Vec<Value> = listeners.collect();
    let clusters = parts("clusters").into_iter();
    let clusters = clusters.map(|one| json!({"cluster": typed(one, "config.cluster.v3.Cluster")}));
    let clusters: Vec<Value> = clusters.collect();
    let of = |kind: &str, lists: Value| typed(lists, &format!("admin.v3.{kind}ConfigDump"));
    json!({"configs": [
        of("Bootstrap", json!({"bootstrap": config})),
        of("Clusters", json!({"dynamic_active_clusters": clusters})),
        of("Listeners", json!({"dynamic_listeners": listeners})),
        of("ScopedRoutes", json!({})),
        of("Routes", json!({"dynamic_route_configs": routes})),
        of("Secrets", json!({"dynamic_active_secrets": []})),
    ]})
}

#[test]
fn a_running_envoys_dump_is_all_that_it_was_sent() {
    let pretty = |text: &str| serde_json::to_string_pretty(&dump(text)).unwrap();
    let (found, code) = findings(&[pretty(&reference())]);
    let rules: Vec<_> = found.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!((rules, code), (vec!["operators-token-placeholder"], Some(0)));
    let broken = pretty(&faulty().0);
    let (found, code) = findings(std::slice::from_ref(&broken));
    let bad: Vec<_> = found.iter().filter(is_bad).collect();
    assert_eq!((bad.len(), code), (1, Some(1)), "{bad:#?}");
    let line = 1 + broken.lines().position(|line| line.contains("FAIL_OPEN")).unwrap();
    assert_eq!((&bad[0]["rule"], &bad[0]["line"]), (&json!("fail-open"), &json!(line)));
    let path = "configs[2].dynamic_listeners[0].active_state.listener.filter_chains[0]";
    assert!(bad[0]["path"].as_str().unwrap().starts_with(path), "{}", bad[0]["path"]);
}

#[test]
fn what_a_dump_leaves_out_is_unseen() {
    let mut part = dump(&reference());
    part["configs"].as_array_mut().unwrap().remove(1);
    let (found, code) = findings(&[part.to_string()]);
    let unseen: Vec<_> = found.iter().filter(|one| one["rule"] == "unseen").collect();
    assert_eq!((unseen.len(), code), (2, Some(0)), "{found:#?}");
}

/// A ConfigMap with this file in a block of lines, behind another document.
fn config_map(text: &str, before: &str) -> String {
    let mut map =
        format!("{before}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: dana}}\ndata:\n");
    map += "  notes.txt: \"a: [\"\n  envoy.yaml: |\n";
    for line in text.lines() {
        writeln!(map, "{}{line}", if line.is_empty() { "" } else { "    " }).unwrap();
    }
    map
}

#[test]
fn a_config_map_is_read_with_its_own_lines() {
    let (text, line) = faulty();
    let service = "apiVersion: v1\nkind: Service\nspec: {ports: [{port: 1}]}\n---\n";
    for (before, behind) in [("", 6), ("# ours\n", 7), (service, 10)] {
        let (found, code) = findings(&[config_map(&text, before)]);
        let bad: Vec<_> = found.iter().filter(is_bad).collect();
        assert_eq!((bad.len(), code), (1, Some(1)), "{bad:#?}");
        let place = (&bad[0]["line"], &bad[0]["column"]);
        assert_eq!(place, (&json!(line + behind), &json!(17 + 4)), "{before}");
        let path = bad[0]["path"].as_str().unwrap();
        assert!(path.starts_with("data[envoy.yaml].static_resources."), "{path}");
    }
    assert_eq!(findings(&[config_map(&reference(), service)]).1, Some(0));
    // As `kubectl get configmap -o json` prints it: there all places are that of the string.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"envoy.yaml": text}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod"}, map]});
    for (text, path) in [(map.to_string(), "data["), (list.to_string(), "items[1].data[")] {
        let (found, code) = findings(&[text]);
        let bad: Vec<_> = found.iter().filter(is_bad).collect();
        assert_eq!((bad.len(), code, &bad[0]["line"]), (1, Some(1), &json!(1)));
        assert!(bad[0]["path"].as_str().unwrap().starts_with(path), "{}", bad[0]["path"]);
    }
}

#[test]
fn the_files_of_a_config_map_are_one_envoy() {
    let whole: Value = serde_norway::from_str(&reference()).unwrap();
    let listeners = json!({"resources": whole["static_resources"]["listeners"]});
    let mut bootstrap = whole;
    bootstrap["static_resources"].as_object_mut().unwrap().remove("listeners");
    bootstrap["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": "/l"}}});
    let data = json!({"envoy.json": bootstrap.to_string(), "lds.json": listeners.to_string()});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data});
    let (found, code) = findings(&[map.to_string()]);
    assert_eq!(code, Some(0), "{found:#?}");
    assert!(found.iter().any(|one| one["rule"] == "unseen"), "{found:#?}");
}

/// A workload that mounts the ConfigMap, before it in the same file.
#[test]
fn replicas_with_a_store_each_are_told() {
    let workload = |replicas: &str, mounts: &str| {
        let pod = format!("containers: [], volumes: [{{name: config, {mounts}}}]");
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: dana}}\nspec:\n  {replicas}\n  \
             template: {{spec: {{{pod}}}}}\n---\n"
        )
    };
    let told = |text: &str, manifest: &str| {
        let (found, code) = findings(&[config_map(text, manifest)]);
        let replicas = found.iter().filter(|one| one["rule"] == "replicas-apart");
        let replicas: Vec<Value> = replicas.cloned().collect();
        (replicas, code)
    };
    let mounts = "configMap: {name: dana}";
    let (found, code) = told(&reference(), &workload("replicas: 3", mounts));
    assert_eq!((found.len(), code), (1, Some(1)), "{found:#?}");
    let place = (&found[0]["line"], &found[0]["column"], &found[0]["path"], &found[0]["found"]);
    assert_eq!(place, (&json!(5), &json!(3), &json!("spec.replicas"), &json!("3")));
    let projected = "projected: {sources: [{secret: {name: x}}, {configMap: {name: dana}}]}";
    assert_eq!(told(&reference(), &workload("replicas: 2", projected)).0.len(), 1);
    for (replicas, mounts) in [
        ("replicas: 1", mounts),
        ("paused: false", mounts),
        ("replicas: 3", "configMap: {name: other}"),
        ("replicas: 3", "secret: {secretName: dana}"),
    ] {
        assert_eq!(told(&reference(), &workload(replicas, mounts)), (Vec::new(), Some(0)));
    }
    // With claims in etcd there may be many.
    let shared = super::etcd::shared(&reference());
    assert_eq!(told(&shared, &workload("replicas: 3", mounts)).0, Vec::<Value>::new());
    // A list of both.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dana"},
        "data": {"envoy.yaml": reference()}});
    let volumes = json!([{"name": "config", "configMap": {"name": "dana"}}]);
    let set = json!({"kind": "StatefulSet", "spec": {"replicas": 2, "template": {"spec": {
        "volumes": volumes}}}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [map, set]});
    let (found, _) = findings(&[list.to_string()]);
    let path = found.iter().find(|one| one["rule"] == "replicas-apart").unwrap();
    assert_eq!(path["path"], "items[1].spec.replicas");
}

#[test]
fn a_manifest_that_is_wrong_says_where() {
    let broken = config_map("static_resources:\n  listeners: [\nadmin: {}\n", "");
    let empty = "apiVersion: v1\nkind: ConfigMap\ndata: {a.yaml: 'b: 1'}\n".to_owned();
    let many = "apiVersion: v1\nkind: Pod\n---\n".repeat(300);
    let bomb: String = (1..18).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let bombs = config_map(&format!("admin: {{}}\n{bomb}"), "");
    let second = bombs.split_once("  envoy.yaml: |\n").unwrap().1;
    let data: String =
        (0..4).fold(bombs.clone(), |text, n| text + &format!("  e{n}.yaml: |\n{second}"));
    for (text, expected) in [
        (broken, ".yaml:9:"),
        (empty, "or a ConfigMap with one of these"),
        (many, "expected at most 256 documents"),
        (data, "expected at most 1000000 values"),
    ] {
        let output = check(&[text], &[]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}, not {expected}");
    }
}
