//! What the checkers know at an instant: of each core and each shard, from outside and from inside.

use dataplane::clock::Nanos;
use krononat::membership::Role;

/// A core, as whoever does the damage knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreView {
    /// When anything was last done to it or to one of its ways to others.
    pub(crate) troubled_at: Nanos,
    /// When it was last asleep, or anything was wrong with its ways.
    pub(crate) cut_at: Nanos,
    pub(crate) frames_sent: u64,
}

/// One of the two cores of a shard, as it sees itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HalfView {
    pub(crate) core: usize,
    /// Which of all starts made it.
    pub(crate) incarnation: u64,
    pub(crate) role: Role,
    pub(crate) epoch: u32,
    pub(crate) backlog: u64,
    /// Entries that it could not restore.
    pub(crate) refused: u64,
    /// Packets of the shard are translated here.
    pub(crate) serves: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardView {
    /// Master by duty and slave; none where the server is down.
    pub(crate) halves: [Option<HalfView>; 2],
    pub(crate) cores: [usize; 2],
    /// The core that the router's table names, and since when.
    pub(crate) steered: Option<usize>,
    pub(crate) steered_at: Nanos,
    /// How often a core has become master, and when one did last.
    pub(crate) reign: u64,
    pub(crate) reigns_since: Nanos,
    /// Since when both cores run and nothing is wrong with either or between them.
    pub(crate) sound_since: Option<Nanos>,
    /// Since when the core that is steered to serves as master and nothing is wrong with its ways.
    pub(crate) calm_since: Option<Nanos>,
}

impl ShardView {
    /// Who is what, in a line.
    pub(crate) fn outline(&self) -> String {
        let half = |core: usize| match self.half(core) {
            Some(it) => {
                let serves = if it.serves { ", serves" } else { "" };
                format!("core {core} {:?} in epoch {}{serves}", it.role, it.epoch)
            }
            None => format!("core {core} down"),
        };
        let steered = self.steered.map_or("nobody".to_owned(), |core| format!("core {core}"));
        let [a, b] = self.cores.map(half);
        format!("{a}; {b}; packets go to {steered}")
    }

    /// Whether anything of its outline differs.
    pub(crate) fn is_other_than(&self, before: &ShardView) -> bool {
        let told = |half: &HalfView| (half.core, half.role, half.epoch, half.serves);
        let halves = |it: &ShardView| it.halves.map(|half| half.as_ref().map(told));
        self.steered != before.steered || halves(self) != halves(before)
    }

    pub(crate) fn half(&self, core: usize) -> Option<&HalfView> {
        self.halves.iter().flatten().find(|half| half.core == core)
    }

    /// The master and the core with the whole copy, if both say that they are.
    pub(crate) fn pair(&self) -> Option<(HalfView, HalfView)> {
        match self.halves.map(|half| half.map(|half| (half.role, half))) {
            [Some((Role::Master, a)), Some((Role::Standby, b))] if a.epoch == b.epoch => {
                Some((a, b))
            }
            [Some((Role::Standby, a)), Some((Role::Master, b))] if a.epoch == b.epoch => {
                Some((b, a))
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) now: Nanos,
    pub(crate) cores: Vec<CoreView>,
    pub(crate) shards: Vec<ShardView>,
}
