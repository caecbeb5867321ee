//! Verifying seals: every row is read and hashed again and compared with the leaf that was stored; the leaves must make the
//! seal's root, the seal its head, and the heads a chain. One seal at a time is held, all under one snapshot.

use super::findings::{
    ALTERED, BACKDATED, CHAIN_BROKEN, Findings, HEAD_DIFFERS, HEAD_MISSING, INSERTED, LEAF_ALTERED,
    PRUNED_YOUNG, REMOVED, SEAL_ALTERED, SEAL_MISSING, What,
};
use super::judge::{self, Difference, Leaf, Verdict};
use super::prunes::{Account, Prunes, SLACK};
use super::reading::{self, Reader, number};
use super::{LOGS, MOST, Stored, against, all, hash, horizon, without_seal};
use crate::connection::Database;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use crate::states::wire;
use anyhow::{Context, Result};
use chrono::DateTime;
use indicatif::ProgressBar;
use pg_consent_policy::proof::{Hash, hex, tree};
use postgres::Client;
use serde_json::json;
use std::path::Path;

/// The logs, and the column of when the row was written: by the clock, or when its transaction began.
const DATED: [(usize, &str); 5] =
    [(0, "entered_at"), (1, "decided_at"), (2, "noted_at"), (3, "erased_at"), (4, "pruned_at")];

type Ids = [i64; LOGS.len()];

/// Rows, by log and id, that are dated before they can have been written.
type Backdated = Vec<(usize, i64)>;

/// Below every id, and still a literal in SQL.
const LOWEST: i64 = i64::MIN + 1;

/// `against`: a file of exported heads.
pub fn verify(database: &Database, against: Option<&Path>, list: usize, report: &Report) -> Result<Finding> {
    let heads = against.map(against::read).transpose()?.unwrap_or_default();
    let mut reader = Reader::open(database)?;
    let seals = all(reader.client())?;
    let mut prunes = Prunes::read(reader.client())?;
    let mut findings = Findings::new(report, list);
    let bar = report.progress("verify", seals.iter().map(|s| s.seal.leaves.max(0) as u64).sum());
    let mut before: Option<Before> = None;
    for stored in &seals {
        let is_sound = chained(stored, before.as_ref(), &mut findings);
        let next = before.filter(|b| b.number + 1 == stored.seal.number);
        let one = One { stored, is_sound, before: next.as_ref(), bar: &bar };
        before = Some(one.verify(&mut reader, &mut prunes, &mut findings)?);
    }
    bar.finish_and_clear();
    if let Some(last) = &before {
        backdated_since(reader.client(), last, &mut findings)?;
    }
    unnumbered(reader.client(), &mut findings)?;
    erasures(reader.client(), &mut findings)?;
    let newest = seals.last().map_or(0, |s| s.seal.number);
    missing(reader.client(), &seals, newest, &mut findings)?;
    for head in &heads {
        let same = seals.iter().find(|s| s.seal.number == head.seal);
        if let Some(why) = head.contradicts(seals.first(), same, newest) {
            findings.seal(if head.seal > newest { HEAD_MISSING } else { HEAD_DIFFERS }, head.seal, &why);
        }
    }
    let (counts, first) = findings.figures();
    let figures = json!({
        "seals": seals.len(), "leaves": seals.iter().map(|s| s.seal.leaves).sum::<i64>(), "findings": findings.count(),
        "heads_compared": heads.len(), "head": seals.last().map(|s| hex(&s.head)), "found": counts, "first": first,
    });
    let outcome = if findings.count() == 0 { Outcome::Done } else { Outcome::Findings };
    Ok(Finding { outcome, figures })
}

/// What the next seal goes on from.
struct Before {
    number: i64,
    head: Hash,
    upto: Ids,
    /// No number after `upto` was given out before, in microseconds since 1970, as far as the seals can be believed. A full
    /// seal does not say so: it ends before the numbers did.
    since: Option<i64>,
}

/// Whether the seal's text is that of its head; and whether it follows the one before.
fn chained(stored: &Stored, before: Option<&Before>, findings: &mut Findings<'_>) -> bool {
    let seal = &stored.seal;
    let last = before.map_or(0, |b| b.number);
    if seal.number > last + 1 {
        let which = if seal.number == last + 2 {
            "not there".into()
        } else {
            format!("not there, nor the others before {}", seal.number)
        };
        findings.seal(SEAL_MISSING, last + 1, &which);
    } else if seal.previous != before.map_or(Hash::default(), |b| b.head) {
        findings.seal(CHAIN_BROKEN, seal.number, "it follows another head than that of the seal before");
    }
    let is_sound = seal.head() == stored.head;
    if !is_sound {
        findings.seal(SEAL_ALTERED, seal.number, "its head is not that of its text");
    }
    is_sound
}

/// One seal being verified.
struct One<'a> {
    stored: &'a Stored,
    is_sound: bool,
    /// The seal before, if it is there.
    before: Option<&'a Before>,
    bar: &'a ProgressBar,
}

