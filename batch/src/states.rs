//! Reading all states: [`scan`] over several sessions under one [`Snapshot`], decoded where the bytes lie.

mod key;
mod scan;
mod snapshot;
pub mod wire;

pub use key::{Key, KeyType, Keys};
pub use scan::{Stored, scan};
pub use snapshot::Snapshot;

use anyhow::{Context, Result};
use fallible_iterator::FallibleIterator;
use postgres::Client;
use postgres::binary_copy::BinaryCopyOutIter;
use postgres::types::Type;
use rayon::prelude::*;

/// A contact's key, as text, and its stored state.
type Row = (String, Vec<u8>);

/// States held in memory at a time.
const BATCH: usize = 50_000;

/// Hands every state to `work` on rayon's threads, and what it makes of each batch to `take`, in the contacts' order
/// of arrival. A contact too large for its row comes once, with its full state.
pub fn for_each<T: Send>(
    client: &mut Client,
    work: impl Fn(&Row) -> T + Sync,
    mut take: impl FnMut(Vec<T>),
) -> Result<u64> {
    let query = "COPY (SELECT d.contact_id::text, consent._state_bytes(d.state) FROM consent.decidable d
                        WHERE d.state IS NOT NULL AND NOT consent._overflows(d.state)) TO STDOUT (FORMAT binary)";
    let reader = client.copy_out(query).context("reading states")?;
    let mut rows = BinaryCopyOutIter::new(reader, &[Type::TEXT, Type::BYTEA]);
    let mut batch: Vec<Row> = Vec::with_capacity(BATCH);
    let mut seen = 0;
    loop {
        let row = rows.next()?;
        if let Some(row) = &row {
            batch.push((row.try_get(0)?, row.try_get(1)?));
            seen += 1;
        }
        if batch.len() == BATCH || row.is_none() {
            take(batch.par_iter().map(&work).collect());
            batch.clear();
        }
        if row.is_none() {
            return Ok(seen);
        }
    }
}

/// How many contacts there are, for progress bars and shares.
pub fn count(client: &mut Client) -> Result<u64> {
    let n: i64 = client.query_one("SELECT count(*) FROM consent_data.contact_state", &[])?.get(0);
    Ok(n as u64)
}
