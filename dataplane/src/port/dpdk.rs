//! Ports on DPDK: memif to another process, an AF_PACKET socket on a kernel interface, or a NIC.
//!
//! [`Eal::init`] starts DPDK once per process and [`Eal::open`] makes one core's port with a lane
//! per neighbour. A frame is an [`Mbuf`], an owned handle on a packet buffer of one segment; its
//! bytes are reached without a call into C, and every call that is made moves a burst.
//!
//! The module is there whether DPDK was found when building or not, with the same items: without
//! it, [`available`] and [`Eal::init`] return [`DpdkError::Absent`], which says what to install.
//!
//! It refuses frames of several segments, zero-copy memif (a peer that dies would take frames with
//! it) and several queues per device: a second core gets a second port, not a second queue.
//!
//! One of the three places with `unsafe`; the rules it rests on are told where they are kept, in
//! [`Mbuf`] (who owns a frame) and in `eal` (how long its memory lasts).
#![allow(unsafe_code)]

#[cfg(not(dpdk_found))]
mod absent;
#[cfg(dpdk_found)]
mod bursts;
#[cfg(dpdk_found)]
mod eal;
#[cfg(dpdk_found)]
mod lane;
#[cfg(dpdk_found)]
mod mbuf;
#[cfg(dpdk_found)]
mod steer;

#[cfg(not(dpdk_found))]
pub use absent::{Dpdk, Eal, EalThread, Mbuf, Steerable, available};
#[cfg(dpdk_found)]
pub use bursts::Dpdk;
#[cfg(dpdk_found)]
pub use eal::{Eal, EalThread, available};
#[cfg(dpdk_found)]
pub use mbuf::Mbuf;
#[cfg(dpdk_found)]
pub use steer::Steerable;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How DPDK is started. [`EalConfig::new`] gives what works for any user, without huge pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EalConfig {
    /// Name that keeps this process's files apart from those of other DPDK processes: letters,
    /// digits, `-`, `_` and `.`.
    pub file_prefix: String,
    /// Memory for pools and queues, in MiB. A frame takes about 2.5 KiB.
    pub memory_mb: u32,
    /// Use huge pages. Needed by NICs, no faster for memif.
    pub huge: bool,
    /// PCI addresses of the NICs this process may take, such as `0000:3b:02.0`; all others are
    /// left alone.
    pub pci: Vec<String>,
    /// Let DPDK write its notices to standard error; otherwise only what is critical.
    pub verbose: bool,
}

impl EalConfig {
    /// 512 MiB of ordinary pages, no NIC, quiet.
    pub fn new(file_prefix: impl Into<String>) -> Self {
        Self {
            file_prefix: file_prefix.into(),
            memory_mb: 512,
            huge: false,
            pci: Vec::new(),
            verbose: false,
        }
    }

    /// The same for a process with these ports: those on PCI are the only ones it takes, and need
    /// huge pages.
    pub fn of<'a>(
        file_prefix: impl Into<String>,
        ports: impl IntoIterator<Item = &'a PortKind>,
    ) -> Self {
        let address = |port: &PortKind| match port {
            PortKind::Pci { address } => Some(address.clone()),
            _ => None,
        };
        let pci: Vec<String> = ports.into_iter().filter_map(address).collect();
        Self { huge: !pci.is_empty(), pci, ..Self::new(file_prefix) }
    }
}

/// What a lane of a port is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum PortKind {
    /// The long-lived side of a memif connection: clients may come, be killed and come again.
    MemifServer {
        /// Name of an abstract UNIX socket, at most 100 bytes.
        socket: String,
        /// Number of the connection on this socket.
        id: u32,
    },
    /// The side of a memif connection that dials, and brings the shared memory.
    MemifClient {
        /// Name of the server's abstract UNIX socket, at most 100 bytes.
        socket: String,
        /// Number of the connection on this socket.
        id: u32,
    },
    /// A packet socket on an interface of this network namespace. Needs `CAP_NET_RAW`.
    AfPacket {
        /// Name of the interface, which must be up.
        interface: String,
    },
    /// A NIC or a virtual function of one, listed in [`EalConfig::pci`].
    Pci {
        /// Its PCI address, such as `0000:3b:02.0`.
        address: String,
    },
}

impl fmt::Display for PortKind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemifServer { socket, id } => write!(to, "memif server @{socket} id {id}"),
            Self::MemifClient { socket, id } => write!(to, "memif client @{socket} id {id}"),
            Self::AfPacket { interface } => write!(to, "packet socket on {interface}"),
            Self::Pci { address } => write!(to, "PCI device {address}"),
        }
    }
}

/// Why DPDK did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DpdkError {
    /// DPDK was not found, or not wanted, when this program was built.
    #[error(
        "DPDK is not built in: run `apt-get install libdpdk-dev pkg-config` (22.11 or later), \
         then rebuild"
    )]
    Absent,
    /// The EAL was started before in this process; it cannot be started again, even after its end.
    #[error("DPDK can be started once per process and has been: use one `Eal` for all ports")]
    Started,
    /// A setting cannot be handed to DPDK.
    #[error("{name} `{value}`: {expected}")]
    Invalid {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would do.
        expected: &'static str,
    },
    /// The EAL did not start.
    #[error("DPDK did not start: {reason}")]
    Init {
        /// DPDK's reason.
        reason: String,
    },
    /// A thread was not registered with DPDK.
    #[error("DPDK did not register the thread: {reason} (it knows at most 128)")]
    Thread {
        /// DPDK's reason.
        reason: String,
    },
    /// The memory does not suffice for a pool.
    #[error("no pool of {frames} frames: {reason}; raise `memory_mb`, a frame takes 2.5 KiB")]
    Pool {
        /// Frames wanted.
        frames: u32,
        /// DPDK's reason.
        reason: String,
    },
    /// A device failed.
    #[error("{device}: cannot {step}: {reason}")]
    Device {
        /// Which.
        device: PortKind,
        /// What was tried, a verb.
        step: &'static str,
        /// DPDK's reason.
        reason: String,
    },
    /// A neighbour did not appear in time.
    #[error("{device}: no link after {} ms: is the other side running?", patience.as_millis())]
    NoLink {
        /// The lane's device.
        device: PortKind,
        /// How long was waited.
        patience: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_on_pci_ask_for_nics_and_huge_pages() {
        let interface = PortKind::AfPacket { interface: "eth0".to_owned() };
        let nic = PortKind::Pci { address: "0000:3b:02.0".to_owned() };
        let none = EalConfig::of("krono-a", [&interface]);
        assert_eq!(none, EalConfig::new("krono-a"));
        let one = EalConfig::of("krono-b", [&interface, &nic]);
        assert!(one.huge && one.pci == ["0000:3b:02.0"], "{one:?}");
    }

    #[test]
    fn absence_says_what_to_install() {
        let words = DpdkError::Absent.to_string();
        assert!(words.contains("apt-get install libdpdk-dev pkg-config"), "{words}");
        assert_eq!(cfg!(dpdk_found), available().is_ok());
        if cfg!(not(dpdk_found)) {
            assert_eq!(Eal::init(&EalConfig::new("krono-absent")).err(), Some(DpdkError::Absent));
        }
    }
}
