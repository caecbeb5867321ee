//! `scripts/bench-audit`: how long each audit view takes on millions of contacts.

use clap::Parser;
use pg_consent_tests::night::{Settings, audit};
use std::path::PathBuf;
use std::process::ExitCode;

/// Makes a CRM of millions of contacts in a private cluster, takes it through a night, and prints what each audit view
/// takes over everybody or for one contact, and what counting for them costs.
#[derive(Parser)]
struct Arguments {
    /// Each has about eight events.
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    contacts: u32,
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[arg(long, value_name = "FILE", default_value = "target/release/consent-batch")]
    batch: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { contacts, seed, batch } = Arguments::parse();
    let settings = Settings {
        contacts,
        seed,
        noted: 0,
        slow: false,
        refold: false,
        alone: true,
        batch,
        python: None,
        scratch: PathBuf::new(),
    };
    match audit::run(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
