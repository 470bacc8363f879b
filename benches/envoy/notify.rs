//! What a gateway's notification costs Envoy, and of that the verification of its signature.
//!
//! ```text
//! cargo bench --bench envoy -- --envoy PATH notify
//! ```
//!
//! Processor time of the Envoy process for each request, of three kinds that differ in how many signatures are
//! verified: none, where there is no signature; one, where it is genuine (and repeated, so that no
//! application is in the way); two, where it is forged and both gateways' keys are tried.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use dana_failover::engine::{Timestamp, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::ground::Ground;
use super::http::{Message, Wire};
use super::process::{Envoy, free_ports};
use super::{Cores, Options, Outcome, module, read};

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Notify {
    /// Notifications of each kind in each round
    #[arg(long, default_value_t = 1000)]
    notifications: u32,
    /// The listener, and the application behind it
    #[arg(long, default_value = "envoy/notify.yaml")]
    piece: std::path::PathBuf,
    /// The module
    #[arg(long, default_value = "target/wasm32-unknown-unknown/release/dana_failover_notify.wasm")]
    module: std::path::PathBuf,
    /// The key that the sandbox's primary signs with
    #[arg(long, default_value = "src/cli/sandbox/keys/primary.pem")]
    key: std::path::PathBuf,
}

const PATH: &str = "/v1.0/debit/notify";
const ROUNDS: usize = 5;

/// Measures all kinds in turns, and prints a table.
pub(crate) fn run(options: &Options, wanted: &Notify) -> Outcome<()> {
    let ground = Ground::new(options)?;
    // Its first gateway is the application here: it confirms with a code that says yes.
    let setup = ground.setup(Cores::split());
    let [listener, admin] = free_ports()?;
    let config = config(wanted, [listener, admin, setup.gateways[0]])?;
    let mut envoy = Envoy::start_config(&setup, "notify", &config, [listener, admin], &[])?;
    let signature = sign(&read(&wanted.key)?)?;
    let kinds = [
        ("no signature", None, 401, 0),
        ("genuine, repeated", Some(signature.text.clone()), 200, 1),
        ("forged, two keys tried", Some(forged(&signature.text)), 401, 2),
    ];
    envoy.wait_for(|port| ask(port, &signature, Some(&signature.text), 1).map(|_| ()))?;
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for _ in 0..=ROUNDS {
        for ((_, text, status, _), times) in kinds.iter().zip(&mut times) {
            let before = envoy.cpu_us()?;
            let last = ask(listener, &signature, text.as_deref(), wanted.notifications)?;
            if last != *status {
                return Err(format!("expected {status}, found {last}").into());
            }
            times.push((envoy.cpu_us()? - before) / f64::from(wanted.notifications));
        }
    }
    println!("{:<28}{:>14}{:>16}", "Envoy's CPU, us", "a request", "a verification");
    let mut without = 0.0;
    let mut rows = Vec::new();
    for ((name, _, _, verified), times) in kinds.iter().zip(&mut times) {
        // In the first round V8 compiles what is used much.
        times.remove(0);
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        if *verified == 0 {
            without = median;
        }
        let each = if *verified == 0 { 0.0 } else { (median - without) / f64::from(*verified) };
        println!("{name:<28}{median:>14.1}{each:>16.1}");
        rows.push(json!({"kind": name, "us": median, "verifications": verified, "us_each": each}));
    }
    let output = options.output.with_file_name("notify.json");
    fs::create_dir_all(output.parent().unwrap_or(&output))?;
    fs::write(&output, serde_json::to_vec_pretty(&rows)?)?;
    println!("Medians of {ROUNDS} rounds; also in {}", output.display());
    Ok(())
}

/// The listener by itself.
fn config(wanted: &Notify, [listener, admin, application]: [u16; 3]) -> Outcome<Value> {
    let mut piece: Value = serde_norway::from_str(&read(&wanted.piece)?)?;
    let mut set = |path: &str, value: Value| -> Outcome<()> {
        let place = piece.pointer_mut(path).ok_or_else(|| format!("notify.yaml has no {path}"))?;
        *place = value;
        Ok(())
    };
    let manager = "/0/filter_chains/0/filters/0/typed_config";
    let plugin = format!("{manager}/http_filters/0/typed_config/config");
    let (file, _) = module(&wanted.module)?;
    set("/0/address/socket_address/port_value", json!(listener))?;
    set(&format!("{manager}/access_log"), json!([]))?;
    set(&format!("{plugin}/vm_config/code/local/filename"), json!(file))?;
    let endpoint = "/1/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
    set(&format!("{endpoint}/address/socket_address/port_value"), json!(application))?;
    let settings = piece.pointer_mut(&format!("{plugin}/configuration/value"));
    settings.and_then(Value::as_object_mut).and_then(|settings| settings.remove("audit"));
    let mut take = |path: &str| piece.pointer_mut(path).map(Value::take);
    let (listeners, clusters) = ([take("/0")], [take("/1")]);
    let address = json!({"address": "127.0.0.1", "port_value": admin});
    Ok(json!({
        "admin": {"address": {"socket_address": address}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }))
}

/// A notification, and its signature.
struct Signed {
    body: String,
    time: String,
    text: String,
}

#[expect(clippy::disallowed_methods, reason = "a notification says when it was signed")]
fn sign(pem: &str) -> Outcome<Signed> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let time = Utc(Timestamp::from_millis(u64::try_from(now)?)).to_string();
    let body = json!({
        "originalPartnerReferenceNo": "BENCH-1", "originalReferenceNo": "2026112211121280010016627001234567",
        "merchantId": "216620010016033632482", "amount": {"value": "10000.00", "currency": "IDR"},
        "latestTransactionStatus": "00", "transactionStatusDesc": "Success", "createdTime": time, "finishedTime": time,
    })
    .to_string();
    let hash = digest(&SHA256, body.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64)?;
    let key = RsaKeyPair::from_pkcs8(&der).map_err(|error| error.to_string())?;
    let mut signature = vec![0; key.public().modulus_len()];
    let text = format!("POST:{PATH}:{hash}:{time}");
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| "the key does not sign")?;
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signature);
    Ok(Signed { body, time, text })
}

/// The same but for its first sign.
fn forged(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    [if first == "A" { "B" } else { "A" }, rest].concat()
}

/// Sends it so many times, one after the other; the last status.
fn ask(port: u16, signed: &Signed, signature: Option<&str>, times: u32) -> Outcome<u16> {
    let Signed { body, time, .. } = signed;
    let signature = signature.map(|text| format!("x-signature: {text}\r\n")).unwrap_or_default();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-timestamp: {time}\r\n\
         {signature}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wire = Wire::connect(port, Duration::from_secs(10))?;
    let mut status = 0;
    for _ in 0..times {
        wire.send(request.as_bytes())?;
        let Some(Message { head, .. }) = wire.read()? else {
            return Err("the connection was closed instead of an answer".into());
        };
        let text = String::from_utf8_lossy(head);
        status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    }
    Ok(status)
}
