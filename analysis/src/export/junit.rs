//! JUnit XML: each check is a test case, each run or gate a suite.
//!
//! What could not be judged is an error, not a failure: JUnit's own distinction between a test that
//! found something and one that could not be run. Figures stand in the properties of the suites.
//! The form is that of Jenkins' schema, which GitLab and others read.

use super::{Check, Entry, ExportError, Judgement, Sheet};
use crate::figure;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

/// Writes the checks of a sheet.
///
/// # Errors
/// The serialiser's.
pub fn write(sheet: &Sheet) -> Result<String, ExportError> {
    let mut report = Report::new(sheet.title.as_str());
    let mut suites: Vec<&str> = Vec::new();
    for check in &sheet.checks {
        if !suites.contains(&check.of.as_str()) {
            suites.push(&check.of);
        }
    }
    for (i, of) in suites.iter().enumerate() {
        let mut suite = TestSuite::new(*of);
        for check in sheet.checks.iter().filter(|check| check.of == *of) {
            suite.add_test_case(case(check));
        }
        // Figures are of benchmarks; with one suite there is no doubt whose they are.
        if i == 0 && suites.len() == 1 {
            for entry in sheet.entries.iter().filter(|entry| entry.value.is_some()) {
                suite.add_property(property(entry));
            }
        }
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn case(check: &Check) -> TestCase {
    let kind = match check.result {
        Judgement::Passed => None,
        Judgement::Failed => Some(NonSuccessKind::Failure),
        Judgement::Unjudged => Some(NonSuccessKind::Error),
    };
    let status = match kind {
        None => TestCaseStatus::success(),
        Some(kind) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(check.message.as_str());
            status.set_type(match kind {
                NonSuccessKind::Failure => "failed",
                NonSuccessKind::Error => "not judged",
            });
            status
        }
    };
    let mut case = TestCase::new(check.name.as_str(), status);
    case.set_classname(check.of.as_str());
    case.set_system_out(check.message.as_str());
    case
}

fn property(entry: &Entry) -> Property {
    let value = entry.value.map_or_else(|| figure::MISSING.to_owned(), |v| v.to_string());
    let least = if entry.at_least { "at least " } else { "" };
    Property::new(entry.figure.as_str(), format!("{least}{value} {}", entry.unit).trim_end())
}
