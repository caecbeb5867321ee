//! The texts of the logs' rows, read over several sessions under one snapshot, by ranges of ids.

use crate::connection::Database;
use crate::pace;
use crate::states::wire;
use anyhow::{Context, Result, anyhow};
use indicatif::ProgressBar;
use pg_consent_policy::proof::seal::LOGS;
use postgres::Client;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Rows of one task: about 5 MB of text, of which a session holds none.
const ROWS: usize = 8192;
/// Microseconds from 1970 to 2000, where PostgreSQL's binary timestamps begin.
const EPOCH: i64 = 946_684_800_000_000;

/// Part of a log: all rows with ids after `after` up to `upto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its place in [`LOGS`].
    pub log: usize,
    pub after: i64,
    pub upto: i64,
    /// Which of the known ids are among them.
    pub rows: Range<usize>,
}

/// One row of a log, borrowed from the wire.
pub struct Sealed<'a> {
    pub id: i64,
    /// Microseconds since 1970.
    pub entered_at: i64,
    pub content: &'a [u8],
}

/// Cuts a range of ids into tasks, by the ids known to be in it, which are in order. Nothing of the range is left out.
pub fn tasks(log: usize, ids: &[i64], after: i64, upto: i64) -> Vec<Task> {
    let mut tasks = Vec::new();
    let (mut from, mut first) = (after, 0);
    while first + ROWS < ids.len() {
        let last = ids[first + ROWS - 1];
        tasks.push(Task { log, after: from, upto: last, rows: first..first + ROWS });
        (from, first) = (last, first + ROWS);
    }
    if upto > from {
        tasks.push(Task { log, after: from, upto, rows: first..ids.len() });
    }
    tasks
}

/// Sessions that see one moment.
pub struct Reader {
    holder: Client,
    sessions: Vec<Mutex<Client>>,
}

impl Reader {
    /// Takes the snapshot.
    pub fn open(database: &Database) -> Result<Reader> {
        let mut holder = database.connect()?;
        holder.batch_execute(
            "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )?;
        let id: String = holder.query_one("SELECT pg_export_snapshot()", &[])?.get(0);
        let mut sessions = Vec::new();
        for _ in 0..database.sessions() {
            let mut client = database.connect()?;
            client.batch_execute(&format!(
                "SET idle_in_transaction_session_timeout = 0; SET max_parallel_workers_per_gather = 0;
                 BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{id}'"
            ))?;
            sessions.push(Mutex::new(client));
        }
        Ok(Reader { holder, sessions })
    }

    /// The session that holds the snapshot.
    pub fn client(&mut self) -> &mut Client {
        &mut self.holder
    }

    /// The ids of a log in a range, in order, so many at most.
    pub fn ids(&mut self, log: &str, after: i64, upto: i64, most: usize) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        let sql = format!(
            "COPY (SELECT {log}_id FROM consent_data.{log} WHERE {log}_id > {after} AND {log}_id <= {upto}
                    ORDER BY 1 LIMIT {most}) TO STDOUT (FORMAT binary)"
        );
        wire::read::<1>(self.holder.copy_out(&sql).context("reading a log")?, |[id]| {
            ids.push(number(id)?);
            Ok(())
        })?;
        Ok(ids)
    }

    /// Does the work for all tasks, a thread a session; answers in their order.
    pub fn each<T: Send>(
        &self,
        tasks: &[Task],
        bar: &ProgressBar,
        work: impl Fn(&mut Client, &Task) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let run = |session: &Mutex<Client>| -> Result<Vec<(usize, T)>> {
            let mut client = session.lock().unwrap_or_else(PoisonError::into_inner);
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(task) = tasks.get(n) else { break };
                pace::go_on()?;
                done.push((n, work(&mut client, task)?));
                bar.inc(task.rows.len() as u64);
            }
            Ok(done)
        };
        let mut done = thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = self
                .sessions
                .iter()
                .take(tasks.len())
                .map(|s| scope.spawn(|| run(s).inspect_err(|_| failed.store(true, Ordering::Relaxed))))
                .collect();
            let mut all = Vec::new();
            for t in threads {
                all.extend(t.join().unwrap_or_else(|_| Err(anyhow!("a reading thread panicked")))?);
            }
            Ok::<_, anyhow::Error>(all)
        })?;
        done.sort_unstable_by_key(|(n, _)| *n);
        Ok(done.into_iter().map(|(_, t)| t).collect())
    }
}

/// Hands every row of a task to `each`, in the order of ids.
pub fn texts(client: &mut Client, task: &Task, mut each: impl FnMut(Sealed<'_>) -> Result<()>) -> Result<()> {
    let sql = format!(
        "COPY (SELECT t.row_id, t.entered_at, t.content FROM consent.sealed_text t
                WHERE t.log = '{}' AND t.row_id > {} AND t.row_id <= {} ORDER BY t.row_id) TO STDOUT (FORMAT binary)",
        LOGS[task.log], task.after, task.upto
    );
    wire::read::<3>(client.copy_out(&sql).context("reading a log")?, |[id, entered_at, content]| {
        let content = content.context("a row of a log has no text")?;
        each(Sealed { id: number(id)?, entered_at: number(entered_at)?.saturating_add(EPOCH), content })
    })
}

/// A bigint or timestamp of binary COPY.
pub fn number(bytes: Option<&[u8]>) -> Result<i64> {
    Ok(i64::from_be_bytes(bytes.context("a NULL where none can be")?.try_into().context("no eight bytes")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_and_leave_nothing_out() {
        let ids: Vec<i64> = (1..=20_000).map(|n| n * 3).collect();
        let all = tasks(2, &ids, 1, 70_000);
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].after, all[2].upto), (1, 70_000));
        for pair in all.windows(2) {
            assert_eq!((pair[0].upto, pair[0].rows.end), (pair[1].after, pair[1].rows.start));
        }
        assert_eq!(all[2].rows.end, ids.len());
        let none = [Task { log: 0, after: 4, upto: 9, rows: 0..0 }];
        assert_eq!(tasks(0, &[], 4, 9), none, "a range without known rows may have others");
        assert!(tasks(0, &[], 9, 9).is_empty());
    }
}
