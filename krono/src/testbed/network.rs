//! The in-memory network of a run: every SUT core joined with every generator core and, in a cluster,
//! with the other SUT cores and the router; a plug at each SUT core, to be pulled.

use super::core::{Hand, Order};
use crate::layout::Layout;
use dataplane::bfd;
use dataplane::clock::Nanos;
use dataplane::frame::Arena;
use dataplane::port::fault::{Fault, FaultPlan};
use dataplane::port::link::{DEPTH, Link, Network};
use dataplane::port::plug::{Plug, Socket};
use dataplane::router::{Event, Router, What};
use dataplane::switch::{Fib, PortId, Switch};
use format::plan::{Action, PhasePlan, Plan, Rate};
use rtrb::{Consumer, RingBuffer};
use std::num::NonZeroU8;
use std::sync::Arc;

/// Frames of a SUT port's own pool: what a fault needs to send a packet twice, and a cluster to say
/// what it has to say.
const SUT_FRAMES: usize = 1024;
const ROUTER_FRAMES: usize = 1024;

/// Frames that a long cable holds each way, at most, and that each pool has more for it.
const UNDER_WAY_MAX: usize = 16_384;

/// Events of the router that wait to be read.
const EVENTS: usize = 4096;

pub(super) type SutPort<'a> = Switch<Plug<Fault<Link<'a>>>>;
pub(super) type GeneratorPort<'a> = Switch<Link<'a>>;

/// The router of a cluster, and what it notices.
pub(super) type RouterPort<'a> = (Router<Switch<Link<'a>>>, Consumer<Event>);

/// The ports of a run, and the hands on what can fail.
pub(super) struct Ports<'a, S = SutPort<'a>> {
    pub suts: Vec<S>,
    pub generators: Vec<GeneratorPort<'a>>,
    pub router: Option<RouterPort<'a>>,
}

/// What can be done to each SUT core, counted over all servers.
#[derive(Clone)]
pub(super) struct Hands {
    pub hands: Vec<Arc<Hand>>,
    pub sockets: Vec<Arc<Socket>>,
}

impl Hands {
    pub(super) fn new(layout: &Layout<'_>, plan: &Plan) -> Hands {
        let absent = plan.absent_at_start();
        let suts = plan.topology.suts();
        let hand = |index| match absent.contains(&layout.sut_place(index).0) {
            true => Arc::new(Hand::new(Order::Die)),
            false => Arc::new(Hand::new(Order::Run)),
        };
        Hands {
            hands: (0..suts).map(hand).collect(),
            sockets: (0..suts).map(|_| Arc::default()).collect(),
        }
    }
}

/// Counts the cores that the router has come to use: a run begins when it uses all that are there.
pub(super) struct Awaited {
    cores: usize,
}

impl Awaited {
    pub(super) fn new(layout: &Layout<'_>, plan: &Plan) -> Awaited {
        let absent = plan.absent_at_start().len() * usize::from(plan.topology.sut_cores);
        let cores = plan.topology.suts() as usize - absent;
        Awaited { cores: if layout.is_cluster() { cores } else { 0 } }
    }

    /// Reads what the router has noticed; whether all are used.
    pub(super) fn are_there(&mut self, events: Option<&mut Consumer<Event>>) -> bool {
        for event in events.into_iter().flat_map(|it| std::iter::from_fn(|| it.pop().ok())) {
            match event.what {
                What::Steered { up: true } => self.cores -= 1,
                What::Steered { up: false } => self.cores += 1,
                What::Up | What::Down { .. } | What::Unplugged => {}
            }
        }
        self.cores == 0
    }
}

/// Longest time from the start of a cluster to its first packet: sessions come up within seconds.
pub(super) const READY_WITHIN: Nanos = Nanos(60_000_000_000);

/// Frames of all pools. A generator has no more than one ring holds, so that no ring is ever full of
/// them.
pub(super) fn pools(layout: &Layout<'_>, plan: &Plan) -> Vec<usize> {
    let (suts, generators) = (plan.topology.suts() as usize, plan.topology.generators() as usize);
    let (router, more) = (usize::from(layout.is_cluster()), under_way(plan));
    std::iter::repeat_n(SUT_FRAMES + more, suts)
        .chain(std::iter::repeat_n(DEPTH + more, generators))
        .chain(std::iter::repeat_n(ROUTER_FRAMES + more, router))
        .collect()
}

