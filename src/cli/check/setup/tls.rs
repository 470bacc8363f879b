//! TLS of a connection: what is demanded of the other side, and what is shown to it.

use super::super::view::View;

/// Secrets that can be seen.
#[derive(Debug)]
pub(super) struct Secrets {
    /// The bootstrap's own, which need no server to come from, or those that an Envoy has.
    pub(super) known: Vec<View>,
    /// Whether those that come from a server are among them.
    pub(super) are_all: bool,
}

/// One side's TLS.
#[derive(Debug)]
pub(crate) struct Tls {
    /// The whole context.
    pub(crate) view: View,
    /// What both sides have.
    pub(crate) common: View,
    /// What a peer's certificate is held to, as far as it can be seen.
    pub(crate) validation: View,
    /// A part of that comes from elsewhere.
    pub(crate) is_partly_unseen: bool,
}

const PROTOCOLS: [&str; 5] = ["TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"];

impl Tls {
    pub(super) fn of(
        view: &View,
        secrets: &Secrets,
        unseen: &mut Vec<(View, &'static str)>,
    ) -> Self {
        let common = view.at("common_tls_context");
        let combined = common.at("combined_validation_context");
        let (inner, reference) = if combined.exists() {
            let reference = combined.at("validation_context_sds_secret_config");
            (combined.at("default_validation_context"), reference)
        } else {
            let reference = common.at("validation_context_sds_secret_config");
            (common.at("validation_context"), reference)
        };
        let mut tls =
            Self { view: view.clone(), common, validation: inner, is_partly_unseen: false };
        if reference.exists() {
            match secrets.find(&reference) {
                Some(secret) if !tls.validation.exists() => {
                    tls.validation = secret.at("validation_context");
                }
                Some(_) | None => {
                    tls.is_partly_unseen = true;
                    unseen.push((reference, "what the peer's certificate is held to"));
                }
            }
        }
        tls
    }

    /// The oldest version that is spoken, 1 to 4; without a setting 1.2.
    pub(crate) fn oldest(&self) -> (View, usize) {
        self.version("tls_minimum_protocol_version", 3)
    }

    /// The newest one; without a setting 1.2 to gateways.
    pub(crate) fn newest(&self) -> (View, usize) {
        self.version("tls_maximum_protocol_version", 3)
    }

    fn version(&self, name: &str, default: usize) -> (View, usize) {
        let view = self.parameter(name);
        let word = view.choice(&PROTOCOLS);
        let rank = word.and_then(|word| PROTOCOLS.iter().position(|other| *other == word));
        (view, rank.filter(|rank| *rank > 0).unwrap_or(default))
    }

    /// One of the parameters of the protocol.
    pub(crate) fn parameter(&self, name: &str) -> View {
        self.common.at("tls_params").at(name)
    }

    /// Whether peers are held to an authority.
    pub(crate) fn has_authority(&self) -> bool {
        let validation = &self.validation;
        let names = ["trusted_ca", "system_root_certs", "ca_certificate_provider_instance"];
        self.is_partly_unseen || names.iter().any(|name| validation.at(name).exists())
    }

    /// Whether certificates that no authority vouches for are let in.
    pub(crate) fn accepts_untrusted(&self) -> bool {
        let how = self.validation.at("trust_chain_verification");
        how.choice(&["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"]) == Some("ACCEPT_UNTRUSTED")
    }

    /// The matchers of the peer's names.
    pub(crate) fn names(&self) -> Vec<View> {
        let now = self.validation.at("match_typed_subject_alt_names").items();
        let now = now.into_iter().map(|one| one.at("matcher"));
        now.chain(self.validation.at("match_subject_alt_names").items()).collect()
    }

    /// Whether the peer must be one that is known.
    pub(crate) fn names_the_peer(&self) -> bool {
        let pins = ["verify_certificate_spki", "verify_certificate_hash"];
        self.is_partly_unseen
            || !self.names().is_empty()
            || pins.iter().any(|pin| !self.validation.at(pin).items().is_empty())
            || (self.view.at("auto_sni_san_validation").is_true() && self.view.at("sni").exists())
    }

    /// The certificate that is shown to the other side.
    pub(crate) fn certificate(&self) -> View {
        let places = [
            "tls_certificates",
            "tls_certificate_sds_secret_configs",
            "tls_certificate_provider_instance",
            "custom_tls_certificate_selector",
        ];
        let there = places.iter().map(|name| self.common.at(name));
        there.into_iter().find(View::exists).unwrap_or_else(|| self.common.at("tls_certificates"))
    }

    /// Whether whoever connects has shown a certificate that was verified.
    pub(crate) fn verifies_clients(&self) -> bool {
        self.view.at("require_client_certificate").is_true()
            && self.has_authority()
            && !self.accepts_untrusted()
    }
}

impl Secrets {
    fn find(&self, reference: &View) -> Option<&View> {
        let name = reference.at("name");
        let is_here = self.are_all || !reference.at("sds_config").exists();
        self.known.iter().find(|secret| is_here && secret.at("name").is_same_as(&name))
    }
}
