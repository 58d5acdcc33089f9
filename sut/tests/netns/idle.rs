//! Connections that say nothing for a while and then go on, from either side.
//!
//! Silence is much shorter than any timer, as it must be: no NAT may forget a UDP mapping within 2
//! minutes (RFC 4787 REQ-5) or an established TCP connection within 2 hours (RFC 5382 REQ-5). What
//! could end these earlier is a sweep that misjudges them, or a deadline that wraps.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::topology::SERVER;
use anyhow::ensure;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// At least this long: several sweeps of Krononat's table.
const SILENCE: Duration = Duration::from_secs(20);

/// Where the server listens, by TCP and UDP.
const PORT: u16 = 5_002;

/// What every subscriber holds: a TCP connection and a UDP mapping.
pub(crate) struct Silent {
    server: UdpSocket,
    homes: Vec<((TcpStream, TcpStream), Mapping)>,
    since: Instant,
}

impl Silent {
    /// Opens them all, carries data both ways, and falls silent.
    fn begin(bench: &Bench) -> anyhow::Result<Silent> {
        let server = &bench.topology.server;
        let (listener, server) = (server.listen(PORT)?, server.udp(PORT)?);
        let open = |home| anyhow::Ok((open_tcp(home, &listener)?, open_udp(home, &server)?));
        let homes: anyhow::Result<_> = bench.topology.homes.iter().map(open).collect();
        Ok(Silent { homes: homes?, server, since: Instant::now() })
    }
}

/// Opens what [`wake`] will find, so that the silence passes while other checks run.
pub(crate) fn fall_silent(bench: &Bench) -> anyhow::Result<Outcome> {
    let silent = Silent::begin(bench)?;
    let opened = silent.homes.len();
    *bench.silent.lock().expect("nobody panics with it") = Some(silent);
    Outcome::plain(format!("{opened} of {} TCP and UDP", bench.topology.homes.len()))
}

/// After the silence the server speaks first to the even subscribers, the odd ones speak first
/// themselves, and TCP closes in the same order.
pub(crate) fn wake(bench: &Bench) -> anyhow::Result<Outcome> {
    let begun = bench.silent.lock().expect("nobody panics with it").take();
    let mut silent = begun.map_or_else(|| Silent::begin(bench), Ok)?;
    thread::sleep(SILENCE.saturating_sub(silent.since.elapsed()));
    let passed = silent.since.elapsed().as_secs();
    let (mut tcp, mut udp) = (0, 0);
    let mut notes = vec![format!("{passed} s")];
    for (k, ((client, remote), mapping)) in silent.homes.iter_mut().enumerate() {
        let (first, second) = if k % 2 == 0 { (remote, client) } else { (client, remote) };
        match go_on_tcp(first, second) {
            Ok(()) => tcp += 1,
            Err(error) => notes.push(format!("TCP of subscriber {k}: {error:#}")),
        }
        match go_on_udp(mapping, &silent.server, k % 2 == 0) {
            Ok(()) => udp += 1,
            Err(error) => notes.push(format!("UDP of subscriber {k}: {error:#}")),
        }
    }
    let all = bench.topology.homes.len();
    let least = SILENCE.as_secs();
    let result = format!("{tcp} of {all} TCP, {udp} of {all} UDP alive after {least} s");
    Outcome::noted(result, notes.join("; "))
}

/// A connection that has carried data both ways: its ends at the client and at the server.
fn open_tcp(home: &Namespace, listener: &TcpListener) -> anyhow::Result<(TcpStream, TcpStream)> {
    let mut client = home.connect(SocketAddr::from((SERVER, PORT)))?;
    let (mut remote, _) = listener.accept()?;
    remote.set_read_timeout(client.read_timeout()?)?;
    say_tcp(&mut client, &mut remote)?;
    say_tcp(&mut remote, &mut client)?;
    Ok((client, remote))
}

fn go_on_tcp(first: &mut TcpStream, second: &mut TcpStream) -> anyhow::Result<()> {
    say_tcp(first, second)?;
    say_tcp(second, first)?;
    first.shutdown(std::net::Shutdown::Write)?;
    ensure!(second.read(&mut [0; 16])? == 0, "data after the end");
    second.shutdown(std::net::Shutdown::Write)?;
    ensure!(first.read(&mut [0; 16])? == 0, "data after the end");
    Ok(())
}

fn say_tcp(from: &mut TcpStream, to: &mut TcpStream) -> anyhow::Result<()> {
    let mut heard = [0; 4];
    from.write_all(b"here")?;
    to.read_exact(&mut heard)?;
    ensure!(&heard == b"here", "heard {heard:?}");
    Ok(())
}

/// A subscriber's socket, and its address as the server sees it.
struct Mapping {
    client: UdpSocket,
    source: SocketAddr,
}

fn open_udp(home: &Namespace, server: &UdpSocket) -> anyhow::Result<Mapping> {
    let client = home.udp(0)?;
    client.connect((SERVER, PORT))?;
    client.send(b"here")?;
    let (_, source) = server.recv_from(&mut [0; 16])?;
    let mapping = Mapping { client, source };
    say_udp_in(&mapping, server)?;
    Ok(mapping)
}

fn go_on_udp(mapping: &Mapping, server: &UdpSocket, server_first: bool) -> anyhow::Result<()> {
    if server_first {
        say_udp_in(mapping, server)?;
    }
    mapping.client.send(b"here")?;
    let (_, source) = server.recv_from(&mut [0; 16])?;
    ensure!(source == mapping.source, "{} has become {source}", mapping.source);
    say_udp_in(mapping, server)
}

fn say_udp_in(mapping: &Mapping, server: &UdpSocket) -> anyhow::Result<()> {
    server.send_to(b"here", mapping.source)?;
    let mut heard = [0; 16];
    let len = mapping.client.recv(&mut heard)?;
    ensure!(&heard[..len] == b"here", "heard {:?}", &heard[..len]);
    Ok(())
}
