//! What breaks a rule and is known, each table with the files below `src/engine` that the rule's
//! test names. These tables only ever get shorter.

/// Names of things in rooms that stand above, or apart.
pub(super) const AGAINST_THE_DIRECTION: &[&str] = &[];

/// Rooms that name each other, directly or round about.
pub(super) const ROOMS_IN_A_RING: &[&str] = &[];

/// Arrows that are part of a cycle between files.
pub(super) const ON_A_CYCLE: &[&str] = &[];

/// Names that more than one type has.
pub(super) const DEFINED_TWICE: &[&str] = &[];

/// Files that have more lines than the rule allows, and how many they may have until they are split.
pub(super) const LONG_FILES: &[&str] = &[];
pub(super) const LONG_FILES_LINES_MAX: usize = 400;
