//! The command line.

use crate::refold::{Nightly, Refold};
use crate::simulate::Simulate;
use crate::verify::Verify;
use clap::{Args, Parser, Subcommand};

pub use crate::retention::Retention;

/// The nightly run of pg_consent: folds states anew, re-scores similar categories, retires stale contacts.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// Connection URL or key/value string. Without it, PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE count.
    #[arg(long, global = true, env = "CONSENT_DATABASE", hide_env_values = true)]
    pub database: Option<String>,
    /// Rows written in one transaction; short ones never block the CRM for long.
    #[arg(long, global = true, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub chunk: u32,
    /// Worker threads; 0 takes one a core.
    #[arg(long, global = true, default_value_t = 0)]
    pub threads: usize,
    /// Milliseconds to wait for a lock that the CRM holds, before trying again.
    #[arg(long, global = true, default_value_t = 2_000)]
    pub lock_timeout: u32,
    /// Write nothing, and say what would be done.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// One JSON object a line instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Text for people, also where the output is no terminal.
    #[arg(long, global = true, conflicts_with = "json")]
    pub text: bool,
    #[command(subcommand)]
    pub step: Step,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Step {
    /// Fold every state anew from the ledger and the CRM; report how many had drifted.
    Refold(Refold),
    /// Score which categories are similar, from who bought what.
    Rescore(Rescore),
    /// Find whose data is near or past the end of its time, and do what is configured once announced. A dry run unless
    /// --apply.
    Retention(Retention),
    /// refold, rescore, retention.
    Nightly {
        #[command(flatten)]
        fold: Nightly,
        #[command(flatten)]
        rescore: Rescore,
        #[command(flatten)]
        retention: Retention,
    },
    /// Compare the batch's verdicts with the server's; exit code 2 if any differ.
    Verify(Verify),
    /// Count who would gain or lose permission under a draft of the law or of own rules. Writes nothing.
    Simulate(Simulate),
    /// What is set up, what ran last, and what is wrong.
    Status,
}

#[derive(Debug, Clone, Args)]
pub struct Rescore {
    /// Score from which two categories count as similar; kept until changed.
    #[arg(long, value_parser = share, conflicts_with = "eligible")]
    pub threshold: Option<f64>,
    /// Choose the threshold from the curve, so that this share of the catalogue (0 to 1) is similar to what a
    /// contact bought, on average.
    #[arg(long, value_parser = share)]
    pub eligible: Option<f64>,
    /// Categories of one contact that are counted, the latest first: a few very heavy buyers would link all.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..))]
    pub heavy: u32,
    /// Similar categories kept for each contact.
    #[arg(long, default_value_t = 10)]
    pub per_contact: usize,
}

pub fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (0.0..=1.0).contains(&x) => Ok(x),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

impl Step {
    pub const fn name(&self) -> &'static str {
        match self {
            Step::Refold(Refold { pending: false, .. }) => "refold",
            Step::Refold(Refold { pending: true, .. }) => "refold --pending",
            Step::Rescore(_) => "rescore",
            Step::Retention(_) => "retention",
            Step::Nightly { .. } => "nightly",
            Step::Verify(_) => "verify",
            Step::Simulate(_) => "simulate",
            Step::Status => "status",
        }
    }
}
