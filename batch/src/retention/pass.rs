//! Assessing: all contacts, or those whose next stage falls due.

use super::findings::Findings;
use crate::connection::{Database, retrying};
use crate::report::Report;
use crate::states::{self, KeyType, Keys, Snapshot, wire};
use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Utc};
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::Stage;
use pg_consent_policy::time::Instant;
use postgres::Client;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes of COPY sent at a time, and how many such may wait for the server.
const BLOCK: usize = 1 << 18;
const WAITING: usize = 8;

pub struct Pass<'q> {
    parts: Vec<Findings<'q>>,
    /// Of an incremental pass: all contacts looked at, and what falls due next of whom (by place).
    moved: Option<Moved>,
}

struct Moved {
    seen: Keys,
    next: Vec<(usize, i32, Instant)>,
}

pub struct News {
    /// Contacts whose time is newly over with some sender.
    pub expired: u64,
    /// By stage and rule.
    pub by_stage: BTreeMap<String, u64>,
}

/// Assesses everybody. With `store`, notes when whose next stage begins, in a fresh table.
pub fn full<'q>(
    client: &mut Client,
    database: &Database,
    questions: &'q [Question],
    store: bool,
    report: &Report,
) -> Result<Pass<'q>> {
    let writer = if store {
        retrying(|| client.execute("SELECT consent._retention_begin()", &[]))?;
        Some(database.connect()?)
    } else {
        None
    };
    let snapshot = Snapshot::take(database)?;
    let bar = report.progress("retention", snapshot.contacts());
    let of = snapshot.key_type();
    let (to_writer, blocks) = sync_channel::<Vec<u8>>(WAITING);
    let parts = thread::scope(|scope| -> Result<Vec<Findings<'q>>> {
        let writing = scope.spawn(move || writer.map_or(Ok(()), |w| copy(w, &blocks)));
        let new = || (Findings::new(of), Rows { sent: store.then(|| to_writer.clone()), bytes: Vec::new() });
        let parts = states::scan(database, &snapshot, &bar, new, |(findings, rows), stored| {
            findings.take(questions, stored.contact, stored.state, |sender, at| {
                rows.push(stored.contact, sender, at);
            });
        });
        let parts = parts.map(|parts| {
            parts.into_iter().map(|(findings, mut rows)| {
                rows.flush();
                findings
            })
        });
        let parts = parts.map(Iterator::collect);
        drop(to_writer);
        // The writer's error says more than that of a reader who had to stop for it.
        writing.join().map_err(|_| anyhow!("the writing thread panicked"))??;
        parts
    })?;
    bar.finish_and_clear();
    Ok(Pass { parts, moved: None })
}

/// Rows of binary COPY: key, sender, instant.
struct Rows {
    sent: Option<SyncSender<Vec<u8>>>,
    bytes: Vec<u8>,
}

impl Rows {
    fn push(&mut self, key: &[u8], sender: i32, at: Instant) {
        if self.sent.is_none() {
            return;
        }
        self.bytes.extend_from_slice(&3i16.to_be_bytes());
        for field in [key, &sender.to_be_bytes(), &micros(at).to_be_bytes()] {
            self.bytes.extend_from_slice(&(field.len() as i32).to_be_bytes());
            self.bytes.extend_from_slice(field);
        }
        if self.bytes.len() >= BLOCK {
            self.flush();
        }
    }

    /// Where the writer has stopped, its own error tells.
    fn flush(&mut self) {
        if let Some(sent) = &self.sent {
            let _ = sent.send(std::mem::take(&mut self.bytes));
        }
    }
}

/// PostgreSQL's microseconds, since 2000.
fn micros(at: Instant) -> i64 {
    const EPOCH_MS: i64 = 946_684_800_000;
    (at.0 - EPOCH_MS).saturating_mul(1000)
}

fn copy(mut client: Client, blocks: &Receiver<Vec<u8>>) -> Result<()> {
    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    let query =
        "COPY consent_data.retention_due_next (contact_id, sender_id, due_at) FROM STDIN (FORMAT binary)";
    let mut sink = client.copy_in(query).context("noting what falls due")?;
    sink.write_all(HEADER)?;
    for block in blocks {
        sink.write_all(&block)?;
    }
    sink.write_all(&(-1i16).to_be_bytes())?;
    sink.finish()?;
    Ok(())
}

