//! `dana-failover check`: what is wrong or dangerous in an Envoy configuration?

mod accepted;
mod document;
mod finding;
mod help;
mod report;
mod rules;
mod setup;
mod store;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use document::{BYTES_MAX, Document, Mistake};
use finding::Finding;
use report::Report;
use setup::Setup;
use store::Store;
use view::View;

/// Says what is wrong or dangerous in an Envoy configuration with the filter.
///
/// Looks at listeners, routes, clusters, TLS and the filter's own settings, and says for each
/// finding where it is, what was expected, why it matters and how to fix it. Exits with 1 if there
/// are errors or warnings.
#[derive(Debug, Args)]
#[command(after_long_help = help::TEXT, arg_required_else_help = true)]
pub(crate) struct Options {
    /// Envoy bootstraps, resource files, `config_dump`s or Kubernetes ConfigMaps, in YAML or JSON;
    /// `-` for standard input.
    #[arg(value_name = "ENVOY_CONFIG", required_unless_present = "explain")]
    files: Vec<PathBuf>,

    /// Findings that are accepted, each with its reason, in YAML: they no longer count.
    #[arg(long, value_name = "FILE", conflicts_with = "explain")]
    accept: Option<PathBuf>,

    /// Text for people, one JSON document for machines, or SARIF for code scanning.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Prints what a rule is about; without one, lists all rules.
    #[arg(long, value_name = "RULE", num_args = 0..=1, default_missing_value = "", conflicts_with = "files")]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

/// Why nothing could be checked.
#[derive(Debug)]
pub(crate) enum Error {
    Rule(String),
    Read { path: PathBuf, error: io::Error },
    Content { path: PathBuf, mistake: Mistake },
    Foreign { path: PathBuf },
    Without { files: String },
    Twice,
    Many { most: usize, what: &'static str },
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(name) => {
                write!(f, "--explain {name}: expected the name of a rule; --explain lists them")
            }
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Content { path, mistake } => {
                let (line, column) = (mistake.place.line, mistake.place.column);
                write!(f, "{}:{line}:{column}: {mistake}", path.display())
            }
            Self::Foreign { path } => write!(
                f,
                "{}: expected an Envoy bootstrap, listener, cluster, route configuration or secret, a \
                 config_dump, or a ConfigMap with one of these",
                path.display()
            ),
            Self::Without { files } => write!(
                f,
                "{files}: not an Envoy configuration with this filter: expected a listener with \
                 dana_failover.wasm, or clusters whose endpoints name a gateway (metadata \
                 dana.failover), found neither. Where listeners come from a server, give what \
                 Envoy's admin interface answers to /config_dump"
            ),
            Self::Twice => write!(f, "expected - (standard input) once, found it twice"),
            Self::Many { most, what } => {
                write!(f, "expected at most {most} {what} in one Envoy, found more")
            }
            Self::Write(error) => write!(f, "standard output: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// Checks, or explains; tells whether there is anything to fix.
pub(crate) fn run(options: &Options) -> Result<bool, Error> {
    let stdout = io::stdout();
    let is_coloured = stdout.is_terminal();
    let mut out = io::BufWriter::new(stdout.lock());
    let (written, is_bad) = match &options.explain {
        Some(name) => (explain(&mut out, name)?, false),
        None => {
            let report = examine(&options.files, &read_all(&options.files)?)?;
            let report = match &options.accept {
                Some(path) => accept(report, path)?,
                None => report,
            };
            let written = match options.format {
                Format::Text => report::text(&mut out, &report, is_coloured),
                Format::Json => report::json(&mut out, &report),
                Format::Sarif => report::sarif(&mut out, &report),
            };
            (written, report.is_bad())
        }
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Write(error)),
        Ok(()) | Err(_) => Ok(is_bad),
    }
}

fn explain(out: &mut impl Write, name: &str) -> Result<io::Result<()>, Error> {
    if name.is_empty() {
        return Ok(report::list(out));
    }
    let rule = rules::all().find(|rule| rule.id == name);
    rule.map(|rule| report::explain(out, rule)).ok_or_else(|| Error::Rule(name.to_owned()))
}

/// What `check` says of one file with this name and content, in every form it has.
///
/// # Errors
/// When it is no Envoy configuration, or more of one than is looked at.
pub fn told(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let documents = parse(0, Path::new(name), bytes);
    let report = documents.and_then(|documents| examine(&[name.into()], &documents));
    let report = report.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let forms = report::text(&mut out, &report, true)
        .and_then(|()| report::json(&mut out, &report))
        .and_then(|()| report::sarif(&mut out, &report));
    forms.map(|()| out).map_err(|error| error.to_string())
}

fn read_all(files: &[PathBuf]) -> Result<Vec<Document>, Error> {
    let is_stdin = |path: &&PathBuf| is_stdin(path);
    if files.iter().filter(is_stdin).count() > 1 {
        return Err(Error::Twice);
    }
    let mut documents = Vec::new();
    for (number, path) in files.iter().enumerate() {
        documents.extend(parse(number, path, &read(path)?)?);
    }
    Ok(documents)
}

/// The report without what somebody accepts.
fn accept(mut report: Report, path: &Path) -> Result<Report, Error> {
    report.files.push(path.display().to_string());
    let content = |mistake| Error::Content { path: path.to_owned(), mistake };
    let accepted = accepted::read(report.files.len() - 1, &read(path)?).map_err(content)?;
    accepted::apply(accepted, &mut report.findings);
    report.findings.sort_by_key(|finding| finding.rule.severity);
    Ok(report)
}

fn examine(files: &[PathBuf], documents: &[Document]) -> Result<Report, Error> {
    let documents: Vec<&Document> = documents.iter().collect();
    let (mut findings, mut stores, mut is_ours) = (Vec::new(), Vec::new(), false);
    for group in envoys(&documents) {
        let setup = Setup::of(&group);
        if let Some((most, what)) = setup.too_many() {
            return Err(Error::Many { most, what });
        }
        is_ours |= setup.is_ours();
        findings.extend(rules::apply(&setup));
        stores.extend(Store::all(&setup));
    }
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    if !is_ours {
        return Err(Error::Without { files: files.join(", ") });
    }
    findings.sort_by_key(|finding| (finding.rule.severity, finding.place));
    let findings = together(findings);
    Ok(Report { files, findings, stores })
}

/// Findings of one rule stand together, where the first of them is; each is told once.
fn together(findings: Vec<Finding>) -> Vec<Finding> {
    let (mut groups, mut places): (Vec<Vec<Finding>>, _) = (Vec::new(), BTreeMap::new());
    let mut seen = BTreeSet::new();
    for finding in findings {
        let Finding { rule, place, path, expected, .. } = &finding;
        if !seen.insert((rule.id, *place, path.clone(), expected.clone())) {
            continue;
        }
        let at = *places.entry(rule.id).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups.into_iter().flatten().collect()
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::Read { path: path.to_owned(), error };
    let most = BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if is_stdin(path) {
        io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// The documents of a file: one, or those of its ConfigMaps.
fn parse(number: usize, path: &Path, bytes: &[u8]) -> Result<Vec<Document>, Error> {
    let is_json = path.extension().is_some_and(|ending| ending == "json");
    let is_wanted = |document: &Document| setup::is_envoys(&View::of(document));
    let documents = Document::read_all(number, bytes, is_json, is_wanted)
        .map_err(|mistake| Error::Content { path: path.to_owned(), mistake })?;
    if documents.iter().any(is_wanted) {
        return Ok(documents);
    }
    Err(Error::Foreign { path: path.to_owned() })
}

/// Each bootstrap with all resource files; these alone if there is no bootstrap.
fn envoys<'d>(documents: &[&'d Document]) -> Vec<Vec<&'d Document>> {
    let is_bootstrap = |document: &&Document| setup::is_bootstrap(&View::of(document));
    let (bootstraps, parts): (Vec<_>, Vec<_>) = documents.iter().copied().partition(is_bootstrap);
    if bootstraps.is_empty() {
        return vec![parts];
    }
    let with_parts = |bootstrap| [vec![bootstrap], parts.clone()].concat();
    bootstraps.into_iter().map(with_parts).collect()
}
