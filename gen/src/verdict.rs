//! What became of each connection, and of the traffic, while something happened to the system under
//! test.
//!
//! Every connection that a phase asks about gets exactly one [`Verdict`]. Those whose verdict is not
//! `kept` are named, with the longest time for which nothing came through; all are counted. The
//! [`Timeline`] says the same of the traffic as a whole, per millisecond. What follows from both is
//! computed in [`crate::recovery`].

use crate::flow::Flow;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// What became of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No probe was lost, and none arrived with wrong addresses or ports.
    Kept,
    /// Probes were lost, and later ones arrived again, in each direction.
    Recovered,
    /// A probe arrived with other outer addresses or ports than those learnt. Such a connection is
    /// `remapped` whatever else befell it: its peer takes it for another one.
    Remapped,
    /// A reset came for it. A reset carries nothing of the probe that it answers, so a generator
    /// core books it as foreign and never gives this verdict; a peer with real sockets can.
    Reset,
    /// What was sent last did not arrive, in at least one direction.
    Lost,
}

/// How many connections got each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdicts {
    /// Connections [`Verdict::Kept`].
    pub kept: u64,
    /// Connections [`Verdict::Recovered`].
    pub recovered: u64,
    /// Connections [`Verdict::Remapped`].
    pub remapped: u64,
    /// Connections [`Verdict::Reset`].
    pub reset: u64,
    /// Connections [`Verdict::Lost`].
    pub lost: u64,
}

impl Verdicts {
    /// Counts one connection.
    pub fn count(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Kept => &mut self.kept,
            Verdict::Recovered => &mut self.recovered,
            Verdict::Remapped => &mut self.remapped,
            Verdict::Reset => &mut self.reset,
            Verdict::Lost => &mut self.lost,
        } += 1;
    }

    /// Connections judged.
    pub fn total(&self) -> u64 {
        self.kept + self.recovered + self.remapped + self.reset + self.lost
    }

    /// Whether none was judged.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Adds the counts of another core or phase.
    pub fn add(&mut self, other: &Verdicts) {
        self.kept += other.kept;
        self.recovered += other.recovered;
        self.remapped += other.remapped;
        self.reset += other.reset;
        self.lost += other.lost;
    }
}

/// Transport of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// A connection that was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Shard of the system under test that owns the subscriber.
    pub shard: u16,
    /// Transport.
    pub protocol: Protocol,
    /// The subscriber.
    pub subscriber: SocketAddrV4,
    /// The subscriber as the Internet has seen it first; `null` where no packet came out.
    pub external: Option<SocketAddrV4>,
    /// The host on the Internet.
    pub server: SocketAddrV4,
    /// What became of it.
    pub verdict: Verdict,
    /// Planned instant of the first probe lost, in ns from the start of the phase. Of several
    /// outages, in either direction, the longest counts.
    pub start_ns: u64,
    /// From there to the planned instant of the first probe that arrived, or to the end of sending.
    /// 0 where nothing was lost, and where each connection was asked only once.
    pub outage_ns: u64,
    /// Probes lost or mistranslated, both ways.
    pub lost: u32,
}

/// What a connection has lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// See [`Outage::start_ns`].
    pub(crate) start_ns: u64,
    /// See [`Outage::outage_ns`].
    pub(crate) outage_ns: u64,
    /// See [`Outage::lost`].
    pub(crate) lost: u32,
}

impl Outage {
    /// Of the connection with this record.
    pub(crate) fn new(flow: &Flow, verdict: Verdict, loss: Loss) -> Outage {
        let address = |(ip, port)| SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
        let external = flow.outer().source();
        Outage {
            shard: flow.shard() as u16,
            protocol: if flow.is_udp() { Protocol::Udp } else { Protocol::Tcp },
            subscriber: address(flow.inner().source()),
            external: (external.1 != 0).then(|| address(external)),
            server: address(flow.inner().destination()),
            verdict,
            start_ns: loss.start_ns,
            outage_ns: loss.outage_ns,
            lost: loss.lost,
        }
    }
}

/// Probes of a phase by the window of time they were planned in, from the start of the phase.
///
/// Only probes that left count. An arrival is booked in the window that the probe was planned in, so
/// latency moves nothing from one window to another and a window cannot have more than were planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    /// Length of a window in ns.
    pub window_ns: u64,
    /// Probes sent, per window.
    pub planned: Vec<u32>,
    /// Of these, probes that have arrived as they should.
    pub arrived: Vec<u32>,
}

impl Timeline {
    /// Windows of `window_ns` for `span_ns`, empty.
    pub fn new(window_ns: u64, span_ns: u64) -> Timeline {
        let windows = vec![0; span_ns.div_ceil(window_ns) as usize];
        Timeline { window_ns, planned: windows.clone(), arrived: windows }
    }

    /// Adds the timeline of another core in the same phase: cores begin a phase together.
    ///
    /// # Panics
    /// If its windows have another length.
    pub fn add(&mut self, other: &Timeline) {
        assert_eq!(self.window_ns, other.window_ns, "windows of one length");
        for (mine, theirs) in
            [(&mut self.planned, &other.planned), (&mut self.arrived, &other.arrived)]
        {
            mine.resize(mine.len().max(theirs.len()), 0);
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::Tuple;

    #[test]
    fn each_verdict_counts_once() {
        let mut verdicts = Verdicts::default();
        assert!(verdicts.is_empty());
        for (count, verdict) in [
            (1, Verdict::Kept),
            (2, Verdict::Recovered),
            (3, Verdict::Remapped),
            (4, Verdict::Reset),
            (5, Verdict::Lost),
        ] {
            (0..count).for_each(|_| verdicts.count(verdict));
        }
        let twice = Verdicts { kept: 2, recovered: 4, remapped: 6, reset: 8, lost: 10 };
        verdicts.add(&verdicts.clone());
        assert_eq!((verdicts, verdicts.total()), (twice, 30));
    }

    #[test]
    fn a_connection_is_named_as_it_was_learnt() {
        let tuple = Tuple {
            subscriber: 0x6440_0001,
            subscriber_port: 40_000,
            server: 0xc612_0002,
            server_port: 53,
            shard: 7,
            udp: true,
        };
        let mut flow = Flow::opening(&tuple);
        assert_eq!(
            Outage::new(&flow, Verdict::Lost, Loss { start_ns: 1, outage_ns: 2, lost: 3 }).external,
            None
        );
        flow.agree(crate::ends::Ends::new((0xcb00_7101, 1024), (0xc612_0002, 53)));
        let outage = Outage::new(&flow, Verdict::Lost, Loss { start_ns: 1, outage_ns: 2, lost: 3 });
        let text = serde_json::to_string(&outage).expect("serialises");
        assert_eq!(
            text,
            r#"{"shard":7,"protocol":"udp","subscriber":"100.64.0.1:40000","external":"203.0.113.1:1024","server":"198.18.0.2:53","verdict":"lost","start_ns":1,"outage_ns":2,"lost":3}"#
        );
        assert_eq!(serde_json::from_str::<Outage>(&text).expect("reads"), outage);
    }

    #[test]
    fn timelines_add_up_over_the_longer_one() {
        let mut sum = Timeline { window_ns: 5, planned: vec![1], arrived: vec![1] };
        sum.add(&Timeline { window_ns: 5, planned: vec![2, 3], arrived: vec![2, 0] });
        assert_eq!((sum.planned, sum.arrived), (vec![3, 3], vec![3, 0]));
    }
}
