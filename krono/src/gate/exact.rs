//! The exact tier: what a packet costs in instructions, counted by callgrind, stage by stage.
//!
//! A program under callgrind does the same work as in the relative tier, at two lengths; the difference
//! is of the packets alone. Nothing the machine does changes a count, so one more instruction for each
//! packet is seen every time, and nothing is estimated. What it cannot see is what an instruction
//! costs: a miss of the cache is one instruction too.
//!
//! valgrind knows no AVX-512; the programs ask the processor what it has and do without.

use super::callgrind::{self, Profile};
use super::child::{Program, Start};
use super::{Sides, Unfit, comparable, golden};
use crate::slices::{Hello, Work};
use analysis::gate::{Class, Direction, Row};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// What is counted.
struct Stage {
    name: &'static str,
    /// Of what the count is one.
    each: &'static str,
    settings: &'static [&'static str],
    /// The function whose callees count.
    within: &'static str,
    /// Work at the lesser length; the greater is three times as long.
    work: Work,
}

const fn forward(bursts: u32) -> Work {
    Work { seed: 1, bursts, cohorts: 0 }
}

const fn come_and_go(cohorts: u32) -> Work {
    Work { seed: 1, bursts: 0, cohorts }
}

const STEP: &str = "*measured_step*";
const TURN: &str = "*measured_turn*";

const STAGES: [Stage; 6] = [
    Stage {
        name: "outbound.udp",
        each: "packet",
        settings: &["direction.up=1", "direction.down=0", "protocol.udp=1", "protocol.tcp=0"],
        within: STEP,
        work: forward(64),
    },
    Stage {
        name: "outbound.tcp",
        each: "packet",
        settings: &["direction.up=1", "direction.down=0", "protocol.udp=0", "protocol.tcp=1"],
        within: STEP,
        work: forward(64),
    },
    Stage {
        name: "inbound.udp",
        each: "packet",
        settings: &["direction.up=0", "direction.down=1", "protocol.udp=1", "protocol.tcp=0"],
        within: STEP,
        work: forward(64),
    },
    Stage {
        name: "inbound.tcp",
        each: "packet",
        settings: &["direction.up=0", "direction.down=1", "protocol.udp=0", "protocol.tcp=1"],
        within: STEP,
        work: forward(64),
    },
    Stage { name: "open", each: "connection", settings: &[], within: STEP, work: come_and_go(4) },
    Stage { name: "expire", each: "connection", settings: &[], within: TURN, work: come_and_go(4) },
];

/// The row about what the core makes of frames.
pub(super) const FRAMES: &str = "translated.frames_changed";

/// Connections held: what is counted does not depend on how many.
const CONNECTIONS: &str = "traffic.connections=1008";

/// valgrind, if it is here.
///
/// # Errors
/// What to do about it if not.
pub(super) fn available() -> Result<(), String> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err(
            "the exact tier counts instructions with valgrind, which is not here\n  Install it \
                  (apt-get install valgrind), or judge by time alone: --tier relative"
                .to_owned(),
        ),
    }
}

/// Counts both programs; rows of every stage, of allocations, of translated frames and of a simulated
/// failure.
///
/// # Errors
/// Programs that cannot be compared, or one that fails.
pub(super) fn judge(
    sides: &Sides,
    arguments: &[OsString],
    tolerated: f64,
    folder: &Path,
) -> Result<Vec<Row>, Unfit> {
    let count = |program: &Path, side: &str| -> Result<Vec<Counted>, Unfit> {
        let each = STAGES.iter();
        let each = each.map(|stage| counted(program, stage, arguments, &folder.join(side)));
        each.collect()
    };
    // One thread a program: on a machine of two processors that is all there is.
    let (base, candidate) = thread::scope(|scope| {
        let base = scope.spawn(|| count(&sides.base, "base"));
        let candidate = count(&sides.candidate, "candidate");
        let base = base.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (base, candidate)
    });
    let (base, candidate) = (base?, candidate?);
    for (base, candidate) in base.iter().zip(&candidate) {
        comparable(&base.hello, &candidate.hello)?;
    }
    let both = || STAGES.iter().zip(base.iter().zip(&candidate));
    let mut rows: Vec<Row> =
        both().map(|(stage, (base, candidate))| row(stage, base, candidate, tolerated)).collect();
    rows.push(allocations(&base, &candidate));
    let changed: Vec<&str> = both()
        .filter(|(_, (base, candidate))| base.hello.translated != candidate.hello.translated)
        .map(|(stage, _)| stage.name)
        .collect();
    rows.push(translated(&changed));
    rows.push(golden::row(sides, folder)?);
    Ok(rows)
}

