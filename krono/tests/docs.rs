//! The pages hang together, the commands in them are commands of this version, and those that read
//! finished runs are run.

use clap::Parser;
use krono::cli::Cli;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use yaml_rust2::{Yaml, YamlLoader};

/// Pages whose commands that read finished runs are run.
const RUN: [&str; 3] = ["docs/commands.md", "docs/compare.md", "docs/ci.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All pages there are, README and those of `docs/`.
fn pages() -> Vec<String> {
    let folder = fs::read_dir(root().join("docs")).expect("docs/");
    let names = folder.map(|entry| entry.expect("an entry").file_name().into_string());
    let mut pages: Vec<String> = names
        .map(|name| format!("docs/{}", name.expect("UTF-8")))
        .filter(|name| name.ends_with(".md"))
        .chain(["README.md".to_owned()])
        .collect();
    pages.sort();
    pages
}

/// Targets of the links in a page, other than those that lead out of the repository.
fn links(page: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect(page);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The name by which a heading is linked to: lower case, words joined by hyphens, no other signs.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign));
    kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

/// The fenced blocks of a page that are of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(page)).expect(page);
    let fence = format!("```{language}\n");
    let mut found = Vec::new();
    for part in text.split(&fence).skip(1) {
        found.push(part.split("```").next().unwrap_or_default().to_owned());
    }
    found
}

/// The words of each `krono` in a line of a shell, up to where its output goes.
fn calls(line: &str) -> Vec<Vec<String>> {
    let parts = line.split("&&").flat_map(|part| part.split("||"));
    let words = parts.map(|part| {
        let command = part.split([';', '|', '>', '#']).next().unwrap_or_default();
        command.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
    });
    words.filter(|words: &Vec<String>| words.first().is_some_and(|word| word == "krono")).collect()
}

fn assert_parses(words: &[String], page: &str) {
    if let Err(error) = Cli::try_parse_from(words) {
        panic!("{page}: {}: {error}", words.join(" "));
    }
    for scenario in words.iter().filter(|word| word.starts_with("scenarios/")) {
        let known = scenario.contains('*') || root().join(scenario).exists();
        assert!(known, "{page}: {scenario} is not there");
    }
}

#[test]
fn every_command_of_the_pages_is_one() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    let mut count = 0;
    for page in pages() {
        let blocks = blocks(&page, "sh");
        let joined: Vec<String> = blocks.iter().map(|it| it.replace("\\\n", " ")).collect();
        for line in joined.iter().flat_map(|block| block.lines()) {
            if let Some(target) = line.strip_prefix("make ") {
                let target = target.split_whitespace().next().unwrap_or_default();
                assert!(makefile.contains(&format!("\n{target}:")), "{page}: make {target}");
            }
            for call in calls(line) {
                assert_parses(&call, &page);
                count += 1;
            }
        }
    }
    assert!(count >= 30, "{count} commands");
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let listed = links("docs/SUMMARY.md");
    for page in pages() {
        let name = page.trim_start_matches("docs/");
        let known =
            ["README.md", "SUMMARY.md"].contains(&name) || listed.iter().any(|it| it == name);
        assert!(known, "{page} is not in docs/SUMMARY.md");
        for link in links(&page) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let here = root().join(&page);
            let path = if file.is_empty() { here } else { here.with_file_name("").join(file) };
            assert!(path.exists(), "{page}: {link}");
            if !heading.is_empty() {
                let text = fs::read_to_string(&path).expect("a page");
                let headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(headings.map(anchor).any(|it| it == heading), "{page}: {link}");
            }
        }
    }
}

