//! Both servers over ssh, by a real sshd of this machine on a port of its own.

use crate::bench::{Bench, KRONO, can_run};
use crate::child::ended;
use crate::sshd;
use crate::{assert_counted, count};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

#[test]
fn a_run_over_ssh_counts_every_packet() {
    let Some(_alone) = can_run() else { return };
    if !sshd::is_installed() {
        println!("skipped: apt-get install openssh-server openssh-client");
        return;
    }
    let bench = Bench::empty("1s");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let command = Command::new(sshd::PROGRAM);
    let started = sshd::start(command, &bench.path(""), "127.0.0.1", free.port(), Path::new(KRONO));
    let (_sshd, reach) = started.expect("it listens");
    bench.list(&[reach.clone(), reach]);
    let output = ended(bench.krono().spawn().expect("krono starts"));
    assert_counted(&bench, &output);
    let servers = bench.json("servers.json", &output);
    for server in servers.as_array().expect("a list") {
        let reached = server["reached"].as_str().unwrap_or_default();
        assert!(reached.starts_with("ssh ") && reached.ends_with("@127.0.0.1"), "{servers:#}");
    }
    assert_eq!(count(&servers[0], "server"), 0);
    // A key that nobody knows logs nobody in, and no server is started.
    let hosts = std::fs::read_to_string(bench.path("hosts.toml")).expect("written");
    std::fs::write(bench.path("hosts.toml"), hosts.replace("user_key", "host_key")).expect("ok");
    std::fs::remove_dir_all(bench.path("out")).expect("it is there");
    let output = ended(bench.krono().spawn().expect("krono starts"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && said.contains("left (ssh "), "{said}");
    assert!(said.contains("Permission denied") && !bench.path("out").exists(), "{said}");
    bench.assert_none_left();
}
