//! BFD's packets and frames: there and back, rule by rule, and against etherparse.

use dataplane::identity::Mac;
use dataplane::wire::bfd::{
    Bfd, Control, Diagnostic, Ends, FRAME_LEN, PORT, Refused, State, encapsulate, read, source_port,
};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;
use std::num::{NonZeroU8, NonZeroU32};
use zerocopy::IntoBytes;

const ENDS: Ends = Ends {
    source_mac: Mac::of(1, 2, 3),
    destination_mac: Mac::of(4, 5, 6),
    source: Ipv4Addr::new(10, 0, 0, 0),
    destination: Ipv4Addr::new(10, 0, 0, 1),
};

fn control() -> Control {
    Control {
        state: State::Up,
        diagnostic: Diagnostic::TimeExpired,
        poll: true,
        is_final: false,
        demand: false,
        multiplier: NonZeroU8::new(3).unwrap(),
        my_discriminator: NonZeroU32::new(0x0102_0304).unwrap(),
        your_discriminator: NonZeroU32::new(0x0506_0708),
        min_tx_us: 3300,
        min_rx_us: 0x0001_0000,
    }
}

fn any_control() -> impl Strategy<Value = Control> {
    const STATES: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];
    let flags = any::<(bool, bool, bool)>();
    let numbers = (1..=u8::MAX, 1..=u32::MAX, any::<(u32, u32, u32)>());
    (select(&STATES[..]), 0..32_u8, flags, numbers).prop_map(
        |(state, diagnostic, (poll, is_final, demand), (multiplier, my, (your, tx, rx)))| Control {
            state,
            diagnostic: Diagnostic::of(diagnostic),
            poll,
            is_final,
            demand,
            multiplier: NonZeroU8::new(multiplier).unwrap(),
            my_discriminator: NonZeroU32::new(my).unwrap(),
            your_discriminator: NonZeroU32::new(your),
            min_tx_us: tx,
            min_rx_us: rx,
        },
    )
}

/// The figure of RFC 5880 §4.1, byte by byte.
#[test]
fn fields_are_where_the_rfc_has_them() {
    let bytes =
        [0x21, 0xe0, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x0c, 0xe4, 0, 1, 0, 0, 0, 0, 0, 0_u8];
    assert_eq!(control().emit().as_bytes(), bytes);
    assert_eq!(Control::parse(&bytes), Ok(control()));
}

#[test]
fn numbers_are_those_of_the_rfc() {
    assert_eq!(
        [State::AdminDown, State::Down, State::Init, State::Up].map(|it| it as u8),
        [0, 1, 2, 3]
    );
    for number in 0..=255 {
        assert_eq!(Diagnostic::of(number).number(), number & 0x1f);
    }
    assert_eq!(Diagnostic::AdminDown.number(), 7);
    for (index, reason) in Refused::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, index, "{}", reason.name());
    }
}

/// Rules of RFC 5880 §6.8.6: what is changed in a good packet, and why it is refused then.
#[test]
fn each_rule_refuses_what_breaks_it() {
    type Damage = fn(&mut Bfd);
    let rows: [(Damage, Refused); 13] = [
        (|bfd| bfd.version_diagnostic = 0x01, Refused::Version),
        (|bfd| bfd.version_diagnostic = 0x41, Refused::Version),
        (|bfd| bfd.len = 0, Refused::Length),
        (|bfd| bfd.len = 23, Refused::Length),
        (|bfd| bfd.len = 29, Refused::Length),
        (|bfd| bfd.multiplier = 0, Refused::Multiplier),
        (|bfd| bfd.state_flags |= 0x01, Refused::Multipoint),
        (|bfd| bfd.my_discriminator = 0.into(), Refused::MyDiscriminator),
        // With authentication the least length is 26.
        (|bfd| bfd.state_flags |= 0x04, Refused::Length),
        (|bfd| (bfd.state_flags, bfd.len) = (bfd.state_flags | 0x04, 25), Refused::Length),
        (|bfd| (bfd.state_flags, bfd.len) = (bfd.state_flags | 0x04, 28), Refused::Authentication),
        (|bfd| (bfd.len, bfd.multiplier) = (99, 0), Refused::Length),
        (|bfd| (bfd.multiplier, bfd.state_flags) = (0, 0xe1), Refused::Multiplier),
    ];
    for (damage, reason) in rows {
        let mut bfd = control().emit();
        damage(&mut bfd);
        let payload = [bfd.as_bytes(), &[0; 4]].concat();
        assert_eq!(Control::parse(&payload), Err(reason), "{bfd:?}");
    }
    let whole = control().emit();
    for len in 0..whole.as_bytes().len() {
        assert_eq!(Control::parse(&whole.as_bytes()[..len]), Err(Refused::Length));
    }
}

