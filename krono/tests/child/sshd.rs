//! An sshd with a configuration, keys and port of its own: whoever started it may log in, with the
//! key that it made, and nobody else.

use anyhow::{Context, ensure};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What is called, and the Debian packages that have it.
pub(crate) const PROGRAM: &str = "/usr/sbin/sshd";

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// It; ended when dropped. Sessions end with their connections.
pub(crate) struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether it can be started here.
pub(crate) fn is_installed() -> bool {
    Path::new(PROGRAM).is_file() && Path::new("/usr/bin/ssh").is_file()
}

/// Starts it by `command`, which has its arguments yet to come, with all its files in `folder`; and
/// how a server is reached through it on which `krono` is, for the hosts file.
pub(crate) fn start(
    mut command: Command,
    folder: &Path,
    address: &str,
    port: u16,
    krono: &Path,
) -> anyhow::Result<(Sshd, String)> {
    let (host_key, user_key) = (folder.join("host_key"), folder.join("user_key"));
    for key in [&host_key, &user_key] {
        let mut make = Command::new("ssh-keygen");
        let made = make.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key).output()?;
        ensure!(made.status.success(), "{made:?}");
    }
    let public = fs::read_to_string(host_key.with_extension("pub"))?;
    let known_hosts = folder.join("known_hosts");
    fs::write(&known_hosts, format!("[{address}]:{port} {public}"))?;
    let config = format!(
        "ListenAddress {address}\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nUsePAM no\n\
         StrictModes no\nPasswordAuthentication no\nPidFile none\nSetEnv TMPDIR={}\n",
        host_key.display(),
        user_key.with_extension("pub").display(),
        folder.join("temporary").display(),
    );
    fs::create_dir_all(folder.join("temporary"))?;
    fs::write(folder.join("sshd_config"), config)?;
    let user = Command::new("id").arg("-un").output()?;
    let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
    if user == "root" {
        // Where it puts those who have not logged in yet.
        fs::create_dir_all("/run/sshd")?;
    }
    let log = folder.join("sshd.log");
    command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
    let sshd = Sshd(command.spawn().context(PROGRAM)?);
    let begun = Instant::now();
    let said = || fs::read_to_string(&log).unwrap_or_default();
    while !said().contains("Server listening") {
        ensure!(begun.elapsed() < PATIENCE, "sshd does not listen: {}", said());
        thread::sleep(Duration::from_millis(20));
    }
    let option = |key: &str, file: &Path| format!("\"-o\", \"{key}={}\"", file.display());
    let reach = format!(
        "ssh = \"{user}@{address}\"\nkrono = \"{}\"\nssh_options = [\"-F\", \"/dev/null\", \
         \"-p\", \"{port}\", {}, {}]\n",
        krono.display(),
        option("IdentityFile", &user_key),
        option("UserKnownHostsFile", &known_hosts),
    );
    Ok((sshd, reach))
}
