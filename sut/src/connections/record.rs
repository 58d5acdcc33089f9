//! What the core knows of a connection, in 16 bytes: two words, each compared whole.

use super::sessions::Tenure;
use crate::conntrack::State;
use crate::life::Life;
use dataplane::wire::{ENDPOINT_BITS, Endpoint};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A subscriber's end of its connections, with their protocol: what decides which external port
/// they share (endpoint-independent mapping, RFC 4787 REQ-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside(u64);

impl Inside {
    /// The end `endpoint` of `protocol`. For ICMP queries the port is the identifier.
    #[inline]
    pub fn new(endpoint: Endpoint, protocol: u8) -> Inside {
        Inside(endpoint.bits() | u64::from(protocol) << PROTOCOL_AT)
    }

    /// Address and port.
    #[inline]
    pub fn endpoint(self) -> Endpoint {
        Endpoint::of_bits(self.0)
    }

    /// IPv4 protocol number.
    #[inline]
    pub fn protocol(self) -> u8 {
        (self.0 >> PROTOCOL_AT) as u8
    }

    /// All of it as one number, to be hashed.
    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0
    }
}

const PROTOCOL_AT: u32 = 48;
const STATE_AT: u32 = 56;
const EXPIRY_AT: u32 = 48;
const TENURE_AT: u32 = 32;

/// Set in the state's byte of a mapping whose sessions are elsewhere.
const SHARED: u64 = 1 << 63;
const MAPPING_BITS: u64 = (1 << STATE_AT) - 1;

/// The mapping of an external port, and its session. Zero is "no mapping".
///
/// `mapping` is endpoint, protocol and state; `session` is the remote endpoint and the expiry. A
/// mapping that several sessions share has them in [`super::sessions`], and here their number and
/// its tenure in place of a remote; the flag keeps one from being taken for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(super) struct Record {
    mapping: u64,
    session: u64,
}

const _: () = assert!(size_of::<Record>() == 16);

/// What the record of a shared mapping says of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// How many there are.
    pub(super) count: u32,
    pub(super) tenure: Tenure,
}

impl Record {
    pub(super) const NONE: Record = Record { mapping: 0, session: 0 };

    #[inline]
    pub(super) fn private(inside: Inside, remote: Endpoint, life: Life) -> Record {
        Record {
            mapping: inside.0 | (life.state as u64) << STATE_AT,
            session: remote.bits() | u64::from(life.expiry) << EXPIRY_AT,
        }
    }

    #[inline]
    pub(super) fn shared(inside: Inside, it: Shared) -> Record {
        let session = u64::from(it.count) | u64::from(it.tenure.0) << TENURE_AT;
        Record { mapping: inside.0 | SHARED, session }
    }

    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.mapping == 0
    }

    /// The mapping of `inside`, shared or not.
    #[inline]
    pub(super) fn is_of(&self, inside: Inside) -> bool {
        self.mapping & MAPPING_BITS == inside.0
    }

    /// The mapping of `inside`, with its one session here.
    #[inline]
    pub(super) fn is_private_of(&self, inside: Inside) -> bool {
        self.mapping & (MAPPING_BITS | SHARED) == inside.0
    }

    /// A mapping of `protocol`, with its one session here.
    #[inline]
    pub(super) fn is_private(&self, protocol: u8) -> bool {
        (self.mapping & !(0x7f << STATE_AT)) >> PROTOCOL_AT == u64::from(protocol)
    }

    /// The sessions of a shared mapping.
    #[inline]
    pub(super) fn sessions(&self) -> Option<Shared> {
        let tenure = Tenure((self.session >> TENURE_AT) as u32);
        (self.mapping & SHARED != 0).then_some(Shared { count: self.session as u32, tenure })
    }

    #[inline]
    pub(super) fn inside(&self) -> Inside {
        Inside(self.mapping & MAPPING_BITS)
    }

    #[inline]
    pub(super) fn is_with(&self, remote: Endpoint) -> bool {
        self.session & ENDPOINT_BITS == remote.bits()
    }

    #[inline]
    pub(super) fn remote(&self) -> Endpoint {
        Endpoint::of_bits(self.session)
    }

    /// State and expiry of a session that is here.
    #[inline]
    pub(super) fn life(&self) -> Life {
        let state = State::numbered((self.mapping >> STATE_AT) as u8);
        Life { state, expiry: (self.session >> EXPIRY_AT) as u16 }
    }

    /// Sets state and expiry of a session that is here.
    #[inline]
    pub(super) fn set_life(&mut self, life: Life) {
        self.mapping = self.mapping & MAPPING_BITS | (life.state as u64) << STATE_AT;
        self.set_expiry(life.expiry);
    }

    /// Writes only what changed: a clean line costs no write-back.
    #[inline]
    pub(super) fn set_expiry(&mut self, expiry: u16) {
        if expiry != self.life().expiry {
            self.session = self.session & ENDPOINT_BITS | u64::from(expiry) << EXPIRY_AT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSIDE: u64 = 0x6440_0001;

    #[test]
    fn a_record_is_what_it_was_made_of() {
        let inside = Inside::new(Endpoint::new(INSIDE as u32, 5000), 17);
        let remote = Endpoint::new(0xc000_0201, 53);
        for state in State::ALL {
            for expiry in [0, 1, 0x8000, 0xffff] {
                let life = Life { state, expiry };
                let mut record = Record::private(inside, remote, life);
                assert_eq!(
                    (record.inside(), record.remote(), record.life()),
                    (inside, remote, life)
                );
                assert!(record.is_of(inside) && record.is_private_of(inside));
                assert!(record.is_private(17) && !record.is_private(6) && record.is_with(remote));
                assert_eq!(record.sessions(), None);
                let next = Life { state: State::Closed, expiry: 7 };
                record.set_life(next);
                assert_eq!(record, Record::private(inside, remote, next));
            }
        }
    }

    #[test]
    fn a_shared_mapping_is_never_taken_for_a_private_one() {
        let inside = Inside::new(Endpoint::new(INSIDE as u32, 5000), 1);
        let shared = Shared { count: 2, tenure: Tenure(0xff_ffff) };
        let record = Record::shared(inside, shared);
        assert!(record.is_of(inside) && !record.is_private_of(inside) && !record.is_private(1));
        assert_eq!((record.sessions(), record.inside()), (Some(shared), inside));
        assert!(Record::NONE.is_free() && !record.is_free());
    }
}
