//! Worlds that are broken on purpose: a checker that sees nothing there would see nothing anywhere.

use crate::checks::{Checked, Violation};
use crate::middle::Middle;
use crate::world::World;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;

const MS: u64 = 1_000_000;

/// The first violation within so many worlds.
fn first_of(seeds: u64, run: impl Fn(u64) -> Checked) -> Option<(u64, Violation)> {
    (0..seeds).find_map(|seed| run(seed).err().map(|violation| (seed, violation)))
}

fn assert_caught(seeds: u64, checker: &str, run: impl Fn(u64) -> Checked) {
    let (seed, violation) = first_of(seeds, run).expect("nobody has noticed");
    println!("seed {seed}: {}: {}", violation.checker, violation.what);
    assert_eq!(violation.checker, checker, "{}", violation.what);
}

fn with(middle: Middle) -> impl Fn(u64) -> Checked {
    move |seed| {
        let mut world = World::new(seed);
        world.set_middle(middle.clone());
        world.run()
    }
}

#[test]
fn a_slave_that_forgets_one_update_of_a_hundred_is_caught() {
    assert_caught(60, "established", with(Middle::Forgets { permille: 10 }));
}

#[test]
fn a_walk_that_skips_records_is_caught() {
    assert_caught(60, "established", with(Middle::Skips { permille: 100 }));
}

/// Cut off from everything but half of its users, and told by somebody that all is well.
fn deaf(seed: u64) -> Checked {
    let mut world = World::new(seed);
    world.until_in_service()?;
    world.pass(Nanos(30 * MS))?;
    let (core, shards) = (0, world.duties_of(0));
    world.set_middle(Middle::Deaf { core, shards, router_said: Vec::new() });
    for _ in 0..60 {
        let said = match &world.net.borrow().middle {
            Middle::Deaf { router_said, .. } => router_said.clone(),
            _ => Vec::new(),
        };
        let mut net = world.net.borrow_mut();
        if !said.is_empty() {
            let mut frame = net.blank();
            frame.set_len(said.len());
            frame.bytes_mut().copy_from_slice(&said);
            net.deliver(core, frame);
        }
        drop(net);
        world.pass(Nanos(2 * MS))?;
    }
    Ok(())
}

#[test]
fn a_master_that_does_not_stop_when_cut_off_is_caught() {
    assert_caught(10, "one_core", deaf);
}
