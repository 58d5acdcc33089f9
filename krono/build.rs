//! Records what built the binary (git revision, compiler and build flags), and compiles the schema
//! of agents.
//!
//! None of the former is required. Without git, or outside a repository, the revision is left out
//! and a summary says `null`.

use std::env;
use std::error::Error;
use std::process::Command;

/// Compiled without `protoc`.
const SCHEMA: &str = "krono/agent/v1/agent.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::compile_fds(protox::compile([SCHEMA], ["proto"])?)?;
    for watched in ["../.git/HEAD", "../.git/index", "src", "../dataplane/src", "../gen/src"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    for watched in ["../sut/src", "../format/src", "../analysis/src", "../dpdk-sys/src"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let revision = revision();
    println!("cargo::rustc-env=KRONO_REVISION={}", revision.as_deref().unwrap_or("unknown"));
    export("KRONO_GIT", revision);
    export("KRONO_RUSTC", env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"])));
    export("KRONO_BUILD_FLAGS", Some(flags()));
    Ok(())
}

fn export(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}

/// The commit, with `-dirty` when the tree differs from it: such a build cannot be made again.
fn revision() -> Option<String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    let dirty = changed.is_some_and(|files| !files.is_empty());
    Some(if dirty { commit + "-dirty" } else { commit })
}

fn flags() -> String {
    let of = |name: &str| env::var(name).unwrap_or_default();
    let mut flags =
        format!("{} opt-level={} {}", of("PROFILE"), of("OPT_LEVEL"), of("CARGO_CFG_TARGET_ARCH"));
    let rustflags = of("CARGO_ENCODED_RUSTFLAGS").replace('\u{1f}', " ");
    for more in [of("CARGO_CFG_TARGET_FEATURE"), rustflags] {
        if !more.is_empty() {
            flags = format!("{flags} {more}");
        }
    }
    flags
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
