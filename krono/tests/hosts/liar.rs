//! An agent that relays what another one says, and lies about one thing.

use crate::bench::{Agent, KRONO};
use crate::child::line_after;
use krono::agent::wire::agent_client::AgentClient;
use krono::agent::wire::agent_server::{self, AgentServer};
use krono::agent::wire::{
    HelloReply, HelloRequest, Order, ProbeReply, ProbeRequest, Report, report,
};
use serde_json::Value;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

/// About what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Its version.
    Version,
    /// The clock jumps by half a second before the second phase.
    Moved,
    /// The same after the last one.
    MovedAtTheEnd,
    /// Before the second phase a reply takes a minute of its time.
    Longer,
    /// In the second phase, what is told is told to be of a second later.
    Ahead,
    /// In the second phase, the time told stands still.
    Stopped,
    /// The second phase is said to begin at another instant than ordered.
    Start,
}

/// It, while it runs.
pub(crate) struct Running {
    pub(crate) address: String,
    _runtime: Runtime,
    _honest: Agent,
}

/// Starts it, and the agent that it relays.
pub(crate) fn relay(lie: Lie) -> Running {
    let mut command = Command::new(KRONO);
    command.args(["agent", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("krono starts");
    let line = line_after("listening on ", child.stdout.take());
    let address = line.split(' ').next().unwrap_or_default().to_owned();
    let honest = Agent { child, address };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
    let address = runtime.block_on(async {
        let real = AgentClient::connect(format!("http://{}", honest.address)).await.expect("it");
        let liar = Liar { lie, real, probes: Arc::default() };
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("one")).expect("a port");
        let address = incoming.local_addr().expect("an address");
        let service = AgentServer::new(liar);
        tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
        address.to_string()
    });
    Running { address, _runtime: runtime, _honest: honest }
}

struct Liar {
    lie: Lie,
    real: AgentClient<Channel>,
    probes: Arc<AtomicU64>,
}

/// Probes before each phase, and after the last.
const PROBES: u64 = 16;

#[tonic::async_trait]
impl agent_server::Agent for Liar {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let mut reply = self.real.clone().hello(request.into_inner()).await?;
        if self.lie == Lie::Version {
            reply.get_mut().version = "0.0.0 (of another tree)".to_owned();
        }
        Ok(reply)
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let mut reply = self.real.clone().probe(ProbeRequest {}).await?;
        let times = reply.get_mut();
        let round = self.probes.fetch_add(1, Ordering::Relaxed) / PROBES;
        let jump_ns = match self.lie {
            Lie::Moved if round >= 1 => 500_000_000,
            Lie::MovedAtTheEnd if round >= 2 => 500_000_000,
            _ => 0,
        };
        times.received_ns += jump_ns;
        times.sent_ns += jump_ns;
        if self.lie == Lie::Longer && round >= 1 {
            times.sent_ns += Duration::from_secs(60).as_nanos() as u64;
        }
        Ok(reply)
    }

    type RunStream = Pin<Box<dyn Stream<Item = Result<Report, Status>> + Send>>;

    async fn run(
        &self,
        request: Request<Streaming<Order>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let orders = request.into_inner().map_while(Result::ok);
        let reports = self.real.clone().run(orders).await?.into_inner();
        let (lie, second, stood) = (self.lie, AtomicBool::new(false), AtomicU64::new(0));
        let reports = reports.map(move |report| {
            let mut report = report?;
            if let Some(report::Report::Line(line)) = &mut report.report {
                *line = told(lie, line, &second, &stood);
            }
            Ok(report)
        });
        Ok(Response::new(Box::pin(reports)))
    }
}

/// A line of the program as the liar tells it; `second` once the second phase has begun.
fn told(lie: Lie, line: &str, second: &AtomicBool, stood: &AtomicU64) -> String {
    let mut line: Value = serde_json::from_str(line).expect("JSON");
    if line["begins"]["phase"] == 1 {
        second.store(true, Ordering::Relaxed);
        if lie == Lie::Start {
            let start = line["begins"]["start"].as_u64().expect("an instant");
            line["begins"]["start"] = (start + 1).into();
        }
    }
    if let Some(now) = line["sample"]["now"].as_u64().filter(|_| second.load(Ordering::Relaxed)) {
        let _ = stood.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        line["sample"]["now"] = match lie {
            Lie::Ahead => now + 1_000_000_000,
            Lie::Stopped => stood.load(Ordering::Relaxed),
            _ => now,
        }
        .into();
    }
    line.to_string()
}