#[test]
fn frames_of_others_and_damaged_ones_are_refused() {
    let good = encapsulate(&ENDS, &control());
    assert_eq!(read(&good).map(|it| it.control), Ok(control()));
    let rows: [(usize, u8, Refused); 8] = [
        (13, 0x06, Refused::Foreign),  // ARP
        (20, 0x20, Refused::Foreign),  // a fragment
        (23, 0x06, Refused::Foreign),  // TCP, whose header is not whole
        (37, 0xc9, Refused::Foreign),  // port 3785: echo
        (39, 0xff, Refused::Foreign),  // a UDP length beyond the datagram
        (22, 0xfe, Refused::HopLimit), // RFC 5881 §5
        (25, 0x00, Refused::Checksum),
        (65, 0x01, Refused::Checksum),
    ];
    for (at, value, reason) in rows {
        let mut frame = good;
        assert_ne!(frame[at], value);
        frame[at] = value;
        assert_eq!(read(&frame), Err(reason), "byte {at}");
    }
    // No checksum at all is allowed (RFC 768), and so is padding.
    let mut bare = [0; 80];
    bare[..FRAME_LEN].copy_from_slice(&good);
    bare[40..42].fill(0);
    assert_eq!(read(&bare).map(|it| it.control), Ok(control()));
}

proptest! {
    #[test]
    fn packets_survive_the_wire(control in any_control()) {
        prop_assert_eq!(Control::parse(control.emit().as_bytes()), Ok(control));
        let received = read(&encapsulate(&ENDS, &control)).unwrap();
        prop_assert_eq!(received.control, control);
        prop_assert_eq!((received.source, received.destination), (ENDS.source, ENDS.destination));
    }

    #[test]
    fn etherparse_agrees_on_the_frame(control in any_control(), source: u32, destination: u32) {
        let ends = Ends { source: source.into(), destination: destination.into(), ..ENDS };
        let frame = encapsulate(&ends, &control);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = sliced.net else { panic!("no IPv4") };
        let header = ip.header().to_header();
        prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
        prop_assert_eq!((header.time_to_live, header.source), (255, ends.source.octets()));
        let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
        prop_assert_eq!(udp.destination_port(), PORT);
        prop_assert_eq!(udp.source_port(), source_port(control.my_discriminator));
        prop_assert!(udp.source_port() >= 49152);
        let expected = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
        prop_assert_eq!(udp.checksum(), expected);
        let packet = control.emit();
        prop_assert_eq!(udp.payload(), packet.as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in vec(any::<u8>(), 0..90), at in 0..FRAME_LEN, value: u8, len in 0..=FRAME_LEN,
    ) {
        let _ = (read(&bytes), Control::parse(&bytes));
        let mut frame = encapsulate(&ENDS, &control());
        frame[at] = value;
        let _ = read(&frame[..len]);
        let mut bfd = [0; 24];
        bfd.copy_from_slice(&frame[42..]);
        if let Ok(control) = Control::parse(&bfd) {
            // Bits that are not read are sent as zero: C, and the echo interval.
            bfd[1] &= !0x08;
            bfd[20..].fill(0);
            let emitted = control.emit();
            prop_assert_eq!(emitted.as_bytes(), bfd);
        }
    }
}
