//! Packet sockets on both ends of a veth pair, in a network namespace of the test's own.
//!
//! The namespace and the pair in it end with the process that lives there, so nothing is left
//! behind. A user namespace makes that possible without root where the system allows it; root does
//! without one; elsewhere the test says why it is skipped.

use dataplane::burst::{BURST, Burst};
use dataplane::frame::{Frame, SHORTEST};
use dataplane::port::Port;
use dataplane::port::dpdk::{Dpdk, Eal, EalConfig, PortKind, available};
use std::process::Command;
use std::time::{Duration, Instant};

const FRAMES: u64 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);
const INSIDE: &str = "KRONO_TEST_INSIDE_NAMESPACE";

/// IEEE 802 local experimental EtherType 1: nothing the kernel sends by itself bears it.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];

/// Largest frame on the veth pair as it is set up below: 14 bytes more than its MTU.
const LONGEST: usize = 2014;

const SET_UP: &str = "ip link add krono0 mtu 2000 type veth peer name krono1 mtu 2000 \
                      && ip link set krono0 up && ip link set krono1 up";

#[test]
fn frames_cross_a_veth_pair() {
    if std::env::var_os(INSIDE).is_some() {
        send_and_receive();
        return;
    }
    if let Err(absent) = available() {
        println!("skipped: {absent}");
        return;
    }
    let mut refusals = Vec::new();
    for unshare in ["-Urn", "-n"] {
        // A trial run says whether this system lets us; the real one must then not fail.
        match Command::new("unshare").args([unshare, "sh", "-c", SET_UP]).output() {
            Ok(trial) if trial.status.success() => return run_inside(unshare),
            Ok(trial) => refusals.push(String::from_utf8_lossy(&trial.stderr).trim().to_owned()),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    println!("skipped: no namespace with a veth pair: {}", refusals.join("; "));
}

fn run_inside(unshare: &str) {
    let this_test = std::env::current_exe().expect("a test is a program");
    let status = Command::new("unshare")
        .args([unshare, "sh", "-c", &format!("{SET_UP} && exec \"$0\" \"$@\"")])
        .arg(this_test)
        .args(["frames_cross_a_veth_pair", "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.expect("it ran a moment ago").success(), "see the inner test above");
}

fn send_and_receive() {
    let config = EalConfig::new(format!("krono-af-packet-{}", std::process::id()));
    let eal = Eal::init(&EalConfig { memory_mb: 64, ..config }).expect("the EAL starts");
    let open = |interface: &str| {
        let kinds = [PortKind::AfPacket { interface: interface.to_owned() }];
        eal.open(&kinds, 4096, PATIENCE).expect("the interface is there")
    };
    let (mut near, mut far) = (open("krono0"), open("krono1"));
    near.wait_link(PATIENCE).expect("the pair is up");
    far.wait_link(PATIENCE).expect("the pair is up");

    // A thread of its own, as the cores have it.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _known = eal.register_thread().expect("the first thread beside the main one");
            exchange(&mut near, &mut far);
            refuse(&mut near);
        });
    });
    assert_eq!((near.stats().sent, near.stats().refused), (FRAMES + 2, 1));
    assert_eq!(near.too_long(), 1);
    assert_eq!((near.frames_in_use(), far.frames_in_use()), (0, 0));
}

/// Sends a burst, waits for all of it, and so on.
fn exchange(near: &mut Dpdk, far: &mut Dpdk) {
    let deadline = Instant::now() + PATIENCE;
    let mut burst = Burst::new();
    let (mut sent, mut received) = (0, 0);
    while received < FRAMES {
        near.alloc(&mut burst, (FRAMES - sent).min(BURST as u64) as usize);
        for frame in &mut burst {
            frame.set_len(len(sent));
            let bytes = frame.bytes_mut();
            bytes[..12].fill(0x02);
            bytes[12..14].copy_from_slice(&ETHERTYPE);
            bytes[14..22].copy_from_slice(&sent.to_be_bytes());
            bytes[22..].fill(sent as u8);
            sent += 1;
        }
        let offered = burst.len();
        assert_eq!(near.tx(&mut burst), offered);
        while received < sent {
            assert!(Instant::now() < deadline, "{received} of {sent} frames came through");
            far.rx(&mut burst);
            for frame in burst.iter().filter(|frame| frame.bytes()[12..14] == ETHERTYPE) {
                let bytes = frame.bytes();
                assert_eq!(bytes[14..22], received.to_be_bytes(), "order of frames");
                assert_eq!(bytes.len(), len(received));
                assert!(bytes[22..].iter().all(|&byte| byte == received as u8));
                received += 1;
            }
            far.free(&mut burst);
        }
    }
}

/// The kernel would drop the second of the three, and the driver count it as sent.
fn refuse(near: &mut Dpdk) {
    let mut burst = Burst::new();
    near.alloc(&mut burst, 3);
    for (frame, len) in burst.iter_mut().zip([LONGEST, LONGEST + 1, SHORTEST]) {
        frame.set_len(len);
        frame.bytes_mut()[12..14].copy_from_slice(&ETHERTYPE);
    }
    assert_eq!(near.tx(&mut burst), 2);
}

fn len(number: u64) -> usize {
    SHORTEST + (number * 37) as usize % (LONGEST + 1 - SHORTEST)
}
