//! Retention: whose data is near or past the end of its time, per sender, by the pack of the contact's country.
//!
//! The gate denies marketing to the expired by itself ([`pg_consent_policy::decide`]); this step records who reached
//! which stage, so that the CRM can act. A dry run unless `--apply`.

use crate::arguments::{Arguments, Retention};
use crate::connection::retrying;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use crate::states;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::{Stage, assess};
use postgres::Client;
use serde_json::json;
use std::collections::BTreeMap;

/// One contact that is no longer simply active.
struct Due {
    contact: String,
    stage: Stage,
    rule: String,
    since: DateTime<Utc>,
    ends_at: DateTime<Utc>,
}

pub fn retention(
    client: &mut Client,
    arguments: &Arguments,
    options: &Retention,
    run_id: i64,
    report: &Report,
) -> Result<Finding> {
    let contacts = states::count(client)?;
    let senders = client.query("SELECT sender_id, name FROM consent_data.sender ORDER BY sender_id", &[])?;
    let mut written = 0;
    let mut by_stage: BTreeMap<String, u64> = BTreeMap::new();
    let mut unassessable = 0;
    for sender in &senders {
        let (sender_id, name): (i32, String) = (sender.get(0), sender.get(1));
        let bytes: Vec<u8> = client
            .query_one(
                "SELECT consent._question_bytes(consent.question('marketing', sender => $1, at => $2))",
                &[&name, &options.as_of],
            )
            .context("the message kind `marketing` must exist")?
            .get(0);
        let question = Question::decode(&bytes)?;
        let (due, failed) = find(client, &question, report, contacts)?;
        unassessable += failed;
        for d in &due {
            *by_stage.entry(format!("{} ({})", d.stage.code(), d.rule)).or_default() += 1;
        }
        let news = not_yet_expired(client, sender_id, &due)?;
        if news as f64 > options.max_share * contacts as f64 && !options.force {
            report.line(
                &format!(
                    "{news} of {contacts} contacts would newly expire for {name}, more than --max-share; nothing \
                     was written (--force to go on)"
                ),
                &json!({"step": "retention", "stopped": "max_share", "sender": name, "newly_expired": news}),
            );
            let figures = json!({"contacts": contacts, "newly_expired": news, "applied": false});
            return Ok(Finding { outcome: Outcome::Findings, figures });
        }
        if options.apply {
            for chunk in due.chunks(arguments.chunk as usize) {
                written += write(client, run_id, sender_id, chunk)?;
            }
        }
    }
    for (stage, n) in &by_stage {
        report.line(
            &format!("  {n:>8}  {stage}"),
            &json!({"step": "retention", "stage": stage, "contacts": n}),
        );
    }
    Ok(Finding::done(json!({
        "contacts": contacts, "stages": by_stage, "unassessable": unassessable, "applied": options.apply,
        "recorded": written,
    })))
}

fn find(client: &mut Client, question: &Question, report: &Report, contacts: u64) -> Result<(Vec<Due>, u64)> {
    let bar = report.progress("retention", contacts);
    let mut due = Vec::new();
    let mut failed = 0;
    states::for_each(
        client,
        |(contact, state)| match assess(state, question) {
            Ok(Some(a)) if a.stage > Stage::Active && !a.held => Ok(Some(Due {
                contact: contact.clone(),
                stage: a.stage,
                rule: a.rule.id.clone(),
                since: a.since.to_utc(),
                ends_at: a.ends_at.to_utc(),
            })),
            Ok(_) => Ok(None),
            Err(e) => Err(e),
        },
        |batch| {
            bar.inc(batch.len() as u64);
            for one in batch {
                match one {
                    Ok(found) => due.extend(found),
                    Err(_) => failed += 1,
                }
            }
        },
    )?;
    bar.finish_and_clear();
    Ok((due, failed))
}

/// How many of those past their end were not recorded as expired before.
fn not_yet_expired(client: &mut Client, sender_id: i32, due: &[Due]) -> Result<u64> {
    let expired = due.iter().filter(|d| d.stage == Stage::Expired).count() as u64;
    let known: i64 = client
        .query_one(
            "SELECT count(DISTINCT contact_id) FROM consent_data.retention_action WHERE sender_id = $1 AND stage = 'expired'",
            &[&sender_id],
        )?
        .get(0);
    Ok(expired.saturating_sub(known as u64))
}

/// One row a contact and stage; a rerun adds none.
fn write(client: &mut Client, run_id: i64, sender_id: i32, due: &[Due]) -> Result<u64> {
    let contacts: Vec<&str> = due.iter().map(|d| d.contact.as_str()).collect();
    let stages: Vec<&str> = due.iter().map(|d| d.stage.code()).collect();
    let rules: Vec<&str> = due.iter().map(|d| d.rule.as_str()).collect();
    let since: Vec<DateTime<Utc>> = due.iter().map(|d| d.since).collect();
    let ends: Vec<DateTime<Utc>> = due.iter().map(|d| d.ends_at).collect();
    let key_type: String = client.query_one("SELECT key_type FROM consent_data.setting", &[])?.get(0);
    let insert = format!(
        "INSERT INTO consent_data.retention_action (run_id, contact_id, sender_id, stage, rule, since, ends_at)
         SELECT $1, c::{key_type}, $2, s, r, f, e
           FROM unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[]) u (c, s, r, f, e)
         ON CONFLICT (contact_id, sender_id, stage, ends_at) DO NOTHING"
    );
    retrying(|| client.execute(&insert, &[&run_id, &sender_id, &contacts, &stages, &rules, &since, &ends]))
}
