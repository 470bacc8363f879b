//! `dana-failover audit checkpoint`, `prove` and `check-proof`: what was signed holds, and one payment is
//! shown without the others.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dana_failover::engine::{AuditEntry, AuditWriter, Chain, Timestamp};
use tempfile::TempDir;

use super::playground::BINARY;

const NAME: &str = "pay.example.com/dana";

/// A trail of two writers, a key, and whatever is made of them.
struct Desk {
    dir: TempDir,
    signer: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: TempDir::new().unwrap(), signer: String::new() };
        let output = desk.run(&["audit", "new-key", NAME, "--key", "dana.key"]);
        assert!(output.status.success(), "{output:?}");
        let signer = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Self { signer, ..desk }
    }

    fn run(&self, words: &[&str]) -> Output {
        Command::new(BINARY).current_dir(self.dir.path()).args(words).output().unwrap()
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, lines: &[String]) {
        std::fs::write(self.path(name), lines.join("\n") + "\n").unwrap();
    }

    fn sign(&self, trail: &str) -> Output {
        self.run(&["audit", "checkpoint", trail, "--key", "dana.key", "--out", "checkpoints"])
    }

    fn verify(&self, trail: &str) -> Output {
        let words = ["audit", "verify", trail, "--checkpoint", "checkpoints", "--signer"];
        self.run(&[words.as_slice(), &[&self.signer]].concat())
    }

    fn prove(&self, trail: &str, what: [&str; 2]) -> Output {
        let words = ["audit", "prove", trail, "--checkpoint", "checkpoints", "--out", "proofs"];
        self.run(&[&words, what.as_slice(), &["--signer", &self.signer]].concat())
    }

    fn check(&self, file: &str, signer: &str) -> Output {
        self.run(&["audit", "check-proof", file, "--signer", signer])
    }
}

fn writers() -> [AuditWriter; 2] {
    [1, 2].map(|number| AuditWriter { epoch: 1_795_883_656_659, number })
}

/// `many` entries, by turns; the payment `ORDER-n` has the number of its line, and a repeat after it.
fn trail(many: u64) -> Vec<String> {
    trail_with(many, |_| AMOUNT)
}

const AMOUNT: &str = "10000.00";

fn trail_with(many: u64, amount: impl Fn(u64) -> &'static str) -> Vec<String> {
    let mut chains = writers().map(Chain::new);
    let mut lines = Vec::new();
    for number in 0..many {
        let at = Timestamp::from_millis(1_795_883_656_659 + number);
        let kind = if number < 2 { "start" } else { "charge" };
        let entry = AuditEntry::new(kind, at)
            .text("key", &format!("{:032x}00000000", number / 3))
            .text("ref", &format!("ORDER-{}", number / 3))
            .text("amt", amount(number));
        let chain = &mut chains[usize::try_from(number % 2).unwrap()];
        lines.push(chain.append(&entry));
    }
    lines
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn what_was_signed_holds() {
    let desk = Desk::new();
    let lines = trail(400);
    desk.write("day-1", &lines[..250]);
    let output = desk.sign("day-1");
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        told(&output).contains(": 125 entries signed, never before, checkpoints/"),
        "{}",
        told(&output)
    );
    // The trail goes on, and is what was signed with more behind it.
    desk.write("day-2", &lines);
    for trail in ["day-1", "day-2"] {
        let output = desk.verify(trail);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    // Somebody who can write the file changes an entry, and all digests after it.
    let forged = trail_with(400, |number| if number == 100 { "1.00" } else { AMOUNT });
    assert_eq!(forged[98], lines[98], "made anew, it is the same up to the change");
    desk.write("forged", &forged);
    let output = desk.run(&["audit", "verify", "forged"]);
    assert_eq!(output.status.code(), Some(0), "the chain alone does not tell");
    let output = desk.verify("forged");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let expected = format!("rewritten: each of entries 0 to 124 of {}", writers()[0]);
    assert!(told(&output).contains(&expected), "{}", told(&output));
    // Its end is cut off, of one writer by one entry.
    desk.write("cut", &lines[..249]);
    let output = desk.verify("cut");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let expected = format!("cut: entry 124 of {}", writers()[1]);
    assert!(told(&output).contains(&expected), "{}", told(&output));
    // A log signs nothing that contradicts what it has signed.
    let before = std::fs::read(desk.path(format!("checkpoints/{}.checkpoint", writers()[0])));
    for trail in ["forged", "cut"] {
        assert_eq!(desk.sign(trail).status.code(), Some(1));
    }
    let after = std::fs::read(desk.path(format!("checkpoints/{}.checkpoint", writers()[0])));
    assert_eq!(before.unwrap(), after.unwrap());
    // It goes on where nothing does.
    let output = desk.sign("day-2");
    assert!(told(&output).contains(": 200 entries signed, 125 before"), "{}", told(&output));
    assert_eq!(desk.verify("day-1").status.code(), Some(1), "the later entries are not there");
}

/// Whoever moves an entry far away, so that it seems to come late, hides nothing: neither from who compares
/// nor from who signs.
#[test]
fn an_entry_that_is_moved_far_away_hides_nothing() {
    let desk = Desk::new();
    desk.write("day", &trail(6000));
    assert_eq!(desk.sign("day").status.code(), Some(0));
    let mut forged = trail_with(6000, |number| if number == 14 { "1.00" } else { AMOUNT });
    let moved = forged.remove(10);
    forged.insert(10 + 2100, moved);
    desk.write("forged", &forged);
    let output = desk.verify("forged");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("rewritten: each of entries 0 to 2999"), "{}", told(&output));
    let output = desk.sign("forged");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(!told(&output).contains(&format!("{}: ", writers()[0])), "{}", told(&output));
    assert_eq!(desk.verify("day").status.code(), Some(0), "what was signed is as it was");
    // It was only late: that is no finding, also where it is signed.
    let mut late = trail(6000);
    let moved = late.remove(10);
    late.insert(10 + 2100, moved);
    desk.write("late", &late);
    assert_eq!(desk.verify("late").status.code(), Some(0));
    let other = Desk::new();
    other.write("late", &late);
    let output = other.sign("late");
    assert!(told(&output).contains(&format!("{}: 3000 entries signed", writers()[0])));
}

