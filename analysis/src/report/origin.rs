//! Where the figures come from: the machine, the build and the scenario.

use super::table::{Cell, Row, Table};
use crate::figure;
use crate::load::Run;
use format::Host;

/// The fingerprint of the machine.
pub(super) fn host(host: &Host) -> Table {
    let row = |name: &str, value: Option<String>| {
        let value = value.unwrap_or_else(|| format!("{}: hidden by the host", figure::MISSING));
        Row::new([Cell::text(name), Cell::text(value)])
    };
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| items.join("; "));
    let pages = host
        .page_sizes_bytes
        .as_ref()
        .map(|sizes| sizes.iter().map(|size| figure::bytes(*size)).collect::<Vec<_>>().join(", "));
    let smt = host.smt.map(|on| if on { "on" } else { "off" }.to_owned());
    let mhz = host.cpu_mhz.map(|mhz| format!("{} MHz", figure::significant(mhz, 4)));
    let counted = |value: Option<u32>| value.map(|value| figure::count(u64::from(value)));
    Table::new("Host", "Figures are comparable only between hosts that agree in these facts.")
        .head(["fact", "value"])
        .rows([
            row("name", host.name.clone()),
            row("CPU", host.cpu_model.clone()),
            row("logical CPUs", counted(host.cores)),
            row("frequency", mhz),
            row("TSC frequency", host.tsc_hz.map(|hz| format!("{} Hz", figure::count(hz)))),
            row("SMT", smt),
            row("governor", host.governor.clone()),
            row("memory", host.memory_bytes.map(figure::bytes)),
            row("page sizes", pages),
            row("transparent huge pages", host.thp.clone()),
            row("NUMA nodes", counted(host.numa_nodes)),
            row("virtualisation", host.virtualised.clone()),
            row("kernel", host.kernel.clone()),
            row("system", host.os.clone()),
            row("mitigations", list(&host.mitigations)),
            row("DPDK", host.dpdk.clone().or_else(|| Some("not linked".to_owned()))),
            row("compiler", host.rustc.clone()),
            row("build", host.build_flags.clone()),
        ])
}

/// Where the figures come from and how to make them again.
pub(super) fn provenance(run: &Run) -> Table {
    let r = &run.summary.run;
    let row = |name: &str, value: Cell| Row::new([Cell::text(name), value]);
    let git =
        r.git.clone().unwrap_or_else(|| format!("{}: not built in a repository", figure::MISSING));
    let command = format!("krono run scenario.toml --testbed {} --seed {}", r.testbed, r.seed);
    Table::new("Provenance", "The scenario and the resolved plan lie beside this page.")
        .head(["what", "value"])
        .rows([
            row("run", Cell::text(&r.id)),
            row("started", Cell::text(&r.started)),
            row("scenario", Cell::text(&r.scenario)),
            row("scenario hash", Cell::code(&r.scenario_hash)),
            row("plan hash", Cell::code(&r.plan_hash)),
            row("seed", Cell::code(r.seed.to_string())),
            row("testbed", Cell::text(&r.testbed)),
            row("git revision", Cell::code(git)),
            row("krono version", Cell::text(&r.version)),
            row("reproduce", Cell::code(command)),
        ])
}
