//! Certificates of an etcd and its clients, and what users may do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::super::tls::{Authority, Identity};
use super::Etcd;
use super::api::encode;

/// The user who may do everything.
pub(super) const ROOT: &str = "root";
pub(super) const ROOT_PASSWORD: &str = "root-of-tests";

/// Longer than a member that is well takes to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Who vouches for whom. All of it stands in files, which end with the etcd.
pub(super) struct Tls {
    dir: PathBuf,
    servers: Authority,
    clients: Authority,
    /// etcd refuses whoever calls its JSON API with a common name, and never takes that for a user.
    nameless: Identity,
}

impl Tls {
    pub(super) fn new(dir: &Path) -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        let nameless = clients.vouch_for_server(&["tests"]);
        let tls = Self { dir: dir.to_owned(), servers, clients, nameless };
        tls.write("clients.pem", &tls.clients.certificate());
        tls.write("servers.pem", &tls.servers.certificate());
        tls.write_identity("nameless", &tls.nameless);
        tls.write_identity("server", &tls.servers.vouch_for_server(&["localhost", "127.0.0.1"]));
        tls
    }

    /// What a member is told of it.
    pub(super) fn flags(&self) -> [String; 6] {
        let flag = |name, file| format!("--{name}={}", self.path(file).display());
        [
            "--client-cert-auth=true".to_owned(),
            flag("trusted-ca-file", "clients.pem"),
            flag("cert-file", "server.pem"),
            flag("key-file", "server.key"),
            // With this one a member's JSON API calls the member.
            flag("client-cert-file", "nameless.pem"),
            flag("client-key-file", "nameless.key"),
        ]
    }

    /// How the tests themselves call.
    pub(super) fn agent_config(&self) -> TlsConfig {
        let certificate = |pem: &str| Certificate::from_pem(pem.as_bytes()).unwrap();
        let key = PrivateKey::from_pem(self.nameless.key.as_bytes()).unwrap();
        let own = ClientCert::new_with_certs(&[certificate(&self.nameless.certificate)], key);
        let roots = RootCerts::new_with_certs(&[certificate(&self.servers.certificate())]);
        TlsConfig::builder().root_certs(roots).client_cert(Some(own)).build()
    }

    /// An Envoy's side of TLS, as this user; as nobody with a certificate without one.
    pub(super) fn transport_socket(&self, user: Option<&str>) -> Value {
        let validation = json!({
            "trusted_ca": {"filename": self.path("servers.pem")},
            "match_typed_subject_alt_names": [
                {"san_type": "IP_ADDRESS", "matcher": {"exact": "127.0.0.1"}},
            ],
        });
        let certificates: Vec<Value> = user.iter().map(|user| self.user_files(user)).collect();
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "tls_certificates": certificates,
                    "validation_context": validation,
                },
            },
        })
    }

    fn user_files(&self, user: &str) -> Value {
        self.write_identity(user, &self.clients.vouch_for(user));
        json!({
            "certificate_chain": {"filename": self.path(&format!("{user}.pem"))},
            "private_key": {"filename": self.path(&format!("{user}.key"))},
        })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    fn write_identity(&self, name: &str, identity: &Identity) {
        self.write(&format!("{name}.pem"), &identity.certificate);
        self.write(&format!("{name}.key"), &identity.key);
    }
}

impl Etcd {
    /// From here on each call is somebody's: tests are root, and clients whoever their certificate
    /// says.
    pub(super) fn enable_users(&self) {
        self.ask_once("/v3/auth/role/add", &json!({"name": ROOT}));
        self.ask_once("/v3/auth/user/add", &json!({"name": ROOT, "password": ROOT_PASSWORD}));
        self.ask_once("/v3/auth/user/grant", &json!({"user": ROOT, "role": ROOT}));
        self.ask_once("/v3/auth/enable", &json!({}));
        self.members.iter().for_each(|member| member.api.log_in());
    }

    /// Makes a user, without a password, who may read and write what has this prefix.
    pub(crate) fn grant(&self, user: &str, prefix: &str) {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let (key, end) = (encode(prefix.as_bytes()), encode(&end));
        let rights = json!({"permType": "READWRITE", "key": key, "range_end": end});
        self.ask_once("/v3/auth/role/add", &json!({"name": user}));
        self.ask_once("/v3/auth/role/grant", &json!({"name": user, "perm": rights}));
        let nobody = json!({"name": user, "options": {"no_password": true}});
        self.ask_once("/v3/auth/user/add", &nobody);
        self.ask_once("/v3/auth/user/grant", &json!({"user": user, "role": user}));
    }

    fn ask_once(&self, path: &str, body: &Value) {
        let answer = self.api(self.leader()).post(path, body, LIMIT);
        assert!(answer.is_ok(), "{path}: {answer:?}");
    }
}
