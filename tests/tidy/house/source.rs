//! Rust as tokens, without its tests. Tokens and not lines, so that a name in a comment or a string
//! is none, and one within a macro is.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The text of each file by its path from the repository's root.
pub(super) type Files = BTreeMap<String, String>;

pub(super) fn tokens(file: &str, text: &str) -> Vec<TokenTree> {
    let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file}: {error}"));
    stream.into_iter().collect()
}

pub(super) fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

pub(super) fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

pub(super) fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

pub(super) fn braces(token: Option<&TokenTree>) -> Option<&Group> {
    group(token, Delimiter::Brace)
}

fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<&Group> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

/// Whether an attribute begins here that keeps something for tests: `#[cfg(test)]`, or
/// `#[cfg(all(test, ..))]`.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let attribute = match tokens {
        [TokenTree::Punct(hash), attribute, ..] if hash.as_char() == '#' => {
            group(Some(attribute), Delimiter::Bracket)
        }
        _ => None,
    };
    let text = attribute.map(|group| group.stream().to_string().replace(' ', ""));
    text.is_some_and(|text| text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// How many tokens the item takes that begins at the first: its attributes, then all up to its
/// semicolon or its braces, or to a comma where it is a field.
fn item(tokens: &[TokenTree]) -> usize {
    let mut at = 0;
    while is_punct(tokens.get(at), '#') {
        at += 2;
    }
    let rest = tokens.get(at..).unwrap_or_default();
    let mut words = rest.iter().filter_map(|token| ident(Some(token)));
    let keyword = words.find(|word| word != "pub").unwrap_or_default();
    // The braces of these are not their end.
    let by_semicolon = ["use", "const", "static", "let"].contains(&keyword.as_str());
    let is_item = by_semicolon
        || ["mod", "fn", "impl", "struct", "enum", "trait", "type", "union", "unsafe", "async"]
            .contains(&keyword.as_str())
        || ["macro_rules", "extern"].contains(&keyword.as_str());
    let is_end = |token: &TokenTree| {
        is_punct(Some(token), ';')
            || (!by_semicolon && braces(Some(token)).is_some())
            || (!is_item && is_punct(Some(token), ','))
    };
    // `const fn` ends as functions do.
    let is_end = |index: usize, token: &TokenTree| {
        let is_function = rest.iter().take(index).any(|token| is_ident(Some(token), "fn"));
        is_end(token) || (is_function && braces(Some(token)).is_some())
    };
    let found = rest.iter().enumerate().position(|(index, token)| is_end(index, token));
    found.map_or(tokens.len(), |end| at + end + 1)
}

/// The tokens without what is for tests alone, at every depth; `cut` is told the first and the last
/// line of each piece that is left out.
pub(super) fn without_tests(
    tokens: &[TokenTree],
    cut: &mut impl FnMut(usize, usize),
) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        if is_for_tests(rest) {
            let (dropped, after) = rest.split_at(item(rest).min(rest.len()));
            let last = dropped.last().map_or(0, |token| token.span().end().line);
            cut(token.span().start().line, last);
            rest = after;
            continue;
        }
        let TokenTree::Group(group) = token else {
            kept.push(token.clone());
            rest = after;
            continue;
        };
        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
        let inner = without_tests(&inner, cut).into_iter().collect();
        let mut new = Group::new(group.delimiter(), inner);
        new.set_span(group.span());
        kept.push(TokenTree::Group(new));
        rest = after;
    }
    kept
}
