//! The lines of Envoy's log are for people: words and no Debug forms, and one prefix, which stands
//! in one place.

use super::files;

/// Where the prefix stands.
const LOG: &str = "src/filter/host/logger.rs";

/// What is made of Debug forms and is no text for people: bytes that a digest in the store is made
/// of. They must stay as they are.
const DIGESTED: (&str, &str) =
    ("src/engine/config/values.rs", r#""{:?} {} {:?} {} {identity:?} {:?}","#);

/// Files of the engine and the filter without their tests.
fn sources() -> Vec<(String, String)> {
    let all = [files("src/engine", ".rs"), files("src/filter", ".rs")].concat().into_iter();
    let all = all.filter(|(name, _)| !name.contains("/tests"));
    all.map(|(name, text)| {
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        (name, code.to_owned())
    })
    .collect()
}

/// The lines that make text of a Debug form.
fn debug_forms(code: &str) -> Vec<&str> {
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    let forms = code.lines().filter(|line| line.contains(":?}") || line.contains(":#?}"));
    forms.filter(|line| !is_comment(line)).map(str::trim).collect()
}

/// The lines that have the prefix in a string.
fn prefixed(code: &str) -> Vec<&str> {
    code.lines().filter(|line| line.contains("\"dana: ")).map(str::trim).collect()
}

#[test]
fn no_text_for_people_has_a_debug_form() {
    for (name, code) in sources() {
        let forms = debug_forms(&code).into_iter();
        let forms: Vec<&str> = forms.filter(|line| DIGESTED != (name.as_str(), line)).collect();
        assert!(forms.is_empty(), "{name}: {forms:#?}");
    }
    let planted = "log::warn!(\"{cell:?} is gone\");\n// {cell:?}\nformat!(\"{:#?}\", cell)";
    assert_eq!(debug_forms(planted).len(), 2);
}

#[test]
fn every_line_of_the_log_has_one_prefix_from_one_place() {
    let mut found = 0;
    let mut lines = 0;
    for (name, code) in sources() {
        let prefixes = prefixed(&code);
        assert!(prefixes.is_empty() || name == LOG, "{name} has a prefix of its own: {prefixes:?}");
        found += prefixes.len();
        lines += code.matches("log::").count();
    }
    assert_eq!(found, 1, "the prefix stands in {LOG}");
    assert!(lines > 10, "{lines} lines are too few to be all");
    assert_eq!(prefixed("log::warn!(\"dana: it is so\")").len(), 1);
}
