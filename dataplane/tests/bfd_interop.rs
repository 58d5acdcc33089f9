//! A BFD session with BIRD across a veth pair: up, cut both ways and one way, and taken down.
//!
//! The test starts itself again in namespaces of its own, which end with it. A wire is cut without
//! a word by a wrong Ethernet address for the neighbour: the carrier stays, and what is sent
//! arrives at nobody. Root is needed, and `bird`; where they are missing, the test says that it is
//! skipped. Our end is `examples/bfd.rs`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const INSIDE: &str = "KRONO_TEST_INSIDE_BFD_NAMESPACE";

/// `ip netns` keeps its names in /run, where nobody but us shall see them.
const SET_UP: &str = "mount -t tmpfs tmpfs /run && ip netns add router \
    && ip link add core0 address 02:00:00:00:00:01 type veth \
       peer name router0 address 02:00:00:00:00:02 netns router \
    && ip link set lo up && ip address add 10.0.0.1/30 dev core0 && ip link set core0 up \
    && ip -n router address add 10.0.0.2/30 dev router0 && ip -n router link set router0 up";

const CONFIGURATION: &str = r#"
router id 10.0.0.2;
protocol device {}
protocol bfd {
    interface "router0" { interval 100 ms; multiplier 3; };
    neighbor 10.0.0.1 dev "router0" local 10.0.0.2;
}
"#;

/// Both ends ask for 100 ms, three times: a machine busy with other tests can do that without
/// flaps.
const DETECTION: Duration = Duration::from_millis(300);

/// The last packet before a cut may be older than the cut by an interval; the rest is for clocks.
const SOONEST: Duration = Duration::from_millis(180);

/// What a busy machine may add to it, and the question to BIRD.
const TOLERANCE: Duration = Duration::from_millis(600);

/// How long coming up may take: packets are a second apart until then, and may miss each other.
const PATIENCE: Duration = Duration::from_secs(8);

#[test]
fn bird_and_we_agree() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let Some(example) = example() else {
        println!("skipped: examples/bfd is not built: cargo build -p dataplane --examples");
        return;
    };
    for program in ["bird", "birdc"] {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: {program} is not installed: apt-get install bird2");
            return;
        }
    }
    match unshare(SET_UP).output() {
        Ok(trial) if trial.status.success() => {}
        Ok(trial) => {
            let why = String::from_utf8_lossy(&trial.stderr);
            println!("skipped: no namespaces with a veth pair here ({}): run as root", why.trim());
            return;
        }
        Err(error) => return println!("skipped: no unshare: {error}"),
    }
    let status = unshare(&format!("{SET_UP} && exec \"$0\" \"$@\""))
        .arg(std::env::current_exe().expect("a test is a program"))
        .args(["bird_and_we_agree", "--exact", "--nocapture"])
        .env(INSIDE, example)
        .status();
    assert!(status.expect("it ran a moment ago").success(), "see the inner test above");
}

fn unshare(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["sh", "-c", script]);
    command
}

/// The program that cargo builds beside the tests.
fn example() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let program = test.parent()?.parent()?.join("examples/bfd");
    program.is_file().then_some(program)
}

/// A program that ends when this does.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// BIRD in the namespace `router`.
struct Bird {
    socket: PathBuf,
    _running: Guard,
}

