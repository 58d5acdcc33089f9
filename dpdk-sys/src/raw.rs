//! The declarations: one for each function of the shim, written by hand. They return 0 or a
//! negative errno unless they say otherwise.

use std::ffi::{c_char, c_int, c_void};

/// A packet buffer's descriptor: the fields of `struct rte_mbuf` that are read or written per
/// packet, at the offsets `shim.c` asserts. Made and freed by DPDK alone.
#[repr(C, align(64))]
pub struct Mbuf {
    /// Start of the buffer, headroom included.
    pub buf_addr: *mut u8,
    buf_iova: u64,
    /// Bytes from `buf_addr` to the first byte of the frame.
    pub data_off: u16,
    /// Owners of this segment.
    pub refcnt: u16,
    /// Segments of the frame, this one included.
    pub nb_segs: u16,
    port: u16,
    ol_flags: u64,
    packet_type: u32,
    /// Bytes of the whole frame.
    pub pkt_len: u32,
    /// Bytes of the frame in this segment.
    pub data_len: u16,
    vlan_tci: u16,
    hash: [u16; 4],
    vlan_tci_outer: u16,
    /// Bytes of the buffer, headroom included.
    pub buf_len: u16,
    rest: [u64; 9],
}

const _: () = {
    assert!(std::mem::offset_of!(Mbuf, buf_addr) == 0);
    assert!(std::mem::offset_of!(Mbuf, data_off) == 16);
    assert!(std::mem::offset_of!(Mbuf, refcnt) == 18);
    assert!(std::mem::offset_of!(Mbuf, nb_segs) == 20);
    assert!(std::mem::offset_of!(Mbuf, pkt_len) == 36);
    assert!(std::mem::offset_of!(Mbuf, data_len) == 40);
    assert!(std::mem::offset_of!(Mbuf, buf_len) == 54);
    assert!(size_of::<Mbuf>() == 128);
};

/// A pool of packet buffers, `struct rte_mempool`; only ever behind a pointer.
#[repr(C)]
pub struct Mempool {
    opaque: [u8; 0],
}

/// A table of DPDK with its memory; only ever behind a pointer.
#[repr(C)]
pub(crate) struct RteHash {
    opaque: [u8; 0],
}

/// What a device says it has done since it was started, in frames.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceStats {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
    /// Dropped by the device because the receive queue was full.
    pub missed: u64,
    /// Received in error.
    pub receive_errors: u64,
    /// Not sent because of an error.
    pub send_errors: u64,
    /// Not received because the pool was empty.
    pub no_buffer: u64,
}

/// A rule that sends frames to a queue. Addresses are in network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRule {
    /// Ethernet destination.
    pub mac: [u8; 6],
    /// VLAN; 0 is none.
    pub vlan: u16,
    /// IPv4 destination.
    pub address: u32,
    /// Bits of it that count.
    pub mask: u32,
    /// Lower ones are looked at first.
    pub priority: u32,
    /// Where matching frames go.
    pub queue: u16,
    /// 0: address and mask do not count.
    pub ipv4: u16,
}

