//! The agent's side of the schema.

use super::program::Program;
use super::synchronisation;
use super::wire::agent_server::Agent;
use super::wire::{HelloReply, HelloRequest, Order, ProbeReply, ProbeRequest, Report, order};
use crate::host::{VERSION_LINE, fingerprint};
use crate::machine::Machine;
use dataplane::clock::{Clock, Tsc};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Reports that wait for the controller to read them; a program that says more waits.
const REPORTS: usize = 1024;

/// How long a program may take to end that has been killed.
const REAPED_WITHIN: Duration = Duration::from_secs(5);

/// One agent.
#[derive(Clone)]
pub(super) struct Service {
    clock: Tsc,
    /// One program at a time: a second would disturb the first one's measurement.
    turn: Arc<Semaphore>,
}

impl Service {
    /// An agent on a clock of its own.
    pub(super) fn new() -> Service {
        Service { clock: Tsc::calibrate(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Waits until no program runs.
    pub(super) async fn at_rest(&self) {
        let _ = tokio::time::timeout(REAPED_WITHIN, self.turn.acquire()).await;
    }
}

#[tonic::async_trait]
impl Agent for Service {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<HelloReply>, Status> {
        let theirs = request.into_inner().version;
        if theirs != VERSION_LINE {
            return Err(Status::failed_precondition(versions(VERSION_LINE, &theirs)));
        }
        let tsc_hz = self.clock.hz().round() as u64;
        // Files of the system and two daemons: this may take a while.
        let found = tokio::task::spawn_blocking(move || {
            let host = serde_json::to_string(&fingerprint(&Machine::this(), Some(tsc_hz)));
            (host.unwrap_or_default(), synchronisation::found())
        });
        let (host_json, found) =
            found.await.map_err(|error| Status::internal(error.to_string()))?;
        let version = VERSION_LINE.to_owned();
        Ok(Response::new(HelloReply { version, host_json, synchronisation: Some(found) }))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeReply>, Status> {
        let received_ns = self.clock.now().0;
        Ok(Response::new(ProbeReply { received_ns, sent_ns: self.clock.now().0 }))
    }

    type RunStream = ReceiverStream<Result<Report, Status>>;

    async fn run(
        &self,
        request: Request<Streaming<Order>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let busy = |_| Status::resource_exhausted("another program is running here");
        let turn = self.turn.clone().try_acquire_owned().map_err(busy)?;
        let mut orders = request.into_inner();
        let first = orders.message().await?.and_then(|order| order.order);
        let Some(order::Order::Start(start)) = first else {
            return Err(Status::invalid_argument("the first order must be a start"));
        };
        let (reports, stream) = mpsc::channel(REPORTS);
        let program = Program::start(&start, &self.clock, &reports, turn)
            .map_err(|error| Status::failed_precondition(format!("{error:#}")))?;
        tokio::spawn(async move {
            let mut program = program;
            // Whichever of the two streams ends, its controller no longer holds the program.
            loop {
                let order = tokio::select! {
                    order = orders.message() => order,
                    () = reports.closed() => break,
                };
                match order {
                    Ok(Some(Order { order: Some(order) })) => obey(&mut program, order),
                    _ => break,
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// What is said when controller and agent are of different versions.
pub(super) fn versions(agent: &str, controller: &str) -> String {
    format!(
        "the agent is krono {agent}, the controller krono {controller}: install the same version \
         on both"
    )
}

fn obey(program: &mut Program, order: order::Order) {
    match order {
        order::Order::Line(line) => program.say(&line),
        order::Order::Signal(number) => {
            if let Err(status) = program.signal(number) {
                eprintln!("krono agent: {}", status.message());
            }
        }
        order::Order::EndWithinMs(ms) => {
            let kill = program.close_input();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                kill();
            });
        }
        order::Order::Start(_) => eprintln!("krono agent: a second start, which is no order"),
    }
}