/// A line that a kill has taken ends the signing of nobody else, and what was before it is signed.
#[test]
fn what_is_missing_stops_no_other_signature() {
    let desk = Desk::new();
    let mut lines = trail(200);
    lines.remove(100);
    desk.write("gap", &lines);
    let output = desk.sign("gap");
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    for expected in [
        format!("missing: entry 50 of {}", writers()[0]),
        format!("{}: 50 entries signed, never before", writers()[0]),
        format!("{}: 100 entries signed, never before", writers()[1]),
    ] {
        assert!(told(&output).contains(&expected), "{expected}: {}", told(&output));
    }
    // Not less than before, and not what was changed.
    desk.write("cut", &lines[..40]);
    let output = desk.sign("cut");
    assert!(output.status.code() == Some(1) && !told(&output).contains("signed, "));
}

#[test]
fn what_is_compared_is_said_and_nothing_is_no_comparison() {
    let desk = Desk::new();
    desk.write("day", &trail(100));
    std::fs::create_dir(desk.path("checkpoints")).unwrap();
    let output = desk.verify("day");
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains("expected files that are called *.checkpoint, found none"));
    assert!(desk.sign("day").status.success());
    let output = desk.verify("day");
    for writer in writers() {
        let line = format!("as was signed of {writer}: its first 50 entries");
        assert!(told(&output).contains(&line), "{}", told(&output));
    }
}

/// Keys change; what the older one has signed holds.
#[test]
fn a_key_is_followed_by_another() {
    let desk = Desk::new();
    desk.write("one", &trail(100));
    desk.write("two", &trail(200));
    assert!(desk.sign("one").status.success());
    let output = desk.run(&["audit", "new-key", NAME, "--key", "later.key"]);
    let later = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let output = desk.run(&["audit", "public-key", "--key", "later.key"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), later);
    let sign = |more: &[&str]| {
        let words = ["audit", "checkpoint", "two", "--key", "later.key", "--out", "checkpoints"];
        desk.run(&[words.as_slice(), more].concat())
    };
    assert_eq!(sign(&[]).status.code(), Some(2), "those of before are whose?");
    let output = sign(&["--signer", &desk.signer]);
    assert!(told(&output).contains("100 entries signed, 50 before"), "{}", told(&output));
    let words = ["audit", "verify", "two", "--checkpoint", "checkpoints", "--signer", &later];
    assert_eq!(desk.run(&words).status.code(), Some(0));
}

