//! What goes up and what goes down is as asked for, on every core by itself.

use crate::rig::{Rig, config, core, fill, steady, wires};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Frame};
use dataplane::port::link::Link;
use dataplane::port::{Port, PortStats};
use kronogen::config::{Config, Rate};

/// First byte of every subscriber's address, and of no server's.
const SUBSCRIBERS: u8 = 100;

/// A wire that counts what comes from subscribers, and from servers.
struct Split<'a> {
    link: Link<'a>,
    up: u64,
    down: u64,
}

impl<'a> Port for Split<'a> {
    type Frame = <Link<'a> as Port>::Frame;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        self.link.rx(into);
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        for frame in burst.iter() {
            let up = frame.bytes()[26] == SUBSCRIBERS;
            self.up += u64::from(up);
            self.down += u64::from(!up);
        }
        self.link.tx(burst)
    }
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.link.alloc(into, count);
    }
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.link.free(burst);
    }
    fn room(&mut self) -> usize {
        self.link.room()
    }
    fn tick(&mut self, now: Nanos) {
        self.link.tick(now);
    }
    fn stats(&self) -> PortStats {
        self.link.stats()
    }
}

#[test]
fn each_core_keeps_the_split_of_directions() {
    // Each packet is drawn: of three million a thousandth is 3.8 standard deviations at 0.7.
    for (up_share, ms) in [(0.7, 3000), (0.05, 3000), (0.0, 100), (1.0, 100)] {
        let phases = vec![fill(500), steady(Rate::Pps(1e6), ms)];
        let mut config = Config { up_share, ..config(500, phases) };
        config.cores.push(core(1, 500));
        let mut arena = Arena::new(4096).expect("memory");
        let links = wires(&mut arena, 2).into_iter();
        let mut rig = Rig::new(&config, links.map(|link| Split { link, up: 0, down: 0 }).collect());
        rig.run_phase(0);
        for core in &mut rig.cores {
            (core.port().up, core.port().down) = (0, 0);
        }
        rig.run_phase(1);
        for core in &mut rig.cores {
            let all = ms as f64 * 1e3;
            let (up, down) = (core.port().up as f64, core.port().down as f64);
            assert!((up - up_share * all).abs() <= 0.001 * all, "{up} of {all} up, not {up_share}");
            assert!((up + down - all).abs() <= 0.001 * all, "{up} up and {down} down of {all}");
            let one_way = up_share == 0.0 || up_share == 1.0;
            assert!(!one_way || up == 0.0 || down == 0.0, "{up} up and {down} down");
        }
    }
}