unsafe extern "C" {
    /// DPDK's name and version, a static string.
    pub fn krono_version() -> *const c_char;
    /// What a positive errno, DPDK's own included, means; valid until this thread calls again.
    pub fn krono_strerror(number: c_int) -> *const c_char;

    /// Starts the EAL, once per process. `arguments` must stay valid for the process's life.
    pub fn krono_eal_init(count: c_int, arguments: *mut *mut c_char) -> c_int;
    /// Directory of the EAL's files, a static string, after a successful start.
    pub fn krono_eal_runtime_dir() -> *const c_char;

    /// 1 if the calling thread has an lcore id, else 0.
    pub fn krono_thread_known() -> c_int;
    /// Gives the calling thread an lcore id.
    pub fn krono_thread_register() -> c_int;
    /// Takes the lcore id of the calling thread back.
    pub fn krono_thread_unregister();

    /// Makes a virtual device.
    pub fn krono_vdev_add(name: *const c_char, arguments: *const c_char) -> c_int;
    /// Removes a virtual device.
    pub fn krono_vdev_remove(name: *const c_char) -> c_int;

    /// A pool of `frames` zeroed buffers with `data_room` bytes after the headroom; null and
    /// `error` set if refused.
    pub fn krono_pool_create(
        name: *const c_char,
        frames: u32,
        cache: u32,
        data_room: u16,
        error: *mut c_int,
    ) -> *mut Mempool;
    /// Frames neither in the pool nor in a cache of it. Walks all caches.
    pub fn krono_pool_in_use(pool: *const Mempool) -> u32;

    /// Port number of a device.
    pub fn krono_port_by_name(name: *const c_char, port: *mut u16) -> c_int;
    /// MTU of a kernel interface of this network namespace, or negative `errno`.
    pub fn krono_interface_mtu(name: *const c_char) -> c_int;
    /// Configures one queue each way.
    pub fn krono_port_setup(port: u16, pool: *mut Mempool, descriptors: u16, mtu: u16) -> c_int;
    /// Starts a configured port.
    pub fn krono_port_start(port: u16) -> c_int;
    /// Stops a port; no queue of it may be in use.
    pub fn krono_port_stop(port: u16) -> c_int;
    /// Closes a stopped port for good and frees what its queues hold.
    pub fn krono_port_close(port: u16) -> c_int;
    /// 1 if the link is up, 0 if down.
    pub fn krono_port_link(port: u16) -> c_int;
    /// Reads the device's counters.
    pub fn krono_port_stats(port: u16, out: *mut DeviceStats) -> c_int;

    /// Creates a rule; `reason` gets the device's words where it refuses, at most `size` bytes with the
    /// final zero.
    pub fn krono_flow_create(
        port: u16,
        rule: *const FlowRule,
        reason: *mut c_char,
        size: usize,
    ) -> c_int;
    /// Removes all rules of a port.
    pub fn krono_flow_flush(port: u16) -> c_int;
    /// Gives the Ethernet address of 6 bytes at `mac` to a pool of VMDq.
    pub fn krono_pool_address_add(port: u16, mac: *const u8, pool: u16) -> c_int;
    /// Takes an Ethernet address back.
    pub fn krono_pool_address_remove(port: u16, mac: *const u8) -> c_int;

    /// Writes up to `count` received frames to `frames`; returns how many.
    pub fn krono_rx_burst(port: u16, frames: *mut *mut Mbuf, count: u16) -> u16;
    /// Sends from the front; returns how many the device took.
    pub fn krono_tx_burst(port: u16, frames: *mut *mut Mbuf, count: u16) -> u16;
    /// Writes `count` fresh frames of length 0 to `frames`, or none.
    pub fn krono_mbuf_alloc_bulk(pool: *mut Mempool, frames: *mut *mut Mbuf, count: u32) -> c_int;
    /// Gives `count` frames back to their pools.
    pub fn krono_mbuf_free_bulk(frames: *mut *mut Mbuf, count: u32);
    /// Gives one frame back to its pool.
    pub fn krono_mbuf_free(frame: *mut Mbuf);

    /// 1 once the EAL has started, else 0.
    pub(crate) safe fn krono_eal_started() -> c_int;
    /// A table of DPDK for `entries` keys of 16 bytes, its name made of `number`; null and `error`
    /// set if refused. The EAL must have started.
    pub(crate) fn krono_hash_create(number: u32, entries: u32, error: *mut c_int) -> *mut RteHash;
    /// Frees a table and its memory.
    pub(crate) fn krono_hash_free(hash: *mut RteHash);
    /// Bytes of memory a table holds.
    pub(crate) fn krono_hash_bytes(hash: *const RteHash) -> usize;
    /// Adds 16 bytes: the key's position, or a negative errno.
    pub(crate) fn krono_hash_add(hash: *mut RteHash, key: *const c_void) -> c_int;
    /// Removes 16 bytes: the position the key had, or a negative errno.
    pub(crate) fn krono_hash_remove(hash: *mut RteHash, key: *const c_void) -> c_int;
    /// Writes the positions of up to 64 keys, negative where there is none.
    pub(crate) fn krono_hash_lookup_bulk(
        hash: *const RteHash,
        keys: *mut *const c_void,
        count: u32,
        positions: *mut i32,
    ) -> c_int;
}
