//! Proofs (C2SP `tlog-proof`): that an entry is in a log, for somebody who sees nothing else of it.

use super::merkle::root_by;
use super::note::PublicKey;
use super::{Hash, Signed, Unlike, decoded, encoded};

/// The first line.
const VERSION: &str = "c2sp.org/tlog-proof@v1";

/// Bytes of a proof: an entry, 64 hashes, and a checkpoint.
pub(in super::super) const PROOF_BYTES_MAX: usize = 262_144;

/// That an entry is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Proof {
    /// The entry's line. It stands where the format has room for what is needed to make the leaf.
    pub(in super::super) entry: Vec<u8>,
    pub(in super::super) index: u64,
    pub(in super::super) path: Vec<Hash>,
    pub(in super::super) signed: Signed,
}

impl Proof {
    pub(in super::super) fn text(&self) -> String {
        let path: String = self.path.iter().map(|hash| encoded(&hash.0) + "\n").collect();
        let (entry, index, note) = (encoded(&self.entry), self.index, &self.signed.note);
        format!("{VERSION}\nextra {entry}\nindex {index}\n{path}\n{note}")
    }

    /// Reads one, and says whether it proves anything.
    ///
    /// # Errors
    /// Where it is no proof, or the signer has signed no log that has this entry.
    pub(in super::super) fn check(text: &str, signer: &PublicKey) -> Result<Self, Unlike> {
        if text.len() > PROOF_BYTES_MAX {
            return Err(Unlike("a proof of at most 256 KiB"));
        }
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(Unlike("an empty line between the proof and the checkpoint"))?;
        let mut lines = head.lines();
        if lines.next() != Some(VERSION) {
            return Err(Unlike("c2sp.org/tlog-proof@v1 in the first line"));
        }
        let entry = lines.next().and_then(|line| decoded(line.strip_prefix("extra ")?));
        let entry = entry.ok_or(Unlike("`extra` with the entry in the second line"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index
            .and_then(|text| text.parse::<u64>().ok().filter(|number| number.to_string() == text))
            .ok_or(Unlike("`index` with a number in the third line"))?;
        let hash = |line| Some(Hash(decoded(line)?.try_into().ok()?));
        let path: Option<Vec<Hash>> = lines.map(hash).collect();
        let path = path.ok_or(Unlike("hashes of 32 bytes, one in a line"))?;
        let signed = Signed::open(note, signer)?;
        let checkpoint = signed.checkpoint;
        let root = root_by(Hash::of_leaf(&entry), index, checkpoint.size, &path);
        if root != Some(checkpoint.root) {
            return Err(Unlike("an entry of the log that was signed, found one that is not in it"));
        }
        Ok(Self { entry, index, path, signed })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Checkpoint, SecretKey, Tree};
    use super::*;
    use crate::engine::AuditWriter;

    #[test]
    fn a_proof_proves_its_entry_and_no_other() {
        let key = SecretKey::new("pay.example/dana").unwrap();
        let entries: Vec<String> = (0..11).map(|number| format!("entry {number}")).collect();
        let mut tree = Tree::following(0..11);
        entries.iter().for_each(|entry| tree.push(Hash::of_leaf(entry.as_bytes())));
        let (root, paths) = tree.root();
        let writer = AuditWriter { epoch: 1, number: 1 };
        let note = Checkpoint { writer, size: 11, root }.sign(&key);
        let signed = Signed::open(&note, key.public()).unwrap();
        for (index, path) in (0..).zip(paths) {
            let entry = format!("entry {index}").into_bytes();
            let proof = Proof { entry, index, path, signed: signed.clone() };
            let text = proof.text();
            assert_eq!(Proof::check(&text, key.public()), Ok(proof));
            let other = encoded(format!("entry {}", index + 1).as_bytes());
            let forged = text.replacen(&encoded(format!("entry {index}").as_bytes()), &other, 1);
            assert_ne!(forged, text);
            assert!(Proof::check(&forged, key.public()).is_err());
            // Any one byte less, or another.
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(Proof::check(&changed, key.public()).is_err(), "{at}: {changed}");
                }
            }
        }
    }
}
