//! What a rule is, and what it finds.

use super::document::Place;
use super::setup::Setup;
use super::view::View;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Money, or the promise that it moves once, is at risk; or the filter cannot work.
    Error,
    /// Payments fail that need not, or a protection is missing.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    pub(crate) const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// The word for it, in SARIF too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something that every configuration must be.
pub(crate) struct Rule {
    /// Its name, which never changes.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// What is wrong where it finds something.
    pub(crate) title: &'static str,
    /// Why that matters, in a sentence.
    pub(crate) why: &'static str,
    /// How to fix it.
    pub(crate) fix: &'static str,
    /// Looks for it.
    pub(crate) check: fn(&Setup, &mut Found<'_>),
}

/// Something that a rule found.
pub(crate) struct Finding {
    pub(crate) rule: &'static Rule,
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) expected: String,
    pub(crate) found: String,
    /// Why somebody accepts it.
    pub(crate) accepted: Option<String>,
}

/// What one rule found.
pub(crate) struct Found<'f> {
    pub(crate) rule: &'static Rule,
    pub(crate) findings: &'f mut Vec<Finding>,
}

impl Found<'_> {
    /// Something else was expected than stands there.
    pub(crate) fn add(&mut self, view: &View, expected: impl Into<String>) {
        self.add_as(view, expected, view.shows());
    }

    /// The same, with what was found in other words than those that stand there.
    pub(crate) fn add_as(
        &mut self,
        view: &View,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) {
        self.findings.push(Finding {
            rule: self.rule,
            place: view.place,
            path: view.path.clone(),
            expected: expected.into(),
            found: found.into(),
            accepted: None,
        });
    }
}
