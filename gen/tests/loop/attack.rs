//! Attacks on a wire, where everything passes: booked by themselves, to the packet.

use crate::rig::{Rig, config, fill, steady};
use dataplane::frame::Arena;
use dataplane::port::link::loopback;
use kronogen::attack::{Attack, AttackLedger};
use kronogen::config::{Phase, Rate};
use kronogen::ledger::Ledger;

/// What is left of a steady phase of 20 ms beside `attack`.
fn run(attack: Attack) -> (Ledger, AttackLedger) {
    let phases = vec![fill(1000), Phase { attack, ..steady(Rate::Pps(500_000.0), 20) }];
    let config = config(1000, phases);
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let record = &rig.cores[0].records()[1];
    (record.ledger, record.attack)
}

#[test]
fn packets_of_attacks_are_in_no_class_of_the_ledger() {
    let (calm, none) = run(Attack::default());
    assert_eq!(none, AttackLedger::default());
    let attack = Attack { syn_flood_per_s: 300_000.0, attackers: 5, scan_per_s: 200_000.0 };
    let (ledger, attacked) = run(attack);
    assert_eq!(ledger, calm, "the measured traffic is the same, and so is all that is said of it");
    assert_eq!((ledger.planned, ledger.lost(), ledger.foreign), (10_000, 0, 0));
    // What falls due with the last step of the phase is not sent any more.
    for (sent, passed, due) in [
        (attacked.flood_sent, attacked.flood_passed, 6_000),
        (attacked.scan_sent, attacked.scan_passed, 4_000),
    ] {
        assert_eq!(sent, passed, "a wire stops nothing");
        assert!((due - 10..=due).contains(&sent), "{sent} of {due}");
    }
    assert_eq!((attacked.unsent, attacked.stopped()), (0, 0));
}
