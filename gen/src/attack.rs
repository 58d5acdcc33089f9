//! Attacks beside the measured traffic: what a phase asks for, what an attack's packets look like,
//! and what became of them.
//!
//! * A *SYN flood*: some subscribers send SYNs that nobody answers, each from the next port up and,
//!   lap after lap, to another port, so that none repeats one that the system under test may hold.
//! * A *scan* from the Internet: SYNs to the external addresses that connections have been seen to
//!   have, port after port, by nobody whom a subscriber ever sent to.
//!
//! Their packets are no probes. They are not planned and never lost: a system under test that stops
//! them does what it should. They are known by the number in the field that a SYN leaves unused, which
//! no probe has, and by ports that no measured connection uses.

use crate::ends::Ends;
use crate::segment::Numbers;
use crate::template::{self, CONTROL_TOTAL, Hop, PROTOCOL_TCP};
use crate::tuple::PORTS;
use dataplane::frame::HEAD;
use serde::{Deserialize, Serialize};

/// What one core does in a phase beside its traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attack {
    /// SYNs per second, of all attackers of this core.
    pub syn_flood_per_s: f64,
    /// Subscribers of this core that flood, dealt out over the cores of the system under test.
    pub attackers: u32,
    /// Packets of the scan per second.
    pub scan_per_s: f64,
}

/// What became of the packets of attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackLedger {
    /// SYNs of the flood that the port accepted.
    pub flood_sent: u64,
    /// Of these, the ones that came out on the other side.
    pub flood_passed: u64,
    /// Packets of the scan that the port accepted.
    pub scan_sent: u64,
    /// Of these, the ones that reached a subscriber.
    pub scan_passed: u64,
    /// Packets of either that were due and not sent.
    pub unsent: u64,
}

/// Which attack a packet belongs to: its sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Flood = 1,
    Scan = 2,
}

/// Acknowledgement number of every packet of an attack. A probe's SYN has zero.
const MARK: u32 = 0x6b72_6f6e;
const SYN: u8 = 0x02;
const WINDOW: u16 = 0xffff;

/// Ports that attackers send from: below those of measured connections.
const FLOOD_PORT: u32 = 1024;
const FLOOD_PORTS: u64 = (PORTS - FLOOD_PORT) as u64;
/// Ports that floods go to and scans come from, above those of measured connections and apart from
/// each other: a scanner must not be somebody that a flooder has sent to.
const FLOODED_PORT: u16 = 49_152;
const SCANNER_PORT: u16 = 57_344;
const PORTS_MASK: u64 = 0x1fff;
/// Ports that scans try.
const SCANNED_PORT: u64 = 1024;

/// Attacker, source port and destination port of SYN `number` of a flood by so many attackers.
pub(crate) fn flood(number: u64, attackers: u32) -> (u32, u16, u16) {
    let (turn, attacker) = (number / u64::from(attackers), number % u64::from(attackers));
    let (lap, step) = (turn / FLOOD_PORTS, turn % FLOOD_PORTS);
    let to = FLOODED_PORT + (lap & PORTS_MASK) as u16;
    (attacker as u32, (FLOOD_PORT + step as u32) as u16, to)
}

/// Source and destination port of packet `number` of a scan.
pub(crate) fn scan(number: u64) -> (u16, u16) {
    let to = SCANNED_PORT + number % (65_536 - SCANNED_PORT);
    (SCANNER_PORT + (number & PORTS_MASK) as u16, to as u16)
}

/// Writes a packet of an attack.
pub(crate) fn put(head: &mut [u8; HEAD], hop: &Hop, ends: Ends, kind: Kind) {
    let numbers = Numbers { seq: kind as u32, ack: MARK, flags: SYN };
    template::put_tcp(head, hop, ends, CONTROL_TOTAL, numbers, WINDOW, 0);
}

