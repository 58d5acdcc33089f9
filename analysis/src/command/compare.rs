//! `compare`: two runs, or many against the first.

use super::{DONE, Form, INCOMPARABLE, Outcome, Unusable};
use crate::comparable::{FACTS, Policy};
use crate::compare::foreign::{SIDES_MAX, Side, beside};
use crate::compare::{self, Options, Price};
use crate::foreign;
use crate::load::{Run, load_whole};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `krono compare`.
#[derive(Clone, Debug, clap::Args)]
pub struct Compare {
    /// Run directories: A and B, or with --matrix A and any number of others. Or results of other tools
    /// beside them: JSON files of TRex's get_stats(), or CSIT's info.json of a test case
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// One line for each run, all against the first
    #[arg(long)]
    pub matrix: bool,
    /// It is hosts that are compared: CPU and virtualisation may differ
    #[arg(long)]
    pub hosts: bool,
    /// A fact that may differ, such as mitigations, build, plan or plan.topology.sut_cores; may be
    /// given several times
    #[arg(long, value_name = "FACT", value_parser = fact)]
    pub allow: Vec<String>,
    /// What the host of a run costs, such as A=1.20/h or B=870EUR/month; may be given several times
    #[arg(long = "price", value_name = "RUN=AMOUNT/TIME", value_parser = price)]
    pub prices: Vec<(String, Price)>,
    /// Confidence of the intervals
    #[arg(long, value_name = "SHARE", default_value = "0.95", value_parser = confidence)]
    pub confidence: f64,
    /// Seed of the resampling
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// What stdout gets
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub format: Form,
}

/// Compares runs.
///
/// # Errors
/// A run that is not whole, a file of no tool that is known, or a price of no run.
pub fn compare(args: &Compare) -> Result<Outcome, Unusable> {
    if args.runs.iter().any(|path| path.is_file()) {
        return with_others(args);
    }
    let runs = args.runs.iter().map(|dir| load_whole(dir)).collect::<Result<Vec<Run>, _>>()?;
    let options = options(args, runs.len())?;
    let form = args.format;
    let (text, comparable) = match &runs[..] {
        [a, b] if !args.matrix => {
            let found = compare::compare(a, b, &options);
            let text = match form {
                Form::Text => found.text(),
                Form::Markdown => found.markdown(),
                Form::Json => serde_json::to_string_pretty(&found)? + "\n",
            };
            (text, found.comparable())
        }
        runs if !args.matrix => {
            let count = runs.len();
            return Err(Unusable::Usage(format!("{count} runs: say --matrix to compare them all")));
        }
        runs => {
            let found = compare::matrix(runs, &options)
                .ok_or_else(|| Unusable::Usage("one run has nothing beside it".to_owned()))?;
            let text = match form {
                Form::Text => found.text(),
                Form::Markdown => found.markdown(),
                Form::Json => serde_json::to_string_pretty(&found)? + "\n",
            };
            (text, found.comparable())
        }
    };
    let code = if comparable { DONE } else { INCOMPARABLE };
    Ok(Outcome { text, code, notes: Vec::new() })
}

/// Runs and results of other tools, none of them judged.
fn with_others(args: &Compare) -> Result<Outcome, Unusable> {
    if args.runs.len() > SIDES_MAX {
        let text =
            format!("{} results: at most {SIDES_MAX} fit beside each other", args.runs.len());
        return Err(Unusable::Usage(text));
    }
    let side = |path: &PathBuf| match path.is_file() {
        true => Ok(Side::Foreign(foreign::load(path)?)),
        false => Ok(Side::Run(Box::new(load_whole(path)?))),
    };
    let sides = args.runs.iter().map(side).collect::<Result<Vec<Side>, Unusable>>()?;
    let found = beside(&sides);
    let text = match args.format {
        Form::Text => found.text(),
        Form::Markdown => found.markdown(),
        Form::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    Ok(Outcome { text, code: DONE, notes: Vec::new() })
}

fn options(args: &Compare, runs: usize) -> Result<Options, Unusable> {
    let usage = |text: String| Err(Unusable::Usage(text));
    let mut prices = BTreeMap::<String, Price>::new();
    for (label, price) in &args.prices {
        let known = (0..runs).any(|i| compare::matrix::label(i) == *label);
        if !known {
            return usage(format!("--price {label}=…: no such run; the first is A, the second B"));
        }
        if prices.insert(label.clone(), price.clone()).is_some() {
            return usage(format!("--price {label}=…: given twice"));
        }
    }
    let mut currencies: Vec<&str> = prices.values().map(|price| price.currency.as_str()).collect();
    currencies.dedup();
    if currencies.len() > 1 {
        let (one, other) = (currencies[0], currencies[1]);
        return usage(format!("prices in `{one}` and `{other}`: give all in one currency"));
    }
    let policy = Policy { hosts: args.hosts, allow: args.allow.clone() };
    Ok(Options { policy, confidence: args.confidence, seed: args.seed, prices })
}

fn fact(text: &str) -> Result<String, String> {
    if Policy::knows(text) {
        return Ok(text.to_owned());
    }
    match text {
        "genome" | "layer" | "frame-size" => Err("different traffic is never compared".to_owned()),
        _ => Err(format!("expected plan.KEY or one of {}", FACTS.join(", "))),
    }
}

fn price(text: &str) -> Result<(String, Price), String> {
    let (label, price) =
        text.split_once('=').ok_or("expected RUN=AMOUNT/TIME, such as A=1.20/h")?;
    let price = price.parse::<Price>().map_err(|error| error.to_string())?;
    Ok((label.to_owned(), price))
}

fn confidence(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "expected a share between 0 and 1, such as 0.95".to_owned())
}
