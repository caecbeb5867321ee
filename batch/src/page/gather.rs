//! Reading the figures: one pass over the states, and what SQL aggregates, all under one snapshot.

use super::figures::{
    Binding, Ending, Ends, Evidence, Figures, Permission, Point, Problem, Refusals, Retained, Run, Sender,
    Similarity,
};
use super::tally::{Asked, DAY_MS, Permission as Counts, Tally, WITHOUT_PROOF};
use super::{cells, figures};
use crate::connection::Database;
use crate::permission::{Answer, dirty};
use crate::report::Report;
use crate::states::{self, Snapshot};
use anyhow::{Context, Result, anyhow};
use chrono::{DateTime, Utc};
use indicatif::ProgressBar;
use pg_consent_policy::question::Question;
use pg_consent_policy::time::Instant;
use postgres::Client;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::thread;

/// Runs shown, the latest.
const RUNS: i64 = 60;

pub fn gather(database: &Database, report: &Report) -> Result<Figures> {
    let mut snapshot = Snapshot::take(database)?;
    let mut figures = head(snapshot.client())?;
    let asked = questions(snapshot.client(), &mut figures)?;
    let bar = report.progress("report", snapshot.contacts());
    let mut beside = snapshot.join(database)?;
    // The ledger is aggregated by the server while the states are counted here.
    let (tally, ledger) = thread::scope(|scope| {
        let ledger = scope.spawn(|| ledger(&mut beside));
        let tally = count(database, &snapshot, &asked, figures.waiting, &bar);
        (tally, ledger.join().unwrap_or_else(|_| Err(anyhow!("the thread that reads the ledger panicked"))))
    });
    bar.finish_and_clear();
    let (tally, ledger) = (tally?, ledger?);
    figures.refusals = ledger.refusals;
    figures.evidence = ledger.evidence;
    figures.retained = ledger.retained;
    let client = snapshot.client();
    figures.runs = runs(client)?;
    figures.similarity = similarity(client)?;
    take(&mut figures, tally, asked.at, &categories(client)?);
    Ok(figures)
}

struct Ledger {
    refusals: Vec<Refusals>,
    evidence: Vec<Evidence>,
    retained: Vec<Retained>,
}

fn ledger(client: &mut Client) -> Result<Ledger> {
    Ok(Ledger { refusals: refusals(client)?, evidence: evidence(client)?, retained: retained(client)? })
}

fn categories(client: &mut Client) -> Result<HashMap<u32, String>> {
    let rows = client.query("SELECT category_id, name FROM consent_data.category", &[])?;
    Ok(rows.iter().map(|r| (r.get::<_, i32>(0) as u32, plain(r.get(1)))).collect())
}

/// What was counted, without the small cells.
fn take(figures: &mut Figures, tally: Tally<'_>, at: Instant, categories: &HashMap<u32, String>) {
    figures.contacts = tally.contacts;
    figures.held = tally.on_hold;
    figures.segments =
        tally.segments.rows(|c| categories.get(&c).cloned().unwrap_or_else(|| format!("category {c}")));
    let (ending, pooled) = cells::publish(tally.retention_ends.into_iter().collect());
    figures.retention_ends = ending
        .into_iter()
        .map(|((sender, stage, rule), contacts)| Ending {
            sender: plain(sender.to_owned()),
            stage: stage.to_owned(),
            rule: rule.to_owned(),
            contacts,
        })
        .collect();
    figures.retention_ends_pooled = pooled;
    for (permission, counts) in figures.permission.iter_mut().zip(tally.permission) {
        fill(permission, counts, at);
    }
}

fn count<'q>(
    database: &Database,
    snapshot: &Snapshot,
    asked: &'q Asked,
    waiting: u64,
    bar: &ProgressBar,
) -> Result<Tally<'q>> {
    let tallies = states::scan(
        database,
        snapshot,
        bar,
        || Tally::new(asked),
        |tally, stored| tally.add(stored.state, 1),
    )?;
    let mut tally = tallies.into_iter().fold(Tally::new(asked), Tally::merge);
    // Left out of the decidable ones: from them something may have been taken away.
    if waiting > 0 {
        tally.add(&dirty(), waiting);
    }
    Ok(tally)
}

