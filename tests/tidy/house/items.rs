//! How long files are without their tests, and which types they define.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenTree;

use super::source::{Files, braces, ident, is_ident, is_punct, tokens, without_tests};

/// Lines of a file without those of its tests.
pub(super) fn lines(file: &str, text: &str) -> usize {
    let mut of_tests = 0;
    without_tests(&tokens(file, text), &mut |first, last| of_tests += last + 1 - first);
    text.lines().count() - of_tests
}

/// Types by name, each with those of `among` that define it; one file may do so twice.
pub(super) fn types(files: &Files, among: &BTreeSet<&str>) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in files.iter().filter(|(file, _)| among.contains(file.as_str())) {
        let code = without_tests(&tokens(file, text), &mut |_, _| {});
        define(&code, false, &mut |name| found.entry(name).or_default().push(file.clone()));
    }
    found
}

/// Names in code that speak of where records stand: a bucket, or a `Cell` of shared data. Each with
/// its line.
pub(super) fn names_of_standing(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = without_tests(&tokens(file, text), &mut |_, _| {});
    walk(&code, &mut |token| {
        let Some(name) = ident(Some(token)) else { return };
        let lower = name.to_lowercase();
        if name.starts_with("Cell") || lower.contains("bucket") {
            found.push(format!("{file}:{}: {name}", token.span().start().line));
        }
    });
    found
}

fn walk(code: &[TokenTree], see: &mut impl FnMut(&TokenTree)) {
    for token in code {
        see(token);
        if let TokenTree::Group(group) = token {
            walk(&Vec::from_iter(group.stream()), see);
        }
    }
}

/// Tells the types that are defined here. Within `impl` and `trait`, `type` is an associated one.
fn define(code: &[TokenTree], is_associated: bool, found: &mut impl FnMut(String)) {
    let mut in_impl = false;
    for (at, token) in code.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|before| code.get(before));
        let begins = before.is_none_or(|token| {
            let ends = matches!(token, TokenTree::Group(_)) || is_punct(Some(token), ';');
            ends || ["pub", "unsafe"].iter().any(|word| is_ident(Some(token), word))
        });
        if begins && ["impl", "trait"].iter().any(|word| is_ident(Some(token), word)) {
            in_impl = true;
        }
        let keywords = ["struct", "enum", "trait", "union", "type"];
        let keyword = keywords.iter().find(|word| is_ident(Some(token), word));
        if begins && keyword.is_some_and(|word| *word != "type" || !is_associated) {
            ident(code.get(at + 1)).into_iter().for_each(&mut *found);
        }
        if let TokenTree::Group(group) = token {
            let is_body = in_impl && braces(Some(token)).is_some();
            define(&group.stream().into_iter().collect::<Vec<_>>(), is_body, found);
            in_impl &= !is_body;
        }
    }
}
