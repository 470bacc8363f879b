//! One Envoy before two stand-in gateways, with one pair of modules or with both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::client::{Line, Seen};
use crate::support::envoy::{Envoy, MODULES, manager, plugin_within, rendered};
use crate::support::sandbox::Sandbox;
use crate::support::{module, until};

/// The modules of one version.
#[derive(Clone, Debug)]
pub(crate) struct Modules {
    /// What answers in its name say in the `server` header.
    name: &'static str,
    payments: PathBuf,
    operators: PathBuf,
}

impl Modules {
    /// Those of this checkout.
    pub(crate) fn new() -> Self {
        let [payments, operators] = MODULES.map(module);
        Self { name: "new", payments, operators }
    }

    /// An older one. Before there were two modules, one served both listeners.
    pub(crate) fn old(payments: &Path) -> Self {
        assert!(payments.exists(), "{} is missing", payments.display());
        let name = payments.file_stem().unwrap().to_string_lossy();
        let second = payments.with_file_name(format!("{name}_operators.wasm"));
        let operators = if second.exists() { second } else { payments.to_owned() };
        Self { name: "old", payments: payments.to_owned(), operators }
    }

    pub(crate) fn payments_bytes(&self) -> Vec<u8> {
        std::fs::read(&self.payments).unwrap()
    }

    /// Which files they are.
    pub(crate) fn told(&self) -> String {
        let one = |path: &Path| {
            let bytes = std::fs::read(path).unwrap();
            let digest: String =
                Sha256::digest(&bytes)[..6].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{} ({} bytes, SHA-256 {digest}...)", path.display(), bytes.len())
        };
        if self.payments == self.operators {
            return one(&self.payments);
        }
        format!("{}, {}", one(&self.payments), one(&self.operators))
    }
}

/// Who plays.
#[derive(Clone, Debug)]
pub(crate) enum Cast {
    /// One version.
    Alone(Modules),
    /// Two listeners of one Envoy: what the first one stores the second one reads, and back.
    Beside(Modules, Modules),
    /// One listener whose modules are replaced (LDS) at each act: the first version, the second,
    /// the first.
    InTurn(Modules, Modules),
}

impl Cast {
    /// All of them; the first is what the others are compared with.
    pub(crate) fn all(old: &Modules, new: &Modules) -> Vec<Self> {
        let (old, new) = (|| old.clone(), || new.clone());
        vec![
            Self::Alone(old()),
            Self::Alone(new()),
            Self::Beside(old(), new()),
            Self::Beside(new(), old()),
            Self::InTurn(old(), new()),
            Self::InTurn(new(), old()),
        ]
    }

    pub(crate) fn told(&self) -> String {
        match self {
            Self::Alone(one) => format!("{} alone", one.name),
            Self::Beside(first, second) => format!("{} beside {}", first.name, second.name),
            Self::InTurn(first, second) => format!("{} and {} in turn", first.name, second.name),
        }
    }
}

/// Which of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Side {
    #[default]
    First,
    Second,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A running Envoy, its gateways, and who answers where.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) envoy: Envoy,
    cast: Cast,
    changes: Value,
    /// Where a cast in turn has come to.
    turn: Side,
    /// Payments' and operators' listeners of each side, with a connection kept to each.
    doors: [[Door; 2]; 2],
}

/// A listener, and a connection that is kept to it.
struct Door {
    address: String,
    line: Line,
}

impl Door {
    fn new(address: String) -> Self {
        Self { address, line: Line::new() }
    }
}

/// A part of Envoy's configuration: the modules of a listener.
fn set_modules(config: &mut Value, listener: usize, file: &Path, name: &str) {
    let listener = &mut config["static_resources"]["listeners"][listener];
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    // Who answers says so, also where Envoy answers by itself.
    manager["server_name"] = json!(name);
    plugin_within(manager)["vm_config"]["code"]["local"]["filename"] = json!(file);
}

fn cast_listeners(config: &mut Value, first: usize, modules: &Modules) {
    set_modules(config, first, &modules.payments, modules.name);
    set_modules(config, first + 1, &modules.operators, modules.name);
}

