//! Simulate: how many contacts gain or lose permission under a draft of the law or of own rules, before it is in force.
//!
//! The draft's question is compiled in the server, from the configuration as it stands with the draft's packs; both questions
//! are decided here on the same states. Nothing is written.

mod change;

use crate::asked::Selection;
use crate::connection::Database;
use crate::report::Report;
use crate::run::Outcome;
use crate::states::{self, Snapshot};
use crate::verify::is_before_horizon;
use anyhow::{Context, Result, anyhow};
use change::{Changes, Verdict};
use chrono::{DateTime, Utc};
use clap::Args;
use pg_consent_policy::question::Question;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default, Args)]
pub struct Simulate {
    /// The draft, in JSON or TOML: own rules that extend a pack, or a whole pack that replaces one of its id or adds one.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    #[command(flatten)]
    pub asked: Selection,
}

/// One message under the law as it is and under the draft.
struct Pair {
    words: String,
    json: Value,
    now: Question,
    draft: Question,
}

pub fn simulate(database: &Database, options: &Simulate, report: &Report) -> Result<Outcome> {
    let document = read(&options.policy)?;
    let mut snapshot = Snapshot::take(database)?;
    let what: Value = snapshot
        .client()
        .query_one("SELECT consent._draft($1)", &[&document])
        .map_err(|e| in_words(e, &options.policy))?
        .get(0);
    introduce(&what, report);
    let at = options.asked.at(snapshot.client())?;
    let mut pairs = Vec::new();
    for message in options.asked.messages(snapshot.client())? {
        let client = snapshot.client();
        let now = message.question(client, at).with_context(|| message.in_words())?;
        let draft: Vec<u8> = client
            .query_one(
                "SELECT consent._draft_question($1, $2, $3, $4, $5, $6)",
                &[&message.kind, &message.category, &message.channel, &message.sender, &at, &document],
            )
            .map_err(|e| in_words(e, &options.policy))?
            .get(0);
        pairs.push(Pair {
            words: message.in_words(),
            json: message.to_json(),
            now: Question::decode(&now)?,
            draft: Question::decode(&draft)?,
        });
    }
    let total = states::count(snapshot.client())?;
    let counted = count(database, &snapshot, &pairs, at, total, report)?;
    for (pair, changes) in pairs.iter().zip(&counted.changes) {
        show(pair, changes, report);
    }
    let left_out = total.saturating_sub(counted.contacts);
    let figures = json!({
        "at": at, "draft": what, "contacts": counted.contacts, "left_out": left_out,
        "before_horizon": counted.before_horizon,
    });
    let mut words = format!("simulate: {} contacts as of {}", counted.contacts, at.to_rfc3339());
    if left_out > 0 {
        words += &format!("; {left_out} left out, who are to be folded anew or have no state");
    }
    if counted.before_horizon > 0 {
        words += &format!(
            "; {} have facts later than that instant: their states can't answer for it, which denies",
            counted.before_horizon
        );
    }
    report.line(&words, &json!({"step": "simulate", "outcome": "done", "figures": figures}));
    Ok(Outcome::Done)
}

struct Counted {
    contacts: u64,
    before_horizon: u64,
    /// One a message.
    changes: Vec<Changes>,
}

fn count(
    database: &Database,
    snapshot: &Snapshot,
    pairs: &[Pair],
    at: DateTime<Utc>,
    total: u64,
    report: &Report,
) -> Result<Counted> {
    let new = || Counted { contacts: 0, before_horizon: 0, changes: vec![Changes::default(); pairs.len()] };
    let bar = report.progress("simulate", total);
    let parts = states::scan(database, snapshot, &bar, new, |all, stored| {
        all.contacts += 1;
        all.before_horizon += u64::from(is_before_horizon(stored.state, at));
        for (changes, pair) in all.changes.iter_mut().zip(pairs) {
            changes.add(stored.state, &pair.now, &pair.draft);
        }
    })?;
    bar.finish_and_clear();
    let mut all = new();
    for part in parts {
        all.contacts += part.contacts;
        all.before_horizon += part.before_horizon;
        all.changes.iter_mut().zip(part.changes).for_each(|(a, b)| a.join(b));
    }
    Ok(all)
}

/// TOML by the file's name or if it is no JSON.
fn read(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let is = |extension: &str| file.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
    let json = || serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()));
    let toml = || toml::from_str(&text).with_context(|| format!("{} is no TOML", file.display()));
    match (is("json"), is("toml")) {
        (true, _) => json(),
        (_, true) => toml(),
        _ => json().or_else(|_| toml()),
    }
}

/// The faults of a draft, one a line, as the server lists them.
fn in_words(e: postgres::Error, file: &Path) -> anyhow::Error {
    match e.as_db_error() {
        Some(told) => {
            let detail = told.detail().map_or(String::new(), |d| format!(":\n{d}"));
            anyhow!("{}: {}{detail}", file.display(), told.message())
        }
        None => e.into(),
    }
}

fn introduce(what: &Value, report: &Report) {
    let pack = what["pack"].as_str().unwrap_or_default();
    let does = match what["does"].as_str() {
        Some("extend") => "own rules that tighten pack",
        Some("replace") => "a pack in the place of",
        _ => "a pack of its own,",
    };
    report.line(&format!("the draft is {does} {pack}"), &json!({"draft": what}));
    for looser in what["loosens"].as_array().into_iter().flatten() {
        let (path, problem) = (looser["path"].as_str(), looser["problem"].as_str());
        let words = format!("  it loosens: {}: {}", path.unwrap_or_default(), problem.unwrap_or_default());
        report.line(&words, &json!({"loosens": looser}));
    }
}

fn show(pair: &Pair, changes: &Changes, report: &Report) {
    let (gained, lost) = (changes.gained(), changes.lost());
    report.line(
        &format!(
            "{}: {gained} gain permission, {lost} lose it; {} may be sent to now, {} under the draft",
            pair.words, changes.allowed_now, changes.allowed_then
        ),
        &json!({
            "question": pair.json, "gained": gained, "lost": lost, "allowed_now": changes.allowed_now,
            "allowed_then": changes.allowed_then,
        }),
    );
    for (change, contacts) in changes.rows() {
        let side = |v: Verdict| format!("{} {}", if v.allowed() { "yes" } else { "no" }, v.code());
        let (before, after) = (side(change.before), side(change.after));
        report.line(
            &format!("  {:6} {before:28} -> {after:28} {contacts:>10}", change.jurisdiction),
            &json!({
                "question": pair.json, "jurisdiction": change.jurisdiction, "before": change.before.to_json(),
                "after": change.after.to_json(), "contacts": contacts,
            }),
        );
    }
}
