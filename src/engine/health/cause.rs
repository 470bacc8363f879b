//! Why payments go to another gateway.

/// Why new payments go to another gateway first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The one before cannot take them.
    Failover,
    /// An earlier one in the order is well again.
    Failback,
    /// An operator says so.
    Override,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Failover, Self::Failback, Self::Override];

    /// What it is called in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Override => "override",
        }
    }
}
