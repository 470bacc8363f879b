//! Who may speak for whom.

use crate::engine::config::Policy;

/// Whether the client may speak for the partner: the network decides where no peers are named.
pub(in crate::engine::exchange) fn may_speak(
    peer: &[String],
    partner: Option<&str>,
    policy: &Policy,
) -> bool {
    let peers = &policy.config.peers;
    let may = |partners: &Vec<String>| {
        partner.is_none_or(|partner| partners.iter().any(|other| other == partner))
    };
    peers.is_empty() || peer.iter().filter_map(|name| peers.get(name)).any(may)
}
