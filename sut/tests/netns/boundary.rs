//! What passes the NAT and what does not, with plain sockets.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::ANSWER;
use crate::topology::SERVER;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// A port every subscriber uses.
const CLIENT_PORT: u16 = 40_001;

/// Ports of the server.
const SERVER_PORT: u16 = 5_000;
const STRANGER_PORT: u16 = 5_001;
const CLOSED_PORT: u16 = 5_999;

/// How long a packet that must not come is waited for.
const SILENCE: Duration = Duration::from_secs(1);

/// All subscribers send from the same port: the server must see four sources, and each subscriber
/// its own answer.
pub(crate) fn one_udp_port(bench: &Bench) -> anyhow::Result<Outcome> {
    let server = bench.topology.server.udp(SERVER_PORT)?;
    let homes = &bench.topology.homes;
    let sockets: Result<Vec<_>, _> = homes.iter().map(|home| home.udp(CLIENT_PORT)).collect();
    let sockets = sockets?;
    let mut sources = HashSet::new();
    for (number, socket) in sockets.iter().enumerate() {
        socket.connect((SERVER, SERVER_PORT))?;
        socket.send(&[number as u8])?;
        let (_, source) = server.recv_from(&mut [0; 16])?;
        sources.insert(source);
        server.send_to(&[number as u8], source)?;
    }
    let own = |(number, socket): (usize, &UdpSocket)| {
        let mut byte = [0xff; 16];
        matches!(socket.recv(&mut byte), Ok(1)) && usize::from(byte[0]) == number
    };
    let answered = sockets.iter().enumerate().filter(|&it| own(it)).count();
    Outcome::plain(format!("{} of {} told apart", answered.min(sources.len()), homes.len()))
}

/// Endpoint-dependent filtering (RFC 4787 §5): another port of the same server is a stranger.
pub(crate) fn stranger(bench: &Bench) -> anyhow::Result<Outcome> {
    let server = bench.topology.server.udp(SERVER_PORT)?;
    let stranger = bench.topology.server.udp(STRANGER_PORT)?;
    let client = bench.topology.homes[0].udp(0)?;
    client.send_to(b"hello", (SERVER, SERVER_PORT))?;
    let (_, source) = server.recv_from(&mut [0; 16])?;
    stranger.send_to(b"stranger", source)?;
    server.send_to(b"answer", source)?;
    let mut received = Vec::new();
    let mut buffer = [0; 16];
    client.set_read_timeout(Some(ANSWER))?;
    while let Ok(len) = client.recv(&mut buffer) {
        received.push(buffer[..len].to_vec());
        client.set_read_timeout(Some(SILENCE))?;
    }
    let passes = |what: &[u8]| match received.iter().any(|it| it == what) {
        true => "passes",
        false => "does not",
    };
    let (answer, stranger) = (passes(b"answer"), passes(b"stranger"));
    Outcome::plain(format!("answer {answer}, stranger {stranger}"))
}

/// A closed port of the server: its reset must come back, or the client waits for minutes.
pub(crate) fn refused(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let to = SocketAddr::from((SERVER, CLOSED_PORT));
    let is_refused = |error: anyhow::Error| {
        let error = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        error == Some(ErrorKind::ConnectionRefused)
    };
    let refused = homes.iter().filter(|home| home.connect(to).is_err_and(is_refused)).count();
    Outcome::plain(format!("{refused} of {} connection refused", homes.len()))
}
