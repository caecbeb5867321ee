//! Seal: a Merkle tree over what the logs got since the last seal, and a link in the chain.
//!
//! No writer is held up, and no row is left out: how far the ids have come is read first, then who may still be writing
//! one of them; once those have ended, a new snapshot sees every row up to there (see `sql/33_seals.sql`). The rows' texts are
//! hashed over several sessions; the seal and its leaves are one transaction, at whose end the server checks them.

mod against;
mod findings;
mod judge;
mod prunes;
mod reading;
mod verify;
mod writers;

pub use verify::verify;

use crate::arguments::Arguments;
use crate::connection::{Database, retrying};
use crate::failure::hinted;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use pg_consent_policy::proof::seal::{LOGS, Seal as Text};
use pg_consent_policy::proof::{Hash, hex, tree};
use postgres::{Client, GenericClient, Row};
use reading::{Reader, Task};
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Rows in one seal at most: what a run holds of it, 50 bytes a row, is bounded, and so is what a kill costs.
pub const MOST: usize = 1 << 20;

#[derive(Debug, Clone, Default, Args)]
pub struct Seal {
    /// Write the newest head there, a line of JSON, to be kept outside the database. Replaces an older head of the same
    /// chain, and nothing else.
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Seconds to wait for transactions that may still be writing to a log, before sealing nothing.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u32,
}

/// A seal as it is stored, which may be another than it was made.
pub struct Stored {
    pub seal: Text,
    pub head: Hash,
    pub blocks: Vec<u8>,
}

const COLUMNS: &str = "SELECT seal_id, sealed_at, upto_event, upto_decision, upto_outcome, upto_erasure, upto_prune, leaves, root, previous, head, blocks
                         FROM consent_data.seal";

/// What is no hash is none that anything has.
fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or([0xff; 32])
}

fn stored(row: &Row) -> Stored {
    let sealed_at: DateTime<Utc> = row.get(1);
    let seal = Text {
        number: row.get::<_, i32>(0).into(),
        sealed_at: sealed_at.timestamp_micros(),
        upto: [row.get(2), row.get(3), row.get(4), row.get(5), row.get(6)],
        leaves: row.get::<_, i32>(7).into(),
        root: hash(row.get(8)),
        previous: hash(row.get(9)),
    };
    Stored { seal, head: hash(row.get(10)), blocks: row.get(11) }
}

/// All seals, in their order.
pub fn all(client: &mut impl GenericClient) -> Result<Vec<Stored>> {
    Ok(client.query(&format!("{COLUMNS} ORDER BY seal_id"), &[])?.iter().map(stored).collect())
}

fn newest(client: &mut impl GenericClient) -> Result<Option<Stored>> {
    Ok(client.query_opt(&format!("{COLUMNS} ORDER BY seal_id DESC LIMIT 1"), &[])?.as_ref().map(stored))
}

/// The numbers of seals of which only leaves are left, after the newest or before the first. Each is one step down an index.
fn without_seal(client: &mut Client, newest: i64) -> Result<Vec<i64>> {
    let sql = "WITH RECURSIVE s (id) AS (
                   SELECT min(l.seal_id) FROM consent_data.seal_leaf l
                   UNION ALL
                   SELECT (SELECT min(l.seal_id) FROM consent_data.seal_leaf l WHERE l.seal_id > s.id) FROM s WHERE s.id IS NOT NULL)
               SELECT s.id::bigint FROM s WHERE s.id > $1::bigint OR s.id < 1 ORDER BY 1";
    Ok(client.query(sql, &[&newest])?.iter().map(|row| row.get(0)).collect())
}

/// How far the logs are, and who may still be writing something up to there.
struct Horizon {
    read_at: DateTime<Utc>,
    upto: Vec<i64>,
    writers: Vec<String>,
}

