//! One device with one neighbour: made, started, watched and removed. Nothing here is on the
//! packet path.

use super::eal::{DATA_ROOM, Pool, c_string, plain_name, reason};
use super::{DpdkError, PortKind};
use crate::frame::{CAPACITY, FCS};
use std::ffi::{CString, c_int};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Slots of a memif ring, as a power of two. 2,048 ride out a preemption of 0.1 ms at 20 Mpps.
const MEMIF_SLOTS_LOG2: u32 = 11;

/// Bytes of a memif buffer. memif receives in bulk only where ours are no smaller.
const MEMIF_BYTES: usize = CAPACITY.next_multiple_of(64);

/// Descriptors of a NIC's queue, where it has that many.
const DESCRIPTORS: u16 = 1024;

/// Largest payload of an Ethernet frame that fits a buffer.
const MTU: u16 = (CAPACITY - HEADER - FCS) as u16;

/// Bytes of an Ethernet header.
const HEADER: usize = 14;

/// Bytes of a slot of a packet socket's ring. The driver wants 32 bytes less of it to fit a buffer.
const PACKET_SLOT_BYTES: u32 = DATA_ROOM as u32;

/// Bytes of a block of slots: pages for the kernel and, as the driver ignores gaps, full of slots.
const PACKET_BLOCK_BYTES: u32 = 32 * PACKET_SLOT_BYTES;
const _: () = assert!(PACKET_BLOCK_BYTES.is_multiple_of(4096));

/// Slots of a packet socket's ring.
const PACKET_SLOTS: u32 = 1024;

/// Wait between two attempts of a memif client to reach its server.
const REDIAL: Duration = Duration::from_millis(10);

/// memif servers that no port uses at present, stopped: DPDK frees a server's socket when it is
/// closed, though not the callback on it, and the next client to dial would find that.
static SPARE_SERVERS: Mutex<Vec<(PortKind, u16)>> = Mutex::new(Vec::new());

/// A device, removed when this is dropped, or kept for the next lane of its kind if it is a memif
/// server.
#[derive(Debug)]
pub(super) struct Lane {
    kind: PortKind,
    port: u16,
    /// Name of the device if we made it.
    made: Option<CString>,
    longest: usize,
    started: bool,
}

impl Lane {
    /// Makes the device and gives it queues that receive into `pool`.
    pub(super) fn open(kind: &PortKind, pool: &Pool) -> Result<Self, DpdkError> {
        let (port, made) = match spare_server(kind) {
            Some(port) => (port, None),
            None => make(kind)?,
        };
        let longest = longest(kind)?;
        let lane = Self { kind: kind.clone(), port, made, longest, started: false };
        // SAFETY: the port exists and is not started; the pool lives as long as the EAL.
        let result = unsafe { dpdk_sys::krono_port_setup(port, pool.raw(), DESCRIPTORS, MTU) };
        check(kind, "configure it", result)?;
        Ok(lane)
    }

    /// Number of the port, for bursts.
    #[inline]
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes of the longest frame the device sends; it would count a longer one as sent.
    #[inline]
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether this side looks for the other.
    pub(super) fn dials(&self) -> bool {
        matches!(self.kind, PortKind::MemifClient { .. })
    }

    pub(super) fn start(&mut self) -> Result<(), DpdkError> {
        // SAFETY: the port is configured.
        let result = unsafe { dpdk_sys::krono_port_start(self.port) };
        self.started = result == 0;
        check(&self.kind, "start it", result)
    }

