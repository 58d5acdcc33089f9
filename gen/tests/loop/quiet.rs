//! Nothing is allocated once a core exists.

use crate::rig::{Rig, config, fill, phase, steady};
use dataplane::frame::Arena;
use dataplane::port::link::loopback;
use kronogen::attack::Attack;
use kronogen::config::{Phase, Rate, Until};

#[test]
fn no_step_allocates() {
    let churn = Phase {
        open_per_s: 200_000.0,
        close_per_s: 200_000.0,
        attack: Attack { syn_flood_per_s: 100_000.0, attackers: 3, scan_per_s: 100_000.0 },
        ..phase("churn", Rate::Pps(500_000.0), Until::For(20_000_000))
    };
    let sampled =
        Phase { close_per_s: 10_000.0, sample: Some(300), name: "sampled".into(), ..churn.clone() };
    let validate = phase("validate", Rate::Max, Until::Validated);
    let phases = vec![fill(1000), steady(Rate::Max, 20), sampled, churn, validate];
    let config = config(1500, phases);
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
    let count = allocation_counter::measure(|| (0..5).for_each(|phase| rig.run_phase(phase)));
    assert_eq!(count.count_total, 0, "{count:?}");
    let records = rig.cores[0].records();
    assert_eq!((records[2].verdicts.kept, records[2].verdicts.total()), (300, 300));
    assert_eq!(records[3].ledger.lost(), 0);
    assert!(records[4].verdicts.kept > 1000, "{:?}", records[4].verdicts);
}
