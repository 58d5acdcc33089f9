//! The systems that ran beside the SUT, with what it does of each.

use super::table::{Cell, Row, Table};
use crate::figure;
use format::Summary;
use format::summary::{Estimate, Peer};

/// A peer in one line.
pub(super) fn sentence(peer: &Peer) -> String {
    let Peer { kind, .. } = peer;
    if !peer.verified {
        return format!("{kind}: NOT VERIFIED, no figure: {}", peer.wrong.join("; "));
    }
    let rate = peer.mpps_per_core.map(|it| figure::estimate(&it, "Mpps per core"));
    let ratio = peer.ratio.map(|it| figure::estimate(&it, "times its rate"));
    let lost = match peer.lost_share {
        Some(share) if share > 0.0 => format!(", {} lost", figure::percent(share)),
        _ => String::new(),
    };
    let scanned = match peer.scan_passed_share {
        Some(share) => format!(", let {} of a scan in", figure::percent(share)),
        None => String::new(),
    };
    let missing = || figure::MISSING.to_owned();
    let (rate, ratio) = (rate.unwrap_or_else(missing), ratio.unwrap_or_else(missing));
    let [least, most] = if peer.at_least { ["at least ", "at most "] } else { [""; 2] };
    format!("{kind}: {least}{rate}{lost}{scanned}; the SUT does {most}{ratio}")
}

/// All of them, in the order of the scenario.
pub(super) fn table(summary: &Summary) -> Table {
    let rows = summary.peers.iter().map(|peer| {
        let [least, most] = if peer.at_least { ["at least ", "at most "] } else { [""; 2] };
        let estimate = |it: Option<Estimate>, bound, unit| match it {
            Some(it) => Cell::number(format!("{bound}{}", figure::estimate(&it, unit))),
            None => Cell::text(figure::MISSING),
        };
        let verified = match peer.verified {
            true => Cell::flag(true, "verified"),
            false => Cell::flag(false, &peer.wrong.join("; ")),
        };
        let lost = peer.lost_share.map_or_else(|| figure::MISSING.to_owned(), figure::percent);
        let scanned = peer.scan_passed_share.map_or_else(String::new, figure::percent);
        let facts = peer.facts.iter().map(|(name, value)| format!("{name}: {value}"));
        Row::new([
            Cell::text(peer.kind.to_string()),
            estimate(peer.mpps_per_core, least, "Mpps"),
            estimate(peer.ratio, most, "times"),
            Cell::number(lost),
            Cell::number(scanned),
            verified,
            Cell::text(facts.collect::<Vec<_>>().join("; ")),
        ])
    });
    Table::new(
        "Peers",
        "Other systems in the SUT's place, run in turn on this machine with the same \
         traffic (black-box). The ratio is the median of \
         the rounds; a peer whose answers are wrong has no figure.",
    )
    .head(["peer", "per core", "SUT ÷ peer", "lost", "scan let in", "answers", "what it is"])
    .rows(rows)
}
