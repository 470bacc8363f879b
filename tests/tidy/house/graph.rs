//! Which file of the engine names which: read from `use` lines and from paths in the code.
//!
//! A name leads to the file of the innermost module on its path. So an item that a room's door hands
//! on is an arrow to the door, and `pub use` in the door is one from there to the file within.
//! `mod x;` alone is none.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use super::source::{Files, braces, ident, is_ident, is_punct, tokens, without_tests};

pub(super) const ENGINE: &str = "src/engine.rs";

/// A module's name within the engine; the engine's own is empty.
type Path = Vec<String>;

/// A file names something in another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: String,
    pub(super) to: String,
    /// As it is written, and the line that it is in.
    pub(super) name: String,
    pub(super) line: usize,
}

impl std::fmt::Display for Arrow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to, name, line } = self;
        write!(f, "{from}:{line} -> {to} (`{name}`)")
    }
}

/// The engine's files and what they name, without tests.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Each module and the file that it is in.
    modules: BTreeMap<Path, String>,
    /// One arrow for each pair of files.
    pub(super) arrows: Vec<Arrow>,
    pub(super) rooms: BTreeSet<String>,
}

/// The file or folder directly in `src/engine` that a file belongs to.
pub(super) fn room(file: &str) -> Option<&str> {
    let below = file.strip_prefix("src/engine/")?;
    below.split(['/', '.']).next()
}

impl Graph {
    pub(super) fn of(files: &Files) -> Self {
        let mut graph = Self::default();
        let mut found = Vec::new();
        graph.enter(files, Vec::new(), ENGINE.to_owned(), &mut found);
        for (module, file, code) in &found {
            let mut reader = Reader { graph: &graph, module, file, aliases: BTreeMap::new() };
            let mut arrows = Vec::new();
            reader.uses(code, &mut arrows);
            reader.paths(code, &mut arrows);
            for arrow in arrows {
                let same = |known: &Arrow| known.from == arrow.from && known.to == arrow.to;
                if arrow.from != arrow.to && !graph.arrows.iter().any(same) {
                    graph.arrows.push(arrow);
                }
            }
        }
        graph.rooms =
            graph.modules.values().filter_map(|file| room(file)).map(Into::into).collect();
        graph
    }

    pub(super) fn files(&self) -> BTreeSet<&str> {
        self.modules.values().map(String::as_str).collect()
    }

    /// A module in a file of its own, and those below it.
    fn enter(
        &mut self,
        files: &Files,
        module: Path,
        file: String,
        found: &mut Vec<(Path, String, Vec<TokenTree>)>,
    ) {
        let text = files.get(&file).unwrap_or_else(|| panic!("{file} is not there"));
        let code = without_tests(&tokens(&file, text), &mut |_, _| {});
        self.declare(files, module, &file, code, found);
    }

    fn declare(
        &mut self,
        files: &Files,
        module: Path,
        file: &str,
        code: Vec<TokenTree>,
        found: &mut Vec<(Path, String, Vec<TokenTree>)>,
    ) {
        self.modules.insert(module.clone(), file.to_owned());
        let mut own = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let name = ident(code.get(at + 1)).filter(|_| is_ident(code.get(at), "mod"));
            let child = |name: String| module.iter().cloned().chain([name]).collect::<Path>();
            match name {
                Some(name) if is_punct(code.get(at + 2), ';') => {
                    let child = child(name);
                    let below = format!("src/engine/{}", child.join("/"));
                    let as_folder = format!("{below}/mod.rs");
                    let is_folder = files.contains_key(&as_folder);
                    let place = if is_folder { as_folder } else { format!("{below}.rs") };
                    self.enter(files, child, place, found);
                    at += 3;
                }
                Some(name) if braces(code.get(at + 2)).is_some() => {
                    let inner = braces(code.get(at + 2)).into_iter();
                    let inner = inner.flat_map(|group| group.stream()).collect();
                    self.declare(files, child(name), file, inner, found);
                    at += 3;
                }
                _ => {
                    own.extend(code.get(at).cloned());
                    at += 1;
                }
            }
        }
        found.push((module, file.to_owned(), own));
    }

    /// The innermost module on the way to a name.
    fn leads_to(&self, name: &[String]) -> &str {
        let prefixes = (0..=name.len()).rev().filter_map(|length| name.get(..length));
        let file = prefixes.into_iter().find_map(|prefix| self.modules.get(prefix));
        file.map_or(ENGINE, String::as_str)
    }
}

struct Reader<'a> {
    graph: &'a Graph,
    module: &'a Path,
    file: &'a str,
    /// Modules that `use` lines brought in, by the name they have here.
    aliases: BTreeMap<String, Path>,
}

