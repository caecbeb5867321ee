//! `conformance DIR [--country GB,FR] [--packs-only]`: every scenario of a folder, in three ways.

use clap::Parser;
use pg_consent_tests::conformance::Runner;
use pg_consent_tests::scenario::{self, Scenario};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs scenarios through the core, through all facts in SQL, and through the stored state.
#[derive(Parser)]
struct Arguments {
    /// Folder with *.json files in the scenario format.
    dir: PathBuf,
    /// Only contacts in these countries (ISO 3166-1, separated by commas).
    #[arg(long)]
    country: Option<String>,
    /// Leave out countries that no compiled-in pack names.
    #[arg(long)]
    packs_only: bool,
    /// Ask the core only; needs no PostgreSQL.
    #[arg(long)]
    core: bool,
    /// Folder with *.toml packs to use instead of the compiled-in ones.
    #[arg(long, requires = "core")]
    packs: Option<PathBuf>,
}

fn run() -> anyhow::Result<bool> {
    let arguments = Arguments::parse();
    if let Some(packs) = &arguments.packs {
        scenario::use_packs(packs)?;
    }
    let countries = scenario::wanted_countries(arguments.country.as_deref())?;
    let mut scenarios = scenario::load(&arguments.dir)?;
    scenarios.retain(|s| countries.as_ref().is_none_or(|c| c.contains(&s.contact.country)));
    let all = scenarios.len();
    scenarios.retain(|s| !arguments.packs_only || s.has_pack());
    let mut runner = if arguments.core { None } else { Some(Runner::start()?) };
    let (mut passed, mut failed) = (0, 0);
    for scenario in &scenarios {
        let faults = match &mut runner {
            Some(runner) => runner.faults(scenario),
            None => core_faults(scenario),
        };
        let faults = faults.unwrap_or_else(|e| vec![format!("{e:#}")]);
        if faults.is_empty() {
            passed += 1;
        } else {
            failed += 1;
            println!("{} ({}): {}", scenario.id, scenario.title, faults.join("; "));
        }
    }
    if all > scenarios.len() {
        println!("{} scenarios of countries without a pack were left out", all - scenarios.len());
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

fn core_faults(scenario: &Scenario) -> anyhow::Result<Vec<String>> {
    Ok(scenario.fault(&scenario.ask_core()?)?.into_iter().collect())
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
