//! What stands between the stations of a world that is broken on purpose. The servers run the real
//! code; what they would do if they were broken is done to their frames on the way, by somebody who
//! has the cluster's key.

use crate::dice::Dice;
use crate::net::{Handle, is_message};
use crate::world::{KEY, shard_of};
use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::wire::bfd as watch;
use krononat::replicate::message::{self, Entry, Head};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Middle {
    /// Nobody.
    None,
    /// A slave acknowledges all that it is told and forgets so much of it.
    Forgets { permille: u32 },
    /// The walk of a master passes over so many records.
    Skips { permille: u32 },
    /// A master is cut off from all other cores and from the router, hears what the router said last
    /// all the time, and keeps half of its users, whose packets nobody steers around it.
    Deaf { core: usize, shards: Vec<usize>, router_said: Vec<u8> },
}

impl Middle {
    /// Whether a frame goes on, as it is then.
    pub(crate) fn passes(
        &mut self,
        from: usize,
        to: usize,
        frame: &mut Handle,
        dice: &mut Dice,
    ) -> bool {
        match self {
            Middle::None => {}
            Middle::Forgets { permille } => rewrite(frame, *permille, dice, |_| true),
            Middle::Skips { permille } => {
                // Before the copy is whole, what is told is mostly what the walk has met.
                rewrite(frame, *permille, dice, |head| head.whole == u64::MAX);
            }
            Middle::Deaf { core, router_said, .. } => {
                let is_watch = frame.head()[36..38] == watch::PORT.to_be_bytes();
                if to == *core && is_watch && frame.sent_at.0 > 0 && router_said.is_empty() {
                    *router_said = frame.bytes().to_vec();
                }
                let is_users = !is_watch && !is_message(frame.head());
                return is_users || from != *core && to != *core;
            }
        }
        true
    }

    /// The core that a user's packet goes to against the router's table.
    pub(crate) fn misroutes(&self, source: u32, to: u32, dice: &mut Dice) -> Option<usize> {
        let Middle::Deaf { core, shards, .. } = self else { return None };
        let is_its = shard_of(source, to).is_some_and(|shard| shards.contains(&shard));
        (is_its && dice.permille(500)).then_some(*core)
    }
}

fn rewrite(frame: &mut Handle, permille: u32, dice: &mut Dice, is_it: impl Fn(&Head) -> bool) {
    if !is_message(frame.head()) {
        return;
    }
    let Ok((from, head, entries)) = message::read(frame.bytes(), &KEY) else { return };
    if entries.is_empty() || !is_it(&head) {
        return;
    }
    let kept: Vec<Entry> = entries.iter().filter(|_| !dice.permille(permille)).copied().collect();
    let to = <[u8; 4]>::try_from(&frame.bytes()[30..34]).expect("four bytes");
    let mac = |at: usize| Mac(frame.bytes()[at..at + 6].try_into().expect("six bytes"));
    let me = Identity { mac: mac(6), vlan: None, ip: from, asn: None, gateway: mac(0) };
    frame.set_len(message::frame_len(kept.len()));
    message::write(frame.bytes_mut(), &me, to.into(), &KEY, &head, kept.into_iter());
}
