//! Reading all states: [`scan`] over several sessions under one [`Snapshot`], decoded where the bytes lie.

mod key;
mod scan;
mod snapshot;
pub mod wire;

pub use key::{KeyType, Keys};
pub use scan::{Stored, scan};
pub use snapshot::Snapshot;

use anyhow::Result;
use postgres::Client;

/// How many contacts there are, exactly.
pub fn count(client: &mut Client) -> Result<u64> {
    let n: i64 = client.query_one("SELECT count(*) FROM consent_data.contact_state", &[])?.get(0);
    Ok(n as u64)
}

/// How many of them can't be decided on until they are folded: something may have been taken away from them.
pub fn waiting(client: &mut Client) -> Result<u64> {
    let n: i64 = client
        .query_one(
            "SELECT count(*) FROM (SELECT DISTINCT r.contact_id FROM consent_data.restricted r) r
              WHERE EXISTS (SELECT FROM consent_data.contact_state s WHERE s.contact_id = r.contact_id)",
            &[],
        )?
        .get(0);
    Ok(n as u64)
}
