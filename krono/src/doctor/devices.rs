//! Network cards and who drives them, NUMA nodes, versions.

use super::Finding;
use crate::host::{VERSION_LINE, dpdk_version};
use crate::machine::Machine;

/// Drivers that hand a card to a program such as DPDK.
const USER_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// What there is to say about devices and versions.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let versions = [
        Some(format!("krono {VERSION_LINE}")),
        machine.kernel().map(|kernel| format!("Linux {kernel}")),
        dpdk_version(),
        option_env!("KRONO_RUSTC").map(str::to_owned),
    ];
    let versions: Vec<String> = versions.into_iter().flatten().collect();
    vec![
        numa(machine.numa_nodes()),
        cards(&machine.nics()),
        Finding::ok("versions", versions.join(", ")).kept("host.json: kernel, dpdk, rustc"),
    ]
}

fn numa(nodes: Option<u32>) -> Finding {
    let name = "numa";
    match nodes {
        Some(1) => Finding::ok(name, "one node"),
        Some(nodes) => Finding::warn(
            name,
            format!("{nodes} nodes: memory of the other node is slower to reach"),
            "numactl --cpunodebind=0 --membind=0 krono run …, on the node of the card if there is one",
        ),
        None => Finding::warn(name, "not visible", "compare runs of this host alone"),
    }
    .kept("host.json: numa_nodes")
}

fn cards(cards: &[(String, String)]) -> Finding {
    let (name, recorded) = ("nics", "host.json: nics");
    if cards.is_empty() {
        return Finding::ok(name, "none: testbeds in memory and over memif need none")
            .kept(recorded);
    }
    let list: Vec<String> =
        cards.iter().map(|(device, driver)| format!("{device} ({driver})")).collect();
    let user = cards.iter().any(|(_, driver)| USER_DRIVERS.contains(&driver.as_str()));
    let rest = if user { "" } else { "; none is bound to a driver for DPDK" };
    Finding::ok(name, format!("{}{rest}", list.join(", "))).kept(recorded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Mark;

    #[test]
    fn several_nodes_are_worth_a_word() {
        assert_eq!(numa(Some(1)).mark, Mark::Ok);
        assert!(numa(Some(2)).remedy.is_some_and(|remedy| remedy.contains("numactl")));
        assert_eq!(numa(None).mark, Mark::Warn);
    }

    #[test]
    fn a_card_is_named_with_its_driver() {
        let card = |driver: &str| ("0000:3b:00.0".to_owned(), driver.to_owned());
        assert_eq!(cards(&[card("vfio-pci")]).what, "0000:3b:00.0 (vfio-pci)");
        assert!(cards(&[card("ice")]).what.ends_with("none is bound to a driver for DPDK"));
        assert!(cards(&[]).what.starts_with("none"));
    }
}
