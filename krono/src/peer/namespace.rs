//! Network namespaces that krono makes and removes, and the commands that configure them.
//!
//! Names begin with `krono-` and this process's number, so that two runs do not meet, and what a
//! killed one leaves can be told: `ip netns list`.

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// Folders of administrators' programs, which a user's PATH may not name.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// A program of this machine; `None` where it is not installed.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// What this machine lacks of `programs`, given with their packages.
pub(crate) fn missing(programs: &[(&str, &str)]) -> Option<String> {
    let gone = programs.iter().filter(|(program, _)| installed(program).is_none());
    let mut packages: Vec<&str> = gone.map(|&(_, package)| package).collect();
    packages.dedup();
    let line = packages.join(" ");
    (!line.is_empty()).then(|| format!("not installed: apt-get install {line}"))
}

/// What this machine lacks to make namespaces and have `programs`, given with their packages.
pub(crate) fn lacking(programs: &[(&str, &str)]) -> Option<String> {
    if let Some(missing) = missing(programs) {
        return Some(missing);
    }
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    (!root).then(|| "it makes network namespaces: run krono as root".to_owned())
}

/// Runs a command line that must succeed, split at spaces; its output.
pub(crate) fn must(line: &str) -> anyhow::Result<String> {
    must_with(line, "")
}

/// The same with `input`.
pub(crate) fn must_with(line: &str, input: &str) -> anyhow::Result<String> {
    let mut words = line.split_whitespace().map(str::to_owned);
    let name = words.next().context("an empty command")?;
    must_words(&name, &words.collect::<Vec<_>>(), input)
}

/// Runs a program that must succeed; its output.
pub(crate) fn must_words(name: &str, words: &[String], input: &str) -> anyhow::Result<String> {
    let line = format!("{name} {}", words.join(" "));
    let program = installed(name).with_context(|| format!("{name} is not installed"))?;
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| line.clone())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ended without reading it says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| line.clone())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{line}: {}: {:.300}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A network namespace, removed when dropped, with the interfaces in it.
pub(crate) struct Namespace(String);

impl Namespace {
    /// A new one, whose name tells its `role`. No IPv6 is spoken in it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn create(role: &str) -> anyhow::Result<Namespace> {
        let namespace = Namespace::bare(role)?;
        namespace.sysctl(&["net.ipv6.conf.all.disable_ipv6=1"])?;
        namespace.sysctl(&["net.ipv6.conf.default.disable_ipv6=1"])?;
        namespace.must("ip link set lo up")?;
        Ok(namespace)
    }

    /// The same as the system makes it.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn bare(role: &str) -> anyhow::Result<Namespace> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace(format!("krono-{}-{number}-{role}", std::process::id()));
        must(&format!("ip netns add {}", namespace.0))?;
        Ok(namespace)
    }

    /// Its name, as `ip` takes it.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Runs a command line inside that must succeed.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn must(&self, line: &str) -> anyhow::Result<String> {
        must(&format!("ip netns exec {} {line}", self.0))
    }

    /// The same with `input`.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn must_with(&self, line: &str, input: &str) -> anyhow::Result<String> {
        must_with(&format!("ip netns exec {} {line}", self.0), input)
    }

    /// Sets kernel parameters. One that this kernel has not is no error where it is about IPv6,
    /// which may be left out of a kernel.
    ///
    /// # Errors
    /// When one cannot be set.
    pub(crate) fn sysctl(&self, settings: &[&str]) -> anyhow::Result<()> {
        settings.iter().try_for_each(|setting| match self.must(&format!("sysctl -qw {setting}")) {
            Err(error) if !setting.starts_with("net.ipv6.") => Err(error),
            _ => Ok(()),
        })
    }

    /// Calls `inside` on a thread in the namespace. Processes it starts stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub(crate) fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let path = format!("/run/netns/{}", self.0);
        let file = File::open(&path).with_context(|| path.clone())?;
        thread::scope(|scope| {
            let thread = scope.spawn(move || -> anyhow::Result<T> {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                Ok(inside())
            });
            thread.join().unwrap_or_else(|_| bail!("{path}: panicked"))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about one that does not go; its name tells whose it was.
        let _ = must(&format!("ip netns delete {}", self.0));
    }
}
