//! A real Prometheus scrapes a real Envoy, over the listener that envoy/stats.yaml has for it, while gateways fail:
//! the alerts fire, and end when all is well again. Their waits are left out.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{program, rule_files};
use crate::support::client::{self, CREATE, call, order};
use crate::support::envoy::{Envoy, file, quick, trapping, with};
use crate::support::operator::post;
use crate::support::sandbox::Sandbox;
use crate::support::{Process, free_ports, read, until};

const PATIENCE: Duration = Duration::from_secs(40);

/// A running Prometheus with our rules. It is asked each second, and its data ends with it.
struct Prometheus {
    _process: Process,
    _dir: TempDir,
    address: String,
}

impl Prometheus {
    fn start(envoy: &str) -> Self {
        let dir = TempDir::new().unwrap();
        for path in rule_files() {
            std::fs::write(dir.path().join(path.file_name().unwrap()), without_waits(&path))
                .unwrap();
        }
        let scrape = json!({"job_name": "dana", "metrics_path": "/stats/prometheus",
                            "static_configs": [{"targets": [envoy]}]});
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [dir.path().join("*.yaml")], "scrape_configs": [scrape],
        });
        let configured = dir.path().join("prometheus.json");
        std::fs::write(&configured, config.to_string()).unwrap();
        let address = free_address();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", configured.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let prometheus = Self { _process: Process(child), _dir: dir, address };
        until("Prometheus is ready", PATIENCE, || {
            (client::glance(&prometheus.address, "/-/ready", &[]).status == 200).then_some(())
        });
        prometheus
    }

    /// The alerts that fire, by their names.
    fn firing(&self) -> BTreeSet<String> {
        let answer = client::get(&self.address, "/api/v1/alerts").json();
        let alerts = answer["data"]["alerts"].as_array().unwrap().iter();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    fn await_alerts(&self, names: &[&str], mut meanwhile: impl FnMut()) {
        until(&format!("{names:?} fire"), PATIENCE, || {
            meanwhile();
            let firing = self.firing();
            names.iter().all(|name| firing.contains(*name)).then_some(())
        });
    }

    fn await_end(&self, names: &[&str], mut meanwhile: impl FnMut()) {
        until(&format!("{names:?} end"), PATIENCE, || {
            meanwhile();
            let firing = self.firing();
            names.iter().all(|name| !firing.contains(*name)).then_some(())
        });
    }
}

/// Rules whose alerts do not wait before they fire, and that are evaluated each second.
fn without_waits(path: &Path) -> String {
    let text = read(path);
    let changed = text.lines().map(|line| {
        let (front, word) = line.split_at(line.len() - line.trim_start().len());
        match word.split_once(": ") {
            Some(("for" | "keep_firing_for", _)) => format!("{front}for: 0s\n"),
            Some(("interval", _)) => format!("{front}interval: 1s\n"),
            _ => format!("{line}\n"),
        }
    });
    changed.collect()
}

/// An address that nobody listens on.
fn free_address() -> String {
    format!("127.0.0.1:{}", free_ports(1)[0])
}

/// The reference with the listener for Prometheus.
fn with_stats(mut config: Value) -> Value {
    let admin = free_address();
    let port = |address: &str| json!(address.rsplit(':').next().unwrap().parse::<u16>().unwrap());
    config["admin"]["address"]["socket_address"]["port_value"] = port(&admin);
    let [mut listener, mut cluster] = [0, 1].map(|part| file("stats.yaml")[part].clone());
    listener["address"]["socket_address"] = json!({"address": "127.0.0.1", "port_value": 0});
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"]["port_value"] = port(&admin);
    let resources = &mut config["static_resources"];
    resources["listeners"].as_array_mut().unwrap().push(listener);
    resources["clusters"].as_array_mut().unwrap().push(cluster);
    config
}

