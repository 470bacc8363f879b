//! Why payments go to another gateway.

/// Why new payments go to another gateway first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The gateway before cannot take them.
    Failover,
    /// An earlier gateway in the order works again.
    Failback,
    /// An operator set an override.
    Override,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::Failover, Self::Failback, Self::Override];

    /// Its name in logs, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failback => "failback",
            Self::Override => "override",
        }
    }
}
