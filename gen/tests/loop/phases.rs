//! All phases through a plain wire: everything arrives, every connection completes.

use crate::rig::{Rig, config, fill, phase, steady};
use dataplane::clock::{Nanos, Tsc};
use dataplane::frame::Arena;
use dataplane::port::link::loopback;
use dataplane::run::Stop;
use kronogen::config::{Config, Phase, Rate, Until};
use kronogen::control::Field;
use kronogen::ledger::Ledger;
use kronogen::run::{Notice, twin};

#[test]
fn a_plain_wire_loses_nothing() {
    let churn = Phase {
        open_per_s: 200_000.0,
        close_per_s: 200_000.0,
        ..phase("churn", Rate::Pps(500_000.0), Until::For(20_000_000))
    };
    let empty = Phase { close_per_s: 1e6, ..phase("empty", Rate::None, Until::Held(0)) };
    let phases = vec![fill(1000), steady(Rate::Pps(1e6), 20), churn, steady(Rate::Max, 5), empty];
    let config = config(1500, phases);
    let mut arena = Arena::new(2048).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
    (0..5).for_each(|phase| rig.run_phase(phase));
    let records = rig.cores[0].records();
    assert_eq!(records.len(), 5);
    for record in &records {
        let l = &record.ledger;
        assert_eq!((l.lost(), l.unsent, l.late), (0, 0, 0), "{record:?}");
        let flags = [l.duplicate, l.reordered, l.corrupt, l.misrouted, l.mistranslated, l.stale];
        assert_eq!(flags, [0; 6], "{record:?}");
        assert_eq!((l.stray, l.other_trial, l.foreign), (0, 0, 0), "{record:?}");
        assert_eq!(l.sent_bytes, l.arrived_bytes);
        assert!(!record.interrupted);
    }
    let [filled, paced, churned, max, emptied] = &records[..] else { unreachable!() };
    assert_eq!((filled.opened, filled.held_peak), (1000, 1000));
    assert_eq!(paced.ledger.planned, 20_000);
    // Three sizes in equal shares.
    assert_eq!(paced.ledger.sent_bytes / 20_000, (64 + 594 + 1518) / 3);
    assert_eq!(churned.opened, 4000);
    // A TCP connection counts as closed with the answer to its FIN.
    assert_eq!(churned.closed, 4000);
    assert!(max.ledger.planned > 10_000, "{max:?}");
    assert_eq!(emptied.closed, 1000);
    assert_eq!((rig.field(Field::Held), rig.field(Field::Established)), (0, 0));
}

#[test]
fn connections_end_by_fin_or_by_reset() {
    let counted = |reset_share: f64| {
        let empty = Phase { close_per_s: 1e6, ..phase("empty", Rate::None, Until::Held(0)) };
        let config = config(1000, vec![fill(1000), empty]);
        let config = Config { udp_share: 0.0, reset_share, ..config };
        let mut arena = Arena::new(2048).expect("memory");
        let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
        (0..2).for_each(|phase| rig.run_phase(phase));
        let record = &rig.cores[0].records()[1];
        assert_eq!((record.closed, record.ledger.lost(), record.ledger.foreign), (1000, 0, 0));
        record.ledger.sent
    };
    // FIN, its answer, and the acknowledgement of that; of a reset there is nothing to say.
    assert_eq!((counted(0.0), counted(1.0)), (3000, 1000));
    assert!(counted(0.5).abs_diff(2000) < 200);
}

