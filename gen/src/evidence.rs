//! Frames that came back with wrong addresses or ports, with what they should have been.
//!
//! A count says that a system under test mistranslates; a frame says how. Each core keeps the first
//! [`FRAMES_MAX`] of each run, up to [`BYTES_MAX`] bytes of them: headers and stamp, as the rest was sent
//! as zeros. The place for them is there from the start, so that keeping one costs a copy and no memory.
//! Whoever has the records writes the file.

use crate::ends::Ends;
use crate::tuple::ConnectionId;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Most frames a core keeps.
pub const FRAMES_MAX: usize = 64;

/// Most bytes of a frame that are kept.
pub const BYTES_MAX: usize = 256;

/// A frame that is kept.
#[derive(Clone, Debug)]
struct Kept {
    at: Nanos,
    phase: usize,
    connection: ConnectionId,
    expected: Ends,
    length: usize,
    bytes: [u8; BYTES_MAX],
}

/// What a core has kept so far.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    kept: Vec<Kept>,
}

/// A frame and what it should have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhibit {
    /// When it arrived, on the clock of the run.
    pub at: Nanos,
    /// Connection of the core that its stamp names.
    pub connection: u32,
    /// Source it should have come from; `null` where any port of any address would have been right, as
    /// nothing of the connection had arrived before.
    pub source: Option<SocketAddrV4>,
    /// Destination it should have had.
    pub destination: SocketAddrV4,
    /// Its length in bytes, without frame check sequence.
    pub length: usize,
    /// Its first bytes, at most [`BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl Evidence {
    /// Room for [`FRAMES_MAX`].
    pub(crate) fn new() -> Evidence {
        Evidence { kept: Vec::with_capacity(FRAMES_MAX) }
    }

    /// Keeps a frame that arrived at `at` in `phase`, if there is room.
    #[cold]
    pub(crate) fn keep(
        &mut self,
        at: Nanos,
        phase: usize,
        connection: ConnectionId,
        expected: Ends,
        frame: &impl Frame,
    ) {
        if self.kept.len() == self.kept.capacity() {
            return;
        }
        let (mut bytes, length) = ([0; BYTES_MAX], frame.len());
        let copied = length.min(BYTES_MAX);
        bytes[..copied].copy_from_slice(&frame.bytes()[..copied]);
        self.kept.push(Kept { at, phase, connection, expected, length, bytes });
    }

    /// What was kept in a phase.
    pub(crate) fn of(&self, phase: usize) -> Vec<Exhibit> {
        let of_phase = self.kept.iter().filter(|kept| kept.phase == phase);
        of_phase.map(Kept::exhibit).collect()
    }
}

impl Kept {
    fn exhibit(&self) -> Exhibit {
        let socket = |(ip, port)| SocketAddrV4::new(Ipv4Addr::from_bits(ip), port);
        let source = self.expected.source();
        Exhibit {
            at: self.at,
            connection: self.connection.0,
            source: (source.1 != 0).then(|| socket(source)),
            destination: socket(self.expected.destination()),
            length: self.length,
            bytes: self.bytes[..self.length.min(BYTES_MAX)].to_vec(),
        }
    }
}
