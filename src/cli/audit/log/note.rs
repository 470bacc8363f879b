//! Signed notes (C2SP `signed-note`), with Ed25519 keys that are written as Go's `sumdb/note` writes them:
//! `NAME+ID+KEY`, and `PRIVATE+KEY+NAME+ID+KEY` for the secret one.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::{Unlike, decoded, encoded};

/// What a signature of this kind is told by.
const ED25519_KIND: u8 = 1;

/// Bytes of a note: three lines, and signatures of some witnesses.
const NOTE_BYTES_MAX: usize = 16_384;

/// What a signature's line begins with.
const DASH: &str = "\u{2014} ";

const SECRET: &str = "PRIVATE+KEY+";

/// Whose signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct PublicKey {
    name: String,
    key: [u8; 32],
}

/// What signs.
pub(in super::super) struct SecretKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey of {}", self.public)
    }
}

/// Whether a key may have this name: it stands in lines that are split at spaces and plus signs.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.chars().all(|one| one.is_ascii_graphic() && one != '+')
}

impl PublicKey {
    const EXPECTED: Unlike = Unlike("the public key of a signer, such as NAME+5f2d01a3+AX...");

    pub(in super::super) fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new().chain_update(&self.name).chain_update(b"\n");
        let hash: [u8; 32] =
            hash.chain_update([ED25519_KIND]).chain_update(self.key).finalize().into();
        let [one, two, three, four, ..] = hash;
        [one, two, three, four]
    }

    pub(in super::super) fn parse(text: &str) -> Result<Self, Unlike> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Self::EXPECTED);
        };
        let key = of_kind(key).filter(|_| is_name(name)).ok_or(Self::EXPECTED)?;
        let public = Self { name: name.to_owned(), key };
        if hex(public.id()) == id { Ok(public) } else { Err(Self::EXPECTED) }
    }

    /// The text of a note that this key has signed.
    ///
    /// # Errors
    /// Where it has not, or one of its signatures is wrong.
    pub(in super::super) fn open<'n>(&self, note: &'n str) -> Result<&'n str, Unlike> {
        let (text, signatures) = split(note)?;
        let mut is_signed = false;
        for line in signatures.lines() {
            let (name, signature) =
                line.strip_prefix(DASH)
                    .and_then(|line| line.split_once(' '))
                    .ok_or(Unlike("lines of signatures behind the note's last empty line"))?;
            let signature = decoded(signature).ok_or(Unlike("a signature in base64"))?;
            let Some((id, signature)) = signature.split_first_chunk::<4>() else {
                return Err(Unlike("a signature with the number of its key"));
            };
            // Those of others are theirs to check.
            if name != self.name || *id != self.id() {
                continue;
            }
            let key = UnparsedPublicKey::new(&ED25519, self.key);
            key.verify(text.as_bytes(), signature).map_err(|_| {
                Unlike("the signer's signature, found one that is not of this text")
            })?;
            is_signed = true;
        }
        if is_signed { Ok(text) } else { Err(Unlike("a signature of this signer, found none")) }
    }
}

/// A note's text and its signatures, which nobody has checked.
fn split(note: &str) -> Result<(&str, &str), Unlike> {
    let is_plain = !note.chars().any(|one| one.is_ascii_control() && one != '\n');
    if note.len() > NOTE_BYTES_MAX || !is_plain || !note.ends_with('\n') {
        return Err(Unlike("a signed note of at most 16 KiB of text that ends with a line feed"));
    }
    let at = note.rfind("\n\n").ok_or(Unlike("an empty line before the note's signatures"))?;
    let (text, signatures) = note.split_at(at + 1);
    Ok((text, signatures.trim_start_matches('\n')))
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[ED25519_KIND], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id()), encoded(&key))
    }
}

impl SecretKey {
    const EXPECTED: Unlike =
        Unlike("the secret key of a signer, as `audit new-key` makes it: PRIVATE+KEY+NAME+...");

