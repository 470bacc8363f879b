//! The operators' listener: apart from payments, and about the same payments.

use sha2::{Digest, Sha256};

use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::{Listener, Plugin, Setup};
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "operators-open",
        severity: Error,
        title: "The operators' listener is open to the network",
        why: "Their token crosses the network in the clear, and with it anybody can move or resolve payments.",
        fix: "Listen on loopback, or behind TLS.",
        check: operators_open,
    },
    Rule {
        id: "operators-among-payments",
        severity: Error,
        title: "Operators' requests and payments come by the same listener",
        why: "Merchants could reach what is meant for operators.",
        fix: "Give operators a listener of their own, on another address.",
        check: among_payments,
    },
    Rule {
        id: "operators-vm-shared",
        severity: Error,
        title: "A fault in the operators' filter ends payments",
        why: "With the same vm_id and vm_config Envoy runs both in one VM, and they die together.",
        fix: "Give the operators' vm_config a configuration of its own, as StringValue \"admin\".",
        check: vm_shared,
    },
    Rule {
        id: "operators-vm-id",
        severity: Error,
        title: "Operators look at another store than the one payments are in",
        why: "They would see no payment, and what they resolve or force has no effect.",
        fix: "Give both filters the same vm_id.",
        check: vm_id,
    },
    Rule {
        id: "operators-differ",
        severity: Warning,
        title: "The operators' filter is told otherwise than the payments' one",
        why: "It reads the same store by other names or limits, and shows what is not so.",
        fix: "Give both the same configuration but for `admin`, as with YAML anchors.",
        check: differ,
    },
    Rule {
        id: "operators-token-placeholder",
        severity: Note,
        title: "The operators' listener has no token yet",
        why: "It stands there with the hash of the reference, whose token nobody has: operators are locked out.",
        fix: "Make a token by `openssl rand -hex 32`, and put its hash there: `printf %s \"$TOKEN\" | sha256sum`.",
        check: token_placeholder,
    },
    Rule {
        id: "operators-token-guessable",
        severity: Error,
        title: "Anybody can guess the operators' token",
        why: "Its hash is that of a word which everybody tries first, or of nothing: whoever reaches the listener \
              moves and resolves payments.",
        fix: "Make a token by `openssl rand -hex 32`, and put its hash there: `printf %s \"$TOKEN\" | sha256sum`.",
        check: token_guessable,
    },
];

/// The hash in the reference.
const PLACEHOLDER: &str = "0980e04739b7e18f975e3c061311fcc75f6b42237aa6d04dc2c6ba3c770451bd";

/// What is tried first; `$TOKEN` is what the shell leaves within single quotes.
const GUESSES: [&str; 20] = [
    "",
    "token",
    "TOKEN",
    "$TOKEN",
    "${TOKEN}",
    "secret",
    "password",
    "changeme",
    "change-me",
    "admin",
    "administrator",
    "operator",
    "operators",
    "root",
    "test",
    "dana",
    "dana-failover",
    "letmein",
    "123456",
    "12345678",
];

/// Each operators' filter with the payments' one whose store it works on, or else the first.
fn pairs(setup: &Setup) -> impl Iterator<Item = (&Plugin, &Plugin)> {
    setup.admins().filter_map(|admin| {
        let id = admin.vm_id();
        let same = setup.payments().find(|plugin| plugin.vm_id().word() == id.word());
        Some((admin, same.or_else(|| setup.payments().next())?))
    })
}

fn operators_open(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let Some(proxy) = setup.stands_in(admin) else { continue };
        let open = setup.listeners.get(proxy.listener).and_then(Listener::open_address);
        if let (Some(address), None) = (open, &proxy.tls) {
            found.add(&address.down(&["socket_address", "address"]), "loopback, or TLS");
        }
    }
}

fn among_payments(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let Some(proxy) = setup.stands_in(admin) else { continue };
        let is_shared = |plugin: &Plugin| {
            setup.stands_in(plugin).is_some_and(|other| other.listener == proxy.listener)
        };
        if setup.payments().any(is_shared) {
            let role = admin.config.down(&["admin", "role"]);
            found.add_as(&role, "a listener without payments", "one with payments");
        }
    }
}

fn vm_shared(setup: &Setup, found: &mut Found<'_>) {
    for admin in setup.admins() {
        let vm = admin.settings.at("vm_config");
        let is_same = |plugin: &Plugin| plugin.settings.at("vm_config").is_same_as(&vm);
        if setup.payments().any(is_same) {
            let expected = "a vm_config that differs from the payments'";
            found.add_as(&vm.at("configuration"), expected, "the same");
        }
    }
}

fn vm_id(setup: &Setup, found: &mut Found<'_>) {
    for (admin, payments) in pairs(setup) {
        if admin.vm_id().word() != payments.vm_id().word() {
            found.add(&admin.vm_id(), payments.vm_id().shows());
        }
    }
}

fn differ(setup: &Setup, found: &mut Found<'_>) {
    for (admin, payments) in pairs(setup) {
        let mut names = admin.config.names();
        names.extend(payments.config.names());
        names.sort();
        names.dedup();
        for name in names.iter().filter(|name| *name != "admin") {
            let (own, other) = (admin.config.at(name), payments.config.at(name));
            if !own.is_same_as(&other) {
                found
                    .add(&own, format!("the same as on the payments' listener, {}", other.shows()));
            }
        }
    }
}

fn tokens(setup: &Setup) -> impl Iterator<Item = View> {
    setup.admins().map(|admin| admin.config.down(&["admin", "token_sha256"]))
}

fn token_placeholder(setup: &Setup, found: &mut Found<'_>) {
    for token in tokens(setup).filter(|token| token.word().eq_ignore_ascii_case(PLACEHOLDER)) {
        found.add_as(&token, "the hash of a token of yours", "that of the reference");
    }
}

fn token_guessable(setup: &Setup, found: &mut Found<'_>) {
    for token in tokens(setup).filter(View::exists) {
        // `echo` adds the end of a line to what it hashes.
        let guesses = GUESSES.iter().flat_map(|guess| [(*guess).to_owned(), format!("{guess}\n")]);
        let hash = token.word().to_ascii_lowercase();
        if guesses.into_iter().any(|guess| hex(&guess) == hash) {
            found.add_as(&token, "the hash of a token of 256 random bits", "that of a guess");
        }
    }
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_is_that_of_the_references() {
        for reference in [
            include_str!("../../../../envoy/envoy.yaml"),
            include_str!("../../../../envoy/tls.yaml"),
        ] {
            assert!(reference.contains(PLACEHOLDER));
        }
        assert!(GUESSES.iter().all(|guess| hex(guess) != PLACEHOLDER));
    }
}