/// Frames that are on a long cable at once, both ways, at the highest rate of the plan; none where it
/// delays nothing.
fn under_way(plan: &Plan) -> usize {
    let delay = |phase: &PhasePlan| match phase.injection?.action {
        Action::Delay { by_ns } => Some(by_ns),
        _ => None,
    };
    let Some(delay_ns) = plan.phases.iter().filter_map(delay).max() else { return 0 };
    let rate = |phase: &PhasePlan| match phase.rate {
        Rate::None => 0.0,
        Rate::Max => f64::INFINITY,
        Rate::Pps(pps) => pps,
    };
    let pps = plan.phases.iter().map(rate).fold(0.0, f64::max);
    // There and back, and as much again for what the cores have to say to each other.
    (4.0 * pps * delay_ns as f64 / 1e9).min(UNDER_WAY_MAX as f64) as usize + DEPTH
}

/// Joins the ports of a run; faults hit what the SUT sends.
pub(super) fn network<'a>(
    layout: &Layout<'_>,
    plan: &Plan,
    arena: &'a mut Arena,
    pools: &[usize],
    hands: &Hands,
) -> Ports<'a> {
    let (suts, generators) = (plan.topology.suts() as usize, plan.topology.generators() as usize);
    let mut network = Network::new(arena, pools, DEPTH);
    let mut neighbours: Vec<Vec<PortId>> = vec![Vec::new(); pools.len()];
    let mut join = |a: usize, b: usize| {
        network.connect(a, b);
        neighbours[a].push(PortId(b as u16));
        neighbours[b].push(PortId(a as u16));
    };
    let router = suts + generators;
    for sut in 0..suts {
        (suts..router).for_each(|generator| join(sut, generator));
        if layout.is_cluster() {
            (sut + 1..suts).for_each(|other| join(sut, other));
            join(sut, router);
        }
    }
    let (inward, outward) = (Arc::new(layout.towards_sut()), Arc::new(layout.towards_generators()));
    let (faults, under_way) = (fault_plan(plan), under_way(plan));
    let mut links = network.into_ports().into_iter().zip(neighbours);
    let sut_ports = links
        .by_ref()
        .take(suts)
        .enumerate()
        .map(|(index, (link, all))| {
            let seed = faults.seed.wrapping_add(index as u64);
            let fault = Fault::new(link, &FaultPlan { seed, ..faults.clone() });
            let plug = Plug::new(fault, hands.sockets[index].clone(), plan.seed ^ index as u64);
            let plug = plug.with_cable(under_way);
            Switch::new(plug, outward.clone(), &all)
        })
        .collect();
    let generator_ports = links
        .by_ref()
        .take(generators)
        .map(|(link, all)| Switch::new(link, inward.clone(), &all))
        .collect();
    let router = links.next().map(|(link, all)| {
        let port = Switch::new(link, inward.clone(), &all);
        watch(layout, plan, port, inward.clone(), &hands.sockets)
    });
    Ports { suts: sut_ports, generators: generator_ports, router }
}

fn watch<'a>(
    layout: &Layout<'_>,
    plan: &Plan,
    port: Switch<Link<'a>>,
    fib: Arc<Fib>,
    links: &[Arc<Socket>],
) -> RouterPort<'a> {
    let network = &plan.network;
    let interval = Nanos(network.bfd_interval_ns);
    let multiplier = NonZeroU8::new(network.bfd_multiplier).unwrap_or(NonZeroU8::MIN);
    let settings = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
    let (producer, events) = RingBuffer::new(EVENTS);
    let delay = Nanos(network.fib_delay_ns);
    let (me, watched) = (layout.router(), layout.watched());
    let router = Router::new(port, me, fib, &watched, settings, delay, producer);
    (router.with_links(links.to_vec()), events)
}

fn fault_plan(plan: &Plan) -> FaultPlan {
    use dataplane::port::fault::Rate;
    let Some(faults) = plan.faults else { return FaultPlan::default() };
    let rate = |share: Option<format::plan::OneIn>| {
        share.and_then(|share| std::num::NonZeroU32::new(share.0)).map(Rate::OneIn)
    };
    FaultPlan {
        seed: faults.seed,
        drop: rate(faults.drop),
        duplicate: rate(faults.duplicate),
        delay: rate(faults.delay),
        reorder: rate(faults.reorder),
        corrupt: rate(faults.corrupt),
        mistranslate: rate(faults.mistranslate),
        misdeliver: rate(faults.misdeliver),
        misroute: rate(faults.misroute),
        only_flows: true,
        ..FaultPlan::default()
    }
}
