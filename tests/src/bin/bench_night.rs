//! `make bench-night`: what a night costs on millions of contacts, beside what one would otherwise run.

use clap::Parser;
use pg_consent_tests::night::{self, Settings};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a CRM of millions of contacts in a private cluster, takes it through nights, and prints what each step costs
/// beside hand-written SQL, DuckDB, scipy and implicit on the same rows.
#[derive(Parser)]
struct Arguments {
    /// Each has about eight events.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    contacts: u32,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Contacts that the CRM's triggers note before the night.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    noted: u32,
    /// The self-join in SQL over all contacts, not over a sample: minutes.
    #[arg(long)]
    slow: bool,
    /// Also a whole refold where next to nothing has changed.
    #[arg(long)]
    refold: bool,
    /// Without the others.
    #[arg(long)]
    alone: bool,
    /// One run each with these numbers of contacts, and the exponent of the night's time over them.
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', num_args = 0..=1,
          default_missing_value = "1000000,2000000,5000000,10000000")]
    growth: Option<Vec<u32>>,
    #[arg(long, value_name = "FILE", default_value = "target/release/consent-batch")]
    batch: PathBuf,
    /// Where pip has put duckdb, scipy and implicit.
    #[arg(long, value_name = "DIR")]
    python: Option<PathBuf>,
    /// For exports; gone afterwards.
    #[arg(long, value_name = "DIR", default_value = "target/night/export")]
    scratch: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { contacts, seed, noted, slow, refold, alone, growth, batch, python, scratch } =
        Arguments::parse();
    let settings = Settings { contacts, seed, noted, slow, refold, alone, batch, python, scratch };
    let done = match growth {
        Some(sizes) => night::growth(&settings, &sizes),
        None => night::run(&settings).map(drop),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
