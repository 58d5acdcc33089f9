//! What other work took of this machine while a part was measured.

use krono::machine::Machine;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fmt;

/// Shares above which figures are not to be believed, of all processors' time.
const STEAL_MAX: f64 = 0.01;
const OTHERS_MAX: f64 = 0.04;

/// Ticks of `/proc/stat` a second: `USER_HZ`, the same on every Linux that DPDK runs on.
const TICKS_PER_S: f64 = 100.0;

/// Processor time since boot and of this process with its children, in seconds.
#[derive(Clone, Copy)]
struct Times {
    all: f64,
    busy: f64,
    stolen: f64,
    own: f64,
}

impl Times {
    fn now() -> Option<Times> {
        let text = Machine::this().text("proc/stat")?;
        let line = text.lines().find(|line| line.starts_with("cpu "))?;
        let ticks: Vec<f64> =
            line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; what follows is part of the first two.
        let [user, nice, system, idle, wait, irq, soft, stolen] = *ticks.first_chunk()?;
        let busy = user + nice + system + irq + soft;
        let own = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
            .into_iter()
            .filter_map(|who| getrusage(who).ok())
            .map(|usage| usage.user_time() + usage.system_time())
            .map(|time| time.num_microseconds() as f64 / 1e6)
            .sum();
        let seconds = |ticks: f64| ticks / TICKS_PER_S;
        let all = seconds(busy + idle + wait + stolen);
        Some(Times { all, busy: seconds(busy), stolen: seconds(stolen), own })
    }
}

/// A look at the machine, to be ended by another.
pub(crate) struct Watch {
    times: Option<Times>,
    load: Option<f64>,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        Watch { times: Times::now(), load: Machine::this().load() }
    }

    pub(crate) fn end(&self) -> Disturbance {
        let share = |of: fn(&Times) -> f64| {
            let (before, after) = (self.times?, Times::now()?);
            let all = after.all - before.all;
            (all > 0.0).then(|| ((of(&after) - of(&before)) / all).clamp(0.0, 1.0))
        };
        Disturbance {
            stolen: share(|times| times.stolen),
            others: share(|times| times.busy - times.own),
            load_before: self.load,
            load_after: Machine::this().load(),
        }
    }
}

/// Shares of all processors' time; `None` where Linux does not tell.
#[derive(Clone, Copy)]
pub(crate) struct Disturbance {
    /// Taken by the hypervisor.
    pub(crate) stolen: Option<f64>,
    /// Used by processes that are none of this program's.
    pub(crate) others: Option<f64>,
    load_before: Option<f64>,
    load_after: Option<f64>,
}

impl Disturbance {
    /// Whether figures taken meanwhile are not to be believed.
    pub(crate) fn is_grave(&self) -> bool {
        self.stolen.is_some_and(|share| share > STEAL_MAX)
            || self.others.is_some_and(|share| share > OTHERS_MAX)
    }

    pub(crate) fn in_words(&self) -> String {
        let load =
            |load: Option<f64>| load.map_or("unknown".to_owned(), |load| format!("{load:.2}"));
        let judgement = if self.is_grave() {
            "The machine was busy with other work: do not believe these figures, repeat them."
        } else {
            "Rows marked `busy` were measured beside other work: repeat them before use."
        };
        format!(
            "load average {} before, {} after; {self}. {judgement}",
            load(self.load_before),
            load(self.load_after)
        )
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.1} %", share * 100.0),
            None => "unknown".to_owned(),
        };
        write!(to, "stolen {}, others {}", percent(self.stolen), percent(self.others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_work_is_no_disturbance_and_others_is() {
        let of =
            |stolen, others| Disturbance { stolen, others, load_before: None, load_after: None };
        assert!(!of(Some(0.005), Some(0.03)).is_grave());
        assert!(of(Some(0.02), Some(0.0)).is_grave());
        assert!(of(Some(0.0), Some(0.3)).is_grave());
        assert!(of(None, Some(0.3)).in_words().contains("do not believe"));
        assert_eq!(of(Some(0.0), None).to_string(), "stolen 0.0 %, others unknown");
    }
}
