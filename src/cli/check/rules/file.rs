//! The file itself, and what of the whole it does not show.

use std::collections::BTreeSet;

use super::super::document::Member;
use super::super::finding::Severity::{Error, Note, Warning};
use super::super::finding::{Found, Rule};
use super::super::setup::Setup;
use super::super::view::View;

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "repeated-field",
        severity: Error,
        title: "A field stands there twice",
        why: "Envoy takes the last one without a word, so whoever reads the first is misled.",
        fix: "Remove one of them.",
        check: repeated_field,
    },
    Rule {
        id: "merge-key",
        severity: Error,
        title: "A merge key does not merge",
        why: "To Envoy `<<` is a field like any other, and one that it does not know.",
        fix: "Write the fields out, or give whole values by alias.",
        check: merge_key,
    },
    Rule {
        id: "second-document",
        severity: Error,
        title: "A second YAML document is passed over",
        why: "Envoy reads the first document of a file and ignores the rest.",
        fix: "Put everything into one document.",
        check: second_document,
    },
    Rule {
        id: "unseen",
        severity: Note,
        title: "Something comes from elsewhere and cannot be seen from here",
        why: "What the management server or another file tells Envoy is checked by nobody here.",
        fix: "Give the resource files as further arguments, or check what Envoy was really given \
               (/config_dump of its admin interface).",
        check: unseen,
    },
    Rule {
        id: "envoy-too-old",
        severity: Error,
        title: "This Envoy is older than the filter can run on",
        why: "An Envoy before 1.36 drops the rules that keep clients from steering the router, or does not start.",
        fix: "Run Envoy 1.36 or later, Istio 1.28 or later.",
        check: envoy_too_old,
    },
    UNUSED,
];

/// Major and minor version of the oldest Envoy that the references and the manifests load on.
const ENVOY_MIN: (u64, u64) = (1, 36);

/// What `--accept` names and nobody finds; it is found there, and not in a configuration.
pub(crate) const UNUSED: Rule = Rule {
    id: "acceptance-unused",
    severity: Warning,
    title: "What is accepted is not found",
    why: "An entry that is left over hides the finding when it comes back, or has a mistake in its path.",
    fix: "Remove the entry, or correct its `at`.",
    check: |_, _| {},
};

/// A dump says which Envoy it is of; no file does.
fn envoy_too_old(setup: &Setup, found: &mut Found<'_>) {
    if setup.payments().next().is_none() {
        return;
    }
    let version = setup.bootstrap.down(&["node", "user_agent_build_version", "version"]);
    let part = |name: &str| version.at(name).number().unwrap_or_default();
    let own = (part("major_number"), part("minor_number"));
    if version.exists() && own < ENVOY_MIN {
        let (major, minor) = ENVOY_MIN;
        let expected = format!("{major}.{minor} or later");
        found.add_as(&version, expected, format!("{}.{}", own.0, own.1));
    }
}

fn repeated_field(setup: &Setup, found: &mut Found<'_>) {
    let mut seen = BTreeSet::new();
    each_member(setup, &mut |path, member, is_repeated| {
        // An alias shows the same place again.
        if is_repeated && seen.insert(member.place) {
            let view = View::bare(member.place, path.to_owned());
            found.add_as(&view, "each field once", format!("another {:?}", member.name));
        }
    });
}

fn merge_key(setup: &Setup, found: &mut Found<'_>) {
    let mut seen = BTreeSet::new();
    each_member(setup, &mut |path, member, _| {
        if member.name == "<<" && seen.insert(member.place) {
            let view = View::bare(member.place, path.to_owned());
            found.add_as(&view, "fields written out", "<<");
        }
    });
}

fn each_member(setup: &Setup, see: &mut impl FnMut(&str, &Member, bool)) {
    for root in setup.roots.iter().filter_map(View::node) {
        root.each_member("", see);
    }
}

fn second_document(setup: &Setup, found: &mut Found<'_>) {
    for view in &setup.second {
        found.add_as(view, "one document", "a second one");
    }
}

fn unseen(setup: &Setup, found: &mut Found<'_>) {
    for (view, what) in &setup.unseen {
        found.add_as(view, format!("{what} in this file"), "a reference to another source");
    }
}
