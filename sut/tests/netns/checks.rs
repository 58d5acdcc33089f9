//! Every check there is, in the order they run.

use crate::bench::Bench;
use crate::cluster::{PARTS, Part};
use crate::{boundary, bulk, dns, errors, idle, ping, web};
use anyhow::bail;

/// One thing that must work through a NAT.
#[derive(Debug)]
pub(crate) struct Check {
    /// Name, as `NETNS_CHECKS` takes it.
    pub(crate) name: &'static str,
    /// What must come out, through either NAT.
    pub(crate) expected: &'static str,
    /// Does it. An error is an outcome too, and never the expected one.
    pub(crate) run: fn(&Bench) -> anyhow::Result<Outcome>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What is compared: the same in every run that is well.
    pub(crate) result: String,
    /// What is worth knowing and differs from run to run, such as a rate.
    pub(crate) note: String,
}

impl Outcome {
    /// An outcome with a note.
    pub(crate) fn noted(result: String, note: String) -> anyhow::Result<Outcome> {
        Ok(Outcome { result, note })
    }

    /// The same, which was not the first.
    pub(crate) fn at_attempt(mut self, attempt: u32) -> Outcome {
        self.note = format!("{} (attempt {attempt})", self.note).trim_start().to_owned();
        self
    }

    /// An outcome that says all.
    pub(crate) fn plain(result: String) -> anyhow::Result<Outcome> {
        Outcome::noted(result, String::new())
    }
}

const fn check(
    name: &'static str,
    run: fn(&Bench) -> anyhow::Result<Outcome>,
    expected: &'static str,
) -> Check {
    Check { name, expected, run }
}

/// The routers between a subscriber and the distant server, of which the NAT is the second, and that
/// server.
const HOPS: &str = "100.64.0.1 10.255.0.1 10.255.0.254 198.51.100.2 198.51.100.6 192.0.2.2";

/// What runs.
pub(crate) const CHECKS: &[Check] = &[
    check("idle-begin", idle::fall_silent, "4 of 4 TCP and UDP"),
    check("ping", ping::every_host, "24 of 24 replies"),
    check("ping-same-id", ping::one_identifier, "12 of 12 replies"),
    check("ping-nat", ping::nat_itself, "3 of 3 replies"),
    check("web-source", web::source, "4 of 4 from one external address each"),
    check("web-download", web::download, "12 of 12 bodies equal"),
    check("web-upload", web::upload, "4 of 4 bodies equal"),
    check("web-parallel", web::parallel, "800 of 800 bodies equal"),
    check("web-same-port", web::one_source_port, "4 of 4 bodies equal"),
    check("web-distant", web::distant, "4 of 4 bodies equal"),
    check("iperf-tcp-up", bulk::tcp_up, "flows"),
    check("iperf-tcp-down", bulk::tcp_down, "flows"),
    check("iperf-tcp-streams", bulk::tcp_streams, "flows"),
    check("iperf-udp-up", bulk::udp_up, "at most 2 % lost"),
    check("iperf-udp-down", bulk::udp_down, "at most 2 % lost"),
    check("dns-udp", dns::over_udp, "200 of 200 answers"),
    check("dns-tcp", dns::over_tcp, "80 of 80 answers"),
    check("dns-truncated", dns::truncated, "4 of 4 answers, by TCP after UDP"),
    check("udp-same-port", boundary::one_udp_port, "4 of 4 told apart"),
    check("udp-stranger", boundary::stranger, "answer passes, stranger does not"),
    check("tcp-refused", boundary::refused, "4 of 4 connection refused"),
    check("trace-udp", errors::trace_udp, HOPS),
    check("trace-icmp", errors::trace_icmp, HOPS),
    check("trace-tcp", errors::trace_tcp, HOPS),
    check("unreachable-in", errors::unreachable_inward, "4 of 4 connection refused"),
    check("unreachable-out", errors::unreachable_outward, "4 of 4 connection refused"),
    check("forbidden", errors::forbidden, "4 of 4 told by 198.51.100.6"),
    check("too-large", errors::too_large, "4 of 4 told, 4 of 4 learned 1280"),
    check("web-path-mtu", web::path_mtu, "4 of 4 bodies equal"),
    check("idle", idle::wake, "4 of 4 TCP, 4 of 4 UDP alive after 20 s"),
];

/// The checks and the parts of [`crate::cluster`] of a comma-separated list, or all.
///
/// # Errors
/// When the list has a name that no check has.
pub(crate) fn chosen(names: Option<&str>) -> anyhow::Result<(Vec<&'static Check>, Vec<Part>)> {
    let Some(names) = names else { return Ok((CHECKS.iter().collect(), PARTS.to_vec())) };
    let (mut checks, mut parts) = (Vec::new(), Vec::new());
    for name in names.split(',').map(str::trim) {
        let part = PARTS.into_iter().find(|part| part.to_string() == name);
        match (CHECKS.iter().find(|check| check.name == name), part) {
            (Some(check), _) => checks.push(check),
            (None, Some(part)) => parts.push(part),
            (None, None) => {
                let all = CHECKS.iter().map(|check| check.name.to_owned());
                let all: Vec<_> = all.chain(PARTS.map(|part| part.to_string())).collect();
                bail!("NETNS_CHECKS = {names}: no check `{name}`; there are {}", all.join(", "))
            }
        }
    }
    Ok((checks, parts))
}
