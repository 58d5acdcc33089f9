//! Fragments that come before the first one of their datagram, and wait for it: of IPv4 because RFC
//! 4787 REQ-14a wants it, of IPv6 because there too they are no fault of the sender's.
//!
//! A pool of one burst of frames, each for half a second: reordering is a matter of milliseconds,
//! and a frame that waits is a buffer its port lacks. Where there is no room the oldest makes it, so
//! that nobody who sends later fragments alone can keep others out for long; of one source's there
//! are never more than a quarter of the pool, the oldest of which makes room for its next. What is
//! held has one of three ends, each of them counted: it follows its first fragment when that has
//! passed, is dropped as an orphan when its time is over, or dropped to make room.
//!
//! The pool belongs to whoever feeds the pipeline, since the frames are those of its port.

use super::Pipeline;
use crate::firewall6::{self, Early};
use crate::timer::{TICK_NS, Tick};
use crate::translate::fragment::{self, DatagramId, Translation};
use crate::verdict::{Drop, Refusal};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::wire::ethernet;
use dataplane::wire::{self, Parsed, Transport};

/// Half a second, and the tick under way.
const HOLD_TICKS: u16 = (500_000_000 / TICK_NS) as u16 + 1;

/// Most frames of one source that wait: a quarter of all.
const OF_ONE_SOURCE: usize = BURST / 4;

/// Frames that wait for the first fragment of their datagram, the oldest in front.
pub struct Held<F> {
    frames: ArrayVec<Waiting<F>, BURST>,
    /// First fragments that had passed when it was last looked for them.
    firsts: u64,
}

struct Waiting<F> {
    frame: F,
    of: Awaited,
    expiry: u16,
}

/// The datagram whose first fragment a frame waits for.
#[derive(Clone, Copy)]
enum Awaited {
    Four(DatagramId),
    Six(Early),
}

/// Who is taken for one sender: an address of IPv4, of IPv6 a subnet, of whose addresses a host may
/// have as many as it likes (RFC 8981).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Four(u32),
    Six(u64),
}

impl Awaited {
    /// Reads what a frame waits for that had [`crate::verdict::Verdict::Held`].
    fn read(frame: &[u8]) -> Option<Awaited> {
        if frame.get(12..14)? == ethernet::IPV6.to_be_bytes() {
            return Early::read(frame).map(Awaited::Six);
        }
        let Ok(Parsed::Ipv4(datagram)) = wire::parse(frame) else { return None };
        let Transport::Fragment(fragment) = datagram.transport else { return None };
        DatagramId::of(&datagram, fragment).ok().map(Awaited::Four)
    }

    fn source(&self) -> Source {
        match self {
            Awaited::Four(of) => Source::Four(of.source()),
            Awaited::Six(early) => Source::Six(early.subnet()),
        }
    }
}

impl<F> Held<F> {
    /// None yet, and never more than [`BURST`].
    pub fn new() -> Held<F> {
        Held { frames: ArrayVec::new(), firsts: 0 }
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Ends the waiting of all, the oldest first: they are the caller's to free.
    pub fn take(&mut self) -> Burst<F> {
        self.frames.drain(..).map(|waiting| waiting.frame).collect()
    }

    /// The frame that makes room for another of `source`, if one has to.
    fn gives_way(&self, source: Source) -> Option<usize> {
        let mut theirs = (0..self.len()).filter(|&at| self.frames[at].of.source() == source);
        let oldest = theirs.next();
        match theirs.count() + 1 >= OF_ONE_SOURCE {
            true => oldest,
            false => self.frames.is_full().then_some(0),
        }
    }
}

impl<F> Default for Held<F> {
    fn default() -> Held<F> {
        Held::new()
    }
}

/// How the waiting of a frame ends.
enum End {
    /// Of IPv4: it becomes what its first fragment did.
    Readdressed(Translation),
    /// Of IPv6: it goes on as it is.
    Passed,
    Dropped(Refusal),
}

impl Pipeline {
    /// Keeps a later fragment, which is as it came; where there is no room, what makes it goes to
    /// `free`.
    #[cold]
    pub(super) fn hold<F: Frame>(
        &mut self,
        frame: F,
        now: Tick,
        held: &mut Held<F>,
        free: &mut Burst<F>,
    ) {
        let of = Awaited::read(frame.bytes()).expect("nothing else is held than later fragments");
        if let Some(at) = held.gives_way(of.source()) {
            free.push(held.frames.remove(at).frame);
            self.counts.dropped[Drop::from(Refusal::HoldFull).index()] += 1;
        }
        held.frames.push(Waiting { frame, of, expiry: now.0.wrapping_add(HOLD_TICKS) });
    }

    /// Ends the waiting of held frames: those whose first fragment has passed move to `send`, in
    /// the order they came in, those whose time is over to `free`. To be called after
    /// [`Pipeline::process`] and now and then; does nothing where nothing can have changed.
    ///
    /// # Panics
    /// When a burst has no room: both should be empty.
    #[inline]
    pub fn release<F: Frame>(
        &mut self,
        held: &mut Held<F>,
        now: Nanos,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        let Some(oldest) = held.frames.first() else { return };
        let now = Tick::at(now);
        let firsts = self.firsts();
        if held.firsts != firsts || now.is_past(oldest.expiry) {
            held.firsts = firsts;
            self.look_through(held, now, send, free);
        }
    }

    /// First fragments that have passed.
    fn firsts(&self) -> u64 {
        self.fragments.firsts() + self.firewall6.as_ref().map_or(0, |six| six.firsts())
    }

    #[cold]
    fn look_through<F: Frame>(
        &mut self,
        held: &mut Held<F>,
        now: Tick,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        let mut at = 0;
        while let Some(waiting) = held.frames.get(at) {
            let Some(end) = self.end(waiting, now) else {
                at += 1;
                continue;
            };
            let mut frame = held.frames.remove(at).frame;
            match end {
                End::Readdressed(first) => {
                    fragment::readdress(frame.bytes_mut(), &first);
                    self.next_hop.address(frame.bytes_mut());
                }
                End::Passed => firewall6::forward(&mut frame, &self.identity),
                End::Dropped(reason) => {
                    self.counts.dropped[Drop::from(reason).index()] += 1;
                    free.push(frame);
                    continue;
                }
            }
            self.counts.forwarded += 1;
            send.push(frame);
        }
    }

    /// `None` while a frame has to wait.
    fn end<F>(&self, waiting: &Waiting<F>, now: Tick) -> Option<End> {
        let end = match &waiting.of {
            Awaited::Four(of) => self.fragments.follow(*of, now).map(End::Readdressed),
            Awaited::Six(early) => {
                let passed = self.firewall6.as_ref().and_then(|six| six.follow(early, now));
                passed.map(|passed| passed.map_or_else(End::Dropped, |()| End::Passed))
            }
        };
        let over = now.is_past(waiting.expiry);
        end.or_else(|| over.then_some(End::Dropped(Refusal::OrphanFragment)))
    }
}
