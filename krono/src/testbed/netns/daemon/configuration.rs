//! What BIRD 2 and FRR are told: to speak BGP with each core, to watch it by BFD, and to steer each
//! shard both ways by what its cores announce.
//!
//! BIRD takes the subscribers' prefixes, which come with a community, into a table that no packet
//! is looked up in, and the default routes of the shards follow those. FRR resolves next hops in
//! its main table alone, where subscribers' prefixes must not be; its default routes follow the
//! external prefixes.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// Time between two packets of BFD, and how many of them may be missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bfd {
    pub(crate) interval_us: u64,
    pub(crate) multiplier: u64,
}

/// The way to a core.
#[derive(Clone, Debug)]
pub(crate) struct Cable {
    /// The router's.
    pub(crate) interface: String,
    /// The router's address there.
    pub(crate) router: Ipv4Addr,
    pub(crate) core: Ipv4Addr,
}

/// What is steered together.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// Of the default route for what its subscribers send.
    pub(crate) table: usize,
    /// One of its subscribers.
    pub(crate) inside: Ipv4Addr,
    /// One of its external addresses.
    pub(crate) outside: Ipv4Addr,
}

/// All that a router has to be told.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) router_id: Ipv4Addr,
    /// The router's AS, and that of all cores.
    pub(crate) asn: u32,
    pub(crate) cores_asn: u32,
    /// Community with which subscribers' prefixes are announced.
    pub(crate) subscribers: (u32, u32),
    pub(crate) bfd: Bfd,
    pub(crate) cables: Vec<Cable>,
    pub(crate) shards: Vec<Shard>,
}

/// `bird.conf`. What happens to sessions of BFD goes to standard output, errors to standard error.
pub(crate) fn bird(setting: &Setting) -> String {
    let Bfd { interval_us, multiplier } = setting.bfd;
    let (high, low) = setting.subscribers;
    let mut text = format!(
        "log stderr {{ error, fatal, bug }};\nlog \"/dev/stdout\" {{ trace }};\nrouter id {};\n\
         ipv4 table cores;\n\
         protocol device {{}}\n\
         protocol kernel {{ ipv4 {{ import none; export all; }}; }}\n\
         protocol pipe {{ table cores; peer table master4; import none; \
         export where !(({high},{low}) ~ bgp_community); }}\n\
         protocol bfd {{ debug {{ events }}; interface \"*\" {{ interval {interval_us} us; \
         multiplier {multiplier}; }}; }}\n",
        setting.router_id
    );
    for Shard { table, inside, .. } in &setting.shards {
        let _ = writeln!(
            text,
            "ipv4 table by{table};\n\
             protocol kernel {{ kernel table {table}; \
             ipv4 {{ table by{table}; import none; export all; }}; }}\n\
             protocol static {{ ipv4 {{ table by{table}; }}; igp table cores; \
             route 0.0.0.0/0 recursive {inside}; }}"
        );
    }
    let (asn, cores_asn) = (setting.asn, setting.cores_asn);
    for Cable { interface, router, core } in &setting.cables {
        let _ = writeln!(
            text,
            "protocol bgp at_{interface} {{ local {router} as {asn}; \
             neighbor {core} as {cores_asn}; interface \"{interface}\"; \
             passive on; bfd on; error wait time 1, 2; \
             ipv4 {{ table cores; import all; export none; }}; }}"
        );
    }
    text
}

/// The daemons of FRR in the order of their start, each with its configuration.
pub(crate) fn frr(setting: &Setting) -> [(&'static str, String); 4] {
    let route = |Shard { table, outside, .. }: &Shard| {
        format!("ip route 0.0.0.0/0 {outside} table {table}\n")
    };
    [
        ("zebra", String::new()),
        ("staticd", setting.shards.iter().map(route).collect()),
        ("bfdd", frr_profile(setting.bfd)),
        ("bgpd", frr_bgp(setting)),
    ]
}

fn frr_profile(Bfd { interval_us, multiplier }: Bfd) -> String {
    let interval_ms = interval_us / 1_000;
    format!(
        "debug bfd peer\nbfd\n profile cores\n  detect-multiplier {multiplier}\n  \
         receive-interval {interval_ms}\n  transmit-interval {interval_ms}\n"
    )
}

/// The route map comes first: what FRR hears before it has one that a neighbour asks for, it
/// denies, and does not hear again from a speaker without route refresh.
fn frr_bgp(setting: &Setting) -> String {
    let (high, low) = setting.subscribers;
    let mut text = format!(
        "bgp community-list standard subscribers permit {high}:{low}\n\
         route-map external deny 1\n match community subscribers\n\
         route-map external permit 2\n\
         router bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n",
        setting.asn, setting.router_id
    );
    for Cable { core, interface, .. } in &setting.cables {
        // It would look for the interface by the router's address, which several have.
        let _ = writeln!(
            text,
            " neighbor {core} remote-as {}\n neighbor {core} passive\n \
             neighbor {core} update-source {interface}\n neighbor {core} bfd profile cores",
            setting.cores_asn
        );
    }
    text += " address-family ipv4 unicast\n";
    for Cable { core, .. } in &setting.cables {
        let _ = writeln!(text, "  neighbor {core} route-map external in");
    }
    text
}
