//! The faults, as they stand in the files beside this one: a rule, its severity, what it is planted
//! into, and other rules that it breaks; then lines that are taken out and lines that are put in
//! their place; @ parts two such edits. The sign § stands where the finding is expected, and stays out of the file.

use super::{Base, Fault};

const FILES: [&str; 9] = [
    include_str!("planted/filter.diff"),
    include_str!("planted/gateways.diff"),
    include_str!("planted/proxy.diff"),
    include_str!("planted/routes.diff"),
    include_str!("planted/channels.diff"),
    include_str!("planted/seen.diff"),
    include_str!("planted/etcd.diff"),
    include_str!("planted/audit.diff"),
    include_str!("planted/notify.diff"),
];

pub(super) fn all() -> Vec<Fault> {
    FILES.iter().flat_map(|text| text.split("\n\n")).map(fault).collect()
}

fn fault(text: &'static str) -> Fault {
    let mut lines = text.trim_matches('\n').lines();
    let head = lines.next().unwrap();
    let mut words = head.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("too short: {head}"));
    let (rule, severity) = (word(), word());
    let base = match word() {
        "plain" => Base::Plain,
        "dns" => Base::Dns,
        "second" => Base::Second,
        "operators" => Base::Operators,
        "open" => Base::Open,
        "tls" => Base::Tls,
        "etcd" => Base::Etcd,
        "etcd-tls" => Base::EtcdTls,
        "shared" => Base::Shared,
        "audit" => Base::Audit,
        "notify" => Base::Notify,
        "notify-twice" => Base::NotifyTwice,
        other => panic!("no base: {other}"),
    };
    let mut edits: Vec<(String, String)> = Vec::new();
    let mut was_new = true;
    for line in lines {
        let (sign, line) = line.split_at(1);
        if sign == "@" {
            was_new = true;
            continue;
        }
        let is_new = sign == "+";
        assert!(is_new || sign == "-", "neither - nor +: {line}");
        if was_new && !is_new {
            edits.push((String::new(), String::new()));
        }
        was_new = is_new;
        let (old, new) = edits.last_mut().unwrap_or_else(|| panic!("nothing to replace: {head}"));
        let side = if is_new { new } else { old };
        side.push_str(line);
        side.push('\n');
    }
    // Lines are taken out whole or, with something put in their place, from within.
    for (old, new) in &mut edits {
        if !new.is_empty() {
            old.pop();
            new.pop();
        }
    }
    Fault { rule, severity, base, edits, also: words.collect() }
}
