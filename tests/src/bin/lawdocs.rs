//! `lawdocs DIR [--check]`: the packs as pages for people.

use anyhow::bail;
use clap::Parser;
use pg_consent_policy::pack;
use pg_consent_tests::lawdocs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Writes the law of each jurisdiction, as the packs have it, into a folder of pages.
#[derive(Parser)]
struct Arguments {
    dir: PathBuf,
    /// Write nothing; fail if a page is not what the packs say.
    #[arg(long)]
    check: bool,
}

fn run() -> anyhow::Result<()> {
    let Arguments { dir, check } = Arguments::parse();
    let pages = lawdocs::pages(pack::builtin());
    if !check {
        let changed = lawdocs::write(&dir, &pages)?;
        println!("{} pages in {}, {} changed", pages.len(), dir.display(), changed.len());
        return Ok(());
    }
    let stale = lawdocs::stale(&dir, &pages)?;
    if !stale.is_empty() {
        bail!("{} is not what the packs say; run `make docs`: {}", dir.display(), stale.join(", "));
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
