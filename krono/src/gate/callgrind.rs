//! Reads what callgrind writes: instructions by source file, and calls of the allocator.
//!
//! The format is in Valgrind's manual, "Callgrind Format Specification". Only what is needed is read:
//! cost lines, whose first number after the position is instructions, under the file they are of;
//! names, which are written once and then named by number; and calls, whose next line is the cost of
//! the callee and counts there already.

use std::collections::{BTreeMap, HashMap};

/// Functions by which memory is had.
const ALLOCATORS: [&str; 8] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "mmap",
    "mremap",
];

/// What a profile says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Profile {
    /// Instructions by source file, such as `sut/pipeline.rs`.
    pub(super) by_file: BTreeMap<String, u64>,
    /// Calls of the allocator.
    pub(super) allocations: u64,
}

impl Profile {
    /// All instructions.
    pub(super) fn instructions(&self) -> u64 {
        self.by_file.values().sum()
    }
}

/// Names that have been given a number.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// `(7) name`, or `(7)` for one that was named before, or a plain name.
    fn of(&mut self, text: &str) -> String {
        let Some((number, name)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        else {
            return text.to_owned();
        };
        let name = name.trim();
        if name.is_empty() {
            return self.0.get(number).cloned().unwrap_or_default();
        }
        self.0.insert(number.to_owned(), name.to_owned());
        name.to_owned()
    }
}

/// Reads a profile. Lines of other kinds are passed over.
pub(super) fn read(text: &str) -> Profile {
    let (mut profile, mut files, mut functions) =
        (Profile::default(), Names::default(), Names::default());
    let (mut file, mut callee, mut is_of_callee) = (String::new(), String::new(), false);
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else {
            let mut words = line.split_whitespace();
            let position = words.next().unwrap_or_default();
            let is_cost = position.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c));
            let cost = words.next().and_then(|word| word.parse::<u64>().ok());
            if let (true, Some(cost)) = (is_cost, cost)
                && !std::mem::take(&mut is_of_callee)
            {
                *profile.by_file.entry(label(&file)).or_default() += cost;
            }
            continue;
        };
        match key {
            "fl" | "fi" | "fe" => file = files.of(value),
            "cfi" | "cfl" => drop(files.of(value)),
            "fn" => drop(functions.of(value)),
            "cfn" => callee = functions.of(value),
            "calls" => {
                is_of_callee = true;
                let count = value.split_whitespace().next().and_then(|it| it.parse::<u64>().ok());
                if ALLOCATORS.contains(&callee.as_str()) {
                    profile.allocations += count.unwrap_or(0);
                }
            }
            _ => {}
        }
    }
    profile
}

/// A source file by its crate and its place in it, wherever it was built.
fn label(path: &str) -> String {
    let Some((before, after)) = path.rsplit_once("/src/") else {
        return path.rsplit('/').next().unwrap_or(path).to_owned();
    };
    let folder = before.rsplit('/').next().unwrap_or(before);
    format!("{folder}/{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
fl=(1) /a/sut/src/pipeline.rs
fn=(1) krononat::pipeline::process
10 100
+2 7
fi=(2) /b/dataplane/src/wire/checksum.rs
* 30
fe=(1)
-1 3
cfi=(3) malloc.c
cfn=(2) malloc
calls=4 20
+1 4000
fl=(3)
fn=(2)
20 4000
summary: 4140
";

    #[test]
    fn instructions_are_counted_where_they_are_and_once() {
        let profile = read(TEXT);
        let by_file: Vec<(&str, u64)> =
            profile.by_file.iter().map(|(file, count)| (file.as_str(), *count)).collect();
        let expected =
            [("dataplane/wire/checksum.rs", 30), ("malloc.c", 4000), ("sut/pipeline.rs", 110)];
        assert_eq!(by_file, expected);
        assert_eq!((profile.instructions(), profile.allocations), (4140, 4));
    }
}