pub fn seal(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    options: &Seal,
    report: &Report,
) -> Result<Finding> {
    if let Some(file) = &options.export {
        against::check(file)?;
    }
    if arguments.dry_run {
        let horizon = horizon(client)?;
        return count(client, &horizon);
    }
    retrying(|| client.execute("SELECT consent.maintain_partitions()", &[]))?;
    let last = newest(client)?.map_or(0, |s| s.seal.number);
    if let Some(lost) = without_seal(client, last)?.first() {
        let text = format!("nothing is sealed: seal {lost} is not there, though its leaves are");
        report.warn(
            &text,
            &json!({"event": "finding", "what": findings::SEAL_MISSING.0, "seal": lost, "message": text}),
        );
        let figures = json!({"seals": 0, "rows": 0, "hint": "consent-batch verify --seals names what else is missing; a backup has it."});
        return Ok(Finding { outcome: Outcome::Findings, figures });
    }
    let horizon = horizon(client)?;
    let waited = Instant::now();
    if let Some(since) = writers::wait(client, &horizon.writers, options.patience, report)? {
        report.warn(
            &format!(
                "nothing is sealed: a transaction that may be writing to a log has been open since {since}"
            ),
            &json!({"event": "finding", "what": "open_transaction", "since": since}),
        );
        let figures = json!({"seals": 0, "rows": 0, "open_since": since, "hint": "Find it in pg_stat_activity or pg_prepared_xacts."});
        return Ok(Finding { outcome: Outcome::Findings, figures });
    }
    let waited = waited.elapsed();
    let (mut seals, mut rows) = (0, 0);
    let began = Instant::now();
    while let Some(leaves) = one(client, database, arguments, &horizon, report)? {
        seals += 1;
        rows += leaves;
    }
    // Only what is sealed goes; that it went is in the next seal.
    let pruned: i64 = retrying(|| client.query_one("SELECT consent.prune_decisions()", &[]))?.get(0);
    let newest = newest(client)?;
    let mut outcome = Outcome::Done;
    if let Some(file) = &options.export {
        let Some(newest) = &newest else {
            return Err(hinted(
                "no head to export: nothing was ever recorded that could be sealed",
                "Leave --export out until then.",
            ));
        };
        if let Some(why) = against::export(client, newest, file)? {
            let text = format!("`{}` is not replaced: {why}", file.display());
            report.warn(&text, &json!({"event": "finding", "what": "another_chain", "message": text}));
            outcome = Outcome::Findings;
        }
    }
    let figures = json!({
        "seals": seals, "rows": rows, "seal": newest.as_ref().map(|s| s.seal.number), "head": newest.as_ref().map(|s| hex(&s.head)),
        "pruned": pruned, "waited_seconds": waited.as_secs_f64(), "seconds": began.elapsed().as_secs_f64(),
    });
    Ok(Finding { outcome, figures })
}

fn horizon(client: &mut Client) -> Result<Horizon> {
    let row = client.query_one("SELECT read_at, upto, writers FROM consent._seal_horizon()", &[])?;
    let horizon = Horizon { read_at: row.get(0), upto: row.get(1), writers: row.get(2) };
    ensure!(horizon.upto.len() == LOGS.len(), "the server seals other logs than this program");
    Ok(horizon)
}

fn count(client: &mut Client, horizon: &Horizon) -> Result<Finding> {
    let after = newest(client)?.map_or([0; LOGS.len()], |s| s.seal.upto);
    let mut rows = 0;
    for ((log, after), upto) in LOGS.iter().zip(after).zip(&horizon.upto) {
        let sql = format!("SELECT count(*) FROM consent_data.{log} WHERE {log}_id > $1 AND {log}_id <= $2");
        rows += client.query_one(&sql, &[&after, upto])?.get::<_, i64>(0);
    }
    Ok(Finding::done(json!({"dry_run": true, "rows": rows, "open_transactions": horizon.writers.len()})))
}

