//! Says in `cfg(dpdk_found)` whether the DPDK shim was built: the feature `dpdk` asks for it, and
//! `dpdk-sys` found the library.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(dpdk_found)");
    println!("cargo::rerun-if-env-changed=DEP_DPDK_SHIM_FOUND");
    if std::env::var("DEP_DPDK_SHIM_FOUND").is_ok_and(|found| found == "1") {
        println!("cargo::rustc-cfg=dpdk_found");
    }
}
