//! `mutate [DIR…] [--packs PACKS_DIR] [--pack ID] [--json FILE] [--hints] [--scenarios-only]`: whether it would
//! be noticed if any condition of a pack were another.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use pg_consent_tests::mutation;
use pg_consent_tests::scenario;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Flips each single condition of the packs and lists those that neither a scenario nor the matrix of approved
/// answers would miss.
#[derive(Parser)]
struct Arguments {
    /// Folders with *.json files in the scenario format [default: tests/scenarios and ../shared/scenarios].
    dirs: Vec<PathBuf>,
    /// Folder with *.toml packs to use instead of the compiled-in ones.
    #[arg(long)]
    packs: Option<PathBuf>,
    /// Only this pack; may be given several times.
    #[arg(long, value_name = "ID")]
    pack: Vec<String>,
    /// Name a variant of a scenario that would kill each survivor, where a sample of them has one; takes longer.
    #[arg(long)]
    hints: bool,
    /// Leave the approved answers aside.
    #[arg(long)]
    scenarios_only: bool,
    /// Also write the outcome here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn run() -> Result<bool> {
    let mut arguments = Arguments::parse();
    if let Some(packs) = &arguments.packs {
        scenario::use_packs(packs)?;
    }
    if arguments.dirs.is_empty() {
        let usual = ["tests/scenarios", "../shared/scenarios"].map(Path::new);
        arguments.dirs.extend(usual.iter().filter(|d| d.is_dir()).map(|d| d.to_path_buf()));
    }
    ensure!(!arguments.dirs.is_empty(), "no folder of scenarios was named or found");
    let mut scenarios = Vec::new();
    for dir in &arguments.dirs {
        scenarios.extend(scenario::load(dir)?);
    }
    let packs = scenario::packs();
    if let Some(unknown) = arguments.pack.iter().find(|id| packs.iter().all(|p| p.id != **id)) {
        bail!("no pack `{unknown}`");
    }
    let mut outcomes = Vec::new();
    for (i, pack) in packs.iter().enumerate() {
        if !arguments.pack.is_empty() && !arguments.pack.contains(&pack.id) {
            continue;
        }
        let outcome = mutation::check(packs, i, &scenarios, arguments.hints, !arguments.scenarios_only)
            .with_context(|| format!("pack {}", pack.id))?;
        println!(
            "{}: {} scenarios, {} mutants, {} killed by scenarios, {} by the matrix alone, {} survivors",
            pack.id,
            outcome.scenarios,
            outcome.mutants,
            outcome.by_scenarios,
            outcome.killed() - outcome.by_scenarios,
            outcome.survivors.len()
        );
        if !outcome.failing.is_empty() {
            println!("  left out, since they fail as it is: {}", outcome.failing.join(", "));
        }
        for survivor in &outcome.survivors {
            println!("  {survivor}");
        }
        outcomes.push(outcome);
    }
    if let Some(file) = &arguments.json {
        let all: Vec<_> = outcomes.iter().map(mutation::Outcome::to_json).collect();
        std::fs::write(file, serde_json::to_vec_pretty(&all)?)?;
    }
    let mutants: usize = outcomes.iter().map(|o| o.mutants).sum();
    let survivors: usize = outcomes.iter().map(|o| o.survivors.len()).sum();
    let killed: usize = outcomes.iter().map(mutation::Outcome::killed).sum();
    let by_scenarios: usize = outcomes.iter().map(|o| o.by_scenarios).sum();
    let alone = killed - by_scenarios;
    println!(
        "{mutants} mutants, {by_scenarios} killed by scenarios, {alone} by the matrix alone, {survivors} survivors"
    );
    Ok(survivors == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