/// Assesses those whose next stage has begun by the questions' instant. Whose state is to be folded anew waits.
pub fn falling_due<'q>(client: &mut Client, questions: &'q [Question]) -> Result<Pass<'q>> {
    let of = KeyType::read(client)?;
    let at: DateTime<Utc> = questions.first().map_or_else(Utc::now, |q| q.at.to_utc());
    let query = format!(
        "COPY (SELECT d.contact_id, consent._state_bytes(coalesce(o.state, s.state))
                 FROM (SELECT DISTINCT x.contact_id FROM consent_data.retention_due x WHERE x.due_at <= '{}') d
                 LEFT JOIN consent_data.contact_state s USING (contact_id)
                 LEFT JOIN consent_data.contact_overflow o USING (contact_id)
                WHERE NOT EXISTS (SELECT FROM consent_data.restricted r WHERE r.contact_id = d.contact_id))
         TO STDOUT (FORMAT binary)",
        at.to_rfc3339()
    );
    let mut findings = Findings::new(of);
    let mut moved = Moved { seen: Keys::new(of), next: Vec::new() };
    wire::read::<2>(client.copy_out(&query).context("reading what falls due")?, |[contact, state]| {
        let Some(contact) = contact else { return Ok(()) };
        let place = moved.seen.len();
        moved.seen.push(contact);
        if let Some(state) = state {
            findings.take(questions, contact, state, |sender, at| moved.next.push((place, sender, at)));
        }
        Ok(())
    })?;
    Ok(Pass { parts: vec![findings], moved: Some(moved) })
}

impl<'q> Pass<'q> {
    pub fn assessed(&self) -> u64 {
        self.parts.iter().map(|p| p.assessed).sum()
    }

    pub fn unassessable(&self) -> u64 {
        self.parts.iter().map(|p| p.unassessable).sum()
    }

    /// Forgets what an earlier run has recorded.
    pub fn keep_news(&mut self, client: &mut Client, chunk: usize) -> Result<News> {
        let mut news = News { expired: 0, by_stage: BTreeMap::new() };
        for part in &mut self.parts {
            let mut is_new = vec![false; part.found.len()];
            for first in (0..part.found.len()).step_by(chunk) {
                let c = part.columns(first..(first + chunk).min(part.found.len()));
                let rows = client.query(
                    "SELECT n FROM consent._retention_news($1, $2, $3, $4, $5) n",
                    &[&c.contacts, &c.senders, &c.stages, &c.since, &c.ends],
                )?;
                for row in rows {
                    let n: i64 = row.get(0);
                    is_new[first + n as usize - 1] = true;
                }
            }
            let mut is_new = is_new.into_iter();
            part.found.retain(|_| is_new.next().unwrap_or(true));
            let mut last = None;
            for f in &part.found {
                *news.by_stage.entry(format!("{} ({})", f.stage.code(), f.rule)).or_default() += 1;
                if f.stage == Stage::Expired && last != Some(f.key) {
                    news.expired += 1;
                    last = Some(f.key);
                }
            }
        }
        Ok(news)
    }

    /// In short transactions, in an order that a kill at any moment leaves right: findings first, then what falls due.
    pub fn write(
        &self,
        client: &mut Client,
        run_id: i64,
        chunk: usize,
        rules: &[u8],
        report: &Report,
    ) -> Result<i64> {
        let mut recorded = 0;
        for part in &self.parts {
            for first in (0..part.found.len()).step_by(chunk) {
                let c = part.columns(first..(first + chunk).min(part.found.len()));
                let n = retrying(|| {
                    client
                        .query_one(
                            "SELECT consent._retention_record($1, $2, $3, $4, $5, $6, $7)",
                            &[&run_id, &c.contacts, &c.senders, &c.stages, &c.rules, &c.since, &c.ends],
                        )
                        .map(|row| row.get::<_, i64>(0))
                })?;
                recorded += n;
                report.pace.between_chunks(n.unsigned_abs())?;
            }
        }
        match &self.moved {
            Some(moved) => moved.write(client, chunk, report)?,
            None => {
                retrying(|| client.execute("SELECT consent._retention_swap($1, $2)", &[&rules, &run_id]))?;
            }
        }
        Ok(recorded)
    }
}

impl Moved {
    fn write(&self, client: &mut Client, chunk: usize, report: &Report) -> Result<()> {
        let mut next = self.next.iter().peekable();
        for first in (0..self.seen.len()).step_by(chunk) {
            let last = (first + chunk).min(self.seen.len());
            let seen: Vec<String> = (first..last).map(|i| self.seen.get(i).to_string()).collect();
            let (mut contacts, mut senders, mut due) = (Vec::new(), Vec::new(), Vec::new());
            while let Some((place, sender, at)) = next.next_if(|(place, ..)| *place < last) {
                contacts.push(self.seen.get(*place).to_string());
                senders.push(*sender);
                due.push(at.to_utc());
            }
            retrying(|| {
                client.execute(
                    "SELECT consent._retention_move($1, $2, $3, $4)",
                    &[&seen, &contacts, &senders, &due],
                )
            })?;
            report.pace.between_chunks(seen.len() as u64)?;
        }
        Ok(())
    }
}
