//! BFD control packets (RFC 5880 §4.1) and the frames they travel in (RFC 5881).
//!
//! [`Control`] is the mandatory section of 24 bytes as far as asynchronous sessions need it. What
//! it cannot hold was refused when it was read: [`Control::parse`] applies those rules of RFC 5880
//! §6.8.6 that need no session, [`crate::bfd::Session::receive`] the others, and each has its own
//! [`Refused`] reason to be counted by. [`encapsulate`] and [`read`] do the same for whole frames.
//!
//! Authentication is refused, and so is multipoint (RFC 8562). The echo function is not offered:
//! its interval is sent as zero and not read, which forbids it (§6.8.9). Neither is independence
//! from the control plane, whose bit (C) stays clear.

mod frame;

use std::num::{NonZeroU8, NonZeroU32};
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use frame::{Ends, FRAME_LEN, PORT, Received, encapsulate, read, source_port};

/// Bytes of the mandatory section.
pub const PACKET_LEN: usize = 24;

/// Least length of a packet with an authentication section (RFC 5880 §6.8.6).
const AUTHENTICATED_LEN_MIN: u8 = 26;

const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The mandatory section, as it lies in a frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Bfd {
    /// Version in the upper three bits, diagnostic in the others.
    pub version_diagnostic: u8,
    /// State in the upper two bits, then the flags P, F, C, A, D and M.
    pub state_flags: u8,
    /// Detection time multiplier.
    pub multiplier: u8,
    /// Bytes of the packet, the authentication section included.
    pub len: u8,
    /// Sender's discriminator.
    pub my_discriminator: U32,
    /// Receiver's discriminator, as far as the sender knows it.
    pub your_discriminator: U32,
    /// Desired minimum transmit interval in microseconds.
    pub min_tx_us: U32,
    /// Required minimum receive interval in microseconds.
    pub min_rx_us: U32,
    /// Required minimum receive interval of echo packets in microseconds.
    pub min_echo_rx_us: U32,
}

const _: () = assert!(size_of::<Bfd>() == PACKET_LEN);

/// State of a session (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Held down by its owner.
    AdminDown = 0,
    /// Not, or not any more, in touch with the other end.
    Down = 1,
    /// Hears the other end, but does not know yet whether it is heard.
    Init = 2,
    /// Both ends hear each other.
    Up = 3,
}

impl State {
    fn of(state_flags: u8) -> State {
        match state_flags >> 6 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }
}

/// Why a session last changed its state (RFC 5880 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Diagnostic {
    /// No reason.
    None,
    /// Nothing was heard for a detection time.
    TimeExpired,
    /// Echo function failed.
    EchoFailed,
    /// The other end said that it is down.
    NeighborSignaledDown,
    /// Forwarding plane was reset.
    ForwardingReset,
    /// Path down.
    PathDown,
    /// Concatenated path down.
    ConcatenatedPathDown,
    /// Held down by its owner.
    AdminDown,
    /// Reverse concatenated path down.
    ReverseConcatenatedPathDown,
    /// A number that RFC 5880 reserves: 9 to 31.
    Reserved(u8),
}

impl Diagnostic {
    /// From the lower five bits of a number.
    pub fn of(number: u8) -> Diagnostic {
        match number & 0x1f {
            0 => Self::None,
            1 => Self::TimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdminDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Reserved(other),
        }
    }

    /// The number, below 32.
    pub fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::TimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdminDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Reserved(number) => number & 0x1f,
        }
    }
}

/// Why a control packet was not taken. Each reason is worth a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum Refused {
    /// No whole UDP datagram over IPv4 to port 3784.
    #[error("no UDP datagram to port 3784")]
    Foreign,
    /// It has passed a router, or may have: TTL is not 255 (RFC 5881 §5).
    #[error("TTL is not 255")]
    HopLimit,
    /// Damaged: a checksum of IPv4 or UDP is wrong.
    #[error("wrong checksum")]
    Checksum,
    /// Another version than 1.
    #[error("another version than 1")]
    Version,
    /// Length below 24, or 26 with authentication, or beyond the datagram.
    #[error("length below the least or beyond the datagram")]
    Length,
    /// Multiplier is zero.
    #[error("detection time multiplier is zero")]
    Multiplier,
    /// Multipoint bit is set.
    #[error("multipoint bit is set")]
    Multipoint,
    /// The sender's discriminator is zero.
    #[error("sender's discriminator is zero")]
    MyDiscriminator,
    /// Has an authentication section, while none is in use.
    #[error("authentication, which is not in use")]
    Authentication,
    /// The receiver's discriminator is that of no session here.
    #[error("receiver's discriminator is of another session")]
    OtherSession,
    /// The receiver's discriminator is zero, but the state claims to know it.
    #[error("receiver's discriminator is zero in state Init or Up")]
    YourDiscriminator,
}

