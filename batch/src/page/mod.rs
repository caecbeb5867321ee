//! `report --html`: one page for the privacy officer, of counts alone. Figures first ([`gather`](mod@gather)), then words
//! and charts ([`sections`]), then one file ([`write`](mod@write)).

mod cells;
mod charts;
mod document;
mod figures;
mod gather;
mod sections;
mod segments;
mod tally;
mod words;
pub mod write;

use crate::connection::Database;
use crate::report::Report;
use crate::run::Finding;
use anyhow::{Context, Result};
use askama::Template;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Write the privacy officer's page to this file: self-contained HTML, counts alone.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

mod filters {
    /// A coordinate: tenths are finer than any screen.
    #[askama::filter_fn]
    pub fn px(x: &f64, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(format!("{x:.1}").trim_end_matches(".0").to_owned())
    }
}

pub fn page(database: &Database, options: &Options, dry_run: bool, report: &Report) -> Result<Finding> {
    // Before the work, not after it.
    if let Some(file) = &options.html {
        write::check(file)?;
    }
    let figures = gather::gather(database, report)?;
    let page = sections::page(&figures);
    if let Some(file) = &options.html {
        let html = page.render().context("the page's template")?;
        if !dry_run {
            write::write(file, &html)?;
        }
    }
    let all = serde_json::to_value(&figures)?;
    let attention = page.attention.iter().map(|sentence| format!("  - {sentence}\n")).collect::<String>();
    let text = match page.attention.is_empty() {
        true => "  nothing that these figures show needs attention".to_owned(),
        false => format!("  needs attention:\n{}", attention.trim_end_matches('\n')),
    };
    report.line(&text, &json!({"step": "report", "figures": all}));
    let permission = figures.permission.iter().map(
        |p| json!({"message": p.message(), "allowed": p.sum(|a| a.allowed), "denied": p.sum(|a| !a.allowed)}),
    );
    Ok(Finding::done(json!({
        "contacts": figures.contacts,
        "permission": permission.collect::<Vec<_>>(),
        "needs_attention": page.attention.len(),
        "segments": figures.segments,
    })))
}

#[cfg(test)]
mod tests;
