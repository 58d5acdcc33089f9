//! The job files of `docs/jobs`, as far as they go without a cluster: what they start is started,
//! with the scheduler's own commands and variables stood in for.

use crate::bench::{Agent, Bench, KRONO, can_run};
use crate::child::{ended, line_after};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use yaml_rust2::{Yaml, YamlLoader};

/// Two loopback addresses that no other test process has.
fn nodes() -> [String; 2] {
    let pid = std::process::id();
    [1, 2].map(|node| format!("127.{}.{}.{node}", 1 + (pid >> 8) % 254, pid % 256))
}

fn job(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/jobs").join(name)
}

/// A folder of programs that do as Slurm would: `srun` runs a command for each node, on which
/// `hostname -i` answers with an address of its own, until it is ended.
fn slurm(bench: &Bench, nodes: &[String; 2]) -> PathBuf {
    let folder = bench.path("slurm");
    fs::create_dir(&folder).expect("a folder");
    let [one, two] = nodes;
    let programs = [
        (
            "scontrol",
            format!("[ \"$*\" = 'show hostnames left,right' ] && printf '{one}\\n{two}\\n'"),
        ),
        ("hostname", "[ \"$*\" = -i ] && echo \"$NODE 192.0.2.1\"".to_owned()),
        (
            "srun",
            format!(
                "trap 'kill $one $two' TERM\nNODE={one} \"$@\" & one=$!\nNODE={two} \"$@\" & \
                 two=$!\nwait $one; wait $two"
            ),
        ),
    ];
    for (name, script) in programs {
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    folder
}

#[test]
fn the_slurm_job_runs() {
    let Some(_alone) = can_run() else { return };
    let bench = Bench::empty("1s");
    let programs = Path::new(KRONO).parent().expect("a folder");
    let folders = [slurm(&bench, &nodes()), programs.to_owned()];
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{}:{path}", folders[0].display(), folders[1].display());
    fs::remove_dir_all(bench.path("keys")).expect("it makes its own");
    let mut command = Command::new("bash");
    command.arg(job("krono.slurm")).arg("a.toml").env("PATH", path);
    command.env("SLURM_SUBMIT_DIR", bench.path("")).env("SLURM_JOB_ID", "7");
    command.env("SLURM_JOB_NODELIST", "left,right").env("KRONO_PORT", bench.port());
    command.env("TMPDIR", bench.path("temporary"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = ended(command.spawn().expect("bash"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let hosts = fs::read_to_string(bench.path("hosts-7.toml")).expect(&said);
    assert!(hosts.contains(&format!("name = \"sut-{}\"", nodes()[1])), "{hosts}");
    let summary = fs::read(bench.path("results/slurm-7/summary.json")).expect(&said);
    let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["connections"]["held_peak"], 2000, "{said}");
    assert_eq!(output.status.code(), Some(i32::from(summary["valid"] != true) * 4), "{said}");
    bench.assert_none_left();
}

/// What is below these keys.
fn at<'a>(yaml: &'a Yaml, keys: &[&str]) -> &'a Yaml {
    keys.iter().fold(yaml, |yaml, key| &yaml[*key])
}

fn list<'a>(yaml: &'a Yaml, keys: &[&str]) -> &'a Vec<Yaml> {
    at(yaml, keys).as_vec().unwrap_or_else(|| panic!("no list {keys:?}"))
}

#[test]
fn the_kubernetes_job_starts_agents() {
    let text = fs::read_to_string(job("krono-agents.yaml")).expect("a file");
    let documents = YamlLoader::load_from_str(&text).expect("YAML");
    let [set] = &documents[..] else { panic!("{} documents", documents.len()) };
    assert_eq!(
        (set["apiVersion"].as_str(), set["kind"].as_str()),
        (Some("apps/v1"), Some("DaemonSet"))
    );
    let selected = at(set, &["spec", "selector", "matchLabels"]);
    assert_eq!(selected, at(set, &["spec", "template", "metadata", "labels"]));
    let pod = at(set, &["spec", "template", "spec"]);
    assert_eq!(pod["hostNetwork"].as_bool(), Some(true));
    let container = &list(pod, &["containers"])[0];
    let names = |yaml: &Vec<Yaml>| {
        yaml.iter().filter_map(|it| it["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(names(list(container, &["volumeMounts"])), names(list(pod, &["volumes"])));
    // The command, with what Kubernetes would put in its place.
    let bench = Bench::empty("1s");
    let [node, _] = nodes();
    let keys = bench.path("keys/agent");
    let variable = names(list(container, &["env"])).remove(0);
    let mounted = list(container, &["volumeMounts"])[0]["mountPath"].as_str().expect("a path");
    let words: Vec<String> = list(container, &["command"])
        .iter()
        .map(|word| word.as_str().expect("text").replace(&format!("$({variable})"), &node))
        .map(|word| if word == mounted { keys.display().to_string() } else { word })
        .collect();
    let [program, arguments @ ..] = &words[..] else { panic!("no command") };
    assert_eq!(program, "krono");
    let mut command = Command::new(KRONO);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("krono starts");
    let line = line_after("listening on ", child.stdout.take());
    let _agent = Agent { child, address: node.clone() };
    assert_eq!(line, format!("{node}:7800 (mutual TLS)"));
    // What the remark says is how it is set up.
    let calls = text.lines().filter_map(|line| line.strip_prefix("#   krono "));
    for call in calls {
        let words = ["krono"].into_iter().chain(call.split_whitespace());
        <krono::cli::Cli as clap::Parser>::try_parse_from(words).expect(call);
    }
}