/// What one program did in one stage, for each packet or connection.
struct Counted {
    hello: Hello,
    by_file: Vec<(String, f64)>,
    allocations: u64,
}

impl Counted {
    fn instructions(&self) -> f64 {
        self.by_file.iter().map(|(_, count)| count).sum()
    }

    fn of(&self, file: &str) -> f64 {
        self.by_file.iter().find(|(name, _)| name == file).map_or(0.0, |(_, count)| *count)
    }
}

fn counted(
    program: &Path,
    stage: &Stage,
    arguments: &[OsString],
    files: &Path,
) -> Result<Counted, Unfit> {
    let less = stage.work;
    let more = Work { bursts: 3 * less.bursts, cohorts: 3 * less.cohorts, ..less };
    let (_, units_less, short) = profile(program, stage, &less, arguments, files)?;
    let (hello, units_more, long) = profile(program, stage, &more, arguments, files)?;
    let units = more_work(program, units_less, units_more)?;
    let names: BTreeSet<&String> = short.by_file.keys().chain(long.by_file.keys()).collect();
    let of = |profile: &Profile, name: &String| profile.by_file.get(name).copied().unwrap_or(0);
    let each = |name: &String| (of(&long, name) as f64 - of(&short, name) as f64) / units;
    let by_file = names.into_iter().map(|name| (name.clone(), each(name))).collect();
    // Less than none is no more of them, which is as well.
    let allocations = long.allocations.saturating_sub(short.allocations);
    Ok(Counted { hello, by_file, allocations })
}

/// Packets or connections that the longer work has beyond the shorter. Of none nothing can be said.
fn more_work(program: &Path, less: u64, more: u64) -> Result<f64, Unfit> {
    let units = more.checked_sub(less).filter(|units| *units > 0);
    units.map(|units| units as f64).ok_or_else(|| Unfit::Ended {
        name: program.display().to_string(),
        why: format!("three times the work was {more} packets after {less}"),
    })
}

/// Runs a program under callgrind; what it said, the packets or connections it worked on, and what
/// was counted.
fn profile(
    program: &Path,
    stage: &Stage,
    work: &Work,
    arguments: &[OsString],
    files: &Path,
) -> Result<(Hello, u64, Profile), Unfit> {
    let out = files.with_extension("callgrind");
    let mut under: Vec<OsString> =
        ["valgrind", "-q", "--tool=callgrind"].map(OsString::from).into();
    under.push(format!("--toggle-collect={}", stage.within).into());
    under.push(format!("--callgrind-out-file={}", out.display()).into());
    let mut arguments = arguments.to_vec();
    for setting in stage.settings {
        arguments.extend(["--set".into(), format!("traffic.{setting}").into()]);
    }
    arguments.extend(["--set".into(), CONNECTIONS.into()]);
    let mut running = Program::start(&Start { program, under, arguments: &arguments })?;
    let slice = running.slice(work)?;
    let hello = running.hello.clone();
    running.end()?;
    let failed = |why: String| Unfit::Ended { name: "valgrind".to_owned(), why };
    let text = std::fs::read_to_string(&out);
    let text = text.map_err(|error| failed(format!("{}: {error}", out.display())))?;
    let profile = callgrind::read(&text);
    if profile.instructions() == 0 {
        let why = format!("nothing was counted within {}: was the program stripped?", stage.within);
        return Err(failed(why));
    }
    Ok((hello, slice.packets, profile))
}

