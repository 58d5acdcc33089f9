//! A BFD session over a socket of the kernel, to try the protocol against routers.
//!
//! ```text
//! bfd LOCAL REMOTE INTERVAL_MS MULTIPLIER
//! ```
//!
//! prints a line for each change of state: `SECONDS FROM TO DIAGNOSTIC`. A line `down` on standard
//! input takes the session down in order; the end of standard input ends the program.
//!
//! The kernel does not tell what TTL a datagram came with, so that the check of RFC 5881 §5, which
//! `dataplane::wire::bfd::read` makes for frames, is missing here: no program for a hostile
//! network.

use dataplane::bfd::{Diagnostic, Session, Settings};
use dataplane::clock::Nanos;
use dataplane::wire::bfd::{Control, PORT, source_port};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::mpsc::{self, TryRecvError};
use std::time::{Duration, Instant, SystemTime};
use zerocopy::IntoBytes;

/// What may go wrong: all of it ends the program.
type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [local, remote, interval_ms, multiplier] = arguments.as_slice() else {
        return Err("usage: bfd LOCAL REMOTE INTERVAL_MS MULTIPLIER".into());
    };
    let (local, remote): (Ipv4Addr, Ipv4Addr) = (local.parse()?, remote.parse()?);
    let interval = Nanos(interval_ms.parse::<NonZeroU32>()?.get().into());
    let interval = Nanos(interval.0 * Nanos::MILLISECOND.0);
    let multiplier: NonZeroU8 = multiplier.parse()?;
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64;
    let discriminator = NonZeroU32::new(seed as u32 | 1).ok_or("discriminator")?;
    let settings = Settings { min_tx: interval, min_rx: interval, multiplier };
    let receiving = UdpSocket::bind((local, PORT))?;
    receiving.set_nonblocking(true)?;
    let sending = UdpSocket::bind((local, source_port(discriminator)))?;
    sending.set_ttl(255)?;
    sending.connect((remote, PORT))?;
    run(Session::new(settings, discriminator, seed), &receiving, &sending, remote)
}

fn run(
    mut session: Session,
    receiving: &UdpSocket,
    sending: &UdpSocket,
    remote: Ipv4Addr,
) -> Result<(), Failed> {
    let begun = Instant::now();
    let commands = commands();
    let mut bytes = [0; 1500];
    loop {
        let now = Nanos::from(begun.elapsed());
        let mut changes = [None; 2];
        match receiving.recv_from(&mut bytes) {
            Ok((len, SocketAddr::V4(from))) if *from.ip() == remote => {
                let heard = Control::parse(&bytes[..len]);
                match heard.and_then(|packet| session.receive(&packet, now)) {
                    Ok(change) => changes[0] = change,
                    Err(reason) => eprintln!("{:.6} refused: {reason}", now.as_secs_f64()),
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => return Err(error.into()),
        }
        changes[1] = match commands.try_recv() {
            Ok(line) if line == "down" => session.set_admin_down(Diagnostic::AdminDown),
            Ok(_) | Err(TryRecvError::Empty) => session.expire(now),
            Err(TryRecvError::Disconnected) => return Ok(()),
        };
        for change in changes.into_iter().flatten() {
            let (from, to, why) = (change.from, change.to, change.diagnostic);
            println!("{:.6} {from:?} {to:?} {why:?}", now.as_secs_f64());
        }
        while let Some(packet) = session.due(now) {
            // A wire that is cut, or a neighbour that is not there yet, is for the session to find.
            let _ = sending.send(packet.emit().as_bytes());
        }
    }
}

/// Lines of standard input.
fn commands() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
