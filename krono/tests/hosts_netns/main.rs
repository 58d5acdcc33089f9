//! Three machines in namespaces: two generators and a Krononat on packet sockets, each behind an
//! agent, with a kernel router between them.
//!
//! ```text
//!  controller ── 172.31.k.0/24 ── gen0, gen1 (agents with mutual TLS), sut0 (sshd)
//!                                   │     │       │
//!                                   └── bridge of the router, 10.0.0.1 ──┘
//! ```
//!
//! The generators send to the core under test at its Ethernet address, it hands everything to the
//! router, and the router has the routes that `krono explain` prints. Like `krononat`'s test in
//! namespaces it starts itself again inside namespaces of its own, needs root, and says `skipped`
//! and ends with 3 where something is missing; with `--where-possible` that is no failure. Without
//! sshd the third machine is reached by an agent like the others.
//!
//! Beside these, `--testbed netns`, which makes its own machines ([`routed`]).
//!
//! `make netns` runs it, and `make test` where possible.
#![forbid(unsafe_code)]

mod bench;
mod checks;
mod routed;
#[path = "../child/sshd.rs"]
mod sshd;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const INSIDE: &str = "KRONO_HOSTS_INSIDE";

/// Ends the program where something it needs is missing.
const MISSING: u8 = 3;

/// The argument with which it is well to end there.
const WHERE_POSSIBLE: &str = "--where-possible";

/// No run takes longer: the checks take about a minute.
const DEADLINE: Duration = Duration::from_secs(480);

/// What is called, and the Debian package that has it; `.ci/setup netns` installs the same.
const PROGRAMS: [(&str, &str); 4] =
    [("unshare", "util-linux"), ("ip", "iproute2"), ("ethtool", "ethtool"), ("sysctl", "procps")];

/// Where Debian has some of them, out of a user's path.
const SYSTEM: &str = "/usr/sbin:/sbin";

/// What is possible here is found out by doing it.
const TRIAL: &str = "mount -t tmpfs tmpfs /run && ip netns add trial && ip link add t0 type bridge \
                     && ip link add t1 type veth peer name t2 netns trial";

fn main() -> ExitCode {
    if std::env::var_os(INSIDE).is_none() {
        return match start_again_inside() {
            Ok(code) => code,
            Err(missing) => {
                println!("hosts: skipped: {missing}");
                let excused = std::env::args().any(|argument| argument == WHERE_POSSIBLE);
                if excused { ExitCode::SUCCESS } else { ExitCode::from(MISSING) }
            }
        };
    }
    // Whoever started this holds the other end of its standard input. With this process, the first
    // of its process namespace, all others in there end.
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    thread::spawn(|| {
        thread::sleep(DEADLINE);
        eprintln!("hosts: not done after {DEADLINE:?}");
        std::process::exit(1);
    });
    let mut good = true;
    for (name, check) in checks::CHECKS {
        let begun = Instant::now();
        let outcome = check();
        let text = outcome.as_ref().map_or_else(|error| format!("FAILED: {error:#}"), Clone::clone);
        println!("  {name:<44} {:5.1} s  {text}", begun.elapsed().as_secs_f64());
        good &= outcome.is_ok();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts this program again in namespaces of its own and waits for its end; or says what is
/// missing here, and the remedy.
fn start_again_inside() -> Result<ExitCode, String> {
    dataplane::port::dpdk::available().map_err(|absent| absent.to_string())?;
    for name in ["kronogen", "krononat"] {
        if !bench::program(name).is_file() {
            return Err(format!("{name} is not built: `cargo build --bins`"));
        }
    }
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|(name, _)| !is_installed(name)).collect();
    if !missing.is_empty() {
        let (names, packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        let (names, packages) = (names.join(", "), packages.join(" "));
        return Err(format!("not installed: {names}: apt-get install {packages}"));
    }
    let refusal = |why: &str| format!("no namespaces with a bridge here ({why}): run as root");
    match unshare(&[TRIAL]).output() {
        Ok(trial) if trial.status.success() => {}
        Ok(trial) => return Err(refusal(String::from_utf8_lossy(&trial.stderr).trim())),
        Err(error) => return Err(refusal(&error.to_string())),
    }
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let this = this.to_string_lossy().into_owned();
    let mut command = unshare(&["mount -t tmpfs tmpfs /run && exec \"$0\"", &this]);
    // Held open until the end: the process inside ends when it closes.
    let child = command.env(INSIDE, "1").stdin(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let held = child.stdin.take();
    let status = child.wait().map_err(|error| error.to_string())?;
    drop(held);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unshare(script: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.env("PATH", [&std::env::var("PATH").unwrap_or_default(), SYSTEM].join(":"));
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c"]).args(script);
    command
}

/// Whether a program is there.
fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&paths);
    let system = SYSTEM.split(':').map(PathBuf::from);
    folders.chain(system).any(|folder| folder.join(program).is_file())
}