#[test]
fn each_connection_is_validated_once() {
    for rate in [Rate::Max, Rate::Pps(1e6)] {
        let validate = phase("validate", rate, Until::Validated);
        let config = config(1000, vec![fill(777), validate, steady(Rate::Pps(1e6), 2)]);
        let mut arena = Arena::new(2048).expect("memory");
        let mut rig = Rig::new(&config, vec![loopback(&mut arena, 1024)]);
        (0..3).for_each(|phase| rig.run_phase(phase));
        let records = rig.cores[0].records();
        let ledger = &records[1].ledger;
        assert_eq!((ledger.planned, ledger.sent, ledger.on_time), (777, 777, 777), "{ledger:?}");
        assert_eq!((ledger.unsent, ledger.lost(), ledger.control), (0, 0, 0), "{ledger:?}");
        assert_eq!(records[2].ledger.on_time, 2000);
    }
}

#[test]
fn a_core_without_subscribers_who_answer_gives_up() {
    let mut config = config(100, vec![fill(100)]);
    // Frames to another station come back and are not ours.
    config.cores[0].gateways.fill(dataplane::identity::Mac::of(9, 9, 9));
    let mut arena = Arena::new(1024).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 512)]);
    rig.run_phase(0);
    let record = &rig.cores[0].records()[0];
    assert_eq!((record.opened, record.failed, record.retried), (0, 100, 400));
    assert_eq!(record.ledger.lost(), 500);
    assert_eq!(record.ledger.foreign, 500);
}

#[test]
fn a_full_link_holds_back_and_does_not_lose() {
    let config = config(100, vec![fill(100), steady(Rate::Max, 5)]);
    let mut arena = Arena::new(64).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 16)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let records = rig.cores[0].records();
    assert_eq!((records[1].ledger.lost(), records[1].ledger.unsent), (0, 0));
    assert_eq!(records[1].room_limited, records[1].batches);
}

#[test]
fn a_plan_the_link_cannot_follow_is_unsent_not_lost() {
    let config = config(100, vec![fill(100), steady(Rate::Pps(5e6), 50)]);
    let mut arena = Arena::new(64).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 16)]);
    (0..2).for_each(|phase| rig.run_phase(phase));
    let record = rig.cores[0].records().remove(1);
    let ledger = record.ledger;
    assert_eq!((ledger.planned, ledger.lost(), record.paused), (250_000, 0, 0));
    // Sixteen packets in a step of 10 µs are 1.6 Mpps.
    assert!((ledger.sent as f64 - 1.6e6 * 0.050).abs() < 1.6e6 * 0.001, "{ledger:?}");
    // What waits for room waits for the network, and the generator was there all the time.
    assert_eq!(ledger.sent_late, 0);
}

/// What is booked of 50 ms at a rate in which the generator is away for three, on a wire of so many
/// places and twice as many frames or more.
fn away_for_3_ms(pps: f64, depth: usize) -> Ledger {
    let config = config(100, vec![fill(100), steady(Rate::Pps(pps), 50)]);
    let mut arena = Arena::new(2 * depth + 32).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, depth)]);
    rig.run_phase(0);
    rig.begin(1);
    (0..100).for_each(|_| rig.turn());
    rig.now = rig.now + Nanos(3_000_000);
    while !rig.has_ended(1) {
        rig.turn();
    }
    rig.cores[0].records()[1].ledger
}

#[test]
fn a_generator_that_pauses_is_late() {
    // Room for all that falls due in the pause, and for what is sent in a step while it is made up.
    let ledger = away_for_3_ms(1e6, 8_192);
    assert_eq!((ledger.planned, ledger.unsent, ledger.lost()), (50_000, 0, 0));
    // All of 3 ms but the last 0.1, and what fell due while the rest was sent, 32 in 10 µs.
    assert!((2_900..4_500).contains(&ledger.sent_late), "{ledger:?}");
}

#[test]
fn a_generator_that_pauses_while_the_link_is_full_is_late_too() {
    let ledger = away_for_3_ms(5e6, 16);
    // Sixteen packets in a step, for the 10 ms after which what fell due before is given up.
    assert!((15_000..17_000).contains(&ledger.sent_late), "{ledger:?}");
}

