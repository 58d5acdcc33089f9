//! curl against nginx: what arrives must be what was sent.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::process::{self, Finished};
use crate::servers::{Body, Hash, hash};
use crate::topology::{DISTANT, EXTERNAL, SERVER};
use anyhow::Context;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

/// How long one transfer may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Connections each subscriber opens in [`parallel`], and how many at once.
const CONNECTIONS: usize = 200;
const AT_ONCE: usize = 50;

/// What the server takes for the source: an external address, and the same for every connection of
/// a subscriber (RFC 4787 REQ-2).
pub(crate) fn source(bench: &Bench) -> anyhow::Result<Outcome> {
    let mut good = 0;
    let mut note = Vec::new();
    for home in &bench.topology.homes {
        let mut seen = HashSet::new();
        for _ in 0..5 {
            let text = get(home, SERVER, "source", &[])?.text();
            seen.insert(text.parse::<Ipv4Addr>().with_context(|| text)?);
        }
        good += usize::from(seen.len() == 1 && seen.iter().all(|seen| EXTERNAL.contains(seen)));
        note.push(format!("{seen:?}"));
    }
    let all = bench.topology.homes.len();
    Outcome::noted(format!("{good} of {all} from one external address each"), note.join(" "))
}

/// All subscribers at once, every size.
pub(crate) fn download(bench: &Bench) -> anyhow::Result<Outcome> {
    let bodies = bench.bodies.all();
    let begun = Instant::now();
    let equal = at_once(bench, |_, home| {
        let got = bodies
            .map(|body| anyhow::Ok(hash(&get(home, SERVER, body.name, &[])?.stdout) == body.hash));
        got.into_iter().map(|equal| equal.map(usize::from)).sum()
    })?;
    bodies_equal(equal, bench.topology.homes.len() * bodies.len(), begun)
}

/// All subscribers at once, the largest.
pub(crate) fn upload(bench: &Bench) -> anyhow::Result<Outcome> {
    put(bench, SERVER, &bench.bodies.large)
}

/// Across the narrow link, of which the sender must hear (RFC 1191), or it sends in vain.
pub(crate) fn path_mtu(bench: &Bench) -> anyhow::Result<Outcome> {
    put(bench, DISTANT, &bench.bodies.middle)
}

fn put(bench: &Bench, server: Ipv4Addr, body: &Body) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let equal = at_once(bench, |k, home| {
        let name = format!("upload/{}-{k}", body.name);
        let file = bench.folder().join(body.name);
        get(home, server, &name, &["--upload-file", &file.to_string_lossy()])?;
        count_equal(std::fs::read(bench.folder().join(name)), body.hash)
    })?;
    bodies_equal(equal, bench.topology.homes.len(), begun)
}

/// Many short connections.
pub(crate) fn parallel(bench: &Bench) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let equal = at_once(bench, |k, home| {
        let folder = bench.folder().join(format!("many-{k}"));
        std::fs::create_dir(&folder)?;
        let (range, width) = (format!("many/[1-{CONNECTIONS}]"), AT_ONCE.to_string());
        let output = folder.join("#1");
        let options = ["--parallel", "--parallel-immediate", "--parallel-max", &width];
        let output = ["--output", &output.to_string_lossy()];
        get(home, SERVER, &range, &[options.as_slice(), &output].concat())?;
        let files = (1..=CONNECTIONS).map(|number| folder.join(number.to_string()));
        files.map(|file| count_equal(std::fs::read(file), bench.bodies.small.hash)).sum()
    })?;
    bodies_equal(equal, bench.topology.homes.len() * CONNECTIONS, begun)
}

/// All subscribers at once from the same port, slowly enough that the connections overlap.
pub(crate) fn one_source_port(bench: &Bench) -> anyhow::Result<Outcome> {
    let middle = &bench.bodies.middle;
    let begun = Instant::now();
    let equal = at_once(bench, |_, home| {
        let options = ["--local-port", "40000", "--limit-rate", "200k"];
        let got = get(home, SERVER, middle.name, &options)?;
        Ok(usize::from(hash(&got.stdout) == middle.hash))
    })?;
    bodies_equal(equal, bench.topology.homes.len(), begun)
}

/// From the other server, behind the narrow link: nobody but its sender need hear of that.
pub(crate) fn distant(bench: &Bench) -> anyhow::Result<Outcome> {
    let middle = &bench.bodies.middle;
    let begun = Instant::now();
    let equal = at_once(bench, |_, home| {
        let got = get(home, DISTANT, middle.name, &[])?;
        Ok(usize::from(hash(&got.stdout) == middle.hash))
    })?;
    bodies_equal(equal, bench.topology.homes.len(), begun)
}

fn bodies_equal(equal: usize, all: usize, begun: Instant) -> anyhow::Result<Outcome> {
    let note = format!("in {:.1} s", begun.elapsed().as_secs_f64());
    Outcome::noted(format!("{equal} of {all} bodies equal"), note)
}

fn count_equal(file: std::io::Result<Vec<u8>>, expected: Hash) -> anyhow::Result<usize> {
    Ok(usize::from(hash(&file?) == expected))
}

/// Calls `work` for every subscriber at the same time and adds up what they say.
fn at_once(
    bench: &Bench,
    work: impl Fn(usize, &Namespace) -> anyhow::Result<usize> + Sync,
) -> anyhow::Result<usize> {
    thread::scope(|scope| {
        let work = &work;
        let homes = bench.topology.homes.iter().enumerate();
        let threads: Vec<_> = homes.map(|(k, home)| scope.spawn(move || work(k, home))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client")).sum()
    })
}

/// Transfers one path, or a range of them; any HTTP error is one.
fn get(
    home: &Namespace,
    server: Ipv4Addr,
    path: &str,
    options: &[&str],
) -> anyhow::Result<Finished> {
    let mut command = home.command("curl");
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*"]).args(options);
    command.arg(format!("http://{server}/{path}"));
    process::run(&mut command, DEADLINE)?.ok().with_context(|| format!("curl of {path}"))
}