fn fill(permission: &mut Permission, counts: Counts<'_>, at: Instant) {
    let sides = cells::within_sides(counts.answers.into_iter().collect());
    let (answers, pooled) = cells::publish(sides.clone());
    let is_pooled = |cell: &&(Answer<'_>, u64)| !answers.contains(cell);
    permission.in_part =
        sides.iter().filter(is_pooled).map(|((jurisdiction, ..), _)| (*jurisdiction).to_owned()).collect();
    permission.answers = answers
        .into_iter()
        .map(|((jurisdiction, allowed, code), contacts)| figures::Answer {
            jurisdiction: jurisdiction.to_owned(),
            allowed,
            code: code.to_owned(),
            contacts,
        })
        .collect();
    permission.pooled = pooled;
    permission.without_proof = permission.sum(|a| !a.allowed && WITHOUT_PROOF.contains(&a.code.as_str()));
    let mut ends = BTreeMap::new();
    for ((week, _, basis), contacts) in counts.ends {
        *ends.entry((week, basis)).or_default() += contacts;
    }
    let (ends, pooled) = cells::publish(ends.into_iter().collect());
    permission.ends = ends
        .into_iter()
        .map(|((week, basis), contacts)| Ends {
            week,
            from: Instant(at.0 + week * 7 * DAY_MS).to_utc().format("%Y-%m-%d").to_string(),
            basis: basis.to_owned(),
            contacts,
        })
        .collect();
    permission.ends_pooled = pooled;
}

/// Text of the database as the page may carry it: control characters have no place in a document.
pub fn plain(text: String) -> String {
    text.chars().map(|c| if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' { ' ' } else { c }).collect()
}

fn minute(t: DateTime<Utc>) -> String {
    t.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn head(client: &mut Client) -> Result<Figures> {
    let row = client
        .query_one("SELECT current_database()::text, now()", &[])
        .context("is pg_consent set up in this database, and the role a member of consent_batch?")?;
    let waiting = states::waiting(client)?;
    let senders = client.query(
        "SELECT name, country, is_default FROM consent_data.sender ORDER BY is_default DESC, sender_id",
        &[],
    )?;
    let bindings =
        client.query("SELECT view, kind, seen_at FROM consent_data.binding ORDER BY kind, view", &[])?;
    let problems = client.query("SELECT binding, problem, denies FROM consent.check_bindings()", &[])?;
    Ok(Figures {
        database: plain(row.get(0)),
        made_at: minute(row.get(1)),
        waiting,
        senders: senders
            .iter()
            .map(|r| Sender { name: plain(r.get(0)), country: r.get(1), is_default: r.get(2) })
            .collect(),
        bindings: bindings
            .iter()
            .map(|r| Binding { view: plain(r.get(0)), kind: r.get(1), seen_at: minute(r.get(2)) })
            .collect(),
        binding_problems: problems
            .iter()
            .map(|r| Problem { binding: plain(r.get(0)), problem: r.get(1), denies: r.get(2) })
            .collect(),
        ..Figures::default()
    })
}

fn question(
    client: &mut Client,
    kind: &str,
    category: Option<&str>,
    sender: Option<&str>,
) -> Result<Question> {
    let bytes: Vec<u8> = client
        .query_one(
            "SELECT consent._question_bytes(consent.question($1, $2, sender => $3))",
            &[&kind, &category, &sender],
        )
        .with_context(|| format!("the question whether `{kind}` may be sent"))?
        .get(0);
    Ok(Question::decode(&bytes)?)
}

/// Without senders nobody sends, and there is nothing to ask.
fn questions(client: &mut Client, figures: &mut Figures) -> Result<Asked> {
    let has_default = figures.senders.iter().any(|s| s.is_default);
    let mut audited: Vec<(String, Option<String>)> = client
        .query("SELECT message_kind, product_category FROM consent_data.audit_question ORDER BY 1, 2 NULLS FIRST", &[])?
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    figures.audited_by_default = audited.is_empty();
    if audited.is_empty() {
        audited.push(("marketing".to_owned(), None));
    }
    let mut asked = Asked { audited: Vec::new(), retention: Vec::new(), standing: None, at: Instant::MIN };
    if has_default {
        for (kind, category) in audited {
            asked.audited.push(question(client, &kind, category.as_deref(), None)?);
            figures.permission.push(Permission {
                message_kind: plain(kind),
                product_category: category.map(plain),
                answers: Vec::new(),
                pooled: 0,
                ends: Vec::new(),
                ends_pooled: 0,
                without_proof: 0,
                in_part: Vec::new(),
            });
        }
        let standing = question(client, "marketing", None, None)?;
        figures.marketing_blocked = standing.marketing_blocked.map(|r| r.code().to_owned());
        figures.policy_version = standing.policy_version.clone();
        asked.at = standing.at;
        asked.standing = Some(Question { marketing_blocked: None, ..standing });
    }
    // Under the names the database has, not as the page shows them.
    for row in client.query("SELECT name FROM consent_data.sender ORDER BY sender_id", &[])? {
        let question = question(client, "marketing", None, Some(row.get(0)))?;
        asked.at = question.at;
        asked.retention.push(question);
    }
    Ok(asked)
}

fn refusals(client: &mut Client) -> Result<Vec<Refusals>> {
    let rows = client.query(
        "SELECT to_char(month, 'YYYY-MM'), kind, sender, via, reason_code, events FROM consent.report_opt_outs
          ORDER BY 1, 2, 3, 4, 5",
        &[],
    )?;
    let one = |r: &postgres::Row| Refusals {
        month: r.get(0),
        kind: r.get(1),
        sender: plain(r.get(2)),
        via: plain(r.get(3)),
        reason_code: plain(r.get(4)),
        events: r.get::<_, i64>(5) as u64,
    };
    Ok(rows.iter().map(one).collect())
}

fn evidence(client: &mut Client) -> Result<Vec<Evidence>> {
    let rows = client.query(
        "SELECT kind, sender, coalesce(method, 'not stated'), events, without_evidence + empty_evidence
           FROM consent.report_evidence ORDER BY 1, 2, 3",
        &[],
    )?;
    let one = |r: &postgres::Row| Evidence {
        kind: r.get(0),
        sender: plain(r.get(1)),
        method: plain(r.get(2)),
        events: r.get::<_, i64>(3) as u64,
        without: r.get::<_, i64>(4) as u64,
    };
    Ok(rows.iter().map(one).collect())
}

fn retained(client: &mut Client) -> Result<Vec<Retained>> {
    let rows = client.query(
        "SELECT sender, stage, rule, sum(contacts)::bigint, max(last_found_at) FROM consent_data.count_retention
          GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        &[],
    )?;
    let one = |r: &postgres::Row| Retained {
        sender: plain(r.get(0)),
        stage: r.get(1),
        rule: r.get(2),
        contacts: r.get::<_, i64>(3) as u64,
        last_at: minute(r.get(4)),
    };
    Ok(rows.iter().map(one).collect())
}

fn runs(client: &mut Client) -> Result<Vec<Run>> {
    let rows = client.query(
        "SELECT step, started_at, extract(epoch FROM finished_at - started_at)::float8, coalesce(outcome, 'unfinished'),
                figures - '{curve,curves,segments}'::text[]
           FROM consent_data.run r WHERE step <> 'report'
            -- Not the night that makes the page.
            AND NOT (outcome IS NULL AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid::text = r.figures->>'server_process'))
          ORDER BY run_id DESC LIMIT $1",
        &[&RUNS],
    )?;
    let one = |r: &postgres::Row| Run {
        step: r.get(0),
        started_at: minute(r.get(1)),
        seconds: r.get(2),
        outcome: r.get(3),
        figures: cells::of_run(&r.get(4)),
    };
    Ok(rows.iter().map(one).collect())
}

/// The curve as the last rescore that drew one left it.
fn similarity(client: &mut Client) -> Result<Option<Similarity>> {
    let row = client.query_opt(
        "SELECT r.finished_at, r.figures, s.similarity_threshold FROM consent_data.run r, consent_data.setting s
          WHERE r.step = 'rescore' AND r.outcome = 'done' AND jsonb_array_length(r.figures->'curve') > 0
          ORDER BY r.run_id DESC LIMIT 1",
        &[],
    )?;
    Ok(row.map(|r| {
        let mut figures: Value = r.get(1);
        let number = |v: &Value, name: &str| v.get(name).and_then(Value::as_f64);
        let point = |v: &Value| {
            Some(Point {
                threshold: number(v, "threshold")?,
                eligible: number(v, "eligible")?,
                inside: number(v, "inside")?,
            })
        };
        let curve = figures["curve"].as_array().into_iter().flatten().filter_map(point).collect();
        if let Some(rest) = figures.as_object_mut() {
            rest.retain(|name, _| !matches!(name.as_str(), "curve" | "curves" | "seconds"));
            for (name, value) in rest.iter_mut() {
                if name != "hubs" && name != "drift" {
                    *value = cells::of_figure(name, value);
                }
            }
        }
        Similarity { threshold: r.get(2), curve, at: minute(r.get(0)), figures }
    }))
}