impl Bird {
    fn start(folder: &Path) -> Bird {
        let (file, socket) = (folder.join("bird.conf"), folder.join("bird.ctl"));
        std::fs::write(&file, CONFIGURATION).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "router", "bird", "-f", "-c"]).arg(&file);
        command.arg("-s").arg(&socket).arg("-P").arg(folder.join("bird.pid"));
        Bird { socket, _running: Guard(command.spawn().unwrap()) }
    }

    /// State, interval and detection time of its session, as it words them.
    fn session(&self) -> Option<[String; 3]> {
        let mut ask = Command::new("birdc");
        let said = ask.arg("-s").arg(&self.socket).args(["show", "bfd", "sessions"]).output();
        let said = String::from_utf8(said.ok()?.stdout).ok()?;
        let row = said.lines().find(|line| line.starts_with("10.0.0.1 "))?;
        let mut words = row.split_whitespace();
        let state = words.nth(2)?.to_owned();
        // Between them stands the time of the last change.
        let [timeout, interval] = [words.next_back()?, words.next_back()?].map(str::to_owned);
        Some([state, interval, timeout])
    }

    /// Waits until the session is in a state; how long that took.
    fn wait_for(&self, state: &str, since: Instant, patience: Duration) -> Duration {
        loop {
            let session = self.session();
            let waited = since.elapsed();
            if session.as_ref().is_some_and(|[is, ..]| is == state) {
                return waited;
            }
            assert!(waited < patience, "BIRD is not {state} after {waited:?}: {session:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Our end.
struct Ours {
    changes: Receiver<(Instant, String)>,
    orders: ChildStdin,
    _running: Guard,
}

impl Ours {
    fn start() -> Ours {
        let mut command = Command::new(std::env::var_os(INSIDE).unwrap());
        command.args(["10.0.0.1", "10.0.0.2", "100", "3"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdout, orders) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
        let (sender, changes) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Without the time it begins with.
                let change = line.split_once(' ').unwrap_or_default().1.to_owned();
                if sender.send((Instant::now(), change)).is_err() {
                    return;
                }
            }
        });
        Ours { changes, orders, _running: Guard(child) }
    }

    /// Waits for the next change of state, which must be `change`; how long that took.
    fn expect(&self, change: &str, since: Instant, patience: Duration) -> Duration {
        let left = patience.saturating_sub(since.elapsed());
        let next = self.changes.recv_timeout(left);
        let (at, is) = next.unwrap_or_else(|_| panic!("no {change} within {patience:?}"));
        assert_eq!(is, change);
        at.saturating_duration_since(since)
    }

    /// Waits until the session is Up again, however it gets there.
    fn wait_up(&self) {
        let begun = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(begun.elapsed());
            let (_, change) = self.changes.recv_timeout(left).expect("not Up in time");
            if change.ends_with(" Up None") {
                return;
            }
        }
    }
}

/// Sends what one end sends to nobody, or to the other end.
fn wire(from_core: bool, from_router: bool) {
    let broken = "02:00:00:00:00:99";
    let core = if from_core { "02:00:00:00:00:02" } else { broken };
    let router = if from_router { "02:00:00:00:00:01" } else { broken };
    let script = format!(
        "ip neigh replace 10.0.0.2 lladdr {core} nud permanent dev core0 \
         && ip -n router neigh replace 10.0.0.1 lladdr {router} nud permanent dev router0"
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

fn inside() {
    let folder = tempfile::tempdir().unwrap();
    wire(true, true);
    let bird = Bird::start(folder.path());
    let ours = Ours::start();
    let up = |what: &str| {
        ours.wait_up();
        bird.wait_for("Up", Instant::now(), PATIENCE);
        // The poll about the intervals takes two packets more.
        let begun = Instant::now();
        let agreed = ["Up", "0.100", "0.300"].map(str::to_owned);
        while bird.session().as_ref() != Some(&agreed) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:?}", bird.session());
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("{what}: up, 100 ms, detection time 300 ms");
    };
    up("first");

    let cut = Instant::now();
    wire(false, false);
    let we = ours.expect("Up Down TimeExpired", cut, DETECTION + TOLERANCE);
    let they = bird.wait_for("Down", cut, DETECTION + TOLERANCE);
    println!("cut both ways: we are down after {we:?}, BIRD after {they:?}");
    assert!(we > SOONEST && they > SOONEST, "down before its time");
    wire(true, true);
    up("mended");

    let cut = Instant::now();
    wire(false, true);
    let we = ours.expect("Up Down NeighborSignaledDown", cut, DETECTION + TOLERANCE);
    println!("BIRD is deaf: we hear of it after {we:?}");
    wire(true, true);
    up("mended");

    let cut = Instant::now();
    wire(true, false);
    let we = ours.expect("Up Down TimeExpired", cut, DETECTION + TOLERANCE);
    let they = bird.wait_for("Down", cut, DETECTION + TOLERANCE);
    println!("we are deaf: down after {we:?}, BIRD hears of it after {they:?}");
    wire(true, true);
    up("mended");

    let told = Instant::now();
    (&ours.orders).write_all(b"down\n").unwrap();
    ours.expect("Up AdminDown AdminDown", told, TOLERANCE);
    let they = bird.wait_for("Down", told, TOLERANCE);
    println!("taken down: BIRD knows after {they:?}");
}
