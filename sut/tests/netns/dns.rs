//! dig against dnsmasq.

use crate::bench::Bench;
use crate::checks::Outcome;
use crate::namespace::Namespace;
use crate::process;
use crate::servers::{ANSWER, DOMAIN, LONG_NAME, LONG_TEXT};
use crate::topology::SERVER;
use std::time::Duration;

/// How long one dig may take, whatever its number of queries.
const DEADLINE: Duration = Duration::from_secs(30);

/// Each query from a port of its own.
pub(crate) fn over_udp(bench: &Bench) -> anyhow::Result<Outcome> {
    queries(bench, 50, &[])
}

/// Each query over a connection of its own.
pub(crate) fn over_tcp(bench: &Bench) -> anyhow::Result<Outcome> {
    queries(bench, 20, &["+tcp"])
}

/// An answer too long for UDP: the client asks again by TCP (RFC 7766 §5).
pub(crate) fn truncated(bench: &Bench) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let mut good = 0;
    for home in homes {
        let options = ["+noedns", "+noshort", "+noall", "+comments", "+answer"];
        let text = dig(home, &options, &["TXT".to_owned(), LONG_NAME.to_owned()])?;
        let letters = text.chars().filter(|&letter| letter == 'x').count();
        good += usize::from(text.contains("Truncated, retrying in TCP") && letters == LONG_TEXT);
    }
    Outcome::plain(format!("{good} of {} answers, by TCP after UDP", homes.len()))
}

fn queries(bench: &Bench, each: usize, options: &[&str]) -> anyhow::Result<Outcome> {
    let homes = &bench.topology.homes;
    let names: Vec<_> = (0..each).map(|number| format!("host{number}.{DOMAIN}")).collect();
    let mut good = 0;
    for home in homes {
        let text = dig(home, options, &names)?;
        good += text.lines().filter(|line| *line == ANSWER.to_string()).count();
    }
    Outcome::plain(format!("{good} of {} answers", homes.len() * each))
}

/// No second try: what is lost shall be seen.
fn dig(home: &Namespace, options: &[&str], names: &[String]) -> anyhow::Result<String> {
    let mut command = home.command("dig");
    command.args(["-r", "+time=2", "+tries=1", "+short", &format!("@{SERVER}")]);
    command.args(options).args(names);
    Ok(process::run(&mut command, DEADLINE)?.ok()?.text())
}
