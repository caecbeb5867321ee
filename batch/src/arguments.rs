//! The command line.

use crate::page;
use crate::refold::{Nightly, Refold};
use crate::replay::Replay;
use crate::seal::Seal;
use crate::simulate::Simulate;
use crate::verify::Verify;
use clap::{Args, Parser, Subcommand, ValueEnum};
use pg_consent_policy::similarity;

pub use crate::retention::Retention;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failure; the message says why, and running it again is safe
  2    findings: a guard stopped the run, differences were found, or status has something that needs attention
  3    another run holds the lock
  130  stopped by SIGINT, 143 by SIGTERM, after the chunk that was being written

Examples:
  consent-batch nightly --apply                                  what a timer runs each night
  consent-batch refold --pending --quiet                         what a timer runs each minute
  consent-batch status --json                                    for monitoring
  consent-batch --database service=shop --dry-run nightly        what a night would do
  PGHOST=db.example.org PGSSLMODE=verify-full consent-batch retention";

const DATABASE: &str = "\
Where the database is: a connection URL or keyword=value string, as psql takes them.

What it leaves open is looked for as libpq does: in the service that it or PGSERVICE names (~/.pg_service.conf, then \
the system's), in the variables PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGPASSFILE, PGSSLMODE, \
PGSSLROOTCERT and so on, and in ~/.pgpass. Better not to give a password here: everybody on the machine can see the \
command line.";

/// The nightly run of pg_consent: folds states anew, re-scores similar categories, retires stale contacts, seals the logs.
#[derive(Debug, Clone, Parser)]
#[command(version, about, after_help = EXIT_CODES, propagate_version = true)]
pub struct Arguments {
    /// Connection URL or keyword=value string; otherwise as libpq: PG* variables, service file, .pgpass.
    #[arg(long, global = true, env = "CONSENT_DATABASE", hide_env_values = true, long_help = DATABASE)]
    pub database: Option<String>,
    /// Rows written in one transaction; short ones never block the CRM for long.
    #[arg(long, global = true, value_name = "ROWS", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub chunk: u32,
    /// Rows written a second at most; without it, as many as can be.
    #[arg(long, global = true, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Worker threads; 0 takes one a core.
    #[arg(long, global = true, default_value_t = 0, value_parser = threads)]
    pub threads: usize,
    /// Milliseconds to wait for a lock that the CRM holds, before trying again.
    #[arg(long, global = true, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=2_147_483_647))]
    pub lock_timeout: u32,
    /// Milliseconds that writing one chunk may take, 0 for ever; folding and reading may always take longer.
    #[arg(long, global = true, value_name = "MS", default_value_t = 300_000, value_parser = clap::value_parser!(u32).range(0..=2_147_483_647))]
    pub statement_timeout: u32,
    /// Seconds to wait for another run to end; without it, exit 3 at once.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u32,
    /// Write nothing, and say what would be done; the server refuses writes of such a run.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// One JSON object a line instead of text, also for errors.
    #[arg(long, global = true)]
    pub json: bool,
    /// Text for people, also where the output is no terminal.
    #[arg(long, global = true, conflicts_with = "json")]
    pub text: bool,
    /// Nothing but warnings and errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
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
    /// refold, rescore, retention, seal, summarise, and the report where --html names a file. Goes on where a night that was
    /// broken off stopped.
    Nightly {
        #[command(flatten)]
        fold: Nightly,
        #[command(flatten)]
        rescore: Rescore,
        #[command(flatten)]
        retention: Retention,
        #[command(flatten)]
        seal: Seal,
        #[command(flatten)]
        resume: Resume,
        #[command(flatten)]
        page: page::Options,
    },
    /// Seal what the logs got since the last seal: a tree of hashes, and a link in the chain.
    Seal(Seal),
    /// Count over everybody what the audit views answer from.
    Summarise,
    /// The privacy officer's figures: in short, as JSON, or as a page with --html.
    Report(page::Options),
    /// Compare the batch's verdicts with the server's, or (--seals) the logs with their seals; exit code 2 if any differ.
    Verify(Verify),
    /// Count who would gain or lose permission under a draft of the law or of own rules. Writes nothing.
    Simulate(Simulate),
    /// Decide a campaign of the past once more; list what went out without leave, or would be answered otherwise now.
    Replay(Replay),
    /// What is set up, what ran last, and what is wrong; exit code 2 if something needs attention.
    Status,
    /// Completions for a shell, to its standard place or `source <(…)`.
    Completions(Completions),
    /// The manual page, in roff: consent-batch man | man -l -
    Man,
}

#[derive(Debug, Clone, Args)]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Resume {
    /// Whether to leave out the steps that a night with the same options, broken off less than 12 hours ago, has done.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub resume: When,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    #[default]
    Auto,
    No,
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
    #[arg(long, default_value_t = similarity::HEAVY as u32, value_parser = clap::value_parser!(u32).range(2..))]
    pub heavy: u32,
}

impl Arguments {
    /// What the command line says. No chunk is larger than what may be written in a second.
    pub fn read() -> Result<Arguments, clap::Error> {
        let mut arguments = Arguments::try_parse()?;
        arguments.chunk = arguments.chunk.min(arguments.rate.unwrap_or(u32::MAX));
        Ok(arguments)
    }
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
            Step::Seal(_) => "seal",
            Step::Verify(Verify { seals: false, .. }) => "verify",
            Step::Verify(Verify { seals: true, .. }) => "verify --seals",
            Step::Simulate(_) => "simulate",
            Step::Replay(_) => "replay",
            Step::Summarise => "summarise",
            Step::Report(_) => "report",
            Step::Status => "status",
            Step::Completions(_) => "completions",
            Step::Man => "man",
        }
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n <= 256 => Ok(n),
        _ => Err("expected a number from 0 to 256".into()),
    }
}
