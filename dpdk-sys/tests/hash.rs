//! `rte_hash` against what was put into it. Starts the EAL, so it is one test in a process alone.
#![cfg(dpdk_found)]

use dpdk_sys::hash::{BURST_MAX, Hash, HashError};
use std::collections::HashSet;
use std::ffi::{CString, c_char, c_int};

fn start() {
    let words = ["test", "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry", "-m", "64"];
    let words = words.into_iter().chain(["--log-level=critical", "--file-prefix=krono-hash"]);
    let mut argv: Vec<*mut c_char> =
        words.map(|word| CString::new(word).expect("plain").into_raw()).collect();
    argv.push(std::ptr::null_mut());
    let argv = argv.leak();
    // SAFETY: a terminated array of terminated strings that live for ever; nothing else runs.
    let started = unsafe { dpdk_sys::krono_eal_init((argv.len() - 1) as c_int, argv.as_mut_ptr()) };
    assert_eq!(started, 0, "the EAL starts");
}

fn key(id: u32) -> [u8; 16] {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key[12..].copy_from_slice(&(!id).to_be_bytes());
    key
}

#[test]
fn what_was_added_is_found_at_its_position_and_nothing_else_is() {
    start();
    let mut hash = Hash::new(4096).expect("memory");
    assert_eq!(hash.slots(), 4096);
    assert!(hash.bytes() >= 4096 * 40 && hash.bytes() < 16 << 20, "{}", hash.bytes());
    let positions: Vec<u32> = (0..3000).map(|id| hash.add(&key(id)).expect("room")).collect();
    assert_eq!(positions.iter().collect::<HashSet<_>>().len(), 3000);
    assert_eq!(hash.add(&key(7)), Ok(positions[7]), "a key is added once");
    assert_eq!(hash.remove(&key(8)), Some(positions[8]));
    assert_eq!(hash.remove(&key(8)), None);
    let mut found = [0; BURST_MAX];
    for first in (0..6000).step_by(BURST_MAX) {
        let keys: Vec<_> = (first..first + BURST_MAX as u32).map(key).collect();
        hash.lookup_burst(&keys, &mut found);
        for (id, position) in (first..).zip(found) {
            let wanted = positions.get(id as usize).filter(|_| id != 8);
            assert_eq!(u32::try_from(position).ok().as_ref(), wanted, "key {id}");
        }
    }
    drop(hash);

    let mut small = Hash::new(64).expect("the memory of the first is free again");
    let refused = (0..1000).find_map(|id| small.add(&key(id)).err());
    assert_eq!(refused, Some(HashError::Full));
    assert_eq!(Hash::new(0).err(), Some(HashError::Entries(0)));
}
