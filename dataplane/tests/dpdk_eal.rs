//! What DPDK promises its callers: one start, no stolen processors, frames that outlive ports.
//!
//! One test function: the environment starts once per process.

use dataplane::burst::{BURST, Burst};
use dataplane::frame::{CAPACITY, Frame, HEAD};
use dataplane::identity::Mac;
use dataplane::port::Port;
use dataplane::port::dpdk::{Dpdk, DpdkError, Eal, EalConfig, PortKind, available};
use dataplane::steering::classifier::Classifier;
use dataplane::steering::flow::FlowRules;
use dataplane::steering::{Claim, Mechanism, Pools, choose};
use nix::sched::sched_getaffinity;
use nix::unistd::Pid;
use std::time::{Duration, Instant};

const FRAMES: u32 = 1024;

fn server(eal: &Eal, id: u32) -> Dpdk {
    let socket = format!("krono-eal-{}", std::process::id());
    let kinds = [PortKind::MemifServer { socket, id }];
    eal.open(&kinds, FRAMES, Duration::ZERO).expect("a server needs nobody")
}

#[test]
fn the_environment_keeps_its_promises() {
    if let Err(absent) = available() {
        println!("skipped: {absent}");
        return;
    }
    let name = format!("krono-eal-{}", std::process::id());
    let unparsable = EalConfig::new("a,b");
    assert!(matches!(Eal::init(&unparsable), Err(DpdkError::Invalid { name: "file_prefix", .. })));

    let me = Pid::from_raw(0);
    let before = sched_getaffinity(me).expect("own affinity");
    let eal = Eal::init(&EalConfig { memory_mb: 64, ..EalConfig::new(name.clone()) });
    let eal = eal.expect("the EAL starts without privileges");
    assert_eq!(sched_getaffinity(me).expect("own affinity"), before);
    assert_eq!(Eal::init(&EalConfig::new(name)).err(), Some(DpdkError::Started));

    refusals(&eal);
    pool(&eal);
    frames_outlive_their_port(&eal);
    a_device_without_rules_is_steered_by_software(&eal);
}

fn refusals(eal: &Eal) {
    let open = |kinds: &[PortKind], frames| eal.open(kinds, frames, Duration::from_millis(50));
    assert!(matches!(open(&[], FRAMES), Err(DpdkError::Invalid { name: "lanes", .. })));

    let nobody = PortKind::MemifClient { socket: "krono-nobody-listens".into(), id: 0 };
    let begin = Instant::now();
    let refused = open(std::slice::from_ref(&nobody), FRAMES).expect_err("there is no server");
    let patience = Duration::from_millis(50);
    assert_eq!(refused, DpdkError::NoLink { device: nobody, patience });
    assert!((patience..20 * patience).contains(&begin.elapsed()), "{:?}", begin.elapsed());

    let missing = PortKind::AfPacket { interface: "krono-missing".into() };
    assert!(matches!(open(&[missing], FRAMES), Err(DpdkError::Device { step: "make it", .. })));
    let injected = PortKind::AfPacket { interface: "lo,qpairs=2".into() };
    assert!(matches!(open(&[injected], FRAMES), Err(DpdkError::Invalid { .. })));

    let lane = PortKind::MemifServer { socket: "krono-eal-large".into(), id: 0 };
    assert!(matches!(open(&[lane], 1 << 20), Err(DpdkError::Pool { .. })), "64 MiB hold no 2.5 GB");
}

/// Every frame of the pool can be had, once, and is whole and zeroed.
fn pool(eal: &Eal) {
    let mut port = server(eal, 1);
    let mut held: Vec<Burst<_>> = Vec::new();
    while port.stats().no_buffer == 0 {
        let mut burst = Burst::new();
        port.alloc(&mut burst, BURST);
        held.push(burst);
    }
    let frames: usize = held.iter().map(|burst| burst.len()).sum();
    assert_eq!((frames, port.frames_in_use()), (FRAMES as usize, FRAMES));
    assert_eq!(port.stats().no_buffer, (held.len() * BURST - frames) as u64);
    for frame in held.iter_mut().flatten() {
        assert!(frame.is_empty());
        assert_eq!(frame.head(), &[0; HEAD]);
        frame.set_len(CAPACITY);
        assert!(frame.bytes().iter().all(|&byte| byte == 0), "handed out twice, or never zeroed");
        frame.bytes_mut().fill(1);
        assert_eq!((frame.len(), frame.head_mut()), (CAPACITY, &mut [1; HEAD]));
    }
    // Half in bulk, half one by one.
    let one_by_one = held.split_off(held.len() / 2);
    held.iter_mut().for_each(|burst| port.free(burst));
    assert!(held.iter().all(|burst| burst.is_empty()));
    drop(one_by_one);
    assert_eq!(port.frames_in_use(), 0);
}

fn frames_outlive_their_port(eal: &Eal) {
    let mut port = server(eal, 2);
    let mut burst = Burst::new();
    port.alloc(&mut burst, BURST);
    burst.iter_mut().for_each(|frame| frame.set_len(HEAD));
    burst[7].bytes_mut().fill(7);
    drop(port);
    // The same server again takes the pool over, and not the frames that are out.
    let mut next = server(eal, 2);
    assert_eq!(next.frames_in_use(), BURST as u32);
    let mut others = Burst::new();
    next.alloc(&mut others, BURST);
    others.iter_mut().for_each(|frame| frame.head_mut().fill(0xee));
    assert_eq!(burst[7].bytes(), &[7; HEAD]);
    next.free(&mut burst);
    next.free(&mut others);
    assert_eq!(next.frames_in_use(), 0);
}

/// A memif knows neither rules nor pools: both are tried by creating, and both are refused with a word.
fn a_device_without_rules_is_steered_by_software(eal: &Eal) {
    let port = server(eal, 3);
    let claims =
        [0, 1].map(|core| Claim { core, mac: Mac::of(1, 0, core), vlan: None, prefix: None });
    let (mut rules, mut pools) = (FlowRules::new(port.steerable()), Pools::new(port.steerable()));
    let mut classifier = Classifier::default();
    let ways: &mut [&mut dyn Mechanism] = &mut [&mut rules, &mut pools, &mut classifier];
    let (taken, refused) = choose(ways, &claims).expect("software takes all");
    assert_eq!(taken, 2, "{refused:?}");
    let names: Vec<&str> = refused.iter().map(|refused| refused.name).collect();
    assert_eq!(names, ["rte_flow", "vmdq"]);
    assert!(refused.iter().all(|refused| !refused.reason.is_empty()), "{refused:?}");
    let mut head = [0; HEAD];
    head[..6].copy_from_slice(&claims[1].mac.0);
    assert_eq!(classifier.core_of(&head), Some(1));
}