fn row(stage: &Stage, base: &Counted, candidate: &Counted, tolerated: f64) -> Row {
    let (before, now) = (base.instructions(), candidate.instructions());
    let more = now - before;
    // What is no number is no pass.
    let class = if more <= tolerated { Class::Pass } else { Class::Regressed };
    let files: BTreeSet<&String> =
        base.by_file.iter().chain(&candidate.by_file).map(|(file, _)| file).collect();
    let mut changed: Vec<(&String, f64)> = files
        .into_iter()
        .map(|file| (file, candidate.of(file) - base.of(file)))
        .filter(|(_, change)| change.abs() >= 0.05)
        .collect();
    changed.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let parts: Vec<String> =
        changed.iter().take(4).map(|(file, change)| format!("{file} {change:+.1}")).collect();
    Row {
        metric: format!("{}.instructions_per_{}", stage.name, stage.each),
        unit: "instructions".to_owned(),
        direction: Direction::LowerIsBetter,
        base: Some(before),
        value: Some(now),
        change: Some(now / before - 1.0),
        low: None,
        high: None,
        confidence: None,
        seen_from: Some(tolerated / before),
        class,
        why: (!parts.is_empty())
            .then(|| format!("{more:+.1} for each {}: {}", stage.each, parts.join(", "))),
    }
}

fn allocations(base: &[Counted], candidate: &[Counted]) -> Row {
    let of = |side: &[Counted]| side.iter().map(|counted| counted.allocations).sum::<u64>();
    let (before, now) = (of(base), of(candidate));
    let class = if now > before { Class::Regressed } else { Class::Pass };
    let why = (now > 0).then(|| "memory is allocated for packets, which no step may".to_owned());
    plain("step.allocations", Some([before as f64, now as f64]), class, why)
}

fn translated(changed: &[&str]) -> Row {
    let class = if changed.is_empty() { Class::Pass } else { Class::Regressed };
    let why = (!changed.is_empty()).then(|| {
        let stages = changed.join(", ");
        format!(
            "the same frames are translated otherwise ({stages}): if that is meant, --frames any"
        )
    });
    plain(FRAMES, Some([0.0, changed.len() as f64]), class, why)
}

/// A row of counts of which none is best.
pub(super) fn plain(
    metric: &str,
    values: Option<[f64; 2]>,
    class: Class,
    why: Option<String>,
) -> Row {
    Row {
        metric: metric.to_owned(),
        unit: String::new(),
        direction: Direction::LowerIsBetter,
        base: values.map(|[base, _]| base),
        value: values.map(|[_, value]| value),
        change: None,
        low: None,
        high: None,
        confidence: None,
        seen_from: None,
        class,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(instructions: f64) -> Counted {
        let hello = Hello {
            protocol: crate::slices::PROTOCOL.to_owned(),
            offered: String::new(),
            translated: String::new(),
            version: String::new(),
            connections: 0,
        };
        let by_file = vec![("sut/pipeline.rs".to_owned(), instructions)];
        Counted { hello, by_file, allocations: 0 }
    }

    #[test]
    fn what_was_not_counted_does_not_pass() {
        let stage = &STAGES[0];
        let class = |now| row(stage, &counted(100.0), &counted(now), 0.5).class;
        assert_eq!([100.0, 100.5].map(class), [Class::Pass; 2]);
        assert_eq!([101.0, f64::NAN, f64::INFINITY].map(class), [Class::Regressed; 3]);
        let work = |less, more| more_work(Path::new("krono"), less, more).ok();
        assert_eq!((work(10, 30), work(10, 10), work(30, 10)), (Some(20.0), None, None));
    }
}
