//! The controller's side: agents reached, asked for the time, and made to run programs.
//!
//! Everything here blocks the caller; the runtime underneath has a thread of its own. What an agent
//! runs is a [`Program`], as a program of this machine is, and ends with it.

use super::clock::{Offset, Probe};
use super::keys::Keys;
use super::ssh::Session;
use super::wire::agent_client::AgentClient;
use super::wire::{HelloReply, HelloRequest, Order, ProbeRequest, Report, Start, order, report};
use super::{AGENT_NAME, KEEP_ALIVE, MESSAGE_BYTES_MAX, service};
use crate::host::VERSION_LINE;
use crate::live;
use crate::testbed::program::{End, PATIENCE, Program, Server, parsed};
use anyhow::{Context, anyhow, bail};
use dataplane::clock::{Clock, Nanos, Tsc};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};

/// How long a connection, or the answer to a question, may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Probes of a clock, of which the best counts.
const PROBES: usize = 16;

/// How an agent is reached.
#[derive(Clone, Debug)]
pub enum Reach {
    /// One that runs already.
    Running {
        /// `host:port`.
        address: String,
        /// Keys for mutual TLS; plain text without, for loopback addresses.
        tls: Option<PathBuf>,
    },
    /// One started over ssh.
    Ssh {
        /// `user@host`, or whatever ssh knows.
        target: String,
        /// Options of ssh.
        options: Vec<String>,
        /// The program there.
        krono: String,
    },
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Controller {
    runtime: Arc<Runtime>,
    clock: Tsc,
}

impl Controller {
    /// A controller whose own time is `clock`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn new(clock: Tsc) -> anyhow::Result<Controller> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Controller { runtime: Arc::new(runtime.context("no runtime")?), clock })
    }

    /// Runs a question to its answer.
    fn ask<T>(&self, question: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let late = |_| Status::deadline_exceeded(format!("no answer within {ANSWER_WITHIN:?}"));
        let question = async { tokio::time::timeout(ANSWER_WITHIN, question).await };
        self.runtime.block_on(question).map_err(late)?
    }

    /// Connects, whoever is on the other side and however slowly it answers.
    fn connect(
        &self,
        connection: impl Future<Output = Result<Channel, tonic::transport::Error>>,
    ) -> anyhow::Result<Channel> {
        let connection = async { tokio::time::timeout(ANSWER_WITHIN, connection).await };
        match self.runtime.block_on(connection) {
            Ok(connected) => connected.map_err(|error| anyhow!("{}", chain(&error))),
            Err(_) => bail!("no connection within {ANSWER_WITHIN:?}"),
        }
    }
}

/// An agent that has answered, and is of our version.
pub struct Agent {
    name: String,
    controller: Controller,
    client: AgentClient<Channel>,
    hello: HelloReply,
    /// After the client: the session ends when its connection is closed.
    _session: Option<Session>,
}

impl Agent {
    /// Reaches an agent, called `name` in whatever goes wrong with it.
    ///
    /// # Errors
    /// When it cannot be reached, does not take our certificate or has one we do not take, or is of
    /// another version.
    pub fn reach(controller: &Controller, name: String, reach: &Reach) -> anyhow::Result<Agent> {
        let (channel, session) = match reach {
            Reach::Running { address, tls } => {
                let endpoint = endpoint(address, tls.is_some())?;
                let endpoint = match tls {
                    Some(folder) => endpoint.tls_config(tls_of(Keys::read(folder)?))?,
                    None => endpoint,
                };
                (controller.connect(endpoint.connect()), None)
            }
            Reach::Ssh { target, options, krono } => {
                let (session, ours) = Session::start(target, options, krono)?;
                ours.set_nonblocking(true)?;
                let endpoint = endpoint("ssh", false)?;
                let connected = endpoint.connect_with_connector(once(ours));
                (controller.connect(connected), Some(session))
            }
        };
        let channel = channel.map_err(|error| anyhow!("{name}: {error:#}"))?;
        let mut client = AgentClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let question = HelloRequest { version: VERSION_LINE.to_owned() };
        let answer = controller.ask(client.hello(question));
        let hello = answer.map_err(|status| anyhow!("{name}: {}", reason(&status)))?.into_inner();
        if hello.version != VERSION_LINE {
            bail!("{name}: {}", service::versions(&hello.version, VERSION_LINE));
        }
        Ok(Agent { name, controller: controller.clone(), client, hello, _session: session })
    }

    /// What it said of itself.
    pub fn hello(&self) -> &HelloReply {
        &self.hello
    }

    /// Its clock less ours, the best of some probes.
    ///
    /// # Errors
    /// When it does not answer, or says what no clock can.
    pub fn offset(&self) -> anyhow::Result<Offset> {
        let clock = self.controller.clock;
        let mut client = self.client.clone();
        let question = async move {
            let mut probes = Vec::with_capacity(PROBES);
            for _ in 0..PROBES {
                let sent = clock.now();
                let reply = client.probe(ProbeRequest {}).await?.into_inner();
                let (received, replied) = (Nanos(reply.received_ns), Nanos(reply.sent_ns));
                probes.push(Probe { sent, received, replied, back: clock.now() });
            }
            Ok(probes)
        };
        let probes = self.controller.ask(question);
        let probes = probes.map_err(|status| anyhow!("{}: {}", self.name, reason(&status)))?;
        let offset = Offset::best(&probes);
        offset.map_err(|lie| anyhow!("{}: its clock lies: {lie}", self.name))?.context("no probes")
    }

