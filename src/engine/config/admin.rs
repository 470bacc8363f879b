//! Whose listener the plugin stands in: the merchants', the operators', Envoy's own, or the gateways'.

use super::reader::{Errors, Fields, Node};
use crate::engine::time::Zone;

/// Whose listener the plugin stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The merchants': it decides about payments.
    Payments,
    /// The operators': it shows what is, and does what they ask for.
    Admin {
        /// SHA-256 of the token that every request must bring.
        token_sha256: [u8; 32],
    },
    /// Envoy's own: it writes down what happened without a request.
    Audit,
    /// The gateways': it takes in what they notify the merchant's application of.
    Notify,
}

/// The file of the module that decides about payments.
pub const PAYMENTS_MODULE: &str = "dana_failover.wasm";

/// The file of the one that does so and can keep claims in etcd.
pub const ETCD_MODULE: &str = "dana_failover_etcd.wasm";

/// The file of the module that serves operators.
pub const OPERATORS_MODULE: &str = "dana_failover_operators.wasm";

/// The file of the module that takes notifications in.
pub const NOTIFY_MODULE: &str = "dana_failover_notify.wasm";

impl Role {
    /// The file of the module that serves it.
    #[must_use]
    pub const fn module(self) -> &'static str {
        match self {
            Self::Payments => PAYMENTS_MODULE,
            Self::Admin { .. } | Self::Audit => OPERATORS_MODULE,
            Self::Notify => NOTIFY_MODULE,
        }
    }

    /// Whether the module `loaded` serves it.
    ///
    /// # Errors
    /// Which file to load instead.
    pub fn check_module(self, loaded: &str) -> Result<(), String> {
        let (also, name) = match self {
            Self::Payments => (Some(ETCD_MODULE), "payments"),
            Self::Admin { .. } => (None, "admin"),
            Self::Audit => (None, "audit"),
            Self::Notify => (None, "notify"),
        };
        let module = self.module();
        if module == loaded || also == Some(loaded) {
            return Ok(());
        }
        Err(format!(
            "admin.role is \"{name}\", and this module is {loaded}: load {module} here instead"
        ))
    }
}

/// In which time zone the page tells times.
pub(super) fn read_zone(fields: &Fields<'_>) -> Zone {
    let name =
        fields.text("time_zone", Zone::DEFAULT, Zone::EXPECTED, |text| Zone::parse(text).is_some());
    Zone::parse(&name).unwrap_or_default()
}

