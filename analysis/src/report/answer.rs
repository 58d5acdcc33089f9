//! The run in one sentence.

use crate::figure;
use crate::report::missing;
use format::Summary;
use format::summary::{Judged, Limit, Recovery};

/// Answers the scenario's question in one sentence (two where a criterion failed). A run that is
/// invalid answers nothing, and the sentence says so and why.
pub fn answer(summary: &Summary) -> String {
    if !summary.valid {
        let reasons = match &summary.invalid_reasons[..] {
            [] => "no reason was recorded".to_owned(),
            reasons => reasons.join("; "),
        };
        return sentence(format!("This run proves nothing: {}", reasons.trim_end_matches('.')));
    }
    let mut text = match sent(summary) {
        0 => "No packet was sent, so nothing was measured".to_owned(),
        sent => {
            let event = interruption(summary).map_or_else(String::new, |text| text + "; ");
            let rate = rate(summary);
            let rate = if event.is_empty() { rate } else { lower_first(&rate) };
            format!("{event}{rate}, {}", integrity(summary, sent))
        }
    };
    if summary.run.interrupted {
        text = format!("In the part that ran before it was interrupted: {}", lower_first(&text));
    }
    let mut text = sentence(text);
    let failed: Vec<&Judged> = summary.pass.criteria.iter().filter(|c| !c.met).collect();
    if !failed.is_empty() {
        let list: Vec<String> = failed.iter().map(|judged| verdict(judged)).collect();
        let (count, all) = (failed.len(), summary.pass.criteria.len());
        let noun = if all == 1 { "criterion" } else { "criteria" };
        text += &sentence(format!(" It fails {count} of {all} pass {noun}: {}", list.join("; ")));
    }
    text
}

fn sentence(text: String) -> String {
    text + "."
}

/// "Four …" becomes "four …"; what begins with a digit stays.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().collect::<String>() + chars.as_str())
}

/// Probes that left the generator.
pub(crate) fn sent(summary: &Summary) -> u64 {
    summary.ledger.planned.saturating_sub(summary.ledger.unsent)
}

/// "One core forwards at least 14.2 Mpps (…) of IMIX 7:4:1 on 1,032,192 established connections".
fn rate(summary: &Summary) -> String {
    let rates = &summary.throughput;
    let cores = summary.sut.cores.len();
    let who = match cores {
        0 => "The system under test forwards".to_owned(),
        1 => "One core forwards".to_owned(),
        cores => format!("{} forward", figure::plural(cores, "core")),
    };
    let least = if rates.at_least { "at least " } else { "" };
    let per_core = rates.mpps_per_core.as_ref().filter(|estimate| estimate.value.is_finite());
    let how_much = match (cores, per_core, rates.forwarded_mpps) {
        (1, Some(estimate), _) => figure::estimate(estimate, "Mpps"),
        (_, Some(estimate), Some(total)) => format!(
            "{} Mpps, {},",
            figure::significant(total, 3),
            figure::estimate(estimate, "Mpps per core"),
        ),
        (_, _, Some(total)) => format!("{} Mpps", figure::significant(total, 3)),
        (_, _, None) => {
            return format!(
                "The forwarded rate is {}",
                missing(summary, "throughput.forwarded_mpps")
            );
        }
    };
    let genome = figure::genome(&rates.genome);
    // What was given up is held, and not established.
    let connections = &summary.connections;
    let held = match connections.held_peak.saturating_sub(connections.failed) {
        0 => String::new(),
        1 => " on one established connection".to_owned(),
        held => format!(" on {} established connections", figure::count(held)),
    };
    format!("{who} {least}{how_much} of {genome}{held}")
}

/// "After “kill sut.server[1]” half of the connections were without service for at most 110 ms, …",
/// of the worst event if there were several.
fn interruption(summary: &Summary) -> Option<String> {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    let worst = |event: &&Recovery| known(event.max.or(event.p99).or(event.blocked)).unwrap_or(0.0);
    let event = summary.recovery_ms.iter().max_by(|a, b| worst(a).total_cmp(&worst(b)))?;
    let ms = |value: f64| format!("{} ms", figure::significant(value, 3));
    let parts = [
        (event.p50, "half of the connections were without service for at most"),
        (event.p99, "99 % for at most"),
        (event.max, "all for at most"),
    ];
    let mut parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(value, words)| Some(format!("{words} {}", ms(known(value)?))))
        .collect();
    if known(event.p50).is_none() {
        parts = vec![match known(event.blocked) {
            Some(blocked) => format!("the loss was that of {} without forwarding", ms(blocked)),
            None => format!("the time without service is {}", missing(summary, "recovery_ms.p50")),
        }];
    }
    let resolution = known(event.resolution);
    let resolution = resolution.map_or_else(String::new, |r| format!(" (resolution {})", ms(r)));
    let which = match summary.recovery_ms.len() {
        1 => String::new(),
        events => format!(", the worst of {events} events,"),
    };
    Some(format!("After “{}”{which} {}{resolution}", event.event, parts.join(", ")))
}

/// "with 0 of 142,000,000 packets lost, corrupt, misrouted or mistranslated", each one by name as
/// soon as one is not 0.
fn integrity(summary: &Summary, sent: u64) -> String {
    let ledger = &summary.ledger;
    let rest = [ledger.corrupt, ledger.misrouted, ledger.mistranslated];
    let all = figure::count(sent);
    let mut text = if ledger.lost == 0 && rest == [0, 0, 0] {
        format!("with 0 of {all} packets lost, corrupt, misrouted or mistranslated")
    } else {
        let [corrupt, misrouted, mistranslated] = rest.map(figure::count);
        let trials = &summary.throughput.trials;
        let elsewhere = ledger.lost > 0 && !trials.is_empty() && trials.iter().all(|t| t.lost == 0);
        let when = if elsewhere { ", none in the measured phase" } else { "" };
        format!(
            "with {} of {all} packets lost ({}{when}), {corrupt} corrupt, {misrouted} misrouted and \
             {mistranslated} mistranslated",
            figure::count(ledger.lost),
            figure::percent_of(ledger.lost, sent),
        )
    };
    if ledger.unsent > 0 {
        text += &format!("; {} planned packets were never sent", figure::count(ledger.unsent));
    }
    text
}

/// "ledger.lost is 12 (at most 0)".
pub(crate) fn verdict(judged: &Judged) -> String {
    let value = judged.value.map_or_else(|| figure::MISSING.to_owned(), figure::value);
    format!("{} is {value} ({})", judged.name, limit(&judged.limit))
}

/// A limit in words.
pub(crate) fn limit(limit: &Limit) -> String {
    let text = figure::value;
    match (limit.min, limit.max) {
        (Some(min), Some(max)) if min == max => format!("exactly {}", text(min)),
        (Some(min), Some(max)) => format!("{} to {}", text(min), text(max)),
        (Some(min), None) => format!("at least {}", text(min)),
        (None, Some(max)) => format!("at most {}", text(max)),
        (None, None) => "no limit".to_owned(),
    }
}
