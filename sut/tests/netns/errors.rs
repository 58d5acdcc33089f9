//! ICMP errors across the NAT (RFC 5508 §4): they quote a packet as it was on the side of the NAT
//! where it failed, and reach the socket it came from only if the quotation is translated as well.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::process;
use crate::topology::{DISTANT, FORBIDDEN, SERVER};
use std::net::UdpSocket;
use std::time::Duration;

/// How long a traceroute of 8 hops may take when nobody answers.
const DEADLINE: Duration = Duration::from_secs(30);

/// A port of the server at which nobody listens, and one at which somebody does.
const CLOSED_PORT: u16 = 5_999;
const SERVER_PORT: u16 = 5_003;

/// By UDP: time exceeded from every hop, the NAT's own included, and port unreachable at the end.
pub(crate) fn trace_udp(bench: &Bench) -> anyhow::Result<Outcome> {
    trace(&bench.topology.homes[0], &[])
}

/// By ICMP echo.
pub(crate) fn trace_icmp(bench: &Bench) -> anyhow::Result<Outcome> {
    trace(&bench.topology.homes[0], &["-I"])
}

/// By TCP SYN.
pub(crate) fn trace_tcp(bench: &Bench) -> anyhow::Result<Outcome> {
    trace(&bench.topology.homes[0], &["-T", "-p", "80"])
}

fn trace(home: &Namespace, options: &[&str]) -> anyhow::Result<Outcome> {
    let mut command = home.command("traceroute");
    command.args(["-n", "-q", "1", "-N", "1", "-w", "2", "-m", "8"]).args(options);
    let text = process::run(command.arg(DISTANT.to_string()), DEADLINE)?.ok()?.text();
    let hops = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    Outcome::plain(hops.collect::<Vec<_>>().join(" "))
}

/// A closed UDP port of the server: the client's socket must hear of it.
pub(crate) fn unreachable_inward(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let mut refused = 0;
    for home in homes {
        let socket = home.udp(0)?;
        socket.connect((SERVER, CLOSED_PORT))?;
        refused += usize::from(is_refused(&socket)?);
    }
    Outcome::plain(format!("{refused} of {} connection refused", homes.len()))
}

/// The other way: a subscriber closes its socket, and the server, which answers late, must hear.
pub(crate) fn unreachable_outward(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let mut refused = 0;
    for home in homes {
        let server = bench.topology.server.udp(SERVER_PORT)?;
        let client = home.udp(0)?;
        client.send_to(b"question", (SERVER, SERVER_PORT))?;
        let (_, source) = server.recv_from(&mut [0; 16])?;
        drop(client);
        server.connect(source)?;
        refused += usize::from(is_refused(&server)?);
    }
    Outcome::plain(format!("{refused} of {} connection refused", homes.len()))
}

/// Whether what a connected socket sends is answered by port unreachable.
fn is_refused(socket: &UdpSocket) -> anyhow::Result<bool> {
    socket.send(b"anybody")?;
    let heard = socket.recv(&mut [0; 16]);
    Ok(heard.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
}

/// A router behind the NAT forbids the way.
pub(crate) fn forbidden(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let mut told = 0;
    for home in homes {
        let mut command = home.command("ping");
        command.args(["-n", "-c", "1", "-W", "2", &FORBIDDEN.to_string()]);
        let text = process::run(&mut command, DEADLINE)?.text();
        told += usize::from(text.contains("From 198.51.100.6 icmp_seq=1 Packet filtered"));
    }
    Outcome::plain(format!("{told} of {} told by 198.51.100.6", homes.len()))
}

/// Too large for the narrow link and not to be fragmented: the first request is told so, and the
/// second does not leave the client, which has learned (RFC 1191).
pub(crate) fn too_large(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let (mut told, mut learned) = (0, 0);
    for home in homes {
        let mut command = home.command("ping");
        command.args(["-n", "-M", "do", "-s", "1400", "-c", "2", "-i", "0.3", "-W", "2"]);
        let finished = process::run(command.arg(DISTANT.to_string()), DEADLINE)?;
        let expected = "From 198.51.100.2 icmp_seq=1 Frag needed and DF set (mtu = 1280)";
        told += usize::from(finished.text().contains(expected));
        learned += usize::from(finished.stderr.contains("message too long, mtu=1280"));
    }
    let all = homes.len();
    Outcome::plain(format!("{told} of {all} told, {learned} of {all} learned 1280"))
}