pub(super) fn read(fields: &Fields<'_>, errors: &Errors) -> Role {
    const ADMIN: Role = Role::Admin { token_sha256: [0; 32] };
    let roles = [
        ("payments", Role::Payments),
        ("admin", ADMIN),
        ("audit", Role::Audit),
        ("notify", Role::Notify),
    ];
    let role = fields.choice("role", &roles, Role::Payments);
    let token = fields.get("token_sha256");
    match (role, token) {
        (Role::Payments | Role::Audit | Role::Notify, None) => role,
        (Role::Payments | Role::Audit | Role::Notify, Some(node)) => {
            let expected = "nothing: nobody but operators brings a token";
            errors.add(&node.path, expected, "a hash");
            role
        }
        (Role::Admin { .. }, token) => {
            // Whoever puts the token itself here must not find it in a log: nothing is repeated.
            const EXPECTED: &str =
                "the SHA-256 of the operators' token as 64 hexadecimal digits in lower case";
            let digest = token.as_ref().and_then(Node::as_text).and_then(digest);
            if digest.is_none() {
                let found = if token.is_some() { "something else" } else { "nothing" };
                errors.add("admin.token_sha256", EXPECTED, found);
            }
            Role::Admin { token_sha256: digest.unwrap_or_default() }
        }
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut digest = [0; 32];
    let pairs = text.as_bytes().chunks_exact(2);
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::config::Config;

    fn parse(admin: &Value) -> Result<Role, Vec<String>> {
        let gateways = json!([{"name": "a", "cluster": "one"}, {"name": "b", "cluster": "two"}]);
        let config = json!({"gateways": gateways, "admin": admin}).to_string();
        let told = |errors: Vec<super::super::ConfigError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        Config::parse(config.as_bytes()).map(|config| config.role).map_err(told)
    }

    fn mistake(admin: &Value, expected: &str) {
        let told = parse(admin).unwrap_err();
        assert!(told.len() == 1 && told[0].starts_with(expected), "{admin}: {told:?}");
    }

    #[test]
    fn a_listener_is_the_merchants_unless_it_says_otherwise() {
        assert_eq!(parse(&json!({})), Ok(Role::Payments));
        assert_eq!(parse(&json!({"role": "payments"})), Ok(Role::Payments));
        let mut token_sha256 = [0xab; 32];
        token_sha256[0] = 0x09;
        let digits = format!("09{}", "ab".repeat(31));
        let role = parse(&json!({"role": "admin", "token_sha256": digits}));
        assert_eq!(role, Ok(Role::Admin { token_sha256 }));
    }

    #[test]
    fn times_are_told_in_a_known_zone_of_either_listener() {
        for role in ["payments", "admin"] {
            let mut admin = json!({"role": role, "time_zone": "+05:30"});
            if role == "admin" {
                admin["token_sha256"] = json!("ab".repeat(32));
            }
            assert!(parse(&admin).is_ok(), "{admin}");
        }
        for bad in [json!("WIB"), json!("Asia/Jakarta "), json!(7), json!("+25:00")] {
            mistake(
                &json!({"time_zone": bad}),
                "admin.time_zone: expected \"Asia/Jakarta\", \"Asia/Makassar\"",
            );
        }
    }

    #[test]
    fn a_role_is_served_by_its_own_module_alone() {
        let admin = Role::Admin { token_sha256: [0; 32] };
        for (role, other, told) in [
            (
                Role::Payments,
                OPERATORS_MODULE,
                "\"payments\", and this module is dana_failover_operators.wasm: load dana_failover.wasm here instead",
            ),
            (
                admin,
                PAYMENTS_MODULE,
                "\"admin\", and this module is dana_failover.wasm: load dana_failover_operators.wasm here instead",
            ),
        ] {
            assert_eq!(role.check_module(role.module()), Ok(()));
            assert_eq!(role.check_module(ETCD_MODULE).is_ok(), role == Role::Payments);
            assert_eq!(role.check_module(other), Err(format!("admin.role is {told}")));
        }
    }

    #[test]
    fn a_hash_that_is_none_is_refused_and_not_repeated() {
        let good = "ab".repeat(32);
        mistake(
            &json!({"role": "operator"}),
            "admin.role: expected \"payments\" or \"admin\" or \"audit\" or \"notify\"",
        );
        mistake(
            &json!({"token_sha256": good}),
            "admin.token_sha256: expected nothing: nobody but operators brings a token",
        );
        let told = parse(&json!({"role": "admin", "token": good})).unwrap_err();
        assert!(told.len() == 2 && !told.concat().contains("abab"), "{told:?}");
        mistake(&json!({"role": "admin"}), "admin.token_sha256: expected the SHA-256");
        for bad in [json!(""), json!("s3cret"), json!(good.to_uppercase()), json!(7), json!([good])]
        {
            mistake(
                &json!({"role": "admin", "token_sha256": bad}),
                "admin.token_sha256: expected the SHA-256 of the operators' token as 64 \
                 hexadecimal digits in lower case, found something else",
            );
        }
        let long = format!("{good}0");
        mistake(&json!({"role": "admin", "token_sha256": long}), "admin.token_sha256: expected");
        let accents = "é".repeat(32);
        mistake(&json!({"role": "admin", "token_sha256": accents}), "admin.token_sha256: expected");
    }
}
