//! How long a recovery took: from timelines and outages to figures. Pure functions.
//!
//! A recovery is given twice, as the two say different things. *Effective blocked time* (RFC 6201 §3,
//! RFC 7654 §4) is what was lost in units of the offered load: 5 % of the traffic gone for a second
//! are 50 ms. *Wall time* is from the event until the whole is back where it was: a second.

use crate::verdict::{Outage, Timeline};
use serde::{Deserialize, Serialize};

/// Share of the rate before the event, in percent, at which a window counts as back.
pub const BACK_PERCENT: u64 = 99;

/// Time in ns for which `lost` packets were blocked when `offered_pps` were offered per second.
/// `None` where none were offered.
pub fn blocked_ns(lost: u64, offered_pps: f64) -> Option<f64> {
    (offered_pps > 0.0).then(|| lost as f64 * 1e9 / offered_pps)
}

impl Timeline {
    /// Probes sent that have not arrived.
    pub fn lost(&self) -> u64 {
        let sum = |counts: &[u32]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
        sum(&self.planned).saturating_sub(sum(&self.arrived))
    }

    /// Effective blocked time of the whole in ns: what was lost ÷ the mean rate sent. `None` where
    /// nothing was sent.
    pub fn blocked_ns(&self) -> Option<f64> {
        let sent: u64 = self.planned.iter().map(|&count| u64::from(count)).sum();
        let span_ns = self.planned.len() as f64 * self.window_ns as f64;
        blocked_ns(self.lost(), sent as f64 * 1e9 / span_ns)
    }

    /// Wall time in ns from `event_ns` after the start to the first of `consecutive` windows in which
    /// at least 99 % of the mean rate before the event arrived. A window whose count is the mean
    /// rounded down is back: a rate of 10.5 per window gives 10 and 11 in turn.
    ///
    /// The windows before the event say what the rate was, so an event in the first one has no answer,
    /// nor has one after which the rate never comes back. An interruption that begins later than
    /// `consecutive` windows after the event is not seen. Precise to one window.
    pub fn back_after_ns(&self, event_ns: u64, consecutive: usize) -> Option<u64> {
        let event = (event_ns / self.window_ns) as usize;
        let before = self.arrived.get(..event).filter(|before| !before.is_empty())?;
        let (windows, arrived) =
            (before.len() as u64, before.iter().map(|&count| u64::from(count)).sum::<u64>());
        let enough = (BACK_PERCENT * arrived).div_ceil(100 * windows).min(arrived / windows);
        let back = |&count: &u32| u64::from(count) >= enough.max(1);
        let runs = self.arrived[event..].windows(consecutive.max(1));
        let first = runs.into_iter().position(|run| run.iter().all(back))?;
        Some(((event + first) as u64 * self.window_ns).saturating_sub(event_ns))
    }
}

/// Outages of a group of connections in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageQuantiles {
    /// Connections in the group that had one.
    pub count: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Half were at most this long.
    pub p50_ns: u64,
    /// 99 % were at most this long.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

/// Quantiles, by nearest rank, of the outages of connections whose shard is `in_group`. Connections
/// that were not kept without losing anything (remapped only) do not count. `None` where none had one.
pub fn outage_quantiles<'a>(
    outages: impl IntoIterator<Item = &'a Outage>,
    in_group: impl Fn(u16) -> bool,
) -> Option<OutageQuantiles> {
    let chosen = outages.into_iter().filter(|outage| in_group(outage.shard));
    let mut spans: Vec<u64> =
        chosen.map(|outage| outage.outage_ns).filter(|&span| span > 0).collect();
    spans.sort_unstable();
    let (min_ns, max_ns) = (*spans.first()?, *spans.last()?);
    let rank = |percent: usize| spans[(spans.len() * percent).div_ceil(100) - 1];
    let (p50_ns, p99_ns) = (rank(50), rank(99));
    Some(OutageQuantiles { count: spans.len() as u64, min_ns, p50_ns, p99_ns, max_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Flow;
    use crate::verdict::{Loss, Verdict};

    /// Windows of 1 ms with 1000 probes each, of which so many arrive.
    fn timeline(arrived: &[u32]) -> Timeline {
        let planned = vec![1000; arrived.len()];
        Timeline { window_ns: 1_000_000, planned, arrived: arrived.to_vec() }
    }

    #[test]
    fn blocked_time_is_what_was_lost_at_the_offered_rate() {
        assert_eq!(blocked_ns(50_000, 1e6), Some(50_000_000.0));
        assert_eq!(blocked_ns(0, 0.0), None);
        // A quarter of the traffic is gone for 4 ms.
        let timeline = timeline(&[1000, 1000, 750, 750, 750, 750, 1000, 1000]);
        assert_eq!((timeline.lost(), timeline.blocked_ns()), (1000, Some(1_000_000.0)));
        assert_eq!(Timeline::default().blocked_ns(), None);
    }

    #[test]
    fn the_rate_is_back_when_it_stays() {
        let line = timeline(&[1000, 1000, 0, 0, 995, 700, 990, 1000, 991, 1000]);
        let back = |event_ns, consecutive| line.back_after_ns(event_ns, consecutive);
        assert_eq!(back(2_000_000, 1), Some(2_000_000));
        assert_eq!(back(2_000_000, 3), Some(4_000_000));
        assert_eq!(back(2_300_000, 3), Some(3_700_000), "from the event, not from its window");
        assert_eq!(back(2_000_000, 4), Some(4_000_000));
        assert_eq!(back(2_000_000, 5), None, "the phase ends before");
        assert_eq!(back(500_000, 1), None, "nothing is known of the rate before");
        assert_eq!(back(50_000_000, 1), None, "after the phase");
        assert_eq!(timeline(&[1000, 0, 989, 989]).back_after_ns(1_000_000, 1), None);
        assert_eq!(timeline(&[0, 0]).back_after_ns(1_000_000, 1), None, "there was no rate");
    }

    #[test]
    fn an_event_in_the_middle_of_a_window_that_keeps_its_rate() {
        let line = timeline(&[1000, 1000, 1000, 1000]);
        assert_eq!(line.back_after_ns(1_900_000, 3), Some(0));
    }

    #[test]
    fn a_rate_that_is_no_whole_number_per_window_is_back() {
        let line = timeline(&[10, 11, 10, 11, 0, 10, 11, 10]);
        assert_eq!(line.back_after_ns(4_000_000, 3), Some(1_000_000));
        assert_eq!(timeline(&[5, 5, 0, 4, 5]).back_after_ns(2_000_000, 1), Some(2_000_000));
    }

    #[test]
    fn quantiles_are_those_of_a_group() {
        let outage = |(shard, ms): (u16, u64)| Outage {
            shard,
            outage_ns: ms * 1_000_000,
            ..Outage::new(&Flow::default(), Verdict::Recovered, Loss::default())
        };
        let outages: Vec<Outage> =
            (1..=200).map(|ms| (3, ms)).chain([(4, 7), (4, 0), (5, 0)]).map(outage).collect();
        let of = |shard| outage_quantiles(&outages, |other| other == shard);
        let three = of(3).expect("has outages");
        assert_eq!((three.count, three.min_ns, three.max_ns), (200, 1_000_000, 200_000_000));
        assert_eq!((three.p50_ns, three.p99_ns), (100_000_000, 198_000_000));
        let four = of(4).expect("has one");
        assert_eq!((four.count, four.p50_ns, four.p99_ns), (1, 7_000_000, 7_000_000));
        assert_eq!((of(5), of(6)), (None, None));
    }
}