fn start() -> (Sandbox, Envoy, String) {
    let sandbox = Sandbox::start();
    let lasting = json!({"breaker": {"open_ms": 2000, "open_ms_max": 2000},
                         "idempotency": {"repeat_after_ms": 3_600_000,
                                         "store": {"local": {"claims_max": 16384}}}});
    let mut config = with_stats(trapping(&sandbox, &with(quick(), &lasting)));
    config["stats_flush_interval"] = json!("0.5s");
    let envoy = Envoy::start(&config);
    let stats = envoy.listening("dana_stats").unwrap();
    (sandbox, envoy, stats)
}

#[test]
fn the_listener_for_prometheus_hands_on_nothing_else() {
    let (_sandbox, _envoy, stats) = start();
    let text = client::get(&stats, "/stats/prometheus").body;
    assert!(String::from_utf8_lossy(&text).contains("dana_build_info{"));
    for path in
        ["/", "/stats", "/quitquitquit", "/config_dump", "/stats/prometheus/../../quitquitquit"]
    {
        assert_eq!(client::glance(&stats, path, &[]).status, 404, "{path}");
    }
    let posted = client::post(&stats, "/stats/prometheus", &json!({}));
    assert_eq!(posted.status, 404, "{posted:?}");
}

#[test]
fn alerts_fire_while_gateways_fail_and_end_when_they_are_well() {
    let (sandbox, envoy, stats) = start();
    let prometheus = Prometheus::start(&stats);
    let mut number = 0;
    let mut pay = || {
        number += 1;
        call(&envoy.listener, CREATE, &order(&format!("ORDER-{number}")))
    };
    for _ in 0..20 {
        assert_eq!(pay().status, 200);
    }
    let silent = until("Prometheus has seen Envoy", PATIENCE, || {
        let seen =
            client::get(&prometheus.address, "/api/v1/query?query=dana:payments:rate5m").json();
        let results = seen["data"]["result"].as_array()?.len();
        (results > 0).then(|| prometheus.firing())
    });
    // Until its first scrape there was no Envoy.
    let silent: Vec<&String> = silent.iter().filter(|name| *name != "DanaMetricsAbsent").collect();
    assert!(silent.is_empty(), "all is well: {silent:?}");

    sandbox.fault("primary", &json!({"fault": "code", "code": "5005400", "heartbeats": true}));
    prometheus.await_alerts(&["DanaSwitched", "DanaNoReserve"], || drop(pay()));

    // Much money in doubt, at whichever gateway.
    for gateway in ["primary", "secondary"] {
        let reset = json!({"fault": "reset", "executes": true, "reference": "RICH"});
        sandbox.fault(gateway, &reset);
    }
    let mut rich = order("RICH");
    rich["amount"]["value"] = json!("25000000.00");
    let answer = call(&envoy.listener, CREATE, &rich);
    assert_eq!(answer.outcome(), "unknown", "{answer:?}");
    prometheus.await_alerts(&["DanaValueAtRisk"], || {});

    sandbox.fault("secondary", &json!({"fault": "code", "code": "5005400", "heartbeats": true}));
    let all = ["DanaBothGatewaysDown", "DanaNoGateway", "DanaErrorBudgetBurn"];
    prometheus.await_alerts(&all, || drop(pay()));

    let force = json!({"gateway": "primary", "steer": "force", "ttl_s": 3600, "reason": "test",
                       "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &force).status, 200);
    prometheus.await_alerts(&["DanaOverrideForgotten"], || {});
    let auto = json!({"gateway": "primary", "steer": "auto", "reason": "test", "actor": "anna"});
    assert_eq!(post(&envoy, "/override", &auto).status, 200);

    for gateway in ["primary", "secondary"] {
        sandbox.heal(gateway);
    }
    let over = ["DanaBothGatewaysDown", "DanaNoReserve", "DanaOverrideForgotten"];
    prometheus.await_end(&over, || drop(pay()));

    sandbox.fault("primary", &json!({"fault": "trap", "count": 1}));
    sandbox.fault("secondary", &json!({"fault": "trap", "count": 1}));
    prometheus.await_alerts(&["DanaVmReloaded"], || drop(pay()));
}