    /// Starts again and again until the server is there: DPDK does not start a client without one.
    pub(super) fn dial(&mut self, patience: Duration) -> Result<(), DpdkError> {
        let begin = Instant::now();
        while self.start().is_err() {
            if begin.elapsed() >= patience {
                return Err(self.no_link(patience));
            }
            std::thread::sleep(REDIAL);
        }
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Result<(), DpdkError> {
        self.stop();
        self.start()
    }

    /// Receives nothing. A memif client lends its server the slots to send into when it first
    /// receives, and the server would refuse what it has to send before that.
    pub(super) fn lend_buffers(&mut self) {
        // SAFETY: no frame is written, and `&mut self` says that no other burst is under way.
        unsafe { dpdk_sys::krono_rx_burst(self.port, std::ptr::null_mut(), 0) };
    }

    pub(super) fn link_up(&self) -> bool {
        // SAFETY: the port exists.
        unsafe { dpdk_sys::krono_port_link(self.port) == 1 }
    }

    pub(super) fn no_link(&self, patience: Duration) -> DpdkError {
        DpdkError::NoLink { device: self.kind.clone(), patience }
    }

    pub(super) fn stats(&self) -> Option<dpdk_sys::DeviceStats> {
        let mut stats = dpdk_sys::DeviceStats::default();
        // SAFETY: the port exists; `stats` is written before the return.
        let result = unsafe { dpdk_sys::krono_port_stats(self.port, &mut stats) };
        (result == 0).then_some(stats)
    }

    fn stop(&mut self) {
        if std::mem::take(&mut self.started) {
            // SAFETY: the port is started, and `&mut self` says that no burst is under way.
            unsafe { dpdk_sys::krono_port_stop(self.port) };
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop();
        if matches!(self.kind, PortKind::MemifServer { .. }) {
            let mut spare = SPARE_SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
            spare.push((self.kind.clone(), self.port));
            return;
        }
        // SAFETY: the port is stopped and never used again.
        unsafe { dpdk_sys::krono_port_close(self.port) };
        remove(self.made.as_deref());
    }
}

fn spare_server(kind: &PortKind) -> Option<u16> {
    let mut spare = SPARE_SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
    let at = spare.iter().position(|(server, _)| server == kind)?;
    Some(spare.swap_remove(at).1)
}

/// Makes the device if it is a virtual one; returns its port and, if made, its name.
fn make(kind: &PortKind) -> Result<(u16, Option<CString>), DpdkError> {
    let (name, arguments) = device(kind)?;
    let name = c_string(name);
    let mut made = None;
    if let Some(arguments) = arguments {
        let arguments = c_string(arguments);
        // SAFETY: both strings are terminated and copied.
        let result = unsafe { dpdk_sys::krono_vdev_add(name.as_ptr(), arguments.as_ptr()) };
        check(kind, "make it", result)?;
        made = Some(name.clone());
    }
    let mut port = 0;
    // SAFETY: the name is terminated; `port` is written or an error returned.
    let found = unsafe { dpdk_sys::krono_port_by_name(name.as_ptr(), &mut port) };
    if let Err(error) = check(kind, "find it", found) {
        remove(made.as_deref());
        return Err(error);
    }
    Ok((port, made))
}

fn remove(made: Option<&std::ffi::CStr>) {
    if let Some(name) = made {
        // SAFETY: the name is terminated, and the device is ours and closed.
        unsafe { dpdk_sys::krono_vdev_remove(name.as_ptr()) };
    }
}

fn check(kind: &PortKind, step: &'static str, result: c_int) -> Result<(), DpdkError> {
    if result >= 0 {
        return Ok(());
    }
    Err(DpdkError::Device { device: kind.clone(), step, reason: reason(result) })
}

/// The kernel drops what exceeds the MTU an interface has when this is called, and the driver does
/// not learn of it. The other devices take whatever fits a buffer, or say that they do not.
fn longest(kind: &PortKind) -> Result<usize, DpdkError> {
    let PortKind::AfPacket { interface } = kind else { return Ok(CAPACITY) };
    let name = c_string(interface.clone());
    // SAFETY: the name is terminated and copied.
    let mtu = unsafe { dpdk_sys::krono_interface_mtu(name.as_ptr()) };
    check(kind, "ask for its MTU", mtu)?;
    Ok(CAPACITY.min(HEADER + mtu as usize))
}

/// Name of the device and, if it has to be made, its arguments.
fn device(kind: &PortKind) -> Result<(String, Option<String>), DpdkError> {
    static DEVICES: AtomicU32 = AtomicU32::new(0);
    let name = |driver: &str| format!("{driver}{}", DEVICES.fetch_add(1, Ordering::Relaxed));
    let memif = |role: &str, socket: &str, id: u32| {
        let socket = plain_name("socket", socket)?;
        let arguments = format!(
            "role={role},id={id},socket={socket},socket-abstract=yes,zero-copy=no,\
             bsize={MEMIF_BYTES},rsize={MEMIF_SLOTS_LOG2}"
        );
        Ok((name("net_memif"), Some(arguments)))
    };
    match kind {
        PortKind::MemifServer { socket, id } => memif("server", socket, *id),
        PortKind::MemifClient { socket, id } => memif("client", socket, *id),
        PortKind::AfPacket { interface } => {
            let interface = plain_name("interface", interface)?;
            let arguments = format!(
                "iface={interface},qpairs=1,blocksz={PACKET_BLOCK_BYTES},\
                 framesz={PACKET_SLOT_BYTES},framecnt={PACKET_SLOTS}"
            );
            Ok((name("net_af_packet"), Some(arguments)))
        }
        PortKind::Pci { address } => Ok((plain_name("address", address)?.to_owned(), None)),
    }
}
