//! The network of a world: stations that send frames to each other, plugs that can be pulled, and
//! ways between two stations that lose, repeat, delay and reorder.
//!
//! A frame that is sent now arrives at the next instant at the earliest. Who is sent it follows from
//! its addresses, and for users' packets from the table that the real router writes. Refused: what
//! finds a full inbox is gone, as in a full ring.

use crate::dice::Dice;
use crate::middle::Middle;
use allocation_counter::opt_out;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD};
use dataplane::identity::Mac;
use dataplane::port::{Port, PortStats};
use dataplane::switch::Fib;
use krononat::replicate::message;
use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

const FRAME_MAX: usize = 1536;

/// Frames an inbox holds, if nothing else is said.
const INBOX: usize = 256;

/// Messages between cores that are remembered, to be replayed.
const REMEMBERED: usize = 64;

/// A frame in its buffer, with what the wire knows of it.
pub(crate) struct Packet {
    len: usize,
    pub(crate) from: usize,
    pub(crate) sent_at: Nanos,
    data: [u8; FRAME_MAX],
}

pub(crate) type Handle = Box<Packet>;

impl Frame for Handle {
    fn len(&self) -> usize {
        self.len
    }
    fn set_len(&mut self, len: usize) {
        assert!(len <= FRAME_MAX, "a frame of {len} bytes");
        self.len = len;
    }
    fn bytes(&self) -> &[u8] {
        &self.data[..self.len]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data[..self.len]
    }
    fn head(&self) -> &[u8; HEAD] {
        self.data.first_chunk().expect("the buffer is longer than its head")
    }
    fn head_mut(&mut self) -> &mut [u8; HEAD] {
        self.data.first_chunk_mut().expect("the buffer is longer than its head")
    }
}

/// What is wrong with the way from one station to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) lost_permille: u32,
    pub(crate) twice_permille: u32,
    pub(crate) late_permille: u32,
    pub(crate) late_max: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plug {
    pub(crate) rx: bool,
    pub(crate) tx: bool,
}

impl Plug {
    pub(crate) const IN: Plug = Plug { rx: true, tx: true };
}

/// A frame under way for longer than an instant.
struct Late {
    due: Nanos,
    number: u64,
    to: usize,
    frame: Handle,
}