/// A folder in which the runs that the pages name are there, copies of one that is stored.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let stored = root().join("analysis/tests/stored/run");
    for name in ["a", "b", "c", "2026-11-23-imix-lab1", "2026-11-24-imix-lab1"] {
        let to = folder.path().join("results").join(name);
        fs::create_dir_all(&to).expect("made");
        for file in fs::read_dir(&stored).expect("listed") {
            let file = file.expect("an entry");
            let text = fs::read_to_string(file.path()).expect("text");
            let text = text.replace("2026-11-23-imix-vm-5", name);
            fs::write(to.join(file.file_name()), text).expect("written");
        }
    }
    // Results of other tools.
    let trex = r#"{"total": {"opackets": 1000, "ipackets": 990, "tx_pps": 1e6, "rx_pps": 9.9e5}}"#;
    let csit = r#"{"result": {"ndr": {"lower": {"rate": {"value": 9e6, "unit": "pps"}}}}}"#;
    for (name, text) in [("trex-stats.json", trex), ("nat44-ndrpdr.info.json", csit)] {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

#[test]
fn what_reads_finished_runs_does_as_the_pages_say() {
    let folder = folder();
    let binary = Path::new(env!("CARGO_BIN_EXE_krono")).parent().expect("a folder");
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut run = 0;
    for page in RUN {
        // Each page has a history of its own.
        let _ = fs::remove_file(folder.path().join("lab.ndjson"));
        for line in blocks(page, "sh").iter().flat_map(|block| block.lines()) {
            let reads =
                ["krono compare", "krono export", "krono history", "krono trend", "krono report"];
            if !reads.iter().any(|command| line.starts_with(command)) {
                continue;
            }
            let output = Command::new("sh")
                .args(["-c", line])
                .env("PATH", &path)
                .current_dir(folder.path())
                .output()
                .expect("a shell");
            // A history of one run says that it is too short.
            let expected = if line.starts_with("krono trend") { 4 } else { 0 };
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(expected), "{page}: {line}: {said}");
            run += 1;
        }
    }
    assert!(run >= 15, "{run} commands were run");
    for file in ["set.html", "junit.xml", "summary.md", "bmf.json", "bigger.json", "figures.csv"] {
        assert!(folder.path().join(file).metadata().is_ok_and(|it| it.len() > 0), "{file}");
    }
}

/// All texts below a key.
fn texts(yaml: &Yaml, keys: &[&str], found: &mut Vec<String>) {
    match yaml {
        Yaml::Hash(hash) => {
            for (key, value) in hash {
                match value {
                    Yaml::String(text) if key.as_str().is_some_and(|key| keys.contains(&key)) => {
                        found.push(text.clone());
                    }
                    Yaml::Array(items) if key.as_str().is_some_and(|key| keys.contains(&key)) => {
                        found.extend(items.iter().filter_map(|it| it.as_str()).map(str::to_owned));
                    }
                    other => texts(other, keys, found),
                }
            }
        }
        Yaml::Array(items) => items.iter().for_each(|item| texts(item, keys, found)),
        _ => {}
    }
}

#[test]
fn the_workflows_are_yaml_and_call_what_is_there() {
    let workflows = blocks("docs/ci.md", "yaml");
    assert_eq!(workflows.len(), 2, "GitHub's and GitLab's");
    let makefile = fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    for (i, source) in workflows.iter().enumerate() {
        let documents = YamlLoader::load_from_str(source).expect("YAML");
        let mut lines = Vec::new();
        texts(&documents[0], &["run", "script", "after_script"], &mut lines);
        let lines: Vec<&str> = lines.iter().flat_map(|text| text.lines()).collect();
        let calls: Vec<_> = lines.iter().flat_map(|line| calls(line)).collect();
        assert!(calls.len() >= 5, "{calls:?}");
        calls.iter().for_each(|call| assert_parses(call, "docs/ci.md"));
        let targets = lines.iter().filter_map(|line| line.trim().strip_prefix("make "));
        for target in targets {
            assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
        }
        if i == 0 {
            let steps = documents[0]["jobs"]["measure"]["steps"].as_vec().expect("steps");
            let does = |step: &Yaml| step["run"].as_str().or(step["uses"].as_str()).is_some();
            assert!(steps.iter().all(does));
            assert!(!documents[0]["on"].is_badvalue() && !documents[0]["name"].is_badvalue());
        } else {
            assert!(documents[0]["measure"]["script"].as_vec().is_some_and(|it| !it.is_empty()));
        }
    }
}