/// The configuration for one version, or for two beside each other.
fn configured(sandbox: &Sandbox, changes: &Value, sides: &[&Modules]) -> Value {
    let mut config = rendered(sandbox, changes);
    without_audit(&mut config);
    manager(&mut config)["http_protocol_options"] = json!({"enable_trailers": true});
    let listeners = config["static_resources"]["listeners"].as_array_mut().unwrap();
    if sides.len() == 2 {
        for number in [0, 1] {
            let mut second = listeners[number].clone();
            let name = format!("{}_second", second["name"].as_str().unwrap());
            second["name"] = json!(name);
            listeners.push(second);
        }
    }
    for (number, modules) in sides.iter().enumerate() {
        cast_listeners(&mut config, 2 * number, modules);
    }
    config
}

impl World {
    pub(crate) fn start(cast: &Cast, changes: &Value) -> Self {
        let sandbox = Sandbox::start();
        let envoy = match cast {
            Cast::Alone(one) => Envoy::start(&configured(&sandbox, changes, &[one])),
            Cast::Beside(first, second) => {
                Envoy::start(&configured(&sandbox, changes, &[first, second]))
            }
            Cast::InTurn(first, _) => {
                Envoy::start_updatable(&configured(&sandbox, changes, &[first]))
            }
        };
        let envoy = envoy.of_an_older_version();
        let first = || [Door::new(envoy.listener.clone()), Door::new(envoy.operators.clone())];
        let second = |name: &str| envoy.listening(&format!("{name}_second")).map(Door::new);
        let second = [second("dana"), second("dana_admin")].into_iter().collect::<Option<Vec<_>>>();
        let second = second.and_then(|doors| <[Door; 2]>::try_from(doors).ok());
        let doors = [first(), second.unwrap_or_else(first)];
        let (cast, changes) = (cast.clone(), changes.clone());
        Self { sandbox, envoy, cast, changes, turn: Side::First, doors }
    }

    /// Who answers on a side now.
    fn answers(&self, side: Side) -> &Modules {
        match (&self.cast, side) {
            (Cast::Alone(one), _) | (Cast::Beside(one, _), Side::First) => one,
            (Cast::Beside(_, one), Side::Second) => one,
            (Cast::InTurn(first, second), _) => match self.turn {
                Side::First => first,
                Side::Second => second,
            },
        }
    }

    /// Where payments go on a side.
    pub(crate) fn payments(&self, side: Side) -> &str {
        &self.doors[side as usize][0].address
    }

    /// Asks one of the listeners, over a connection that is kept.
    pub(crate) fn ask(
        &self,
        (side, listener): (Side, usize),
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Seen {
        let door = &self.doors[side as usize][listener];
        door.line.ask(method, &door.address, path, headers, body)
    }

    /// Whether an answer comes from whom it is to come; one that broke off comes from nobody.
    pub(crate) fn check_server(&self, side: Side, server: Option<&str>, what: &str) {
        let wanted = self.answers(side).name;
        assert!(server.is_none_or(|name| name == wanted), "{what}: {server:?} answers");
    }

    /// The next act: where versions play in turn, the other one takes over.
    pub(crate) fn next_act(&mut self) {
        let Cast::InTurn(first, second) = &self.cast else {
            return;
        };
        self.turn = self.turn.other();
        let modules = if self.turn == Side::First { first } else { second };
        let config = configured(&self.sandbox, &self.changes, &[modules]);
        assert!(self.envoy.update(&config), "{}", self.envoy.log());
        for listener in [0, 1] {
            let address = self.doors[0][listener].address.clone();
            until("the other modules answer", Duration::from_secs(20), || {
                let lines = [Line::new(), Line::new(), Line::new(), Line::new(), Line::new()];
                let all = lines.iter().all(|line| serves(line, &address, modules.name));
                let [line, ..] = lines;
                all.then_some(line)
            });
            for side in [0, 1] {
                self.doors[side][listener] = Door::new(address.clone());
            }
        }
    }
}

/// Whether a connection is one of this version's. Envoy itself refuses what is asked, so that no
/// filter sees it.
fn serves(line: &Line, address: &str, name: &str) -> bool {
    let seen = line.ask("GET", address, "/a%2Fb", &[], b"");
    assert!(matches!(seen.status, 0 | 400), "{seen:?}");
    seen.header("server") == Some(name)
}

/// An older version may know of no audit trail, and would refuse to start.
fn without_audit(config: &mut Value) {
    let listeners = config["static_resources"]["listeners"].as_array_mut().unwrap();
    listeners.retain(|listener| listener["name"] != "dana_audit");
    for listener in listeners {
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let value = plugin_within(manager)["configuration"]["value"].as_object_mut().unwrap();
        value.remove("audit");
    }
}