impl PartialEq for Late {
    fn eq(&self, other: &Late) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Late {}
impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Late) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Late {
    fn cmp(&self, other: &Late) -> Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

pub(crate) struct Net {
    now: Nanos,
    cores: usize,
    fib: Arc<Fib>,
    pool: Vec<Handle>,
    inboxes: Vec<VecDeque<Handle>>,
    pub(crate) inbox_max: usize,
    soon: VecDeque<(usize, Handle)>,
    late: BinaryHeap<Reverse<Late>>,
    lates: u64,
    plugs: Vec<Plug>,
    troubles: Vec<Trouble>,
    dice: Dice,
    /// Frames each station has sent.
    pub(crate) sent: Vec<u64>,
    /// Messages that cores have received, with the core.
    remembered: VecDeque<(usize, Vec<u8>)>,
    pub(crate) remembers: bool,
    pub(crate) middle: Middle,
}

impl Net {
    /// As many cores, then the host, then the router. `fib` is where the host's packets go.
    pub(crate) fn new(cores: usize, fib: Arc<Fib>, seed: u64) -> Net {
        let stations = cores + 2;
        let inboxes = (0..stations).map(|_| VecDeque::with_capacity(INBOX)).collect();
        Net {
            now: Nanos(0),
            cores,
            fib,
            pool: (0..256).map(|_| blank()).collect(),
            inboxes,
            inbox_max: INBOX,
            soon: VecDeque::with_capacity(1024),
            late: BinaryHeap::with_capacity(1024),
            lates: 0,
            plugs: vec![Plug::IN; stations],
            troubles: vec![Trouble::default(); stations * stations],
            dice: Dice::new(seed),
            sent: vec![0; stations],
            remembered: VecDeque::new(),
            remembers: true,
            middle: Middle::None,
        }
    }

    pub(crate) fn host(&self) -> usize {
        self.cores
    }

    pub(crate) fn router(&self) -> usize {
        self.cores + 1
    }

    pub(crate) fn set_plug(&mut self, station: usize, plug: Plug) {
        self.plugs[station] = plug;
    }

    pub(crate) fn plug(&self, station: usize) -> Plug {
        self.plugs[station]
    }

    pub(crate) fn set_trouble(&mut self, from: usize, to: usize, trouble: Trouble) {
        let stations = self.inboxes.len();
        self.troubles[from * stations + to] = trouble;
    }

    pub(crate) fn has_trouble(&self, from: usize, to: usize) -> bool {
        self.troubles[from * self.inboxes.len() + to] != Trouble::default()
    }

    /// Whether frames delayed on the way to or from a station are still under way.
    pub(crate) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Time passes, and frames arrive.
    pub(crate) fn advance(&mut self, now: Nanos) {
        self.now = now;
        while let Some((to, frame)) = self.soon.pop_front() {
            self.deliver(to, frame);
        }
        while self.late.peek().is_some_and(|Reverse(late)| late.due <= now) {
            let Some(Reverse(late)) = self.late.pop() else { break };
            self.deliver(late.to, late.frame);
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, frame: Handle) {
        let inbox = &mut self.inboxes[to];
        if self.plugs[to].rx && inbox.len() < self.inbox_max {
            inbox.push_back(frame);
        } else {
            self.pool.push(frame);
        }
    }

    /// Takes what has arrived at a station away from it.
    pub(crate) fn take_inbox(&mut self, station: usize) -> VecDeque<Handle> {
        std::mem::take(&mut self.inboxes[station])
    }

    pub(crate) fn put_inbox(&mut self, station: usize, inbox: VecDeque<Handle>) {
        let left = std::mem::replace(&mut self.inboxes[station], inbox);
        self.pool.extend(left);
    }

    /// Empties the inbox of a station that nobody serves.
    pub(crate) fn drain(&mut self, station: usize) {
        self.pool.extend(self.inboxes[station].drain(..));
    }

    pub(crate) fn blank(&mut self) -> Handle {
        self.pool.pop().unwrap_or_else(blank)
    }

    pub(crate) fn give_back(&mut self, frame: Handle) {
        self.pool.push(frame);
    }

    /// Messages that a core has received, in any of its lives.
    pub(crate) fn remembered_by(&self, core: usize) -> impl Iterator<Item = &[u8]> {
        let its = self.remembered.iter().filter(move |(at, _)| *at == core);
        its.map(|(_, bytes)| bytes.as_slice())
    }

    pub(crate) fn send(&mut self, from: usize, mut frame: Handle) {
        self.sent[from] += 1;
        (frame.from, frame.sent_at) = (from, self.now);
        let to = self.route(from, frame.head()).filter(|_| self.plugs[from].tx);
        match to {
            Some(to) => self.carry(from, to, frame),
            None => self.pool.push(frame),
        }
    }

    fn route(&mut self, from: usize, head: &[u8; HEAD]) -> Option<usize> {
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        match (head[30], head[31]) {
            (10, 1) => Some(usize::from(head[32])),
            (10, 9) => Some(self.router()),
            _ if from != self.host() => Some(self.host()),
            _ => match self.middle.misroutes(word(26), word(30), &mut self.dice) {
                Some(core) => Some(core),
                None => self.fib.route(word(26), word(30)).map(|port| usize::from(port.0)),
            },
        }
    }

    fn carry(&mut self, from: usize, to: usize, mut frame: Handle) {
        if to < self.cores {
            frame.head_mut()[..6].copy_from_slice(&Mac::of(1, to as u16, 0).0);
        }
        if self.middle != Middle::None && !self.middle.passes(from, to, &mut frame, &mut self.dice)
        {
            return self.pool.push(frame);
        }
        let trouble = self.troubles[from * self.inboxes.len() + to];
        if trouble == Trouble::default() {
            return self.soon.push_back((to, frame));
        }
        if self.dice.permille(trouble.lost_permille) {
            return self.pool.push(frame);
        }
        if self.dice.permille(trouble.twice_permille) {
            let mut copy = self.blank();
            copy.data[..frame.len].copy_from_slice(frame.bytes());
            (copy.len, copy.from, copy.sent_at) = (frame.len, frame.from, frame.sent_at);
            self.delay(to, copy, trouble);
        }
        self.delay(to, frame, trouble);
    }

    fn delay(&mut self, to: usize, frame: Handle, trouble: Trouble) {
        if trouble.late_max == Nanos(0) || !self.dice.permille(trouble.late_permille) {
            return self.soon.push_back((to, frame));
        }
        let due = self.now + Nanos(self.dice.within(1..trouble.late_max.0));
        self.lates += 1;
        self.late.push(Reverse(Late { due, number: self.lates, to, frame }));
    }

    fn receive(&mut self, station: usize, into: &mut Burst<Handle>) {
        let count = into.remaining_capacity().min(self.inboxes[station].len());
        for frame in self.inboxes[station].drain(..count) {
            if self.remembers && station < self.cores && is_message(frame.head()) {
                if self.remembered.len() == REMEMBERED {
                    let at = self.dice.below(REMEMBERED);
                    self.remembered[at] = (station, frame.bytes().to_vec());
                } else {
                    self.remembered.push_back((station, frame.bytes().to_vec()));
                }
                self.remembers = false;
            }
            into.push(frame);
        }
    }
}

fn blank() -> Handle {
    Box::new(Packet { len: 0, from: 0, sent_at: Nanos(0), data: [0; FRAME_MAX] })
}

/// Whether this is a message between cores.
pub(crate) fn is_message(head: &[u8; HEAD]) -> bool {
    head[23] == 17 && head[36..38] == message::PORT.to_be_bytes()
}

/// A station's port.
pub(crate) struct Wire {
    pub(crate) net: Rc<RefCell<Net>>,
    pub(crate) station: usize,
}

/// What the network allocates is not the core's.
impl Port for Wire {
    type Frame = Handle;

    fn rx(&mut self, into: &mut Burst<Handle>) {
        opt_out(|| self.net.borrow_mut().receive(self.station, into));
    }

    fn tx(&mut self, burst: &mut Burst<Handle>) -> usize {
        let (mut net, count) = (self.net.borrow_mut(), burst.len());
        opt_out(|| burst.drain(..).for_each(|frame| net.send(self.station, frame)));
        count
    }

    fn alloc(&mut self, into: &mut Burst<Handle>, count: usize) {
        let mut net = self.net.borrow_mut();
        opt_out(|| into.extend((0..count).map(|_| net.blank())));
    }

    fn free(&mut self, burst: &mut Burst<Handle>) {
        let mut net = self.net.borrow_mut();
        opt_out(|| net.pool.extend(burst.drain(..)));
    }

    fn room(&mut self) -> usize {
        usize::MAX
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }
}
