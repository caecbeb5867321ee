//! `consent-batch`: what pg_consent does at night. It talks to the database through `consent` only.
//!
//! Exit codes: 0 done, 1 failure, 2 a guard stopped the run, 3 another run holds the lock.

mod arguments;
mod connection;
mod page;
mod refold;
mod report;
mod rescore;
mod retention;
mod run;
mod states;
mod status;
mod tree;

use arguments::{Arguments, Refold, Step};
use clap::Parser;
use run::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run::run(&arguments) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Stopped) => ExitCode::from(2),
        Ok(Outcome::Busy) => ExitCode::from(3),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The steps a command consists of.
fn steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Nightly { rescore, retention, page } => {
            let mut steps = vec![
                Step::Refold(Refold::default()),
                Step::Rescore(rescore.clone()),
                Step::Retention(retention.clone()),
            ];
            steps.extend(page.html.is_some().then(|| Step::Report(page.clone())));
            steps
        }
        one => vec![one.clone()],
    }
}
