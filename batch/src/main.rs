//! `consent-batch`: what pg_consent does at night. It talks to the database through `consent` only.
//!
//! Exit codes: 0 done, 1 failure, 2 a guard stopped the run or differences were found, 3 another run holds the lock.

mod arguments;
mod asked;
mod connection;
mod refold;
mod report;
mod rescore;
mod retention;
mod run;
mod simulate;
mod states;
mod status;
mod tree;
mod verify;

use arguments::{Arguments, Step};
use clap::Parser;
use refold::Refold;
use run::Outcome;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run::run(&arguments) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(2),
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
        Step::Nightly { fold, rescore, retention } => {
            vec![
                Step::Refold(Refold { pending: false, mode: fold.refold }),
                Step::Rescore(rescore.clone()),
                Step::Retention(retention.clone()),
            ]
        }
        one => vec![one.clone()],
    }
}
