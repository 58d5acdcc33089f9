//! Rate, openings, closings and connections held are set one by one, and each is kept by every core.

use crate::rig::{Rig, config, core, fill, phase, wires};
use dataplane::frame::Arena;
use kronogen::config::{Phase, Rate, Until};
use kronogen::control::Field;

const HELD: u32 = 5000;

#[test]
fn each_control_is_kept_whatever_the_others_do() {
    // Rate, openings and closings a second, and seconds: a minute, then one change at a time.
    let asked = [
        (20_000.0, 2000.0, 2000.0, 60),
        (60_000.0, 2000.0, 2000.0, 10),
        (60_000.0, 6000.0, 6000.0, 10),
        (60_000.0, 0.0, 0.0, 10),
        (5_000.0, 6000.0, 6000.0, 10),
    ];
    let churn = asked.map(|(pps, open_per_s, close_per_s, seconds)| Phase {
        open_per_s,
        close_per_s,
        ..phase("churn", Rate::Pps(pps), Until::For(seconds * 1_000_000_000))
    });
    let phases = [vec![fill(HELD)], churn.to_vec()].concat();
    let mut config = config(HELD + 100, phases);
    config.cores.push(core(1, HELD + 100));
    let mut arena = Arena::new(4096).expect("memory");
    let mut rig = Rig::new(&config, wires(&mut arena, 2));
    for phase in 0..config.phases.len() {
        rig.begin(phase);
        while !rig.has_ended(phase) {
            rig.turn();
        }
        assert!(
            rig.field(Field::Held).abs_diff(HELD.into()) <= 5,
            "{} held",
            rig.field(Field::Held)
        );
    }
    let records: Vec<_> = rig.cores.iter_mut().map(|core| core.records()).collect();
    let of_cores = records.iter().flat_map(|records| records[1..].iter().zip(asked));
    for (record, (pps, open, close, seconds)) in of_cores {
        let ledger = &record.ledger;
        let data = ledger.sent - ledger.control;
        for (what, achieved, asked) in [
            ("packets", data, pps),
            ("opened", record.opened, open),
            ("closed", record.closed, close),
        ] {
            let (achieved, asked) = (achieved as f64, asked * seconds as f64);
            assert!((achieved - asked).abs() <= asked * 0.001, "{what}: {achieved} of {asked}");
        }
        assert_eq!((ledger.lost(), ledger.unsent), (0, 0), "{ledger:?}");
        assert!(record.held_peak.abs_diff(HELD) <= 10, "{} held", record.held_peak);
    }
}