/// In the order of their names the younger file comes first.
#[test]
fn files_are_proven_in_any_order() {
    let desk = Desk::new();
    let lines = trail(6000);
    desk.write("audit.jsonl", &lines[3000..]);
    desk.write("audit.jsonl.1", &lines[..3000]);
    let files = ["audit.jsonl", "audit.jsonl.1"];
    let words = [&["audit", "checkpoint"], files.as_slice()].concat();
    let signed =
        desk.run(&[&words, ["--key", "dana.key", "--out", "checkpoints"].as_slice()].concat());
    assert!(signed.status.success(), "{}", told(&signed));
    let words = [&["audit", "prove"], files.as_slice(), &["--reference", "ORDER-7"]].concat();
    let rest = ["--checkpoint", "checkpoints", "--out", "proofs", "--signer", &desk.signer];
    let output = desk.run(&[words.as_slice(), &rest].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let file = told(&output).lines().next().unwrap().to_owned();
    assert_eq!(desk.check(&file, &desk.signer).status.code(), Some(0));
}

/// An operator's word names the payment by its key alone; and two payments of one reference are two.
#[test]
fn all_entries_of_one_payment_are_proven_and_none_of_another() {
    let desk = Desk::new();
    let mut chain = Chain::new(writers()[0]);
    let at = Timestamp::from_millis(1_795_883_656_659);
    let of = |kind, key: u8| AuditEntry::new(kind, at).text("key", &format!("{key:032x}00000000"));
    let lines = [
        AuditEntry::new("start", at),
        of("charge", 1).text("ref", "ORDER-1"),
        of("resolve", 1).text("claim", "settled"),
        of("follow_up", 9).text("of", &format!("{:032x}00000000", 1)).text("ref", "REFUND-1"),
        of("charge", 2).text("ref", "ORDER-2").text("who", "P1"),
        of("charge", 3).text("ref", "ORDER-2").text("who", "P2"),
    ];
    desk.write("trail", &lines.map(|entry| chain.append(&entry)));
    assert!(desk.sign("trail").status.success());
    let output = desk.prove("trail", ["--reference", "ORDER-1"]);
    assert_eq!(told(&output).lines().count(), 3, "{}", told(&output));
    let output = desk.prove("trail", ["--reference", "ORDER-2"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("several payments have this reference"), "{}", told(&output));
}

#[test]
fn a_trail_without_its_beginning_cannot_be_compared() {
    let desk = Desk::new();
    let lines = trail(100);
    desk.write("all", &lines);
    desk.write("late", &lines[60..]);
    desk.write("early", &lines[..60]);
    assert!(desk.sign("all").status.success());
    let before = desk.run(&["audit", "verify", "early"]);
    std::fs::write(desk.path("before"), before.stdout).unwrap();
    let words = ["audit", "verify", "late", "--before", "before", "--checkpoint", "checkpoints"];
    let output = desk.run(&[words.as_slice(), &["--signer", &desk.signer]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("only with its first entries"), "{}", told(&output));
}

#[test]
fn one_payment_is_proven_without_the_others() {
    let desk = Desk::new();
    desk.write("trail", &trail(300));
    assert!(desk.sign("trail").status.success());
    let output = desk.prove("trail", ["--reference", "ORDER-40"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let files: Vec<String> = told(&output).lines().map(str::to_owned).collect();
    assert_eq!(files.len(), 3, "its entries are those of two writers: {files:?}");
    let by_key = desk.prove("trail", ["--payment", &format!("{:032X}00000000", 40)]);
    assert_eq!(told(&by_key), told(&output));
    for file in &files {
        let output = desk.check(file, &desk.signer);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let expected =
            ["proven: entry ", "of 150 that pay.example.com/dana has signed", "\"ORDER-40\""];
        assert!(expected.iter().all(|one| told(&output).contains(one)), "{}", told(&output));
        let proof = std::fs::read_to_string(desk.path(file)).unwrap();
        assert!(!proof.contains("ORDER-41"));
    }
    // Another signer, another entry, another place.
    let stranger = Desk::new();
    assert_eq!(desk.check(&files[0], &stranger.signer).status.code(), Some(1));
    let proof = std::fs::read_to_string(desk.path(&files[0])).unwrap();
    let (index, next) = (proof.lines().nth(2).unwrap(), "index 61");
    let forged = proof.replace(index, next);
    assert_ne!(forged, proof);
    std::fs::write(desk.path("forged"), forged).unwrap();
    let output = desk.check("forged", &desk.signer);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("NOT PROVEN: "), "{}", told(&output));
}

#[test]
fn what_cannot_be_proven_is_said() {
    let desk = Desk::new();
    let lines = trail(300);
    desk.write("early", &lines[..200]);
    desk.write("all", &lines);
    desk.write("other", &trail(302)[2..]);
    assert!(desk.sign("early").status.success());
    for (trail, reference, said) in [
        ("all", "ORDER-90", "is younger than its checkpoint, which has 100: sign a new one"),
        ("all", "ORDER-900", "expected entries of this payment, found none"),
        ("other", "ORDER-30", "are not those that were signed"),
    ] {
        let output = desk.prove(trail, ["--reference", reference]);
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        assert!(told(&output).contains(said), "{}", told(&output));
    }
    let checkpoint = format!("checkpoints/{}.checkpoint", writers()[0]);
    let note = std::fs::read_to_string(desk.path(&checkpoint)).unwrap();
    std::fs::write(desk.path(&checkpoint), note.replacen("100", "101", 1)).unwrap();
    let output = desk.verify("all");
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(told(&output).contains(&checkpoint) && told(&output).contains("not of this text"));
}

#[test]
fn a_secret_key_is_for_its_owner_alone_and_not_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    let mode = std::fs::metadata(desk.path("dana.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = desk.run(&["audit", "new-key", NAME, "--key", "dana.key"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    let secret = std::fs::read_to_string(desk.path("dana.key")).unwrap();
    assert!(secret.starts_with("PRIVATE+KEY+pay.example.com/dana+"));
    let output = desk.run(&["audit", "new-key", "two words", "--key", "other.key"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!desk.path("other.key").exists() && told(&output).contains("without spaces"));
}