/// Makes the next seal, and answers with its rows; `None` where nothing is left up to the horizon.
fn one(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    horizon: &Horizon,
    report: &Report,
) -> Result<Option<usize>> {
    let mut reader = Reader::open(database)?;
    let before = newest(reader.client())?;
    let after = before.as_ref().map_or([0; LOGS.len()], |s| s.seal.upto);
    let mut upto = after;
    let mut ids: Vec<Vec<i64>> = Vec::new();
    let mut room = MOST;
    for (log, name) in LOGS.iter().enumerate() {
        let of_log =
            if room == 0 { Vec::new() } else { reader.ids(name, after[log], horizon.upto[log], room)? };
        if room > 0 {
            upto[log] =
                if of_log.len() == room { of_log[room - 1] } else { horizon.upto[log].max(after[log]) };
        }
        room -= of_log.len();
        ids.push(of_log);
    }
    let rows = MOST - room;
    if rows == 0 {
        return Ok(None);
    }
    let tasks: Vec<Task> = ids
        .iter()
        .enumerate()
        .flat_map(|(log, ids)| reading::tasks(log, ids, after[log], upto[log]))
        .collect();
    let bar = report.progress("seal", rows as u64);
    let hashed = reader.each(&tasks, &bar, |client, task| {
        let of_log = &ids[task.log][task.rows.clone()];
        let mut leaves = Vec::with_capacity(of_log.len());
        reading::texts(client, task, |row| {
            ensure!(of_log.get(leaves.len()) == Some(&row.id), "a log has changed under its snapshot");
            leaves.push(tree::leaf(row.content));
            Ok(())
        })?;
        ensure!(leaves.len() == of_log.len(), "a log has changed under its snapshot");
        Ok(leaves)
    })?;
    drop(reader);
    let leaves = hashed.concat();
    let blocks = judge::blocks(&leaves);
    let previous = before.as_ref().map_or(Hash::default(), |s| s.head);
    let seal =
        New { previous, sealed_at: horizon.read_at, upto, root: tree::root(&blocks), blocks, ids, leaves };
    write(client, &seal, arguments.chunk as usize, report)?;
    bar.finish_and_clear();
    Ok(Some(rows))
}

/// All that a seal is written from.
struct New {
    previous: Hash,
    sealed_at: DateTime<Utc>,
    upto: [i64; LOGS.len()],
    root: Hash,
    blocks: Vec<Hash>,
    /// Of each log, in order.
    ids: Vec<Vec<i64>>,
    /// Of all logs, one after the other.
    leaves: Vec<Hash>,
}

/// One transaction, again from its beginning if it met a deadlock or a lock that was not to be had.
fn write(client: &mut Client, new: &New, chunk: usize, report: &Report) -> Result<()> {
    let mut stopped = None;
    retrying(|| {
        let mut transaction = client.transaction()?;
        let number: i32 = transaction
            .query_one(
                "SELECT consent._seal_begin($1, $2, $3, $4, $5, $6)",
                &[
                    &&new.previous[..],
                    &new.sealed_at,
                    &&new.upto[..],
                    &(new.leaves.len() as i32),
                    &&new.root[..],
                    &new.blocks.concat(),
                ],
            )?
            .get(0);
        let add = transaction.prepare("SELECT consent._seal_leaves($1, $2, $3, $4, $5)")?;
        let mut position = 0;
        for (log, ids) in LOGS.iter().zip(&new.ids) {
            for ids in ids.chunks(chunk) {
                let leaves: Vec<&[u8]> =
                    new.leaves[position..position + ids.len()].iter().map(|l| &l[..]).collect();
                transaction.execute(&add, &[&number, log, &(position as i32), &ids, &leaves])?;
                position += ids.len();
                // Dropped without its commit, the transaction leaves nothing.
                if let Err(e) = report.pace.between_chunks(ids.len() as u64) {
                    stopped = Some(e);
                    return Ok(());
                }
            }
        }
        transaction.commit()
    })?;
    stopped.map_or(Ok(()), Err)
}

/// Sleeps between two looks at who is still writing.
const LOOKED_EVERY: Duration = Duration::from_millis(100);
