//! Checkpoints (C2SP `tlog-checkpoint`): how far a writer's log was, signed.

use std::fs;
use std::io;
use std::path::Path;

use super::note::{PublicKey, SecretKey};
use super::{Hash, Unlike, decoded, encoded};
use crate::engine::AuditWriter;

/// What the name of a checkpoint's file ends with.
pub(in super::super) const CHECKPOINT: &str = "checkpoint";

/// How far a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Checkpoint {
    pub(in super::super) writer: AuditWriter,
    /// Entries: those with lower numbers.
    pub(in super::super) size: u64,
    pub(in super::super) root: Hash,
}

impl Checkpoint {
    /// A note of it. Its log is called `NAME/WRITER`, by the name of the key.
    pub(in super::super) fn sign(&self, key: &SecretKey) -> String {
        let (name, root) = (key.public().name(), encoded(&self.root.0));
        key.sign(&format!("{name}/{}\n{}\n{root}\n", self.writer, self.size))
    }

    /// What a signer says.
    fn read(text: &str, signer: &PublicKey) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let writer = origin.strip_prefix(signer.name())?.strip_prefix('/')?;
        let number: u64 = size.parse().ok()?;
        let root = decoded(root)?.try_into().ok()?;
        let is_ours = lines.next().is_none() && number.to_string() == size;
        let writer = AuditWriter::parse(writer).filter(|_| is_ours)?;
        Some(Self { writer, size: number, root: Hash(root) })
    }
}

/// A checkpoint whose signature was found right, and its note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Signed {
    pub(in super::super) checkpoint: Checkpoint,
    pub(in super::super) note: String,
}

impl Signed {
    pub(in super::super) fn open(note: &str, signer: &PublicKey) -> Result<Self, Unlike> {
        let text = signer.open(note)?;
        let checkpoint = Checkpoint::read(text, signer).ok_or(Unlike(
            "the signer's name and a writer, a number, and a root, in a line each",
        ))?;
        Ok(Self { checkpoint, note: note.to_owned() })
    }

    /// Those in a file; of a directory, in each file that is called so. Each is signed by one of these.
    pub(in super::super) fn read(
        path: &Path,
        signers: &[PublicKey],
    ) -> Result<Vec<Self>, io::Error> {
        let mut files = Vec::new();
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                let path = entry?.path();
                files.extend(
                    path.extension().is_some_and(|name| name == CHECKPOINT).then_some(path),
                );
            }
            files.sort();
        } else {
            files.push(path.to_owned());
        }
        let read = |path: &Path| {
            let named = |what: &dyn std::fmt::Display| {
                io::Error::other(format!("{}: {what}", path.display()))
            };
            let note = fs::read_to_string(path).map_err(|error| named(&error))?;
            let mut wrong = Unlike("a signer's key, found none");
            for signer in signers {
                match Self::open(&note, signer) {
                    Ok(signed) => return Ok(signed),
                    Err(unlike) => wrong = unlike,
                }
            }
            Err(named(&wrong))
        };
        files.iter().map(|path| read(path)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        let key = SecretKey::new("pay.example/dana").unwrap();
        let writer = AuditWriter { epoch: 1_795_883_656_659, number: 3 };
        let checkpoint = Checkpoint { writer, size: 912, root: Hash::of_leaf(b"x") };
        let note = checkpoint.sign(&key);
        assert!(note.starts_with("pay.example/dana/mx0mre1f.3\n912\n"), "{note}");
        let signed = Signed::open(&note, key.public()).unwrap();
        assert_eq!(signed, Signed { checkpoint, note });
        let root = encoded(&checkpoint.root.0);
        for text in [
            format!("pay.example/other/mx0mre1f.3\n912\n{root}\n"),
            format!("pay.example/dana/mx0mre1f\n912\n{root}\n"),
            format!("pay.example/dana/mx0mre1f.3\n0912\n{root}\n"),
            format!("pay.example/dana/mx0mre1f.3\n912\n{root}\nmore\n"),
            "pay.example/dana/mx0mre1f.3\n912\nAAAA\n".to_owned(),
            "pay.example/dana/mx0mre1f.3\n912\n".to_owned(),
        ] {
            assert!(Signed::open(&key.sign(&text), key.public()).is_err(), "{text}");
        }
    }
}