#[test]
fn what_fell_due_in_a_pause_and_was_given_up_is_told_apart_from_what_had_no_room() {
    let mut phase = steady(Rate::Pps(1e6), 50);
    phase.open_per_s = 1e4;
    let config = config(2_000, vec![fill(100), phase]);
    let mut arena = Arena::new(32_768).expect("memory");
    let mut rig = Rig::new(&config, vec![loopback(&mut arena, 16_384)]);
    rig.run_phase(0);
    rig.begin(1);
    (0..100).for_each(|_| rig.turn());
    rig.now = rig.now + Nanos(25_000_000);
    while !rig.has_ended(1) {
        rig.turn();
    }
    let record = rig.cores[0].records().remove(1);
    // Of 25 ms the last 10 are made up for, of packets and of openings.
    assert_eq!(record.ledger.unsent, record.paused);
    assert!((15_100..15_200).contains(&record.paused), "{record:?}");
}

#[test]
fn what_falls_due_in_the_last_step_is_sent_however_long_it_was() {
    for (open_per_s, rate) in [(1e6, Rate::None), (0.0, Rate::Pps(1e6))] {
        let phase = Phase { open_per_s, ..steady(rate, 50) };
        let config = config(60_000, vec![fill(100), phase]);
        let mut arena = Arena::new(32_768).expect("memory");
        let mut rig = Rig::new(&config, vec![loopback(&mut arena, 16_384)]);
        rig.run_phase(0);
        let end = rig.begin(1) + Nanos(50_000_000);
        while rig.now + Nanos(200_000) < end {
            rig.turn();
        }
        rig.now = end;
        while !rig.has_ended(1) {
            rig.turn();
        }
        let record = rig.cores[0].records().remove(1);
        assert_eq!((record.ledger.unsent, record.ledger.lost()), (0, 0), "{open_per_s}");
        assert_eq!(record.opened + record.ledger.data_sent(), 50_000, "{open_per_s}");
    }
}

#[test]
fn threads_go_through_their_phases_in_step() {
    let mut config = config(500, vec![fill(500), steady(Rate::Pps(1e5), 150)]);
    config.cores.push(crate::rig::core(1, 500));
    config.drain_ns = 100_000_000;
    let (mut rows, mut turns) = (0, Vec::new());
    let clock = Tsc::calibrate();
    let outcomes = twin(&config, 1024, &clock, &Stop::new(), |notice| match notice {
        Notice::Begins(phase, _) => turns.push((phase, "begins")),
        Notice::Ended(phase) => turns.push((phase, "ended")),
        Notice::Sample(_, samples) => {
            assert_eq!(samples.len(), 2);
            rows += 1;
        }
    });
    assert_eq!(turns, [(0, "begins"), (0, "ended"), (1, "begins"), (1, "ended")]);
    let outcomes = outcomes.expect("runs anywhere");
    assert!(rows >= 2, "{rows} samples");
    for outcome in &outcomes {
        assert_eq!(outcome.records.len(), 2);
        assert_eq!(outcome.records[0].ledger.lost(), 0);
        assert_eq!(outcome.records[0].opened, 500);
        assert_eq!(outcome.records[1].ledger.lost(), 0);
    }
    assert_eq!(outcomes[0].records[1].start, outcomes[1].records[1].start);
}

#[test]
fn a_stop_leaves_partial_records() {
    let config = config(500, vec![fill(500), steady(Rate::Pps(1e5), 60_000)]);
    let (clock, stop) = (Tsc::calibrate(), Stop::new());
    let outcomes = twin(&config, 1024, &clock, &stop, |notice| {
        if let Notice::Sample(_, samples) = notice
            && samples[0].reading.get(Field::PhasesEnded) == 1
        {
            stop.set();
        }
    });
    let records = &outcomes.expect("runs anywhere")[0].records;
    let interrupted: Vec<bool> = records.iter().map(|record| record.interrupted).collect();
    assert_eq!(interrupted, [false, true]);
    assert!(records[1].seconds < 30.0);
}
