//! `consent-batch`: what pg_consent does at night. It talks to the database through `consent` only.
//!
//! Exit codes: 0 done, 1 failure, 2 findings, 3 another run holds the lock, 128 + signal stopped by one.

mod arguments;
mod asked;
mod connection;
mod failure;
mod lock;
mod pace;
mod page;
mod permission;
mod record;
mod refold;
mod replay;
mod report;
mod rescore;
mod retention;
mod run;
mod seal;
mod shell;
mod simulate;
mod states;
mod status;
mod summary;
mod tree;
mod verify;

use arguments::{Arguments, Step};
use refold::Refold;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(e) => return report::usage(&e),
    };
    match run::run(&arguments) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(e) => {
            report::Manner::error(&arguments, &failure::Failure::of(&e), 1);
            ExitCode::FAILURE
        }
    }
}

/// The steps a command consists of.
fn steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Nightly { fold, rescore, retention, seal, page, .. } => {
            let mut steps = vec![
                Step::Refold(Refold { pending: false, mode: fold.refold }),
                Step::Rescore(rescore.clone()),
                Step::Retention(retention.clone()),
                Step::Seal(seal.clone()),
                Step::Summarise,
            ];
            steps.extend(page.html.is_some().then(|| Step::Report(page.clone())));
            steps
        }
        one => vec![one.clone()],
    }
}
