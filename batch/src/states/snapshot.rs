//! One moment of the database, seen by several sessions.

use super::key::KeyType;
use super::wire;
use crate::connection::Database;
use anyhow::{Context, Result};
use postgres::Client;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// A transaction that only reads, and whose view other sessions share while it lives.
pub struct Snapshot {
    /// Never locked: it lets threads share the rest.
    client: Mutex<Client>,
    id: String,
    key_type: KeyType,
    /// Pages of `consent_data.contact_state`.
    blocks: u32,
    contacts: u64,
    restricted: HashSet<Box<[u8]>>,
}

impl Snapshot {
    pub fn take(database: &Database) -> Result<Snapshot> {
        let mut client = database.connect()?;
        // The lock comes before the snapshot: rows are found by where they lie, so nobody may rewrite the table
        // (VACUUM FULL, CLUSTER) between the two, nor later. It blocks no writer.
        client
            .batch_execute(
                "SET idle_in_transaction_session_timeout = 0;
                 BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                 LOCK TABLE consent_data.contact_state IN ACCESS SHARE MODE",
            )
            .context("reading states")?;
        let row = client.query_one(
            "SELECT pg_export_snapshot(),
                    pg_relation_size('consent_data.contact_state') / current_setting('block_size')::bigint,
                    (SELECT greatest(c.reltuples, 0)::bigint FROM pg_class c
                      WHERE c.oid = 'consent_data.contact_state'::regclass)",
            &[],
        )?;
        let blocks = u32::try_from(row.get::<_, i64>(1))?;
        let contacts = u64::try_from(row.get::<_, i64>(2))?;
        let key_type = KeyType::read(&mut client)?;
        let restricted = read_restricted(&mut client)?;
        Ok(Snapshot { client: Mutex::new(client), id: row.get(0), key_type, blocks, contacts, restricted })
    }

    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// About how many contacts there are, for progress bars.
    pub const fn contacts(&self) -> u64 {
        self.contacts
    }

    /// The session that holds the snapshot; what it reads is of the same moment.
    pub fn client(&mut self) -> &mut Client {
        self.client.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// A further session that sees the same.
    pub fn join(&self, database: &Database) -> Result<Client> {
        let mut client = database.connect()?;
        client.batch_execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
            self.id
        ))?;
        Ok(client)
    }

    /// Whether something may have been taken away from the contact since the last fold, so that its state says too
    /// much.
    pub fn is_restricted(&self, contact: &[u8]) -> bool {
        !self.restricted.is_empty() && self.restricted.contains(contact)
    }
}

/// Read once and looked up here: as a join it would be made anew for every range of blocks.
fn read_restricted(client: &mut Client) -> Result<HashSet<Box<[u8]>>> {
    let rows = client.copy_out(
        "COPY (SELECT r.contact_id FROM consent_data.restricted r WHERE r.contact_id IS NOT NULL)
           TO STDOUT (FORMAT binary)",
    )?;
    let mut restricted = HashSet::new();
    wire::read::<1>(rows, |[contact]| {
        restricted.extend(contact.map(Box::from));
        Ok(())
    })?;
    Ok(restricted)
}
