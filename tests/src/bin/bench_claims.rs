//! `scripts/bench-claims`: what claiming a message costs, beside a plain INSERT of an equally wide row.

use clap::Parser;
use pg_consent_tests::claims::{self, Settings};
use std::process::ExitCode;
use std::time::Duration;

/// Claims messages to random contacts from several clients at once, in a private cluster that waits for its disk, and prints
/// throughput and latency beside those of a plain INSERT into a table with the same columns and indexes.
#[derive(Parser)]
struct Arguments {
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    contacts: u32,
    /// Of each run; there are six a number of clients.
    #[arg(long, value_name = "N", default_value_t = 4)]
    seconds: u64,
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "1,16")]
    clients: Vec<usize>,
}

fn main() -> ExitCode {
    let Arguments { contacts, seconds, clients } = Arguments::parse();
    match claims::run(&Settings { contacts, duration: Duration::from_secs(seconds), clients }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
