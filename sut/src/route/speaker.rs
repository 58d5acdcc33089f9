//! A core's end of BGP: a session, the connection below it, and the prefixes of the core's shards.

use super::bgp::{Community, Preference, SEND_MIN, Session, State};
use super::{bgp, tcp};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD};
use dataplane::identity::Identity;
use ipnet::Ipv4Net;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;
use std::net::Ipv4Addr;

/// Time between two attempts to connect; RFC 4271 §10 suggests two minutes, in which nobody would be
/// served.
const RETRY: Nanos = Nanos(1_000_000_000);

/// How long the router may take to close its end.
const CLOSE_WITHIN: Nanos = Nanos(1_000_000_000);

/// Bytes handed from the session to the connection at once.
const CHUNK: usize = 512;

const _: () = assert!(CHUNK >= SEND_MIN);

/// What a speaker needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What the core is on the network.
    pub me: Identity,
    /// Its AS number.
    pub asn: u32,
    /// The router.
    pub router: Ipv4Addr,
    /// The router's AS number, which is another.
    pub router_asn: u32,
    /// Hold time to propose, in seconds.
    pub hold_s: u16,
    /// Whether the router must send with a time to live of 255 (RFC 5082).
    pub ttl_security: bool,
}

/// A prefix, and how it is marked for the router's policy.
pub type Prefix = (Ipv4Net, Option<Community>);

struct Shard {
    prefixes: Vec<Prefix>,
    said: Option<Preference>,
}

/// A core's end of BGP.
pub struct Speaker {
    session: Session,
    connection: tcp::Connection,
    shards: Vec<Shard>,
    /// Whether there is to be a session.
    wanted: bool,
    /// The connection that stands has its session, or has had it.
    begun: bool,
    /// Not before that is the next connection opened.
    retry_at: Nanos,
    /// Since when the connection is being closed.
    closing: Option<Nanos>,
    random: SplitMix64,
}

impl Speaker {
    /// One that does not speak yet, for shards with these prefixes. `seed` must differ from start to
    /// start.
    pub fn new(settings: Settings, shards: Vec<Vec<Prefix>>, seed: u64) -> Speaker {
        let Settings { me, asn, router, router_asn, hold_s, ttl_security } = settings;
        let mut random = SplitMix64::seed_from_u64(seed);
        let session = bgp::Settings { asn, router_asn, address: me.ip, hold_s };
        let prefixes_max = shards.iter().map(Vec::len).sum();
        let shard = |prefixes| Shard { prefixes, said: None };
        Speaker {
            session: Session::new(session, prefixes_max, random.next_u64()),
            connection: tcp::Connection::new(me, router, ttl_security, random.next_u64()),
            shards: shards.into_iter().map(shard).collect(),
            wanted: false,
            begun: false,
            retry_at: Nanos(0),
            closing: None,
            random,
        }
    }

    /// The session, to look at.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What is announced of a shard, or will be as soon as there is a session.
    pub fn said(&self, shard: usize) -> Option<Preference> {
        self.shards[shard].said
    }

    /// Announces a shard with another preference, or withdraws it.
    pub fn say(&mut self, shard: usize, preference: Option<Preference>) {
        let Shard { prefixes, said } = &mut self.shards[shard];
        if *said == preference {
            return;
        }
        *said = preference;
        for &(prefix, community) in prefixes.iter() {
            match preference {
                Some(preference) => {
                    let fits = self.session.announce(prefix, preference, community);
                    assert!(fits, "the session was made with room for all prefixes");
                }
                None => self.session.withdraw(prefix),
            }
        }
    }

    /// Speaks, from now on.
    pub fn begin(&mut self) {
        self.wanted = true;
    }

    /// Announces all routes as about to go away (RFC 8326).
    pub fn leave(&mut self) {
        self.session.set_graceful_shutdown(true);
    }

    /// Ends the session, by telling the router, once it has been told all else.
    pub fn end(&mut self) {
        self.wanted = false;
        if self.session.state() != State::Established || self.session.is_told() {
            self.session.shut_down();
        }
    }

    /// Whether nothing is left to be sent.
    pub fn is_silent(&self) -> bool {
        let closed = matches!(self.connection.status(), tcp::Status::Closed | tcp::Status::Closing);
        self.session.state() == State::Idle && closed
    }

    /// The router is gone (RFC 5882 §4.3): so is the session, and nobody is there to be told.
    pub fn cut(&mut self, now: Nanos) {
        self.session.disconnected();
        self.connection.abort();
        self.retry_at = now + self.pause();
    }

    fn pause(&mut self) -> Nanos {
        Nanos(RETRY.0 - self.random.next_u64() % (RETRY.0 / 4))
    }

    /// Whether a frame of this length that begins so is for the speaker.
    #[inline]
    pub fn is_for(&self, head: &[u8; HEAD], len: usize) -> bool {
        self.connection.is_for(head, len)
    }

    /// Takes a frame for which [`Speaker::is_for`] holds.
    pub fn receive(&mut self, frame: &[u8]) {
        self.connection.receive(frame);
    }

    /// Does what is due; what is to be sent goes from `free` frames to `out`.
    pub fn work<F: Frame>(&mut self, now: Nanos, free: &mut Burst<F>, out: &mut Burst<F>) {
        self.connection.poll(now, free, out);
        self.follow(now);
        // The ring may have to be read in two parts.
        for _ in 0..2 {
            let session = &mut self.session;
            self.connection.read(|bytes| session.receive(bytes, now));
        }
        self.session.expire(now);
        self.write(now);
        // After its last word, which says why.
        if self.begun && self.session.state() == State::Idle {
            self.close(now);
        }
        // What was written is on its way at once.
        self.connection.poll(now, free, out);
    }

    /// Keeps session and connection in step.
    fn follow(&mut self, now: Nanos) {
        use tcp::Status;
        match self.connection.status() {
            Status::Closed => {
                if self.begun || self.session.state() != State::Idle {
                    self.session.disconnected();
                    self.retry_at = now + self.pause();
                }
                (self.begun, self.closing) = (false, None);
                if self.wanted && now >= self.retry_at {
                    self.retry_at = now + self.pause();
                    let port = self.random.next_u64() as u16;
                    self.connection.open(port);
                }
            }
            Status::Opening => {}
            Status::Open if !self.begun => {
                self.begun = true;
                self.session.connected(now);
            }
            Status::Open => {}
            Status::Closing => self.session.disconnected(),
        }
    }

    fn close(&mut self, now: Nanos) {
        self.connection.close();
        let since = *self.closing.get_or_insert(now);
        if now.since(since) > CLOSE_WITHIN {
            self.connection.abort();
        }
    }

    fn write(&mut self, now: Nanos) {
        let mut chunk = [0; CHUNK];
        // What is left over is written at the next look.
        for _ in 0..4 {
            let room = self.connection.room().min(CHUNK);
            if room < SEND_MIN {
                return;
            }
            let len = self.session.send(&mut chunk[..room], now);
            if len == 0 {
                return;
            }
            self.connection.write(&chunk[..len]);
        }
    }
}