impl One<'_> {
    fn verify(
        &self,
        reader: &mut Reader,
        prunes: &mut Prunes,
        findings: &mut Findings<'_>,
    ) -> Result<Before> {
        let seal = &self.stored.seal;
        let leaves = read_leaves(reader.client(), seal.number)?;
        let (after, upto) = self.bounds(&leaves);
        let (differences, backdated) = self.compare(reader, &leaves, &after, &upto)?;
        let verdict = judge::judge(&seal.root, seal.leaves, &leaves, &differences);
        if verdict == Verdict::Both && self.is_sound {
            let (what, why) = judge::UNMATCHED;
            findings.seal(what, seal.number, why);
        }
        for difference in &differences {
            self.name(difference, verdict, &leaves, prunes, findings);
        }
        for (log, id) in backdated {
            let detail = "dated before the seal before, when its number was not given out yet";
            findings.row(BACKDATED, LOGS[log], id, Some(seal.number), detail);
        }
        if verdict == Verdict::Rows {
            for (n, leaf) in leaves.iter().enumerate().filter(|(n, leaf)| leaf.position as usize != *n) {
                let detail = format!("at {} in place of {n}", leaf.position);
                findings.row(LEAF_ALTERED, LOGS[leaf.log as usize], leaf.id, Some(seal.number), &detail);
            }
            let hashes: Vec<Hash> = leaves.iter().map(|l| l.hash).collect();
            if self.is_sound && judge::blocks(&hashes).concat() != self.stored.blocks {
                findings.seal(SEAL_ALTERED, seal.number, "its blocks are not those of its leaves");
            }
        }
        let since = match self.is_sound && seal.leaves < MOST as i64 {
            true => Some(seal.sealed_at),
            false => self.before.and_then(|b| b.since),
        };
        Ok(Before { number: seal.number, head: self.stored.head, upto, since })
    }

    /// Which ids are in the seal. Where its text or the seal before can't tell, its leaves do.
    fn bounds(&self, leaves: &[Leaf]) -> (Ids, Ids) {
        let mut after = self.before.map_or([LOWEST; LOGS.len()], |b| b.upto);
        let mut upto = self.stored.seal.upto;
        for log in 0..LOGS.len() {
            let ids = || leaves.iter().filter(|l| usize::from(l.log) == log).map(|l| l.id);
            if self.before.is_none() && self.stored.seal.number != 1 {
                after[log] = ids().min().map_or(upto[log], |id| id.saturating_sub(1));
            }
            if !self.is_sound {
                upto[log] = ids().max().unwrap_or(after[log]);
            }
            upto[log] = upto[log].max(after[log]);
        }
        (after, upto)
    }

    /// Reads the rows and hashes them. Also answers with those that are dated before they can have been written.
    fn compare(
        &self,
        reader: &mut Reader,
        leaves: &[Leaf],
        after: &Ids,
        upto: &Ids,
    ) -> Result<(Vec<Difference>, Backdated)> {
        let mut differences = Vec::new();
        let mut tasks = Vec::new();
        // Where the leaves of each log's range begin; those out of it are of no row that could be in the seal.
        let mut firsts = [0; LOGS.len()];
        for log in 0..LOGS.len() {
            let begin = leaves.partition_point(|l| usize::from(l.log) < log);
            let end = leaves.partition_point(|l| usize::from(l.log) <= log);
            let first = begin + leaves[begin..end].partition_point(|l| l.id <= after[log]);
            let last = begin + leaves[begin..end].partition_point(|l| l.id <= upto[log]);
            let outside = (begin..first).chain(last..end);
            differences.extend(outside.map(|at| Difference::Missing { at }));
            firsts[log] = first;
            let ids: Vec<i64> = leaves[first..last].iter().map(|l| l.id).collect();
            tasks.extend(reading::tasks(log, &ids, after[log], upto[log]));
        }
        let earliest = self.before.and_then(|b| b.since).map(|at| at - SLACK);
        let parts = reader.each(&tasks, self.bar, |client, task| {
            let mut rows = Vec::with_capacity(task.rows.len());
            let mut backdated = Vec::new();
            let is_dated = DATED.iter().any(|(log, _)| *log == task.log);
            reading::texts(client, task, |row| {
                rows.push((row.id, tree::leaf(row.content)));
                if is_dated && earliest.is_some_and(|e| row.entered_at < e) {
                    backdated.push((task.log, row.id));
                }
                Ok(())
            })?;
            let first = firsts[task.log] + task.rows.start;
            let known = &leaves[first..firsts[task.log] + task.rows.end];
            Ok((judge::compare(task.log as u8, first, known, &rows), backdated))
        })?;
        let mut backdated = Vec::new();
        for (found, dated) in parts {
            differences.extend(found);
            backdated.extend(dated);
        }
        differences.sort_by_key(Difference::at);
        Ok((differences, backdated))
    }

    fn name(
        &self,
        difference: &Difference,
        verdict: Verdict,
        leaves: &[Leaf],
        prunes: &mut Prunes,
        findings: &mut Findings<'_>,
    ) {
        let (log, id) = match difference {
            Difference::Extra { log, id, .. } => (*log, *id),
            other => (leaves[other.at()].log, leaves[other.at()].id),
        };
        let (log, seal) = (LOGS[usize::from(log)], Some(self.stored.seal.number));
        let (what, why) = judge::name(difference, verdict);
        if what == REMOVED {
            let since = self.before.and_then(|b| b.since).map(|at| at - SLACK);
            let sealed_at = self.is_sound.then_some(self.stored.seal.sealed_at);
            match prunes.take(log, id, since, sealed_at) {
                Account::Dropped => return,
                Account::TooYoung(prune) => {
                    let why = format!("gone, and younger than what prune {prune} says, or can have dropped");
                    return findings.row(PRUNED_YOUNG, log, id, seal, &why);
                }
                Account::None => {}
            }
        }
        findings.row(what, log, id, seal, why);
    }
}

