//! What a cluster has a pipeline do beside its packets: serve a shard or cease to, and keep the
//! connections of one that another core serves.

use super::Pipeline;
use crate::connections::{Connections, Copied};
use crate::shard::{Part, Shard};
use crate::timer::Tick;
use dataplane::frame::HEAD;
use dataplane::wire::Plain;

impl Pipeline {
    /// The core's shards.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The core's connections, to be written by others than its packets.
    pub fn connections_mut(&mut self) -> &mut Connections {
        &mut self.connections
    }

    /// Begins or ceases to serve a shard, from the next burst on.
    pub fn serve(&mut self, part: Part, served: bool) {
        self.shard.serve(part, served);
    }

    /// Lets a shard that is served take new connections, or not.
    pub fn open_for(&mut self, part: Part, opens: bool) {
        self.shard.open_for(part, opens);
    }

    /// The shard of a packet that is not served here.
    pub fn unserved(&self, head: &[u8; HEAD]) -> Option<Part> {
        let is_ipv4 = head[12..14] == [0x08, 0x00];
        let packet = Plain::read(head);
        let (source, destination) = (packet.source.address(), packet.destination.address());
        self.shard.unserved(source, destination).filter(|_| is_ipv4)
    }

    /// Keeps a connection as another core tells of it; `false`: it cannot be kept.
    pub fn restore(&mut self, copy: &Copied, spare: u16, now: Tick) -> bool {
        let subscriber = self.shard.subscriber(copy.inside.endpoint().address());
        let restored = subscriber.map(|it| self.connections.restore(copy, it, spare, now));
        matches!(restored, Some(Ok(())))
    }
}
