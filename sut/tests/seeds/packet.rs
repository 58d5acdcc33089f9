//! Users' packets: as small as they can be, with the number of their session inside, so that whoever
//! receives one knows whose it was before it was translated. Checksums are other tests' business;
//! that of the IPv4 header is right, since a core looks at it.

use dataplane::frame::Frame;
use dataplane::wire::checksum;

pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Address and port.
pub(crate) type End = (u32, u16);

/// What is to be read of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) protocol: u8,
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) flags: u8,
    pub(crate) session: u32,
}

impl Fields {
    pub(crate) fn write(&self, frame: &mut impl Frame) {
        let header = if self.protocol == TCP { 20 } else { 8 };
        let total = 20 + header + 8;
        frame.set_len((14 + total).max(60));
        let bytes = frame.bytes_mut();
        bytes.fill(0);
        bytes[6..12].copy_from_slice(&[2, 9, 0, 0, 0, 0]);
        bytes[12..14].copy_from_slice(&[8, 0]);
        bytes[14] = 0x45;
        bytes[16..18].copy_from_slice(&(total as u16).to_be_bytes());
        (bytes[22], bytes[23]) = (64, self.protocol);
        bytes[26..30].copy_from_slice(&self.from.0.to_be_bytes());
        bytes[30..34].copy_from_slice(&self.to.0.to_be_bytes());
        let sum = checksum::ipv4_header(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes[34..36].copy_from_slice(&self.from.1.to_be_bytes());
        bytes[36..38].copy_from_slice(&self.to.1.to_be_bytes());
        if self.protocol == TCP {
            (bytes[46], bytes[47]) = (0x50, self.flags);
            bytes[50..52].copy_from_slice(&[1, 1]);
        } else {
            bytes[38..40].copy_from_slice(&16u16.to_be_bytes());
        }
        bytes[34 + header..38 + header].copy_from_slice(&self.session.to_be_bytes());
    }

    /// Reads a packet; `None` if it is none of ours.
    pub(crate) fn read(bytes: &[u8]) -> Option<Fields> {
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let protocol = *bytes.get(23)?;
        let header = match protocol {
            TCP => 20,
            UDP => 8,
            _ => return None,
        };
        if bytes.len() < 38 + header || bytes[12..14] != [8, 0] {
            return None;
        }
        Some(Fields {
            protocol,
            from: (word(26), port(34)),
            to: (word(30), port(36)),
            flags: if protocol == TCP { bytes[47] } else { 0 },
            session: word(34 + header),
        })
    }
}
