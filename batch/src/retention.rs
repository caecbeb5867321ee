//! Retention: whose data is near or past the end of its time, per sender, by the pack of the contact's country; and, in
//! two steps, what the CRM has configured for them.
//!
//! The gate denies marketing to the expired by itself ([`pg_consent_policy::decide`]). This step records who reached
//! which stage, which announces the expired for a time of grace; a later run has the server judge each of them anew,
//! under its lock, and act (`sql/29_retire.sql`). A dry run unless `--apply`.
//!
//! An ordinary run assesses what falls due by now, by an index. A full pass over all states follows a change of the
//! rules, and the last one after [`FULL_PASS_DAYS`]: it is what finds new contacts, whose time is years away.

mod act;
mod findings;
mod pass;

use crate::arguments::{Arguments, share};
use crate::connection::Database;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use crate::states;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::fingerprint;
use postgres::Client;
use serde_json::{Value, json};

const FULL_PASS_DAYS: i32 = 7;

#[derive(Debug, Clone, Args)]
pub struct Retention {
    /// Record the stages, and do what is configured with contacts announced by an earlier run; without it nothing is
    /// written.
    #[arg(long)]
    pub apply: bool,
    /// Judge as of this instant (RFC 3339); default now. A dry run only.
    #[arg(long, conflicts_with = "apply")]
    pub as_of: Option<DateTime<Utc>>,
    /// Assess all contacts, not only those whose next stage falls due.
    #[arg(long)]
    pub full: bool,
    /// Stop if more than this share of all contacts would newly expire or be announced, or be acted on.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub max_share: f64,
    /// Go on although more than --max-share would newly expire, be announced or be acted on.
    #[arg(long)]
    pub force: bool,
}

pub fn retention(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    options: &Retention,
    run_id: i64,
    report: &Report,
) -> Result<Finding> {
    let contacts = states::count(client)?;
    let apply = options.apply && !arguments.dry_run;
    let questions = questions(client, options.as_of)?;
    let rules = fingerprint(&questions);
    let full = !apply || options.full || is_full_due(client, &rules)?;
    let mut pass = if full {
        pass::full(client, database, &questions, apply, report)?
    } else {
        pass::falling_due(client, &questions)?
    };
    let chunk = arguments.chunk as usize;
    let news = pass.keep_news(client, chunk)?;
    let due = act::due(client, run_id)?;
    // Found earlier, when nothing was configured: what is to be announced counts as if it were found now.
    let announcing = act::open(client)?;
    let acting: u64 = due.iter().map(|d| d.contacts).sum();
    for (stage, n) in &news.by_stage {
        let line = json!({"step": "retention", "stage": stage, "contacts": n});
        report.line(&format!("  {n:>8}  {stage}"), &line);
    }
    for d in &due {
        let line = json!({"step": "retention", "action": d.action, "rule": d.rule, "due": d.contacts});
        report.line(&format!("  {:>8}  to {} ({})", d.contacts, d.action, d.rule), &line);
    }
    let mut figures = json!({
        "contacts": contacts, "full": full, "assessed": pass.assessed(), "stages": news.by_stage,
        "newly_expired": news.expired, "to_announce": announcing, "to_act_on": acting, "unassessable": pass.unassessable(),
        "applied": false,
    });
    let most = options.max_share * contacts as f64;
    if ((news.expired + announcing) as f64 > most || acting as f64 > most) && !options.force {
        let text = format!(
            "of {contacts} contacts {} would newly expire, {announcing} found earlier be announced and {acting} be acted \
             on, more than --max-share; nothing was written (--force to go on)",
            news.expired
        );
        let line = json!({
            "step": "retention", "stopped": "max_share", "newly_expired": news.expired, "to_announce": announcing,
        });
        report.line(&text, &line);
        return Ok(Finding { outcome: Outcome::Findings, figures });
    }
    if apply {
        figures["recorded"] = pass.write(client, run_id, chunk, &rules, report)?.into();
        // Acted on first: nobody is in the run that announces them.
        let outcomes = act::act(client, run_id, acting, report)?;
        for (outcome, n) in &outcomes {
            report.line(
                &format!("  {n:>8}  {outcome}"),
                &json!({"step": "retention", "outcome": outcome, "contacts": n}),
            );
        }
        figures["outcomes"] = json!(outcomes);
        figures["announced"] = act::announce_open(client, arguments.chunk, report)?.into();
        figures["applied"] = Value::Bool(true);
    }
    Ok(Finding::done(figures))
}

/// One question a sender, all at one instant.
fn questions(client: &mut Client, as_of: Option<DateTime<Utc>>) -> Result<Vec<Question>> {
    let rows = client
        .query(
            "SELECT consent._question_bytes(consent.question('marketing', sender => s.name, at => t.at))
               FROM consent_data.sender s, (SELECT coalesce($1, now()) AS at) t ORDER BY s.sender_id",
            &[&as_of],
        )
        .context("the message kind `marketing` must exist")?;
    rows.iter().map(|row| Ok(Question::decode(row.get(0))?)).collect()
}

fn is_full_due(client: &mut Client, rules: &[u8]) -> Result<bool> {
    let row = client.query_one(
        "SELECT NOT EXISTS (SELECT FROM consent_data.retention_pass p
                             WHERE p.fingerprint = $1 AND p.passed_at > now() - make_interval(days => $2))
             OR NOT EXISTS (SELECT FROM consent_data.retention_due)",
        &[&rules, &FULL_PASS_DAYS],
    )?;
    Ok(row.get(0))
}
