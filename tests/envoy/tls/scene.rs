//! Gateways behind TLS, the reference for production in front of them, and a platform that calls.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{CREATE, STATUS, Seen, about, call_as, order};
use crate::support::envoy::{Envoy, quick, rendered_from, tls_reference, with};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{Authority, Identity};
use crate::support::tls_gateway::{BOTH, Speaks, TlsGateway};
use crate::support::{read, root, until};

/// All of it.
pub(super) struct Scene {
    pub(super) sandbox: Sandbox,
    pub(super) gateways: Authority,
    pub(super) platform: Authority,
    pub(super) primary: TlsGateway,
    pub(super) secondary: TlsGateway,
    /// Where the clusters lead, where that is not to the two gateways.
    pub(super) addresses: [String; 2],
    client: Identity,
    pub(super) dir: TempDir,
}

impl Scene {
    pub(super) fn new() -> Self {
        let sandbox = Sandbox::start();
        let (gateways, platform) = (Authority::new(), Authority::new());
        let accepted = gateways.certificate();
        let start = |name: &str, upstream: &str| {
            let identity = gateways.vouch_for(&format!("{name}.dana.example"));
            let clients_of = Some(accepted.as_str());
            TlsGateway::start(&Speaks { identity: &identity, clients_of, versions: BOTH }, upstream)
        };
        let primary = start("primary", &sandbox.primary);
        let secondary = start("secondary", &sandbox.secondary);
        let client = platform.vouch_for("spiffe://platform.example/payments");
        let dir = TempDir::new().unwrap();
        put(dir.path(), "gateway_ca.pem", &accepted);
        put(dir.path(), "platform_ca.pem", &platform.certificate());
        put_identity(dir.path(), "client", &gateways.vouch_for("merchant.example"));
        put_identity(dir.path(), "server", &platform.vouch_for("127.0.0.1"));
        put_secrets(dir.path());
        let addresses = [String::new(), String::new()];
        Self { sandbox, gateways, platform, primary, secondary, addresses, client, dir }
    }

    /// The reference for production, in front of these gateways.
    pub(super) fn config(&self, changes: &Value) -> Value {
        let pick = |at: usize, gateway: &TlsGateway| match self.addresses[at].as_str() {
            "" => gateway.address.clone(),
            other => other.to_owned(),
        };
        let [first, second] = [pick(0, &self.primary), pick(1, &self.secondary)];
        let scope = json!({"peers": {"spiffe://platform.example/payments": [PARTNER]}});
        let changes = with(with(quick(), &json!({"scope": scope})), changes);
        let config = rendered_from(tls_reference(), [&first, &second], &changes);
        let text = config.to_string().replace("/etc/envoy/sds", &self.dir.path().to_string_lossy());
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let listener = &mut config["static_resources"]["listeners"][0];
        listener["address"]["socket_address"]["address"] = json!("127.0.0.1");
        config
    }

    pub(super) fn start(&self, changes: &Value) -> Envoy {
        Envoy::start(&self.config(changes))
    }

    /// Starts one whose primary has no heartbeat, because its channel is wrong.
    pub(super) fn start_with_a_dead_primary(&self, changes: &Value) -> Envoy {
        let envoy = Envoy::start_without_heartbeat(&self.config(changes));
        until("the secondary is up", Duration::from_secs(20), || {
            (envoy.metric("dana_heartbeat_up", "secondary") == 1).then_some(())
        });
        envoy
    }

    pub(super) fn pay(&self, envoy: &Envoy, reference: &str) -> Seen {
        self.pay_as(Some(&self.client), envoy, reference)
    }

    pub(super) fn pay_as(&self, client: Option<&Identity>, envoy: &Envoy, reference: &str) -> Seen {
        let authority = self.platform.certificate();
        call_as(client, &authority, &envoy.listener, CREATE, &order(reference))
    }

    pub(super) fn ask(&self, envoy: &Envoy, reference: &str) -> Seen {
        let client = Some(&self.client);
        let authority = self.platform.certificate();
        call_as(client, &authority, &envoy.listener, STATUS, &about(reference))
    }
}

const PARTNER: &str = "2025021312345678901234";

/// Puts a file where Envoy may be watching, whole from the first moment.
pub(super) fn put(dir: &Path, name: &str, text: &str) {
    let half = dir.join("half");
    std::fs::write(&half, text).unwrap();
    std::fs::rename(half, dir.join(name)).unwrap();
}

/// Puts the reference's own secrets, by which Envoy finds and watches the files in `dir`.
pub(super) fn put_secrets(dir: &Path) {
    for name in ["client", "server", "gateway_ca", "platform_ca"] {
        let text = read(&root().join(format!("envoy/sds/{name}.yaml")));
        put(dir, &format!("{name}.yaml"), &text.replace("/etc/envoy/tls", &dir.to_string_lossy()));
    }
}

pub(super) fn put_identity(dir: &Path, name: &str, identity: &Identity) {
    put(dir, &format!("{name}.key"), &identity.key);
    put(dir, &format!("{name}.pem"), &identity.certificate);
}
