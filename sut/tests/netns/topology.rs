//! The network: a NAT on a stick between subscribers and servers.
//!
//! ```text
//! home0..3 ── router ── server            203.0.113.2   nginx, iperf3, dnsmasq
//! 100.64.k.2   │   └─── hop ══ far ── distant  192.0.2.2   nginx; ══ has an MTU of 1,280
//!             nat
//! ```
//!
//! A core of Krononat has one port and hands everything to its router, so the router steers: what
//! comes in from a subscriber goes to the NAT, and so does what is for an external address; the rest
//! follows the routes. The same holds for a kernel in place of the core.

use crate::namespace::Namespace;
use std::net::Ipv4Addr;

/// Number of subscribers, each a namespace.
pub(crate) const SUBSCRIBERS: usize = 4;

/// The server one hop behind the router.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

/// The server behind the narrow link.
pub(crate) const DISTANT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// An address next to it, which the last router refuses to route to.
pub(crate) const FORBIDDEN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 65);

/// The NAT's own address.
pub(crate) const NAT: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

/// The router, as the NAT sees it.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 254);

/// External addresses: `198.18.0.0/31`.
pub(crate) const EXTERNAL: [Ipv4Addr; 2] =
    [Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 18, 0, 1)];

/// Ethernet address of the NAT's interface, `nat0`.
pub(crate) const NAT_MAC: &str = "02:00:00:00:00:01";

/// Ethernet address of the router on that link.
pub(crate) const ROUTER_MAC: &str = "02:00:00:00:00:02";

/// Policy routes of what comes from subscribers.
const TABLE: u32 = 100;

/// All namespaces, joined and routed; gone when dropped.
pub(crate) struct Topology {
    /// Subscribers, with addresses of [`subscriber`].
    pub(crate) homes: Vec<Namespace>,
    /// Between all others.
    pub(crate) router: Namespace,
    /// Where the NAT runs, on the interface `nat0`, which has no address yet.
    pub(crate) nat: Namespace,
    /// [`SERVER`].
    pub(crate) server: Namespace,
    /// [`DISTANT`].
    pub(crate) distant: Namespace,
    _hops: [Namespace; 2],
}

/// Address of a subscriber.
pub(crate) fn subscriber(index: usize) -> Ipv4Addr {
    Ipv4Addr::new(100, 64, index as u8, 2)
}

impl Topology {
    /// Makes it.
    pub(crate) fn build() -> anyhow::Result<Topology> {
        let homes: Result<Vec<_>, _> =
            (0..SUBSCRIBERS).map(|k| Namespace::create(&format!("home{k}"))).collect();
        let [router, nat, server, hop, far, distant] = {
            let names = ["router", "nat", "server", "hop", "far", "distant"];
            let [a, b, c, d, e, f] = names.map(Namespace::create);
            [a?, b?, c?, d?, e?, f?]
        };
        let homes = homes?;
        for forwarder in [&router, &hop, &far] {
            forward(forwarder)?;
        }
        for (k, home) in homes.iter().enumerate() {
            let inner = format!("up0 {}/30", subscriber(k));
            join((home, &inner), (&router, &format!("home{k} 100.64.{k}.1/30")), 1500)?;
            home.ip(&format!("route add default via 100.64.{k}.1"))?;
        }
        join((&nat, "nat0"), (&router, &format!("nat0 {ROUTER}/24")), 1500)?;
        nat.ip(&format!("link set nat0 address {NAT_MAC}"))?;
        router.ip(&format!("link set nat0 address {ROUTER_MAC}"))?;
        join((&server, "up0 203.0.113.2/24"), (&router, "server0 203.0.113.1/24"), 1500)?;
        join((&router, "hop0 198.51.100.1/30"), (&hop, "near0 198.51.100.2/30"), 1500)?;
        join((&hop, "narrow0 198.51.100.5/30"), (&far, "narrow0 198.51.100.6/30"), 1280)?;
        join((&far, "far0 192.0.2.1/24"), (&distant, "up0 192.0.2.2/24"), 1500)?;
        server.ip("route add default via 203.0.113.1")?;
        hop.ip("route add default via 198.51.100.1")?;
        hop.ip("route add 192.0.2.0/24 via 198.51.100.6")?;
        far.ip("route add default via 198.51.100.5")?;
        far.ip("route add prohibit 192.0.2.64/26")?;
        distant.ip("route add default via 192.0.2.1")?;
        route(&router)?;
        Ok(Topology { homes, router, nat, server, distant, _hops: [hop, far] })
    }
}

fn route(router: &Namespace) -> anyhow::Result<()> {
    router.ip("route add 192.0.2.0/24 via 198.51.100.2")?;
    router.ip("route add 198.51.100.4/30 via 198.51.100.2")?;
    router.ip(&format!("route add 198.18.0.0/31 via {NAT}"))?;
    router.ip(&format!("route add default via {NAT} table {TABLE}"))?;
    for k in 0..SUBSCRIBERS {
        router.ip(&format!("rule add iif home{k} lookup {TABLE}"))?;
    }
    // An ICMP error of the router's own about a translated packet goes through the NAT and comes
    // back to it, with the router's address as its source.
    router.sysctl(&["conf.nat0.accept_local=1"])
}

/// Makes a namespace a router, before it has interfaces: they inherit. It never redirects, since a
/// packet that leaves by the interface it came from has been to the NAT, and it takes packets on any
/// interface, since answers do not come the way the questions went.
pub(crate) fn forward(namespace: &Namespace) -> anyhow::Result<()> {
    let everywhere = ["all", "default"];
    let settings = everywhere.map(|of| [("send_redirects", of), ("rp_filter", of)]);
    namespace.sysctl(&["ip_forward=1"])?;
    for (key, of) in settings.into_iter().flatten() {
        namespace.sysctl(&[&format!("conf.{of}.{key}=0")])?;
    }
    Ok(())
}

/// Joins two namespaces by a veth pair; each end is an interface name, and an address if it has one.
pub(crate) fn join(
    one: (&Namespace, &str),
    two: (&Namespace, &str),
    mtu: u32,
) -> anyhow::Result<()> {
    let name = |end: &str| end.split(' ').next().unwrap_or_default().to_owned();
    let (first, second) = (name(one.1), name(two.1));
    one.0.ip(&format!(
        "link add {first} mtu {mtu} type veth peer name {second} mtu {mtu} netns {}",
        two.0.name()
    ))?;
    for (namespace, end) in [one, two] {
        let interface = name(end);
        // A veth leaves checksums and segmentation to a NIC that never comes; the packet socket of
        // the NAT would see sums that are not there yet, and segments no wire carries.
        namespace.must(&format!("ethtool -K {interface} tx off sg off tso off gso off gro off"))?;
        if let Some(address) = end.split(' ').nth(1) {
            namespace.ip(&format!("address add {address} dev {interface}"))?;
        }
        namespace.ip(&format!("link set {interface} up"))?;
    }
    Ok(())
}
