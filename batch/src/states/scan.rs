//! All states, read over several sessions at once.
//!
//! The table is read by ranges of blocks (a TID range scan each), not by ranges of keys: a range of blocks is a
//! sequential read whatever the key's type, and is known without a look at the keys. By key, bigint would need
//! quantiles, uuid and text an index order that has nothing to do with where rows lie: a page read for every row.

use super::snapshot::Snapshot;
use super::wire;
use crate::connection::Database;
use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use pg_consent_policy::state::StateView;
use postgres::Client;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Pages read by one query: 4 MiB of about 25,000 contacts. Small enough for all sessions to finish together, large
/// enough for the query's own millisecond not to count.
const BLOCKS: u64 = 512;

/// One stored state, borrowed from the wire.
pub struct Stored<'a> {
    /// The key as binary COPY has it; see [`super::KeyType::key`].
    pub contact: &'a [u8],
    #[allow(dead_code)] // For steps that write states.
    pub rev: i64,
    pub state: &'a [u8],
}

/// Reads all decidable states under one snapshot over several sessions at once, a thread a session, and the few that
/// have no room in their row once, with their full state.
///
/// Each thread folds into an accumulator of its own (`new`), whose number is that of the sessions; memory is bounded
/// by what they hold, since a row is gone when `each` returns. A thread both reads and works: while it works the
/// server fills the socket, which is as good as a channel between the two and holds less.
pub fn scan<A: Send>(
    database: &Database,
    snapshot: &Snapshot,
    bar: &ProgressBar,
    new: impl Fn() -> A + Sync,
    each: impl Fn(&mut A, &Stored<'_>) + Sync,
) -> Result<Vec<A>> {
    // Task 0 is the side table, the others are ranges of blocks.
    let tasks = 1 + u64::from(snapshot.blocks()).div_ceil(BLOCKS);
    let sessions = (database.sessions() as u64).min(tasks);
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || -> Result<A> {
        let mut client = join(database, snapshot)?;
        let mut taken_in = new();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks || failed.load(Ordering::Relaxed) {
                return Ok(taken_in);
            }
            bar.inc(read(&mut client, task, snapshot, |stored| each(&mut taken_in, stored))?);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions)
            .map(|_| scope.spawn(|| work().inspect_err(|_| failed.store(true, Ordering::Relaxed))))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err(anyhow!("a reading thread panicked"))))
            .collect()
    })
}

fn join(database: &Database, snapshot: &Snapshot) -> Result<Client> {
    let mut client = snapshot.join(database)?;
    // A range is one session's; workers of the server would share cores with the other sessions.
    client.batch_execute("SET max_parallel_workers_per_gather = 0")?;
    Ok(client)
}

/// Answers with the number of rows.
fn read(
    client: &mut Client,
    task: u64,
    snapshot: &Snapshot,
    mut each: impl FnMut(&Stored<'_>),
) -> Result<u64> {
    let rows = client.copy_out(&query(task)).context("reading states")?;
    let mut seen = 0;
    let in_side_table = task == 0;
    wire::read::<3>(rows, |[contact, rev, state]| {
        let (Some(contact), Some(rev)) = (contact, rev) else { return Ok(()) };
        seen += 1;
        // A state that is not there denies, as does one whose relationships are in the side table, which has it all.
        let Some(state) = state.filter(|s| in_side_table || !overflows(s)) else { return Ok(()) };
        if !snapshot.is_restricted(contact) {
            let rev = i64::from_be_bytes(rev.try_into().context("rev is no bigint")?);
            each(&Stored { contact, rev, state });
        }
        Ok(())
    })?;
    Ok(if in_side_table { 0 } else { seen })
}

fn query(task: u64) -> String {
    let Some(range) = task.checked_sub(1) else {
        return "COPY (SELECT o.contact_id, s.rev, consent._state_bytes(o.state)
                        FROM consent_data.contact_overflow o JOIN consent_data.contact_state s USING (contact_id)
                       WHERE consent._overflows(s.state)) TO STDOUT (FORMAT binary)"
            .into();
    };
    let (first, after) = (range * BLOCKS, (range + 1) * BLOCKS);
    format!(
        "COPY (SELECT s.contact_id, s.rev, consent._state_bytes(s.state) FROM consent_data.contact_state s
                WHERE s.ctid >= '({first},0)' AND s.ctid < '({after},0)') TO STDOUT (FORMAT binary)"
    )
}

/// Bytes that are no state of this version are passed on: whoever decides on them denies.
fn overflows(state: &[u8]) -> bool {
    StateView::new(state).is_ok_and(|v| v.overflow)
}