    /// A new one.
    pub(in super::super) fn new(name: &str) -> Result<Self, Unlike> {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| Unlike("random numbers of the system, found none"))?;
        Self::of(name, seed)
    }

    fn of(name: &str, seed: [u8; 32]) -> Result<Self, Unlike> {
        if !is_name(name) {
            return Err(Unlike(
                "a name of 1 to 255 printable ASCII characters without spaces and plus signs, \
                 such as pay.example.com/dana",
            ));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| Self::EXPECTED)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| Self::EXPECTED)?;
        Ok(Self { seed, pair, public: PublicKey { name: name.to_owned(), key } })
    }

    pub(in super::super) fn parse(text: &str) -> Result<Self, Unlike> {
        let rest = text.trim().strip_prefix(SECRET).ok_or(Self::EXPECTED)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(seed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Self::EXPECTED);
        };
        let secret = Self::of(name, of_kind(seed).ok_or(Self::EXPECTED)?)?;
        if hex(secret.public.id()) == id { Ok(secret) } else { Err(Self::EXPECTED) }
    }

    /// As it is kept in a file.
    pub(in super::super) fn text(&self) -> String {
        let key = encoded(&[&[ED25519_KIND], self.seed.as_slice()].concat());
        format!("{SECRET}{}+{}+{key}\n", self.public.name, hex(self.public.id()))
    }

    pub(in super::super) const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A note of this text, which ends with a line feed.
    pub(in super::super) fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let signature = encoded(&[self.public.id().as_slice(), signature.as_ref()].concat());
        format!("{text}\n{DASH}{} {signature}\n", self.public.name)
    }
}

/// The 32 bytes of an Ed25519 key.
fn of_kind(text: &str) -> Option<[u8; 32]> {
    let bytes = decoded(text)?;
    let (kind, key) = bytes.split_first()?;
    key.try_into().ok().filter(|_| *kind == ED25519_KIND)
}

fn hex(id: [u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Go's `golang.org/x/mod/sumdb/note`.
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn a_note_of_another_implementation_is_read() {
        let key = PublicKey::parse(PUBLIC).unwrap();
        assert_eq!(key.to_string(), PUBLIC);
        let text = key.open(NOTE).unwrap();
        assert!(text.ends_with("problem is.\n") && NOTE.starts_with(text));
        // One letter of the text, of the signature, of the name.
        for (from, to) in [("crypto", "krypto"), ("x08go/ZJ", "x08go/ZK"), ("Peter", "Petra")] {
            assert!(key.open(&NOTE.replacen(from, to, 1)).is_err(), "{from}");
        }
    }

    #[test]
    fn a_note_is_its_signers() {
        let (mine, other) =
            (SecretKey::new("a.example/x").unwrap(), SecretKey::new("a.example/x").unwrap());
        let again = SecretKey::parse(&mine.text()).unwrap();
        assert_eq!(again.public(), mine.public());
        assert!(!format!("{mine:?}").contains(&encoded(&mine.seed)));
        let note = mine.sign("one\n\ntwo\n");
        assert_eq!(mine.public().open(&note), Ok("one\n\ntwo\n"));
        assert!(other.public().open(&note).is_err());
        // Both have signed: each finds its own.
        let line = other.sign("one\n\ntwo\n");
        let both = format!("{note}{}", line.split("\n\n").last().unwrap());
        assert!(mine.public().open(&both).is_ok() && other.public().open(&both).is_ok());
    }

    #[test]
    fn what_is_no_key_or_note_is_none() {
        let secret = SecretKey::new("n").unwrap();
        let (text, public) = (secret.text(), secret.public().to_string());
        for bad in ["", "n", "n+00000000", &public[1..], &text, &public.replacen("+A", "+B", 1)] {
            assert!(PublicKey::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "PRIVATE+KEY+", &public, &text.replacen("KEY+n", "KEY+m", 1)] {
            assert!(SecretKey::parse(bad).is_err(), "{bad}");
        }
        for name in ["", "a b", "a+b", "\u{e9}", &"x".repeat(256)] {
            assert!(SecretKey::new(name).is_err(), "{name}");
        }
        let note = secret.sign("x\n");
        for bad in
            ["", "x\n", "x\n\n", note.trim_end(), &note.replace('x', "x\t"), &"x".repeat(20_000)]
        {
            assert!(secret.public().open(bad).is_err(), "{bad:.40}");
        }
    }
}
