//! Who does not know the key changes nothing, and neither does who plays back what he has heard.
//!
//! A frame is put before a core that has nothing else to read and nothing to do; whatever it makes of
//! it, what it holds and what it believes must be the same afterwards.

use super::{Checked, ensure};
use crate::dice::Dice;
use crate::net::Wire;
use crate::world::{KEY, core_address};
use dataplane::identity::{Identity, Mac};
use krononat::membership::Role;
use krononat::replicate::message::{self, Head};
use krononat::worker::Krononat;

/// All of a core that a message may change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    seen: bool,
    connections: usize,
    opened: u64,
    halves: Vec<(u32, Role, u32, bool, u64, u64, u64)>,
}

impl Fingerprint {
    pub(crate) fn of(core: &Krononat<Wire>) -> Fingerprint {
        let cluster = core.cluster().expect("a core of a cluster");
        let halves = cluster.shards().map(|(id, member, link)| {
            let counts = link.counts;
            let (epoch, whole) = (member.epoch(), link.is_whole());
            let written = (counts.restored, counts.not_restored);
            (id, member.role(), epoch, whole, written.0, written.1, member.takeovers)
        });
        let connections = core.pipeline().connections();
        Fingerprint {
            seen: cluster.is_seen(),
            connections: connections.len(),
            opened: connections.opened,
            halves: halves.collect(),
        }
    }

    pub(crate) fn same_as(&self, before: &Fingerprint, core: usize, how: &str) -> Checked {
        ensure(self == before, "strangers", || {
            format!("{how} has changed core {core}: {before:?} before, {self:?} after")
        })
    }
}

/// A message that nobody of the cluster has sent now, and what is wrong with it. `remembered` is what
/// the core has received earlier.
pub(crate) fn forged<'a>(
    dice: &mut Dice,
    core: usize,
    remembered: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, &'static str) {
    let heard: Vec<&[u8]> = remembered.collect();
    let heard = (!heard.is_empty()).then(|| heard[dice.below(heard.len())].to_vec());
    match (heard, dice.below(3)) {
        (Some(bytes), 0) => (bytes, "a message heard before"),
        (Some(mut bytes), 1) => {
            let bit = dice.within(42 * 8..bytes.len() as u64 * 8);
            bytes[bit as usize / 8] ^= 1 << (bit % 8);
            (bytes, "a message with one bit turned")
        }
        _ => (invented(dice, core), "a message under another key"),
    }
}

fn invented(dice: &mut Dice, core: usize) -> Vec<u8> {
    let ip = core_address(dice.below(4));
    let mac = Mac::of(2, 0, 0);
    let me = Identity { mac, vlan: None, ip, asn: None, gateway: Mac::of(9, 0, 0) };
    let head = Head {
        shard: dice.below(8) as u32,
        role: dice.below(5) as u8,
        flags: dice.below(4) as u8,
        epoch: dice.below(100) as u32,
        from: dice.number(),
        to: dice.number(),
        counter: dice.number(),
        ..Head::default()
    };
    let mut key = KEY;
    key[dice.below(16)] ^= 1 << dice.below(8);
    let mut frame = vec![0; 1500];
    let len = message::write(&mut frame, &me, core_address(core), &key, &head, [].into_iter());
    frame.truncate(len);
    frame
}