impl Refused {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Self; 11] = [
        Self::Foreign,
        Self::HopLimit,
        Self::Checksum,
        Self::Version,
        Self::Length,
        Self::Multiplier,
        Self::Multipoint,
        Self::MyDiscriminator,
        Self::Authentication,
        Self::OtherSession,
        Self::YourDiscriminator,
    ];

    /// Name of the reason's counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreign => "bfd_foreign",
            Self::HopLimit => "bfd_hop_limit",
            Self::Checksum => "bfd_checksum",
            Self::Version => "bfd_version",
            Self::Length => "bfd_length",
            Self::Multiplier => "bfd_multiplier",
            Self::Multipoint => "bfd_multipoint",
            Self::MyDiscriminator => "bfd_my_discriminator",
            Self::Authentication => "bfd_authentication",
            Self::OtherSession => "bfd_other_session",
            Self::YourDiscriminator => "bfd_your_discriminator",
        }
    }
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control {
    /// State of the sender's session.
    pub state: State,
    /// Why it is in that state.
    pub diagnostic: Diagnostic,
    /// P: the sender wants an answer with F.
    pub poll: bool,
    /// F: this is the answer to a packet with P.
    pub is_final: bool,
    /// D: the sender wants no periodic packets while both ends are Up.
    pub demand: bool,
    /// Detection time multiplier of the sender.
    pub multiplier: NonZeroU8,
    /// The sender's discriminator.
    pub my_discriminator: NonZeroU32,
    /// The receiver's discriminator, if the sender knows it.
    pub your_discriminator: Option<NonZeroU32>,
    /// Least interval in microseconds at which the sender wants to send.
    pub min_tx_us: u32,
    /// Least interval in microseconds at which it can receive; zero: nothing periodic, please.
    pub min_rx_us: u32,
}

impl Control {
    /// Reads the payload of a datagram. Total over any bytes. What follows the packet in its
    /// datagram is not looked at.
    ///
    /// # Errors
    /// The first rule of RFC 5880 §6.8.6 that the packet breaks, in the order given there, those
    /// that concern a session aside.
    pub fn parse(payload: &[u8]) -> Result<Control, Refused> {
        let (bfd, _) = Bfd::ref_from_prefix(payload).map_err(|_| Refused::Length)?;
        if bfd.version_diagnostic >> 5 != VERSION {
            return Err(Refused::Version);
        }
        let flag = |bit| bfd.state_flags & bit != 0;
        let least =
            if flag(AUTHENTICATED) { AUTHENTICATED_LEN_MIN } else { const { PACKET_LEN as u8 } };
        if bfd.len < least || usize::from(bfd.len) > payload.len() {
            return Err(Refused::Length);
        }
        let multiplier = NonZeroU8::new(bfd.multiplier).ok_or(Refused::Multiplier)?;
        if flag(MULTIPOINT) {
            return Err(Refused::Multipoint);
        }
        let my_discriminator =
            NonZeroU32::new(bfd.my_discriminator.get()).ok_or(Refused::MyDiscriminator)?;
        if flag(AUTHENTICATED) {
            return Err(Refused::Authentication);
        }
        Ok(Control {
            state: State::of(bfd.state_flags),
            diagnostic: Diagnostic::of(bfd.version_diagnostic),
            poll: flag(POLL),
            is_final: flag(FINAL),
            demand: flag(DEMAND),
            multiplier,
            my_discriminator,
            your_discriminator: NonZeroU32::new(bfd.your_discriminator.get()),
            min_tx_us: bfd.min_tx_us.get(),
            min_rx_us: bfd.min_rx_us.get(),
        })
    }

    /// The packet as it goes into a datagram.
    pub fn emit(&self) -> Bfd {
        let flag = |set, bit| if set { bit } else { 0 };
        Bfd {
            version_diagnostic: VERSION << 5 | self.diagnostic.number(),
            state_flags: (self.state as u8) << 6
                | flag(self.poll, POLL)
                | flag(self.is_final, FINAL)
                | flag(self.demand, DEMAND),
            multiplier: self.multiplier.get(),
            len: PACKET_LEN as u8,
            my_discriminator: self.my_discriminator.get().into(),
            your_discriminator: self.your_discriminator.map_or(0, NonZeroU32::get).into(),
            min_tx_us: self.min_tx_us.into(),
            min_rx_us: self.min_rx_us.into(),
            min_echo_rx_us: 0.into(),
        }
    }
}
