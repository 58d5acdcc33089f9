//! What is done to the bytes of a frame that is hit.

use crate::frame::Frame;
use crate::wire::checksum::Delta;
use crate::wire::ethernet::{self, Ethernet};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::tcp::{self, Tcp};
use crate::wire::udp::{self, Udp};
use zerocopy::FromBytes;
use zerocopy::byteorder::network_endian::U16;

/// Bytes of payload within reach of a flipped bit: every probe is at least this long.
const PAYLOAD: usize = 16;

/// The headers of a UDP or TCP segment over IPv4 without options, unfragmented.
struct Flow<'a> {
    ipv4: &'a mut Ipv4,
    source: &'a mut U16,
    check: &'a mut U16,
    is_udp: bool,
}

/// `None` for every other frame.
fn flow<F: Frame>(frame: &mut F) -> Option<Flow<'_>> {
    const PAYLOAD_AT: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;
    let len = frame.len();
    let (ethernet, rest) = Ethernet::mut_from_prefix(frame.head_mut()).ok()?;
    let (ipv4, rest) = Ipv4::mut_from_prefix(rest).ok()?;
    if ethernet.ethertype.get() != ethernet::IPV4
        || ipv4.version_ihl != ipv4::VERSION_IHL
        || ipv4.is_fragment()
    {
        return None;
    }
    match ipv4.protocol {
        ipv4::UDP if len >= PAYLOAD_AT + udp::HEADER_LEN => {
            let (udp, _) = Udp::mut_from_prefix(rest).ok()?;
            Some(Flow { ipv4, source: &mut udp.source, check: &mut udp.checksum, is_udp: true })
        }
        ipv4::TCP if len >= PAYLOAD_AT + tcp::HEADER_LEN => {
            let (tcp, _) = Tcp::mut_from_prefix(rest).ok()?;
            Some(Flow { ipv4, source: &mut tcp.source, check: &mut tcp.checksum, is_udp: false })
        }
        _ => None,
    }
}

impl Flow<'_> {
    fn update(&mut self, change: Delta) {
        let check = self.check.get();
        self.check.set(if self.is_udp { change.apply_udp(check) } else { change.apply(check) });
    }
}

/// Whether the frame is one whose tuple can be rewritten.
pub(super) fn is_flow<F: Frame>(frame: &mut F) -> bool {
    flow(frame).is_some()
}

/// Another source port, with checksums to match. False where the frame has none.
pub(super) fn mistranslate<F: Frame>(frame: &mut F) -> bool {
    let Some(mut flow) = flow(frame) else { return false };
    let old = flow.source.get();
    flow.source.set(old ^ 1);
    flow.update(Delta::new().replace_u16(old, old ^ 1));
    true
}

/// The neighbouring destination, with checksums to match. False where the frame has none.
pub(super) fn misdeliver<F: Frame>(frame: &mut F) -> bool {
    let Some(mut flow) = flow(frame) else { return false };
    let old = flow.ipv4.destination.get();
    flow.ipv4.destination.set(old ^ 1);
    let change = Delta::new().replace_u32(old, old ^ 1);
    flow.ipv4.checksum.set(change.apply(flow.ipv4.checksum.get()));
    flow.update(change);
    true
}

/// Flips one bit behind the Ethernet header, where a checksum or a probe's own check sees it, and
/// never in the padding. `draw` picks the bit. False where the frame ends with that header.
pub(super) fn corrupt<F: Frame>(frame: &mut F, draw: u32) -> bool {
    let transport = match flow(frame) {
        Some(flow) if !flow.is_udp => tcp::HEADER_LEN,
        _ => udp::HEADER_LEN,
    };
    let reach = ethernet::HEADER_LEN + ipv4::HEADER_LEN + transport + PAYLOAD;
    let datagram = match crate::wire::parse(frame.bytes()) {
        Ok(crate::wire::Parsed::Ipv4(datagram)) => datagram.end,
        _ => frame.len(),
    };
    let end = reach.min(datagram);
    let Some(bytes) = frame.bytes_mut().get_mut(ethernet::HEADER_LEN..end) else { return false };
    let bit = ((u64::from(draw) * bytes.len() as u64 * 8) >> 32) as usize;
    let Some(byte) = bytes.get_mut(bit / 8) else { return false };
    *byte ^= 1 << (bit % 8);
    true
}
