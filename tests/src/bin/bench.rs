//! `make bench`: the cost of a decision against a boolean column and against hand-written SQL.

use clap::Parser;
use pg_consent_tests::bench::{self, Settings};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a CRM in a private cluster, asks one question in many ways, and prints what each costs.
#[derive(Parser)]
struct Arguments {
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    contacts: u32,
    /// Runs of each query; the median counts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Also print each query's plan, with what it read.
    #[arg(long)]
    explain: bool,
    /// Keep the cluster running until Enter, to look around in it.
    #[arg(long)]
    wait: bool,
    /// Where `cargo bench -p pg_consent_policy` left its figures.
    #[arg(long, value_name = "DIR", default_value = "target/criterion")]
    criterion: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { contacts, runs, explain, wait, criterion } = Arguments::parse();
    match bench::run(&Settings { contacts, runs, explain, wait, criterion }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
