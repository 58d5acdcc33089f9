//! Cycles a packet of connections that stand.

use super::rig::{Crowd, PER_SUBSCRIBER, Rig};
use super::{Options, spread};
use dataplane::burst::BURST;
use dataplane::clock::{Nanos, Tsc};
use dataplane::frame::Arena;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;

pub(crate) fn measure(options: &Options) {
    let crowd = Crowd::of(options.connections, PER_SUBSCRIBER);
    let connections = options.connections;
    let mut arena = Arena::new(BURST).expect("memory");
    let mut rig = Rig::new(&mut arena, crowd, connections);
    let mut outside = Vec::with_capacity(connections as usize);
    let opening = rig.open(crowd, connections, |end| outside.push(end)) as f64;
    let held = rig.pipeline.connections().len();
    let bytes = rig.pipeline.connections().bytes() / held;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut cycles = Vec::new();
    for _ in 0..options.rounds {
        let mut spent = 0;
        for _ in 0..options.bursts {
            let draws: [u64; BURST] = std::array::from_fn(|_| random.next_u64());
            spent += rig.process(Nanos(1), |at| {
                let bits = draws[at];
                let i = (((bits >> 32) * u64::from(connections)) >> 32) as u32;
                if bits & 1 == 0 {
                    (crowd.inside(i), crowd.remote(i))
                } else {
                    (crowd.remote(i), outside[i as usize])
                }
            });
        }
        cycles.push(spent as f64 / (options.bursts * BURST) as f64);
    }
    let [least, median, most] = spread(&cycles);
    let mpps = Tsc::calibrate().hz() / median / 1e6;
    options.print(
        &json!({"forward": {"connections": held, "cycles": cycles}}),
        format_args!(
            "{held} connections, {bytes} bytes each\n\
             opening, frames built included: {:.0} cycles each\n\
             NAT step: {median:.1} cycles per packet ({least:.1} to {most:.1}), {mpps:.1} Mpps",
            opening / held as f64
        ),
    );
}
