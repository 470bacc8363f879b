//! Merchants who use DANA's own SDKs: a process for each, told line by line what to call.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::application::Received;
use super::{read, root, tool};

/// Longer than any call takes, the first one with the SDK's own start included.
const LIMIT: Duration = Duration::from_secs(30);

/// The SDKs that DANA publishes and the tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sdk {
    /// `dana-python`.
    Python,
    /// `dana-node`.
    Node,
}

/// A merchant's key pair, which signs what the SDKs send.
pub(crate) struct Keys {
    dir: TempDir,
}

impl Keys {
    /// A new pair.
    pub(crate) fn make() -> Self {
        let keys = Self { dir: TempDir::new().unwrap() };
        let made = Command::new(tool("python"))
            .arg(root().join("tests/sdk/dana_python.py"))
            .args(["keys".as_ref(), keys.private().as_os_str(), keys.public().as_os_str()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        keys
    }

    fn private(&self) -> PathBuf {
        self.dir.path().join("private.pem")
    }

    /// The part that a gateway knows.
    pub(crate) fn public(&self) -> PathBuf {
        self.dir.path().join("public.pem")
    }
}

/// A merchant with an SDK.
pub(crate) struct Merchant {
    child: Child,
    orders: ChildStdin,
    told: Receiver<String>,
    dir: TempDir,
    /// Which SDK it uses.
    pub(crate) sdk: Sdk,
}

impl Merchant {
    /// Starts one who signs with `keys` and calls Envoy at `address`.
    pub(crate) fn start(sdk: Sdk, keys: &Keys, address: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let mut child = program(sdk)
            .args(["serve".as_ref(), keys.private().as_os_str(), address.as_ref()])
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("errors")).unwrap())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, told) = channel();
        // It ends when the process does.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, orders, told, dir, sdk }
    }

    /// Makes a call and gives what the SDK made of the answer.
    pub(crate) fn call(&mut self, call: &str, request: &Value) -> Told {
        self.order(call, request);
        self.told()
    }

    /// Has a call made, without waiting for its end.
    pub(crate) fn order(&mut self, call: &str, request: &Value) {
        let order = json!({"call": call, "request": request});
        writeln!(self.orders, "{order}").and_then(|()| self.orders.flush()).unwrap_or_else(|_| {
            panic!("{:?} cannot be told to {call}: {}", self.sdk, self.errors());
        });
    }

    /// What came of the call that was ordered.
    pub(crate) fn told(&mut self) -> Told {
        let line = self.told.recv_timeout(LIMIT).unwrap_or_else(|error| {
            panic!("{:?} tells nothing ({error}): {}", self.sdk, self.errors());
        });
        let fields = serde_json::from_str(&line);
        Told(fields.unwrap_or_else(|error| panic!("{:?}: {error}: {line}", self.sdk)))
    }

    fn errors(&self) -> String {
        read(&self.dir.path().join("errors"))
    }
}

impl Drop for Merchant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(sdk: Sdk) -> Command {
    let scripts = root().join("tests/sdk");
    match sdk {
        Sdk::Python => {
            let mut command = Command::new(tool("python"));
            command.arg(scripts.join("dana_python.py"));
            command
        }
        Sdk::Node => {
            let folder = root().join(".tools/node");
            let node = folder.join("bin/node");
            assert_exists(&node);
            let mut command = Command::new(node);
            command.env("NODE_PATH", folder.join("node_modules"));
            command.arg(scripts.join("dana_node.js"));
            command
        }
    }
}

fn assert_exists(path: &Path) {
    assert!(path.exists(), "{} is missing: run `make tools`", path.display());
}

/// What an SDK's own parser makes of a notification that reached a merchant's application, by the gateway's
/// public key in this file.
pub(crate) fn parse_webhook(sdk: Sdk, key: &Path, got: &Received) -> Value {
    let mut words = got.line.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let headers: BTreeMap<_, _> = got.headers.iter().cloned().collect();
    let body = String::from_utf8(got.body.clone()).unwrap();
    let told = json!({"method": method, "path": path, "headers": headers, "body": body});
    let mut child = program(sdk)
        .args(["webhook".as_ref(), key.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{told}").unwrap();
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What an SDK made of an answer: an object, or its own error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told(Value);

impl Told {
    /// All that the SDK's merchant told.
    pub(crate) fn fields(&self) -> &Value {
        &self.0
    }

    /// HTTP status of the error; 200 where there was none.
    pub(crate) fn status(&self) -> u64 {
        self.0["status"].as_u64().unwrap_or(200)
    }

    /// The object that the SDK returned, `null` where it returned none.
    pub(crate) fn value(&self) -> &Value {
        assert!(self.0["error"].is_null(), "an error instead of an object: {self:?}");
        &self.0["value"]
    }

    /// The body, as the SDK's error holds it.
    pub(crate) fn body(&self) -> &Value {
        assert!(!self.0["error"].is_null(), "an object instead of an error: {self:?}");
        &self.0["body"]
    }

    /// Name of the type of the error; empty where there was none.
    pub(crate) fn error(&self) -> &str {
        self.0["error"].as_str().unwrap_or_default()
    }

    /// The SNAP code, in the object or in the error.
    pub(crate) fn code(&self) -> &str {
        let fields = if self.error().is_empty() { &self.0["value"] } else { &self.0["body"] };
        fields["responseCode"].as_str().unwrap_or_default()
    }

    /// The outcome that an answer of the filter tells.
    pub(crate) fn outcome(&self) -> &str {
        self.0["body"]["outcome"].as_str().unwrap_or_default()
    }

    /// Whether the object equals, for the SDK, the one that the same call gave before.
    pub(crate) fn equals_the_one_before(&self) -> Option<bool> {
        self.0["equal"].as_bool()
    }
}
