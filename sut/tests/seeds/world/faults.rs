//! What is done to a world: servers that start and end, ways that are cut, and all of it mended.

use super::setting::config;
use super::{MS, NEAR, Server, World};
use crate::net::{Plug, Trouble, Wire};
use crate::schedule::Fault;
use krononat::cluster::Cluster;
use krononat::worker::{Counters, Krononat, pipeline};
use std::sync::Arc;

impl World {
    pub(super) fn start(&mut self, at: usize) {
        let config = config(at, &self.shards);
        let pipeline = pipeline(&config, &config.cores[0]).expect("a core");
        self.starts += 1;
        let random = self.seed << 16 | self.starts;
        let cluster = Cluster::new(&config, &config.cores[0], pipeline.shard(), random);
        let port = Wire { net: self.net.clone(), station: at };
        let core = Krononat::new(port, pipeline, Arc::new(Counters::default()));
        self.net.borrow_mut().drain(at);
        let server = &mut self.servers[at];
        *server = Server {
            core: Some(Box::new(core.with_cluster(cluster))),
            incarnation: self.starts,
            troubled_at: self.now,
            cut_at: server.cut_at,
            ..Server::none()
        };
    }

    pub(super) fn kill(&mut self, at: usize) {
        let cut_at = self.servers[at].cut_at;
        self.servers[at] = Server { troubled_at: self.now, cut_at, ..Server::none() };
        self.net.borrow_mut().drain(at);
    }

    pub(super) fn apply(&mut self, fault: Fault) {
        let ms = self.now.0 as f64 / MS as f64;
        self.trace.push(format!("{ms:9.2} ms  {fault:?}"));
        self.near_until = self.now + NEAR;
        match fault {
            Fault::Kill(at) => self.kill(at),
            Fault::Start(at) => {
                let server = &self.servers[at];
                if server.core.is_none() || server.leaving {
                    self.kill(at);
                    self.start(at);
                }
            }
            Fault::Leave(at) => {
                let (now, server) = (self.now, &mut self.servers[at]);
                if let Some(core) = &mut server.core {
                    core.leave(now);
                    server.leaving = true;
                }
            }
            Fault::Hang(at) => self.servers[at].asleep = self.servers[at].core.is_some(),
            Fault::Wake(at) => self.servers[at].asleep = false,
            Fault::HangRouter => self.router_asleep = true,
            Fault::WakeRouter => self.router_asleep = false,
            Fault::Plug(at, plug) => self.net.borrow_mut().set_plug(at, plug),
            Fault::Trouble(from, to, trouble) => {
                self.net.borrow_mut().set_trouble(from, to, trouble);
            }
        }
    }

    /// All that is broken is mended, and who is not there is started.
    pub(super) fn heal(&mut self) {
        let count = self.servers.len();
        self.trace.push(format!("{:9.2} ms  all is mended", self.now.0 as f64 / MS as f64));
        self.router_asleep = false;
        for at in 0..count {
            self.net.borrow_mut().set_plug(at, Plug::IN);
            for other in 0..count + 2 {
                self.net.borrow_mut().set_trouble(at, other, Trouble::default());
                self.net.borrow_mut().set_trouble(other, at, Trouble::default());
            }
            self.servers[at].asleep = false;
            if self.servers[at].core.is_none() || self.servers[at].leaving {
                self.kill(at);
                self.start(at);
            }
        }
    }
}
