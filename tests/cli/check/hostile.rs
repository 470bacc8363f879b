//! Files that are no configuration, or that somebody made to hurt.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::playground::BINARY;

fn check(name: &str, bytes: &[u8]) -> Output {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    Command::new(BINARY).arg("check").arg(path).output().unwrap()
}

#[test]
fn what_cannot_be_read_is_refused_with_its_line() {
    let bomb: String = (1..40).fold("static_resources: &a0 [x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)
    });
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a.yaml", bomb.into_bytes(), ".yaml:20:6: expected at most 1000000 values"),
        ("a.yaml", b"static_resources:\n\tclusters: []\n".to_vec(), ".yaml:2:"),
        ("a.yaml", b"admin:\n  a: [1, 2\nb: 3\n".to_vec(), ".yaml:3:"),
        ("a.yaml", b"admin: *nobody\n".to_vec(), ".yaml:1:8: expected YAML"),
        (
            "a.yaml",
            "- ".repeat(50_000).into_bytes(),
            ":1:201: expected values nested at most 100 deep",
        ),
        ("a.yaml", vec![b' '; 5 << 20], ".yaml:1:1: expected at most 4194304 bytes"),
        ("a.yaml", vec![0x7f, b'E', b'L', b'F', 0xff, 0], ".yaml:1:1: expected text in UTF-8"),
        ("a.yaml", Vec::new(), ".yaml:1:1: expected an Envoy configuration, found nothing"),
        ("a.json", Vec::new(), ".json:1:1: expected a value (JSON), found the end"),
        (
            "a.json",
            b"{\n  \"admin\": {},\n}\n".to_vec(),
            ".json:3:1: expected a string (JSON), found '}'",
        ),
        ("a.json", "[".repeat(200_000).into_bytes(), "nested at most 100 deep"),
        ("a.yaml", b"hello: world\n".to_vec(), "expected an Envoy bootstrap, listener, cluster"),
        ("a.yaml", b"just words".to_vec(), "expected an Envoy bootstrap, listener, cluster"),
    ];
    for (name, bytes, expected) in cases {
        let output = check(name, &bytes);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}, not {expected}");
        assert!(output.stdout.is_empty());
    }
}

/// Values of every kind where something else belongs must not make it panic.
#[test]
fn whatever_stands_anywhere_it_ends_well() {
    let reference = super::reference();
    let lines: Vec<&str> = reference.lines().collect();
    let odd =
        ["~", "7", "-1", "yes", "\"\"", "[]", "{}", "[[]]", "{a: [~]}", "1e999s", "\u{1F600}"];
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(BINARY);
    command.arg("check");
    let mut number = 0;
    for (at, line) in lines.iter().enumerate() {
        let Some((name, _)) = line.split_once(": ").filter(|_| !line.trim().starts_with('#'))
        else {
            continue;
        };
        let mut text = lines.clone();
        let planted = format!("{name}: {}", odd[at % odd.len()]);
        text[at] = &planted;
        number += 1;
        let path = dir.path().join(format!("{number}.yaml"));
        fs::write(&path, text.join("\n")).unwrap();
        let output = Command::new(BINARY).arg("check").arg(&path).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code <= 2), "{planted}: {told}");
        assert!(!told.contains("panicked"), "{planted}: {told}");
    }
    assert!(number > 80, "{number}");
}

/// Cuts the reference off at every place.
#[test]
fn half_a_file_is_a_finding_or_a_mistake_and_never_a_panic() {
    let reference = super::reference();
    let ends = reference.char_indices().map(|(at, _)| at).filter(|at| at % 97 == 0);
    for end in ends {
        let output = check("a.yaml", &reference.as_bytes()[..end]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            matches!(output.status.code(), Some(0..=2)) && !told.contains("panicked"),
            "{end}: {told}"
        );
    }
}

#[test]
fn many_of_everything_ends_soon() {
    let cluster = |n: usize| {
        format!(
            "  - {{name: c{n}, cluster_type: {{name: envoy.clusters.composite, typed_config: {{clusters: [{{name: c{}}}]}}}}}}\n",
            n + 1
        )
    };
    let clusters: String = (0..20_000).map(cluster).collect();
    let mut text = format!("static_resources:\n  clusters:\n{clusters}");
    let gateway = "metadata: {filter_metadata: {dana.failover: {gateway: a}}}";
    text += &format!(
        "  - {{name: a, load_assignment: {{endpoints: [{{lb_endpoints: [{{{gateway}}}]}}]}}}}\n"
    );
    let output = check("a.yaml", text.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let filter = "      - {typed_config: {\"@type\": a/x.HttpConnectionManager, http_filters: [{typed_config: {\"@type\": a/x.Wasm, config: {name: dana_failover}}}]}}\n";
    let text = format!(
        "static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n{}",
        filter.repeat(10_000)
    );
    let output = check("a.yaml", text.as_bytes());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("expected at most 64 filters"), "{told}");
    let composites =
        "                    - {members: [primary, secondary], cluster: c}\n".repeat(600);
    let list = "                    composites: &composites\n";
    let text = super::reference().replace(list, &(list.to_owned() + &composites));
    let output = check("a.yaml", text.as_bytes());
    assert!(String::from_utf8_lossy(&output.stderr).contains("at most 512 composites"));
}
