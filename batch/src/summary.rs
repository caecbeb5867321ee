//! `summarise`: counts over everybody what the audit views answer from, so that they answer at once and say how old they
//! are. What has to be decided contact by contact is counted in one pass over the states, what the logs hold by the
//! server beside it; both see one moment, and replace the summary before in one statement.

mod tally;

use crate::asked::Asked;
use crate::connection::{Database, retrying};
use crate::permission::dirty;
use crate::report::Report;
use crate::run::Finding;
use crate::states::{self, Snapshot};
use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Months, Utc};
use pg_consent_policy::question::Question;
use pg_consent_policy::time::Instant;
use postgres::Client;
use serde_json::{Map, Value, json};
use std::thread;
use tally::Tally;

/// Permissions that end sooner than this are told; `audit_expiring` says so.
const MONTHS_AHEAD: Months = Months::new(12);
/// Of the view `consent_data.count_…` each.
const COUNTED_BY_THE_SERVER: &[&str] =
    &["opt_out", "opt_out_rate", "service_share", "decision", "evidence", "retention", "quality"];

/// A message that is audited, for one sender.
struct Audited {
    asked: Asked,
    question: Question,
}

pub fn summarise(
    client: &mut Client,
    database: &Database,
    run_id: i64,
    dry_run: bool,
    report: &Report,
) -> Result<Finding> {
    let mut snapshot = Snapshot::take(database)?;
    // Of the moment seen or later: a state denies what is asked about the time before its latest fact.
    let at: DateTime<Utc> = snapshot.client().query_one("SELECT clock_timestamp()", &[])?.get(0);
    let audited = questions(snapshot.client(), at)?;
    let asked: Vec<&Question> = audited.iter().map(|a| &a.question).collect();
    let horizon = at.checked_add_months(MONTHS_AHEAD).context("the calendar ends")?;
    let new = || Tally::new(&asked, Instant(horizon.timestamp_millis()));
    let waiting = states::waiting(snapshot.client())?;
    let bar = report.progress("summarise", snapshot.contacts());
    let mut beside = snapshot.join(database)?;
    let (tallies, parts) = thread::scope(|scope| {
        let parts = scope.spawn(|| counted(&mut beside));
        let tallies = states::scan(database, &snapshot, &bar, new, |t, stored| t.add(stored.state, 1));
        (tallies, parts.join().unwrap_or_else(|_| Err(anyhow!("the thread that reads the logs panicked"))))
    });
    bar.finish_and_clear();
    let (tallies, mut parts) = (tallies?, without_missing(parts?, report));
    let mut tally = tallies.into_iter().fold(new(), Tally::join);
    if waiting > 0 {
        tally.add(&dirty(), waiting);
    }
    let (permission, expiring) = rows(&audited, &tally);
    let figures = json!({
        "contacts": tally.contacts, "waiting": waiting, "questions": audited.len(), "permission": permission.len(),
        "expiring": expiring.len(),
    });
    if let Some(Value::Object(quality)) = parts.get_mut("quality").and_then(|rows| rows.get_mut(0)) {
        let counted = tally.records().chain([("waiting", waiting)]);
        quality.extend(counted.map(|(name, contacts)| (name.to_owned(), json!(contacts))));
    }
    parts.insert("permission".into(), permission.into());
    parts.insert("expiring".into(), expiring.into());
    if !dry_run {
        let parts = Value::Object(parts);
        retrying(|| client.execute("SELECT consent._summary_replace($1, $2, $3)", &[&run_id, &at, &parts]))?;
    }
    Ok(Finding::done(figures))
}

/// Each message in `audit_question`, for each sender, all as of one instant.
fn questions(client: &mut Client, at: DateTime<Utc>) -> Result<Vec<Audited>> {
    let rows = client
        .query(
            "SELECT q.message_kind, q.product_category, s.name FROM consent_data.audit_question q, consent_data.sender s
              ORDER BY 1, 2 NULLS FIRST, s.sender_id",
            &[],
        )
        .context("is pg_consent set up in this database, and the role a member of consent_batch?")?;
    rows.iter()
        .map(|r| {
            let asked = Asked { kind: r.get(0), category: r.get(1), channel: None, sender: Some(r.get(2)) };
            let bytes = asked.question(client, at).with_context(|| asked.in_words())?;
            Ok(Audited { question: Question::decode(&bytes)?, asked })
        })
        .collect()
}

/// By part; none for a part whose view was dropped with one of the CRM's.
fn counted(client: &mut Client) -> Result<Vec<(&'static str, Option<Value>)>> {
    let part = |name: &&'static str| {
        let there = "SELECT to_regclass('consent_data.count_' || $1) IS NOT NULL";
        if !client.query_one(there, &[name])?.get::<_, bool>(0) {
            return Ok((*name, None));
        }
        let query = format!("SELECT coalesce(jsonb_agg(v), '[]') FROM consent_data.count_{name} v");
        let rows = client.query_one(&query, &[]).with_context(|| format!("counting {name}"))?.get(0);
        Ok((*name, Some(rows)))
    };
    COUNTED_BY_THE_SERVER.iter().map(part).collect()
}

/// A part that can't be counted is left out, so that no old figure stands among new ones.
fn without_missing(parts: Vec<(&'static str, Option<Value>)>, report: &Report) -> Map<String, Value> {
    let mut found = Map::new();
    for (name, rows) in parts {
        match rows {
            Some(rows) => drop(found.insert(name.to_owned(), rows)),
            None => report.warn(
                &format!(
                    "{name} is not counted: the view consent_data.count_{name} is gone, as when a view of the CRM is dropped with \
                     all that rests on it; CALL consent.setup() makes it again"
                ),
                &json!({"event": "not_counted", "step": "summarise", "part": name}),
            ),
        }
    }
    found
}

fn rows(audited: &[Audited], tally: &Tally<'_>) -> (Vec<Value>, Vec<Value>) {
    let (mut permission, mut expiring) = (Vec::new(), Vec::new());
    for (message, counts) in audited.iter().zip(&tally.permission) {
        let row = |of: Value| {
            let mut row = message.asked.to_json();
            row["channel"] = json!(message.question.message.channel.code());
            if let (Some(row), Value::Object(of)) = (row.as_object_mut(), of) {
                row.extend(of);
            }
            row
        };
        for ((jurisdiction, allowed, code), contacts) in &counts.answers {
            let name = if *allowed { "basis" } else { "reason" };
            permission.push(row(json!({
                "jurisdiction": jurisdiction, "allowed": allowed, name: code, "contacts": contacts,
            })));
        }
        for ((month, jurisdiction, basis), contacts) in &counts.ends {
            expiring.push(row(json!({
                "jurisdiction": jurisdiction, "basis": basis, "month": month, "contacts": contacts,
            })));
        }
    }
    (permission, expiring)
}