/// In order. No more than a seal can have, and a few that were put in.
fn read_leaves(client: &mut Client, seal: i64) -> Result<Vec<Leaf>> {
    let sql = format!(
        "COPY (SELECT log, row_id, position, leaf FROM consent_data.seal_leaf WHERE seal_id = {seal}
                ORDER BY log, row_id LIMIT {}) TO STDOUT (FORMAT binary)",
        2 * MOST
    );
    let mut leaves = Vec::new();
    wire::read::<4>(client.copy_out(&sql).context("reading leaves")?, |[log, id, position, leaf]| {
        let log =
            log.and_then(|b| b.try_into().ok()).map(i16::from_be_bytes).context("a leaf without a log")?;
        let position = position.and_then(|b| b.try_into().ok()).map(i32::from_be_bytes);
        // Of no log that there is: a row of the last, which it does not have.
        let log = (log - 1).clamp(0, LOGS.len() as i16 - 1) as u8;
        let position = position.unwrap_or(-1);
        leaves.push(Leaf { log, position, id: number(id)?, hash: hash(leaf.unwrap_or_default()) });
        Ok(())
    })?;
    Ok(leaves)
}

/// Rows not sealed yet that are dated before the last seal, though their numbers come after it.
fn backdated_since(client: &mut Client, last: &Before, findings: &mut Findings<'_>) -> Result<()> {
    let Some(earliest) = last.since.and_then(|at| DateTime::from_timestamp_micros(at - SLACK)) else {
        return Ok(());
    };
    for (log, column) in DATED {
        let name = LOGS[log];
        let sql = format!(
            "SELECT {name}_id FROM consent_data.{name} WHERE {name}_id > $1 AND {column} < $2 ORDER BY 1"
        );
        for row in client.query(&sql, &[&last.upto[log], &earliest])? {
            let detail = "not sealed yet, and dated before the last seal";
            findings.row(BACKDATED, name, row.get(0), None, detail);
        }
    }
    Ok(())
}

/// Rows under a number that the log has not given out yet: no seal comes to them.
fn unnumbered(client: &mut Client, findings: &mut Findings<'_>) -> Result<()> {
    // Read after the rows' snapshot was taken, so that it is no less than any number in it.
    let given = horizon(client)?.upto;
    for (name, given) in LOGS.iter().zip(given) {
        let sql = format!("SELECT {name}_id FROM consent_data.{name} WHERE {name}_id > $1 ORDER BY 1");
        for row in client.query(&sql, &[&given])? {
            findings.row(INSERTED, name, row.get(0), None, "its number was never given out");
        }
    }
    Ok(())
}

/// Seals that left a trace and are not there, or are others: among the leaves, and in the record of the runs that made them.
fn missing(client: &mut Client, seals: &[Stored], newest: i64, findings: &mut Findings<'_>) -> Result<()> {
    for seal in without_seal(client, newest)? {
        findings.seal(SEAL_MISSING, seal, "not there, though its leaves are");
    }
    let made = "SELECT DISTINCT (r.figures->>'seal')::bigint, r.figures->>'head' FROM consent_data.run r
                 WHERE r.step = 'seal' AND r.figures->>'seal' IS NOT NULL AND r.figures->>'head' IS NOT NULL ORDER BY 1";
    for row in client.query(made, &[])? {
        let (number, head): (i64, String) = (row.get(0), row.get(1));
        match seals.iter().find(|s| s.seal.number == number) {
            None if number > newest => {
                findings.seal(
                    SEAL_MISSING,
                    number,
                    "not there, though consent_data.run has the run that made it",
                );
            }
            Some(same) if hex(&same.head) != head => {
                findings.seal(
                    HEAD_DIFFERS,
                    number,
                    "the run that made it, in consent_data.run, had another head",
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// Erasures leave the texts as they are: whether each is accounted for is looked at apart.
fn erasures(client: &mut Client, findings: &mut Findings<'_>) -> Result<()> {
    for row in client.query("SELECT what, log, row_id, detail FROM consent._seal_erasures()", &[])? {
        let (what, detail): (&str, String) = (row.get(0), row.get(3));
        let what: What = if what == ALTERED.0 { ALTERED } else { What::by_server(what) };
        findings.row(what, row.get(1), row.get(2), None, &detail);
    }
    Ok(())
}
