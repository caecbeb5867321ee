//! The record of runs in `consent_data.run`: a row is written when a step begins and completed when it ends. One that
//! was never completed is of a run that was killed; whoever holds the lock next says so.

use crate::arguments::{Arguments, Step};
use crate::pace::Interrupted;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use anyhow::Result;
use postgres::Client;
use serde_json::{Value, json};

/// A night that was broken off longer ago is begun anew: what it did first is stale by then.
const RESUMED_WITHIN: &str = "12 hours";

/// The word for how a step ended.
pub fn word(result: &Result<Finding>) -> &'static str {
    match result {
        Ok(Finding { outcome: Outcome::Done, .. }) => "done",
        Ok(Finding { outcome: Outcome::Findings, .. }) => "findings",
        Ok(Finding { outcome: Outcome::Busy | Outcome::Interrupted(_), .. }) => "stopped",
        Err(e) if e.is::<Interrupted>() => "stopped",
        Err(_) => "failed",
    }
}

/// Whether the step has nothing to do and need not be recorded: each minute would be half a million rows a year.
pub fn is_idle(client: &mut Client, step: &Step) -> Result<bool> {
    if !matches!(step, Step::Refold(options) if options.pending) {
        return Ok(false);
    }
    let waiting = "SELECT EXISTS (SELECT FROM consent_data.pending) OR EXISTS (SELECT FROM consent_data.pending_address)
                          OR EXISTS (SELECT FROM consent_data.standing_gone)";
    Ok(!client.query_one(waiting, &[])?.get::<_, bool>(0))
}

/// The row of a step that begins, or none under `--dry-run`.
pub fn begin(client: &mut Client, arguments: &Arguments, step: &str, figures: &Value) -> Result<Option<i64>> {
    if arguments.dry_run {
        return Ok(None);
    }
    let row = client.query_one(
        "INSERT INTO consent_data.run (step, figures)
         VALUES ($1, jsonb_build_object('server_process', pg_backend_pid()) || $2) RETURNING run_id",
        &[&step, figures],
    )?;
    Ok(Some(row.get(0)))
}

pub fn end(client: &mut Client, run_id: Option<i64>, outcome: &str, figures: &Value) -> Result<()> {
    if let Some(id) = run_id {
        // What it began with stays, but for the server's process, which means nothing afterwards.
        let figures = without_contacts(figures);
        client.execute(
            "UPDATE consent_data.run SET finished_at = clock_timestamp(), outcome = $2,
                    figures = figures - 'server_process' || $3 WHERE run_id = $1",
            &[&id, &outcome, &figures],
        )?;
    }
    Ok(())
}

/// Contacts are named to whoever runs a step; the record, which outlives an erasure, names none.
fn without_contacts(figures: &Value) -> Value {
    match figures {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "found_in" | "examples"))
            .map(|(name, value)| (name.clone(), without_contacts(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// Marks what was broken off. Only whoever holds the lock may: nobody else is at work then.
pub fn mark_killed(client: &mut Client, arguments: &Arguments, report: &Report) -> Result<()> {
    let unfinished = "consent_data.run WHERE outcome IS NULL";
    let shown = "step, started_at::timestamptz(0)::text";
    let rows = if arguments.dry_run {
        client.query(&format!("SELECT {shown} FROM {unfinished} ORDER BY run_id"), &[])?
    } else {
        client.query(
            &format!(
                "UPDATE consent_data.run SET outcome = 'killed' WHERE outcome IS NULL RETURNING {shown}"
            ),
            &[],
        )?
    };
    for row in rows {
        let (step, at): (String, String) = (row.get(0), row.get(1));
        report.warn(
            &format!("the run of {step} that began at {at} was broken off; what it had committed stands, and the rest is done anew"),
            &json!({"event": "killed", "step": step, "started_at": at}),
        );
    }
    Ok(())
}

/// A night's own row, and the steps it need not do again.
#[derive(Debug, Default)]
pub struct Night {
    pub run_id: Option<i64>,
    /// The first of the nights that this one goes on with, or itself.
    pub chain: Option<i64>,
    pub done: Vec<String>,
}

/// Begins a night; goes on with the one before if that was broken off not long ago, with the same options.
pub fn begin_night(client: &mut Client, arguments: &Arguments, resume: bool) -> Result<Night> {
    // As a text, which changes with any option.
    let asked = options(&arguments.step);
    let last = client.query_opt(
        &format!(
            "SELECT f.run_id FROM (SELECT r.* FROM consent_data.run r WHERE r.step = 'nightly' ORDER BY r.run_id DESC LIMIT 1) l
               JOIN consent_data.run f ON f.run_id = coalesce((l.figures->>'chain')::bigint, l.run_id)
              WHERE l.outcome IN ('killed', 'stopped', 'failed') AND l.figures->>'asked' = $1
                AND f.started_at > clock_timestamp() - interval '{RESUMED_WITHIN}'"
        ),
        &[&asked],
    )?;
    let chain: Option<i64> = last.filter(|_| resume).map(|row| row.get(0));
    let mut night = Night { run_id: None, chain, done: Vec::new() };
    if let Some(first) = chain {
        let rows = client.query(
            "SELECT DISTINCT step FROM consent_data.run
              WHERE run_id > $1 AND outcome = 'done' AND (figures->>'night')::bigint = $1",
            &[&first],
        )?;
        // What came in since is folded in any case: a night without it would not be one.
        night.done = rows.iter().map(|row| row.get(0)).filter(|step: &String| step != "refold").collect();
    }
    night.run_id = begin(client, arguments, "nightly", &json!({"asked": asked, "chain": chain}))?;
    night.chain = chain.or(night.run_id);
    Ok(night)
}

fn options(step: &Step) -> String {
    format!("{step:?}")
}