/// Which attack a frame is of, if it is of any.
fn kind(head: &[u8; HEAD]) -> Option<Kind> {
    let word = |at| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let attack = head[23] == PROTOCOL_TCP && head[47] == SYN && word(42) == MARK;
    [Kind::Flood, Kind::Scan].into_iter().find(|&kind| attack && word(38) == kind as u32)
}

impl AttackLedger {
    /// Books a frame that has come back and is no probe; `false` if it is of no attack either.
    #[cold]
    pub(crate) fn book_passed(&mut self, head: &[u8; HEAD]) -> bool {
        match kind(head) {
            Some(Kind::Flood) => self.flood_passed += 1,
            Some(Kind::Scan) => self.scan_passed += 1,
            None => return false,
        }
        true
    }

    /// Books packets that were due: how many the port accepted, and how many it did not.
    pub(crate) fn book_sent(&mut self, kind: Kind, sent: u64, unsent: u64) {
        match kind {
            Kind::Flood => self.flood_sent += sent,
            Kind::Scan => self.scan_sent += sent,
        }
        self.unsent += unsent;
    }

    /// Packets that were sent and did not come out on the other side.
    pub fn stopped(&self) -> u64 {
        (self.flood_sent + self.scan_sent).saturating_sub(self.flood_passed + self.scan_passed)
    }

    /// Adds the counts of another core or trial.
    pub fn add(&mut self, other: &AttackLedger) {
        self.flood_sent += other.flood_sent;
        self.flood_passed += other.flood_passed;
        self.scan_sent += other.scan_sent;
        self.scan_passed += other.scan_passed;
        self.unsent += other.unsent;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Inspector;
    use crate::stamp::{Source, TrialId};
    use dataplane::identity::Mac;
    use dataplane::worker::{CoreId, ServerId};
    use std::collections::HashSet;

    #[test]
    fn no_syn_of_a_flood_repeats_another() {
        let all: HashSet<_> = (0..200_000).map(|number| flood(number, 3)).collect();
        assert_eq!(all.len(), 200_000);
        for (attacker, from, to) in all {
            assert!(attacker < 3 && (1024..32_768).contains(&from), "{attacker} {from}");
            assert!((FLOODED_PORT..SCANNER_PORT).contains(&to), "{to}");
        }
    }

    #[test]
    fn a_scan_tries_every_port() {
        let all: HashSet<u16> = (0..64_512).map(|number| scan(number).1).collect();
        assert_eq!((all.len(), all.iter().min()), (64_512, Some(&1024)));
        assert!((0..100_000).all(|number| scan(number).0 >= SCANNER_PORT));
    }

    #[test]
    fn packets_of_attacks_are_told_apart_and_are_never_probes() {
        let config = crate::config::tests::config();
        let source = Source::new(ServerId(0), CoreId(0)).expect("in range");
        let inspector = Inspector::new(&config.cores[0], source, config.mix(1));
        let own = config.cores[0].identity.mac;
        let hop = Hop::new(own, Mac::of(1, 0, 0));
        let server = u32::from(config.cores[0].servers.network()) + 1;
        let ends = Ends::new((0x6440_0001, 2000), (server, FLOODED_PORT));
        for (kind_of, ends) in [(Kind::Flood, ends), (Kind::Scan, ends.reversed())] {
            let mut head = [0; HEAD];
            put(&mut head, &hop, ends, kind_of);
            assert_eq!(kind(&head), Some(kind_of));
            for trial in 0..=u8::MAX {
                let found = inspector.inspect(&head, 60, TrialId(trial), 0);
                assert!(found.is_err(), "{kind_of:?} is taken for {found:?}");
            }
            let mut ledger = AttackLedger::default();
            ledger.book_sent(kind_of, 5, 0);
            assert!(ledger.book_passed(&head));
            assert_eq!(ledger.stopped(), 4);
            head[42] ^= 1;
            assert!(!ledger.book_passed(&head));
        }
    }
}
