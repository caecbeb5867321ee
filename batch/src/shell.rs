//! What the command line can say of itself: completions and the manual page.

use crate::arguments::{Arguments, Completions};
use crate::run::Outcome;
use anyhow::Result;
use clap::CommandFactory;
use std::io::Write;

const PROGRAM: &str = "consent-batch";

pub fn completions(options: &Completions) -> Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), PROGRAM, &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(Outcome::Done)
}

/// The program's page, then one for each command, as sections of one document.
pub fn manual() -> Result<Outcome> {
    let mut command = Arguments::command();
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for one in command.get_subcommands().filter(|c| c.get_name() != "help") {
        clap_mangen::Man::new(one.clone()).render(&mut text)?;
    }
    std::io::stdout().write_all(&text)?;
    Ok(Outcome::Done)
}
