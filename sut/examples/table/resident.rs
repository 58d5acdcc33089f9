//! Which pages this process's memory is on, as Linux tells.

/// Anonymous memory, in KiB.
pub(crate) struct Resident {
    all: f64,
    huge: f64,
}

impl Resident {
    /// Now; `None` where Linux does not tell.
    pub(crate) fn now() -> Option<Resident> {
        let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
        let kib = |name: &str| -> Option<f64> {
            let line = text.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some(Resident { all: kib("Anonymous:")?, huge: kib("AnonHugePages:")? })
    }

    /// Of what came since `before`, the percentage on 2 MiB pages.
    pub(crate) fn share_huge_since(&self, before: &Resident) -> f64 {
        100.0 * (self.huge - before.huge) / (self.all - before.all)
    }
}