    /// Has it run a program that tells lines `L`, called `name` in whatever goes wrong with it.
    ///
    /// # Errors
    /// When it is busy, has no such program, or cannot start it.
    pub fn run<L: DeserializeOwned + Send + 'static>(
        &self,
        name: String,
        start: Start,
    ) -> anyhow::Result<Server<L>> {
        let (orders, stream) = unbounded_channel();
        let order = |order| Order { order: Some(order) };
        let _ = orders.send(order(order::Order::Start(start)));
        let mut client = self.client.clone();
        let answer = self.controller.ask(client.run(UnboundedReceiverStream::new(stream)));
        let reports = answer.map_err(|status| anyhow!("{name}: {}", reason(&status)))?.into_inner();
        let (tell_line, lines) = mpsc::channel();
        let (tell_end, end) = mpsc::channel();
        let title = name.clone();
        self.controller.runtime.spawn(async move {
            let told = follow(reports, |report| match report {
                report::Report::Line(line) => {
                    let _ = tell_line.send(parsed(&line));
                }
                report::Report::Complaint(text) => live::say(&format!("{title}: {text}")),
                report::Report::Started(_) | report::Report::Exit(_) => {}
            });
            // In this order: whoever sees the end of the lines finds the end of the program.
            let _ = tell_end.send(told.await.map_err(|status| reason(&status)));
            drop(tell_line);
        });
        Ok(Server::new(name, lines, Box::new(Remote { orders: Some(orders), end, known: None })))
    }
}

/// Reads reports to the exit.
async fn follow(
    mut reports: Streaming<Report>,
    mut take: impl FnMut(report::Report),
) -> Result<End, Status> {
    while let Some(report) = reports.message().await? {
        match report.report {
            Some(report::Report::Exit(exit)) => {
                return Ok(End { code: exit.code, signal: exit.signal });
            }
            Some(report) => take(report),
            None => {}
        }
    }
    Err(Status::unavailable("the agent says no more"))
}

fn endpoint(address: &str, tls: bool) -> anyhow::Result<Endpoint> {
    let scheme = if tls { "https" } else { "http" };
    let [interval, timeout] = KEEP_ALIVE;
    let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
        .with_context(|| format!("`{address}` is no address: expected host:port"))?;
    Ok(endpoint
        .connect_timeout(ANSWER_WITHIN)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .keep_alive_while_idle(true))
}

fn tls_of(keys: Keys) -> ClientTlsConfig {
    ClientTlsConfig::new()
        .domain_name(AGENT_NAME)
        .ca_certificate(Certificate::from_pem(keys.authority))
        .identity(Identity::from_pem(keys.certificate, keys.key))
}

type Connected = TokioIo<tokio::net::UnixStream>;

/// Gives the socket to the first who asks; a session that is gone does not come back.
fn once(
    ours: UnixStream,
) -> impl tower::Service<
    tonic::transport::Uri,
    Response = Connected,
    Error = io::Error,
    Future = std::future::Ready<io::Result<Connected>>,
> + Send
+ 'static {
    let mut ours = Some(ours);
    tower::service_fn(move |_| {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the ssh session has ended");
        let stream = ours.take().ok_or_else(gone).and_then(tokio::net::UnixStream::from_std);
        std::future::ready(stream.map(TokioIo::new))
    })
}

/// An error with its causes: the outermost says little.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn reason(status: &Status) -> String {
    let cause = std::error::Error::source(status).map(|cause| format!(": {}", chain(cause)));
    let text = format!("{}{}", status.message(), cause.unwrap_or_default());
    match status.code() {
        Code::Unavailable | Code::Unknown | Code::Cancelled => format!("no connection ({text})"),
        _ => text,
    }
}

/// A program that an agent runs.
struct Remote {
    orders: Option<UnboundedSender<Order>>,
    end: Receiver<Result<End, String>>,
    known: Option<Result<End, String>>,
}

impl Remote {
    /// One that is gone gets no order, and its end is told.
    fn order(&self, order: order::Order) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order { order: Some(order) });
        }
    }

    fn known(&self) -> anyhow::Result<Option<End>> {
        self.known.clone().transpose().map_err(anyhow::Error::msg)
    }
}

impl Program for Remote {
    fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        self.order(order::Order::Signal(signal as i32));
        Ok(())
    }

    fn say(&mut self, line: String) -> anyhow::Result<()> {
        self.order(order::Order::Line(line));
        Ok(())
    }

    fn close_input(&mut self) {
        let ms = u32::try_from(PATIENCE.as_millis()).unwrap_or(u32::MAX);
        self.order(order::Order::EndWithinMs(ms));
    }

    fn end_within(&mut self, patience: Duration) -> anyhow::Result<Option<End>> {
        if self.known.is_none() {
            self.known = self.end.recv_timeout(patience).ok();
        }
        self.known()
    }
}

impl Drop for Remote {
    /// The agent kills it when the orders end, and takes the next one once it is gone.
    fn drop(&mut self) {
        drop(self.orders.take());
        if self.known.is_none() {
            let _ = self.end.recv_timeout(PATIENCE);
        }
    }
}
