//! Finds DPDK, compiles the shim against its headers and links the libraries the shim calls.
//!
//! Without DPDK, or with `KRONO_WITHOUT_DPDK=1`, the crate declares nothing. Dependents learn which it is
//! from `DEP_DPDK_SHIM_FOUND`, which is set to 1 only when the shim was built.

use std::process::Command;

/// Libraries whose symbols the shim names. Drivers are no part of this: the EAL opens them from
/// the distribution's driver directory when it starts.
const LIBRARIES: [&str; 6] =
    ["rte_ethdev", "rte_hash", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(dpdk_found)");
    println!("cargo::rerun-if-env-changed=KRONO_WITHOUT_DPDK");
    println!("cargo::rerun-if-changed=src");
    if std::env::var("KRONO_WITHOUT_DPDK").is_ok_and(|value| value == "1") {
        return;
    }
    let probe = pkg_config::Config::new()
        .atleast_version("22.11")
        .cargo_metadata(false)
        .env_metadata(true)
        .probe("libdpdk");
    let Ok(dpdk) = probe else { return };
    let Some(flags) = compiler_flags() else { return };

    let mut shim = cc::Build::new();
    shim.files(["src/shim.c", "src/gate.c", "src/hash.c"]).std("gnu11").warnings(true).flags(flags);
    shim.compile("krono_dpdk_shim");
    for path in dpdk.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    for library in LIBRARIES {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    println!("cargo::rustc-cfg=dpdk_found");
    println!("cargo::metadata=found=1");
}

/// Every flag DPDK asks its users to compile with. The headers need more of them than a library
/// search reports: the forced include of `rte_config.h` and the least processor.
fn compiler_flags() -> Option<Vec<String>> {
    let tool = std::env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(tool).args(["--cflags", "libdpdk"]).output().ok()?;
    if !output.status.success() {
        return None;
    }
    // Include directories of a system library: its headers are not ours to warn about.
    let flags = String::from_utf8(output.stdout).ok()?;
    let system = |flag: &str| match flag.strip_prefix("-I") {
        Some(directory) => format!("-isystem{directory}"),
        None => flag.to_owned(),
    };
    Some(flags.split_whitespace().map(system).collect())
}