impl Reader<'_> {
    /// All of `use` lines, wherever they stand.
    fn uses(&mut self, code: &[TokenTree], arrows: &mut Vec<Arrow>) {
        let mut at = 0;
        while let Some(token) = code.get(at) {
            let is_use = is_ident(Some(token), "use") && !is_punct(code.get(at + 1), '<');
            if is_use {
                let rest = code.get(at + 1..).unwrap_or_default();
                let length = rest.iter().position(|token| is_punct(Some(token), ';'));
                let tree = rest.get(..length.unwrap_or(rest.len())).unwrap_or_default();
                self.tree(&[], tree, arrows);
                at += tree.len();
            } else if let TokenTree::Group(group) = token {
                self.uses(&group.stream().into_iter().collect::<Vec<_>>(), arrows);
            }
            at += 1;
        }
    }

    /// One branch of a `use` tree, or several with commas between.
    fn tree(&mut self, stem: &[String], tree: &[TokenTree], arrows: &mut Vec<Arrow>) {
        for branch in tree.split(|token| is_punct(Some(token), ',')) {
            let mut path = stem.to_vec();
            let mut renamed = None;
            let mut nested = None;
            for (at, token) in branch.iter().enumerate() {
                if is_ident(Some(token), "as") {
                    renamed = ident(branch.get(at + 1));
                    break;
                }
                path.extend(ident(Some(token)));
                nested = nested.or_else(|| braces(Some(token)));
            }
            if let Some(group) = nested {
                self.tree(&path, &group.stream().into_iter().collect::<Vec<_>>(), arrows);
                continue;
            }
            if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
                path.pop();
            }
            let Some(line) = branch.first().map(|token| token.span().start().line) else {
                continue;
            };
            let Some(target) = self.point(&path, line, arrows) else { continue };
            if self.graph.modules.contains_key(&target) {
                let name = renamed.or_else(|| target.last().cloned());
                self.aliases.extend(name.map(|name| (name, target)));
            }
        }
    }

    /// Paths in the code, in macros too.
    fn paths(&mut self, code: &[TokenTree], arrows: &mut Vec<Arrow>) {
        let mut at = 0;
        while let Some(token) = code.get(at) {
            let is_use = is_ident(Some(token), "use") && !is_punct(code.get(at + 1), '<');
            if is_use {
                while at < code.len() && !is_punct(code.get(at), ';') {
                    at += 1;
                }
            } else if is_ident(Some(token), "pub") {
                // `pub(in crate::engine::health)` says who may see it, and names nobody.
                let limits = matches!(code.get(at + 1), Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Parenthesis
                    && group.stream().into_iter().next().is_some_and(|first| {
                        ["in", "crate", "super", "self"].iter().any(|w| is_ident(Some(&first), w))
                    }));
                at += usize::from(limits);
            } else if let TokenTree::Group(group) = token {
                self.paths(&group.stream().into_iter().collect::<Vec<_>>(), arrows);
            } else if let Some(first) = ident(Some(token)) {
                let mut path = vec![first];
                while is_punct(code.get(at + 1), ':') && is_punct(code.get(at + 2), ':') {
                    let Some(next) = ident(code.get(at + 3)) else { break };
                    path.push(next);
                    at += 3;
                }
                if path.len() > 1 {
                    self.point(&path, token.span().start().line, arrows);
                }
            }
            at += 1;
        }
    }

    /// Adds the arrow to what is named, if that is in the engine; tells its whole name there.
    fn point(&self, path: &[String], line: usize, arrows: &mut Vec<Arrow>) -> Option<Path> {
        let target = self.resolve(path)?;
        arrows.push(Arrow {
            from: self.file.to_owned(),
            to: self.graph.leads_to(&target).to_owned(),
            name: path.join("::"),
            line,
        });
        Some(target)
    }

    fn resolve(&self, path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let join = |stem: &[String], rest: &[String]| stem.iter().chain(rest).cloned().collect();
        match first.as_str() {
            "crate" => {
                let (engine, rest) = rest.split_first()?;
                (engine == "engine").then(|| rest.to_vec())
            }
            "self" => Some(join(self.module, rest)),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let stem = self.module.get(..self.module.len().checked_sub(ups)?)?;
                Some(join(stem, path.get(ups..)?))
            }
            name => {
                let child: Path = join(self.module, std::slice::from_ref(first));
                let known = self.graph.modules.contains_key(&child).then_some(child);
                let stem = known.or_else(|| self.aliases.get(name).cloned())?;
                Some(join(&stem, rest))
            }
        }
    }
}
