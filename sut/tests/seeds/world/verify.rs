//! What must work in the end, and what strangers must not achieve meanwhile.

use super::World;
use crate::checks::strangers::{Fingerprint, forged};
use crate::checks::{Checked, ensure};
use crate::net::Plug;
use crate::packet::ACK;
use crate::traffic::Stage;
use dataplane::frame::Frame;
use dataplane::worker::Worker;

impl World {
    /// Every session still works, and so do new ones.
    pub(super) fn verify(&mut self) -> Checked {
        let open = |it: &World, session: usize| {
            let stage = it.traffic.sessions[session].stage;
            matches!(stage, Stage::Established)
        };
        let sessions: Vec<usize> =
            (0..self.traffic.sessions.len()).filter(|&it| open(self, it)).collect();
        for group in sessions.chunks(16) {
            for outbound in [true, false] {
                let sent_at = self.now;
                let these: Vec<usize> =
                    group.iter().copied().filter(|&it| open(self, it)).collect();
                for &session in &these {
                    self.transmit(self.traffic.fields(session, outbound, ACK));
                }
                (0..6).try_for_each(|_| self.step())?;
                for session in these.into_iter().filter(|&it| open(self, it)) {
                    let mapping = self.traffic.sessions[session].mapping;
                    let shard = self.traffic.mappings[mapping].shard;
                    let core = self.view.shards[shard].cores[0];
                    if self.checks.established.came_at(session) < sent_at {
                        self.checks.established.lost(session, core, &self.view, &self.traffic)?;
                        let settled = self.checks.established.settled_at(session);
                        ensure(!self.checks.prompt.is_promised(settled), "prompt", || {
                            format!("session {session} of shard {shard} is lost")
                        })?;
                    }
                }
            }
        }
        for shard in 0..self.shards.len() {
            let session = self.traffic.open_apart(shard, &mut self.dice, self.now);
            for _ in 0..40 {
                let fields = self.traffic.next(session, &mut self.dice);
                self.transmit(fields);
                (0..3).try_for_each(|_| self.step())?;
            }
            let stage = self.traffic.sessions[session].stage;
            let came = matches!(stage, Stage::Established | Stage::Closing);
            ensure(came, "service", || format!("nothing new opens in shard {shard}: {stage:?}"))?;
        }
        Ok(())
    }

    /// A stranger tries to be heard.
    pub(super) fn insult(&mut self) -> Checked {
        let at = self.dice.below(self.servers.len());
        let (now, server) = (self.now, &mut self.servers[at]);
        let Some(core) = server.core.as_mut().filter(|core| !server.asleep && core.waiting() == 0)
        else {
            return Ok(());
        };
        let (bytes, how) = forged(&mut self.dice, at, self.net.borrow().remembered_by(at));
        let inbox = self.net.borrow_mut().take_inbox(at);
        core.step(now);
        let before = Fingerprint::of(core);
        {
            let mut net = self.net.borrow_mut();
            let mut frame = net.blank();
            frame.set_len(bytes.len());
            frame.bytes_mut().copy_from_slice(&bytes);
            let plug = net.plug(at);
            net.set_plug(at, Plug::IN);
            net.deliver(at, frame);
            net.set_plug(at, plug);
        }
        core.step(now);
        let checked = Fingerprint::of(core).same_as(&before, at, how);
        self.net.borrow_mut().put_inbox(at, inbox);
        checked
    }
}
