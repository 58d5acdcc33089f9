//! What the testbeds need beside processors and memory: DPDK, and the right to make namespaces.

use super::Finding;
use crate::host::dpdk_version;
use crate::machine::Machine;

/// What there is to say about the testbeds.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let text = |path| machine.text(path);
    vec![
        dpdk(dpdk_version().as_deref()).kept("host.json: dpdk"),
        namespaces(
            text("proc/sys/user/max_user_namespaces").as_deref(),
            text("proc/sys/kernel/unprivileged_userns_clone").as_deref(),
            text("proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref(),
        ),
    ]
}

fn dpdk(version: Option<&str>) -> Finding {
    let name = "dpdk";
    match version {
        Some(version) => Finding::ok(name, format!("{version}: the process testbed can run")),
        None => Finding::warn(
            name,
            "not in this build: the embedded testbed runs, the process testbed does not",
            "apt-get install libdpdk-dev pkg-config, then build with the feature dpdk",
        ),
    }
}

/// Whether a user without privileges may make namespaces: the kernel's limit, Debian's switch and
/// Ubuntu's restriction each can forbid it.
fn namespaces(limit: Option<&str>, clone: Option<&str>, apparmor: Option<&str>) -> Finding {
    let name = "user namespaces";
    let closed = [
        (limit == Some("0"), "user.max_user_namespaces=15000"),
        (clone == Some("0"), "kernel.unprivileged_userns_clone=1"),
        (apparmor == Some("1"), "kernel.apparmor_restrict_unprivileged_userns=0"),
    ];
    if let Some((_, setting)) = closed.into_iter().find(|(closed, _)| *closed) {
        return Finding::warn(
            name,
            "closed to unprivileged users: what needs namespaces runs as root alone",
            format!("sysctl {setting}"),
        );
    }
    match limit {
        Some(_) => Finding::ok(name, "open to every user"),
        None => Finding::warn(name, "not visible", "unshare -Urn true shows whether they work"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Mark;

    #[test]
    fn each_lock_on_namespaces_has_its_own_key() {
        let remedy = |limit, clone, apparmor| namespaces(limit, clone, apparmor).remedy;
        assert_eq!(remedy(Some("96365"), None, None), None);
        assert_eq!(remedy(Some("96365"), Some("1"), Some("0")), None);
        for (closed, key) in [
            (remedy(Some("0"), None, None), "user.max_user_namespaces"),
            (remedy(Some("9"), Some("0"), None), "unprivileged_userns_clone"),
            (remedy(Some("9"), Some("1"), Some("1")), "apparmor_restrict"),
        ] {
            assert!(closed.as_deref().is_some_and(|text| text.contains(key)), "{closed:?}");
        }
    }

    #[test]
    fn a_build_without_dpdk_says_what_to_install() {
        assert_eq!(dpdk(Some("DPDK 22.11.7")).mark, Mark::Ok);
        assert!(dpdk(None).remedy.is_some_and(|remedy| remedy.contains("libdpdk-dev")));
    }
}
