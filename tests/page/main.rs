//! `make screenshot`: the operators' page of a real Envoy, in a real browser, in every state that
//! matters. It looks for what a browser says against the page, and leaves the pictures for people
//! to look at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "people read what it prints")]

mod report;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use support::client::{CREATE, call, order};
use support::envoy::{Envoy, TOKEN, quick, rendered, with};
use support::operator::{get, post, status};
use support::sandbox::Sandbox;
use support::{root, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// What Debian, Fedora and Google call it.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

const WIDE: (u32, u32) = (1200, 860);
const PHONE: (u32, u32) = (500, 1700);

fn main() -> ExitCode {
    let found = BROWSERS.iter().find(|name| {
        let version = Command::new(name).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    let Some(browser) = found else {
        println!("No browser: expected one of {} on the PATH.", BROWSERS.join(", "));
        println!("On Debian: apt-get install -y chromium");
        return ExitCode::FAILURE;
    };
    let camera = Camera { browser, folder: root().join("target/page") };
    std::fs::create_dir_all(&camera.folder).unwrap();
    match std::panic::catch_unwind(|| take_all(&camera)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

struct Camera {
    browser: &'static str,
    folder: PathBuf,
}

impl Camera {
    /// Takes a picture of the page as it is now.
    fn take(&self, envoy: &Envoy, name: &str, size: (u32, u32), more: &[&str]) {
        self.take_path(envoy, "/", name, size, more);
    }

    fn take_path(&self, envoy: &Envoy, path: &str, name: &str, size: (u32, u32), more: &[&str]) {
        let url = format!("http://anna:{TOKEN}@{}{path}", envoy.operators);
        self.take_url(&url, name, size, more);
    }

    fn take_url(&self, url: &str, name: &str, (width, height): (u32, u32), more: &[&str]) {
        let picture = self.folder.join(format!("{name}.png"));
        let profile = TempDir::new().unwrap();
        let output = Command::new(self.browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("--window-size={width},{height}"))
            .args(more)
            .arg(url)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(console.is_empty(), "the browser has something against the page: {console:#?}");
        assert!(is_picture(&picture), "{said}");
        println!("{}", picture.display());
    }
}

/// Whether there is a picture with something on it: an empty page makes one of 5 kB.
fn is_picture(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000
}

/// Breakers that open at three failures in a row and stay open, and a store that is counted at once.
fn settings() -> Value {
    with(
        quick(),
        &json!({
            "breaker": {"consecutive_failures": 3, "open_ms": 60_000, "open_ms_max": 300_000,
                        "open_jitter_pct": 0, "half_open_permits": 3, "min_calls": 1000},
            "idempotency": {"repeat_after_ms": 3_600_000, "store": {"local": {"claims_max": 4096}}},
        }),
    )
}

fn start(changes: &Value) -> (Sandbox, Envoy) {
    let sandbox = Sandbox::start();
    let mut config = rendered(&sandbox, &with(settings(), changes));
    config["node"] = json!({"id": "dana-egress-6f7c9d-x2x4q", "cluster": "shop"});
    let envoy = Envoy::start(&config);
    for number in 0..7 {
        assert_eq!(call(&envoy.listener, CREATE, &order(&format!("PAID-{number}"))).status, 200);
    }
    until("it is counted", PATIENCE, || (get(&envoy, "/in-doubt").status == 200).then_some(()));
    (sandbox, envoy)
}

/// Payments that the primary takes and never answers.
fn lose(sandbox: &Sandbox, envoy: &Envoy, amounts: &[&str]) {
    sandbox.fault("primary", &json!({"fault": "reset"}));
    for (number, amount) in amounts.iter().enumerate() {
        let mut lost = order(&format!("LOST-{number}"));
        lost["amount"]["value"] = json!(amount);
        assert_eq!(call(&envoy.listener, CREATE, &lost).outcome(), "unknown");
    }
    until("they are counted", PATIENCE, || {
        (status(envoy)["in_doubt"]["count"] == amounts.len()).then_some(())
    });
}

fn take_all(camera: &Camera) {
    let page = report::page(&camera.folder);
    // There is no network for it.
    let offline = ["--proxy-server=127.0.0.1:9"];
    camera.take_url(&format!("file://{}", page.display()), "audit-report", (1100, 1150), &offline);
    let page = report::reconciliation(&camera.folder);
    let url = format!("file://{}", page.display());
    camera.take_url(&url, "reconciliation", (1100, 700), &offline);
    let lost = ["1250000.00", "89500.00", "310000.00"];
    {
        let (sandbox, envoy) = start(&json!({}));
        camera.take(&envoy, "well", WIDE, &[]);
        lose(&sandbox, &envoy, &lost);
        camera.take(&envoy, "failed-over", (1200, 1000), &[]);
        camera.take_path(&envoy, "/in-doubt", "in-doubt", WIDE, &[]);
        camera.take(&envoy, "failed-over-narrow", (800, 860), &[]);
        camera.take(&envoy, "failed-over-phone", PHONE, &[]);
        let dark = ["--blink-settings=preferredColorScheme=0"];
        camera.take(&envoy, "failed-over-dark", (1400, 860), &dark);
        sandbox.fault("secondary", &json!({"fault": "code", "code": "5005400"}));
        for number in 0..3 {
            call(&envoy.listener, CREATE, &order(&format!("FAILED-{number}")));
        }
        for number in 0..5 {
            call(&envoy.listener, CREATE, &order(&format!("REFUSED-{number}")));
        }
        until("refusals are told", PATIENCE, || {
            (status(&envoy)["refused"][0]["requests"] == 5).then_some(())
        });
        camera.take(&envoy, "nowhere", WIDE, &[]);
        steer(&envoy, "secondary", "force", "DANA says that <b>secondary</b> is well & \"paid\"");
        camera.take(&envoy, "forced", WIDE, &[]);
    }
    {
        let (sandbox, envoy) = start(&json!({"breaker": {"open_ms": 700}}));
        lose(&sandbox, &envoy, &lost);
        sandbox.heal("primary");
        until("it is half-open", PATIENCE, || {
            call(&envoy.listener, CREATE, &order(&format!("TRIAL-{}", status(&envoy)["now"])));
            (status(&envoy)["gateways"][0]["breaker"]["state"] == "half_open").then_some(())
        });
        camera.take(&envoy, "half-open", WIDE, &[]);
    }
    {
        let full = json!({"idempotency": {"store": {"local": {"claims_max": 16}}}});
        let (_sandbox, envoy) = start(&full);
        for number in 0..80 {
            call(&envoy.listener, CREATE, &order(&format!("MANY-{number}")));
        }
        until("it is full", PATIENCE, || {
            let status = status(&envoy);
            let is_told = status["refused"][0]["requests"] == 23;
            (is_told && status["store"]["room"] == "none").then_some(())
        });
        camera.take(&envoy, "store-full", WIDE, &[]);
    }
    let (_sandbox, envoy) = start(&json!({}));
    steer(
        &envoy,
        "primary",
        "drain",
        "DANA's maintenance of the first gateway, announced for tonight",
    );
    camera.take(&envoy, "drained", WIDE, &[]);
}

fn steer(envoy: &Envoy, gateway: &str, steer: &str, reason: &str) {
    let wish = json!({"gateway": gateway, "steer": steer, "ttl_s": 5400, "reason": reason,
                      "actor": "anna@shop.example"});
    let seen = post(envoy, "/override", &wish);
    assert_eq!(seen.status, 200, "{seen:?}");
}
