//! `krono agent`: listens, or talks over its own standard input and output, until told to end.
//!
//! Any address that is not a loopback one takes mutual TLS; without keys it is refused. On a
//! loopback address plain text is taken, and every user of the machine can then have the agent run
//! what it runs.

use super::keys::{self, Keys};
use super::service::Service;
use super::stdio::Stdio;
use super::wire::agent_server::AgentServer;
use super::{KEEP_ALIVE, MESSAGE_BYTES_MAX};
use crate::cli;
use crate::exit::{Answer, Refusal};
use anyhow::Context;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// Threads of the runtime: one that reads while another answers.
const THREADS: usize = 2;

/// How long what is left of a connection may take when the agent ends.
const LINGER: Duration = Duration::from_millis(200);

/// Does what was asked: makes keys, or is an agent.
///
/// # Errors
/// [`Refusal::Usage`] for plain text where it is not taken, keys that are not there, or an address
/// that cannot be had.
pub fn agent(args: &cli::Agent) -> anyhow::Result<Answer> {
    if let Some(cli::AgentCommand::Keys { out }) = &args.command {
        let [agents, controllers] = keys::make(out)?;
        return Ok(Answer::good(format!(
            "for every agent: --tls {}\nfor the controller, in the hosts file: tls = \"{}\"\n",
            agents.display(),
            controllers.display()
        )));
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("no runtime")?;
    let service = Service::new();
    let ended = end_on_request()?;
    let served = match args.listen {
        Some(address) => listen(&runtime, &service, address, args.tls.as_deref(), &ended),
        None => {
            runtime.block_on(talk(&service, &ended));
            Ok(())
        }
    };
    // Its connections first: what they hold is killed. A read of standard input would block for
    // good.
    let rest = service.clone();
    drop(service);
    let waiter = Builder::new_current_thread().enable_time().build().context("no runtime")?;
    runtime.shutdown_timeout(LINGER);
    waiter.block_on(rest.at_rest());
    served.map(|()| Answer::good(""))
}

/// Notified by SIGINT and SIGTERM.
fn end_on_request() -> anyhow::Result<Arc<Notify>> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let ended = Arc::new(Notify::new());
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    let tell = ended.clone();
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            tell.notify_one();
        }
    });
    Ok(ended)
}

fn server() -> Server {
    let [interval, timeout] = KEEP_ALIVE;
    Server::builder()
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(timeout))
}

fn answers(service: &Service) -> AgentServer<Service> {
    AgentServer::new(service.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn listen(
    runtime: &Runtime,
    service: &Service,
    address: SocketAddr,
    tls: Option<&Path>,
    ended: &Notify,
) -> anyhow::Result<()> {
    let (server, how) = match tls {
        Some(folder) => {
            let Keys { authority, certificate, key } = Keys::read(folder)?;
            let tls = ServerTlsConfig::new()
                .identity(Identity::from_pem(certificate, key))
                .client_ca_root(Certificate::from_pem(authority));
            let refuse = |error| Refusal::Usage(format!("{}: {error:?}", folder.display()));
            (server().tls_config(tls).map_err(refuse)?, "mutual TLS")
        }
        None if address.ip().is_loopback() => (server(), "plain text: any user of this machine"),
        None => {
            let text = format!(
                "--listen {address}: plain text is taken on loopback addresses alone; make keys \
                 with `krono agent keys --out DIR` and give --tls DIR/agent"
            );
            return Err(Refusal::Usage(text).into());
        }
    };
    runtime.block_on(async {
        let incoming = TcpIncoming::bind(address)
            .map_err(|error| Refusal::Usage(format!("--listen {address}: {error}")))?
            .with_nodelay(Some(true));
        let address = incoming.local_addr().context("no address")?;
        let mut out = std::io::stdout().lock();
        // Nobody may read it; whoever started the agent may know the address.
        let _ = writeln!(out, "listening on {address} ({how})").and_then(|()| out.flush());
        drop(out);
        tokio::select! {
            served = server.serve_with_incoming(answers(service), incoming) => {
                served.with_context(|| address.to_string())
            }
            () = ended.notified() => Ok(()),
        }
    })
}

/// Serves the one connection there is.
async fn talk(service: &Service, ended: &Notify) {
    let gone = Arc::new(Notify::new());
    let one = tokio_stream::once(Ok::<_, Infallible>(Stdio::new(gone.clone())));
    let incoming = one.chain(tokio_stream::pending());
    tokio::select! {
        _ = server().serve_with_incoming(answers(service), incoming) => {}
        () = ended.notified() => {}
        () = gone.notified() => {}
    }
}
