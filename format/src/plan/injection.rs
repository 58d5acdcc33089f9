//! What is done to the SUT while it works: one action, on one target, at one instant of a phase.
//!
//! Only names and numbers. What an action means for a process, a thread or a link is the business
//! of the testbed; that it can happen at all, such as that nobody is killed twice, has been checked
//! when the plan was made.

use super::OneIn;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// An action on a target at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// Nanoseconds from the begin of the phase to the earliest instant.
    pub at_ns: u64,
    /// The instant is drawn from this many nanoseconds after the earliest; 0 where it is fixed.
    pub spread_ns: u64,
    /// Who it happens to.
    pub target: Target,
    /// What happens.
    pub action: Action,
}

impl Injection {
    /// Nanoseconds from the begin of the phase to the instant in a repetition (from 0): drawn
    /// evenly from `at_ns` to `at_ns + spread_ns`, the same for the same seed on every testbed.
    pub fn instant_ns(&self, seed: u64, repetition: u32) -> u64 {
        let drawn = mixed(seed ^ mixed(u64::from(repetition) + 1));
        // The upper half of the product is a number below `spread_ns + 1`.
        let below = u128::from(drawn) * (u128::from(self.spread_ns) + 1);
        self.at_ns + (below >> 64) as u64
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `z`.
fn mixed(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Injection {
    /// The event in words: `kill sut.server[1]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Injection { action, target, .. } = self;
        write!(f, "{} {target}", action.name())?;
        match action {
            Action::Partition(Direction::Both) => Ok(()),
            Action::Partition(Direction::In) => f.write_str(", inwards"),
            Action::Partition(Direction::Out) => f.write_str(", outwards"),
            Action::Loss(share) => write!(f, ", {share} of frames"),
            Action::Delay { by_ns } => write!(f, " by {}", crate::unit::Duration(*by_ns)),
            _ => Ok(()),
        }
    }
}

/// What happens to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The server is gone at once and silently: no FIN, no link down.
    Kill,
    /// The server leaves in good order: it hands over and withdraws its routes first.
    Leave,
    /// A server that was killed or has left starts again, with empty tables.
    Return,
    /// A server that has not run so far starts.
    Join,
    /// The target's cores stop polling while their server lives.
    Hang,
    /// Cores that hang poll again.
    Resume,
    /// The link goes down, and both ends see it.
    LinkDown,
    /// The link is up again.
    LinkUp,
    /// Frames of a direction vanish, and nobody sees it.
    Partition(Direction),
    /// Ends partition, loss and delay.
    Heal,
    /// A share of the frames vanishes, both directions.
    Loss(OneIn),
    /// All frames take longer, each way.
    Delay {
        /// Nanoseconds longer.
        by_ns: u64,
    },
    /// Leaves, then returns, as one step of an upgrade.
    Upgrade,
}

impl Action {
    /// As it is written in a scenario.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Kill => "kill",
            Action::Leave => "leave",
            Action::Return => "return",
            Action::Join => "join",
            Action::Hang => "hang",
            Action::Resume => "resume",
            Action::LinkDown => "link-down",
            Action::LinkUp => "link-up",
            Action::Partition(_) => "partition",
            Action::Heal => "heal",
            Action::Loss(_) => "loss",
            Action::Delay { .. } => "delay",
            Action::Upgrade => "upgrade",
        }
    }

    /// Whether it ends what another action began, so that nothing is expected to be lost.
    pub fn is_remedy(&self) -> bool {
        matches!(self, Action::Resume | Action::LinkUp | Action::Heal)
    }
}

/// Direction of a partition, as the target sees it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// What is sent to the target vanishes.
    In,
    /// What the target sends vanishes.
    Out,
    /// Both vanish.
    #[default]
    Both,
}

/// A server of the SUT or one of its cores. Text form `sut.server[1]`, `sut.server[1].core[0]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Server, from 0.
    pub server: u16,
    /// Core of the server, from 0; `None` means the server with all its cores.
    pub core: Option<u16>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sut.server[{}]", self.server)?;
        self.core.map_or(Ok(()), |core| write!(f, ".core[{core}]"))
    }
}

/// Text that names no target.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no target: expected a server or core of the SUT, such as \"sut.server[1]\" or \
     \"sut.server[1].core[0]\""
)]
pub struct NotATarget(String);

impl FromStr for Target {
    type Err = NotATarget;
    fn from_str(text: &str) -> Result<Target, NotATarget> {
        let number = |digits: &str| {
            digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let target = || {
            let (server, rest) = text.strip_prefix("sut.server[")?.split_once(']')?;
            let core = match rest {
                "" => None,
                rest => Some(number(rest.strip_prefix(".core[")?.strip_suffix(']')?)?),
            };
            Some(Target { server: number(server)?, core })
        };
        target().ok_or_else(|| NotATarget(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive_their_text_form() {
        for text in ["sut.server[1]", "sut.server[63].core[127]"] {
            let target: Option<Target> = text.parse().ok();
            assert_eq!(target.map(|target| target.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "server[1]",
            "sut.server",
            "sut.server[]",
            "sut.server[+1]",
            "sut.server[-1]",
            "sut.server[1",
            "sut.server[1].core",
            "sut.server[1]core[0]",
            "sut.server[65536]",
            "gen.server[0]",
            "sut.server[1].core[0].x",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_is_drawn_evenly_and_always_the_same() {
        let target = Target { server: 1, core: None };
        let spread = Injection { at_ns: 1000, spread_ns: 999, target, action: Action::Kill };
        let draws: Vec<u64> = (0..2000).map(|i| spread.instant_ns(7, i)).collect();
        assert!(draws.iter().all(|ns| (1000..2000).contains(ns)));
        for tenth in 0..10u64 {
            let (low, high) = (1000 + tenth * 100, 1100 + tenth * 100);
            let count = draws.iter().filter(|ns| (low..high).contains(*ns)).count();
            assert!((140..260).contains(&count), "{count} of 2000 in {low}..{high}");
        }
        assert_eq!(draws[..20], (0..20).map(|i| spread.instant_ns(7, i)).collect::<Vec<_>>());
        assert_ne!(spread.instant_ns(7, 0), spread.instant_ns(8, 0));
        let fixed = Injection { spread_ns: 0, ..spread };
        assert!((0..100).all(|i| fixed.instant_ns(i, 3) == 1000));
        let widest = Injection { at_ns: 0, spread_ns: u64::MAX, ..spread };
        assert_ne!(widest.instant_ns(1, 0), widest.instant_ns(1, 1));
    }

    #[test]
    fn an_event_reads_as_it_is_written() {
        let target = Target { server: 1, core: Some(0) };
        let words = |action| Injection { at_ns: 0, spread_ns: 0, target, action }.to_string();
        assert_eq!(words(Action::Hang), "hang sut.server[1].core[0]");
        assert_eq!(
            words(Action::Partition(Direction::In)),
            "partition sut.server[1].core[0], inwards"
        );
        assert_eq!(words(Action::Loss(OneIn(100))), "loss sut.server[1].core[0], 1/100 of frames");
        let delay = Action::Delay { by_ns: 1_000_000 };
        assert_eq!(words(delay), "delay sut.server[1].core[0] by 1ms");
    }
}
