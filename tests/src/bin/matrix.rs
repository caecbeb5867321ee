//! `matrix DIR [--check] [--packs PACKS_DIR]`: the approved answers of the packs.

use anyhow::bail;
use clap::Parser;
use pg_consent_tests::{matrix, scenario};
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes what typical contacts are answered, one page a pack, into a folder.
#[derive(Parser)]
struct Arguments {
    dir: PathBuf,
    /// Write nothing; fail if an answer is not the approved one.
    #[arg(long)]
    check: bool,
    /// Folder with *.toml packs to use instead of the compiled-in ones.
    #[arg(long)]
    packs: Option<PathBuf>,
}

fn run() -> anyhow::Result<()> {
    let Arguments { dir, check, packs } = Arguments::parse();
    if let Some(packs) = &packs {
        scenario::use_packs(packs)?;
    }
    let pages = matrix::pages(scenario::packs());
    let bytes: usize = pages.values().map(String::len).sum();
    if !check {
        let changed = matrix::write(&dir, &pages)?;
        println!(
            "{} pages in {}, {} kB, {} changed",
            pages.len(),
            dir.display(),
            bytes / 1000,
            changed.len()
        );
        return Ok(());
    }
    let stale = matrix::stale(&dir, &pages)?;
    if !stale.is_empty() {
        bail!(
            "answers changed: {}; run `make matrix`, read the difference and approve it by committing it",
            stale.join(", ")
        );
    }
    println!("{} pages in {}, all current", pages.len(), dir.display());
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
