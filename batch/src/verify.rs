//! Verify: the batch's verdicts against the server's, under one snapshot. Both decide by the same core, but not on the same
//! way to it: what is exported, how the questions arrive, which rows are left out can differ, and must not.
//!
//! - every contact: who passes `state @@ question` in the server, against who passes here on the states read;
//! - a sample by key: `can_send`, `state @@ question` and the verdict here, contact by contact.

mod tally;

use crate::asked::{Asked, Selection};
use crate::connection::Database;
use crate::report::Report;
use crate::run::{Finding, Outcome};
use crate::states::{self, Snapshot, wire};
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use clap::Args;
use pg_consent_policy::decide;
use pg_consent_policy::question::Question;
use pg_consent_policy::state::StateView;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;
use tally::{Tally, differences};

#[derive(Debug, Clone, Default, Args)]
pub struct Verify {
    #[command(flatten)]
    pub asked: Selection,
    /// Compare about this many contacts, drawn by --seed, instead of all.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub sample: Option<u32>,
    /// What the sample is drawn by: the same seed draws the same contacts as long as the table stands still.
    #[arg(long, default_value_t = 1)]
    pub seed: u32,
    /// Differences that are listed, of each question: 20 where nothing else is asked for, of seals 1000.
    #[arg(long)]
    pub list: Option<usize>,
    /// Verify that the logs are as they were sealed: names every row that was altered, removed or inserted since.
    #[arg(long, conflicts_with_all = ["sample", "seed"])]
    pub seals: bool,
    /// Compare the seals with the heads in this file, which consent-batch seal --export wrote: finds a restored old backup.
    #[arg(long, value_name = "FILE", requires = "seals")]
    pub against: Option<PathBuf>,
}

/// Differences listed, of each question.
const LISTED: usize = 20;

/// Contacts asked about by key where all are compared.
const BY_KEY: u32 = 1_000;

/// A contact on whom two verdicts differ.
struct Difference {
    contact: String,
    question: String,
    batch: bool,
    server: bool,
    /// Which of the server's ways it was.
    way: &'static str,
}

pub fn verify(database: &Database, options: &Verify, report: &Report) -> Result<Finding> {
    let mut snapshot = Snapshot::take(database)?;
    let at = options.asked.at(snapshot.client())?;
    let messages = options.asked.messages(snapshot.client())?;
    let questions = messages
        .iter()
        .map(|m| {
            let bytes = m.question(snapshot.client(), at).with_context(|| m.in_words())?;
            Ok(Question::decode(&bytes)?)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut found = Vec::new();
    let mut contacts = 0;
    let mut before_horizon = 0;
    if options.sample.is_none() {
        let all = everybody(database, &snapshot, &questions, at, report)?;
        (contacts, before_horizon) = (all.contacts, all.before_horizon);
        for (i, message) in messages.iter().enumerate() {
            let server = server_side(&mut snapshot, message, at)?;
            if server != all.tallies[i] {
                found.extend(listed(database, &mut snapshot, message, &questions[i], at, report)?);
            }
        }
    }
    let by_key = by_key(&mut snapshot, options, &messages, &questions, at, &mut found)?;
    let list = options.list.unwrap_or(LISTED);
    for d in found.iter().take(list * messages.len()) {
        let verdict = |yes| if yes { "yes" } else { "no" };
        report.line(
            &format!(
                "  contact {}: {} says {}, the batch {} ({})",
                d.contact, d.way, verdict(d.server), verdict(d.batch), d.question
            ),
            &json!({"contact": d.contact, "question": d.question, "way": d.way, "server": d.server, "batch": d.batch}),
        );
    }
    let figures = json!({
        "at": at, "questions": messages.len(), "contacts": contacts, "by_key": by_key.compared,
        "by_key_noted": by_key.noted, "before_horizon": before_horizon + by_key.before_horizon, "differences": found.len(),
        "examples": found.iter().take(list).map(to_json).collect::<Vec<_>>(),
    });
    let outcome = if found.is_empty() { Outcome::Done } else { Outcome::Findings };
    Ok(Finding { outcome, figures })
}

fn to_json(d: &Difference) -> Value {
    json!({"contact": d.contact, "question": d.question, "way": d.way, "server": d.server, "batch": d.batch})
}

struct Everybody {
    contacts: u64,
    /// Contacts with a fact later than the instant asked for: their state can't answer, which denies.
    before_horizon: u64,
    tallies: Vec<Tally>,
}

/// Who passes here, for each question.
fn everybody(
    database: &Database,
    snapshot: &Snapshot,
    questions: &[Question],
    at: DateTime<Utc>,
    report: &Report,
) -> Result<Everybody> {
    let bar = report.progress("verify", 0);
    let new =
        || Everybody { contacts: 0, before_horizon: 0, tallies: vec![Tally::default(); questions.len()] };
    let parts = states::scan(database, snapshot, &bar, new, |all, stored| {
        all.contacts += 1;
        all.before_horizon += u64::from(is_before_horizon(stored.state, at));
        for (tally, question) in all.tallies.iter_mut().zip(questions) {
            if decide::decide(stored.state, question, None).is_ok() {
                tally.add(stored.contact);
            }
        }
    })?;
    bar.finish_and_clear();
    let mut all = new();
    for part in parts {
        all.contacts += part.contacts;
        all.before_horizon += part.before_horizon;
        all.tallies.iter_mut().zip(&part.tallies).for_each(|(a, b)| a.join(b));
    }
    Ok(all)
}

pub fn is_before_horizon(state: &[u8], at: DateTime<Utc>) -> bool {
    StateView::new(state).is_ok_and(|v| v.horizon.to_utc() > at)
}

/// Who passes `@@` there, of all whom a query may decide on.
fn server_side(snapshot: &mut Snapshot, message: &Asked, at: DateTime<Utc>) -> Result<Tally> {
    let mut tally = Tally::default();
    passing(snapshot, message, at, |contact| tally.add(contact))?;
    Ok(tally)
}

fn passing(
    snapshot: &mut Snapshot,
    message: &Asked,
    at: DateTime<Utc>,
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    // COPY takes no parameters; the server itself writes them down as literals.
    let row = snapshot.client().query_one(
        "SELECT format('COPY (SELECT d.contact_id FROM consent.decidable d
                               WHERE d.state OPERATOR(consent.@@) (SELECT consent.question(%L, %L, %L, %L, %L)))
                        TO STDOUT (FORMAT binary)', $1::text, $2::text, $3::text, $4::text, $5::timestamptz)",
        &[&message.kind, &message.category, &message.channel, &message.sender, &at],
    )?;
    let rows = snapshot.client().copy_out(&row.get::<_, String>(0)).context("asking the server")?;
    wire::read::<1>(rows, |[contact]| {
        if let Some(contact) = contact {
            each(contact);
        }
        Ok(())
    })
}

/// Contact by contact, where the two sets are known to differ.
fn listed(
    database: &Database,
    snapshot: &mut Snapshot,
    message: &Asked,
    question: &Question,
    at: DateTime<Utc>,
    report: &Report,
) -> Result<Vec<Difference>> {
    let bar = report.progress("differences", 0);
    let parts = states::scan(database, snapshot, &bar, HashSet::<Box<[u8]>>::new, |passing, stored| {
        if decide::decide(stored.state, question, None).is_ok() {
            passing.insert(stored.contact.into());
        }
    })?;
    bar.finish_and_clear();
    let batch: HashSet<Box<[u8]>> = parts.into_iter().flatten().collect();
    let mut server = HashSet::new();
    passing(snapshot, message, at, |contact| {
        server.insert(Box::from(contact));
    })?;
    let key_type = snapshot.key_type();
    let difference = |contact: &[u8], batch: bool| Difference {
        contact: key_type.key(contact).to_string(),
        question: message.in_words(),
        batch,
        server: !batch,
        way: "state @@ question",
    };
    Ok(differences(&batch, &server).into_iter().map(|(contact, batch)| difference(contact, batch)).collect())
}

#[derive(Default)]
struct ByKey {
    compared: u64,
    /// Left out: something was noted of them, which by key is folded on the spot.
    noted: u64,
    before_horizon: u64,
}

/// A sample, asked about by key.
fn by_key(
    snapshot: &mut Snapshot,
    options: &Verify,
    messages: &[Asked],
    questions: &[Question],
    at: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<ByKey> {
    let wanted = f64::from(options.sample.unwrap_or(BY_KEY));
    let client = snapshot.client();
    let all = states::count(client)? as f64;
    let percent = if all > 0.0 { (100.0 * wanted / all).min(100.0) } else { 100.0 };
    let mut sums = ByKey::default();
    for (message, question) in messages.iter().zip(questions) {
        let rows = client.query(
            "SELECT s.contact_id::text, consent._state_bytes(coalesce(o.state, s.state)),
                    consent.can_send(s.contact_id, $3, $4, $5, $6, $7),
                    coalesce(coalesce(o.state, s.state) OPERATOR(consent.@@) (SELECT consent.question($3, $4, $5, $6, $7)), false),
                    EXISTS (SELECT FROM consent_data.pending p WHERE p.contact_id = s.contact_id)
                    OR EXISTS (SELECT FROM consent_data.pending_address)
               FROM consent_data.contact_state s TABLESAMPLE BERNOULLI ($1::float8) REPEATABLE ($2::float8)
               LEFT JOIN consent_data.contact_overflow o ON o.contact_id = s.contact_id AND consent._overflows(s.state)",
            &[
                &percent,
                &f64::from(options.seed),
                &message.kind,
                &message.category,
                &message.channel,
                &message.sender,
                &at,
            ],
        )?;
        for row in &rows {
            let state: Option<Vec<u8>> = row.get(1);
            let state = state.unwrap_or_default();
            let batch = decide::decide(&state, question, None).is_ok();
            let (can_send, operator, noted): (bool, bool, bool) = (row.get(2), row.get(3), row.get(4));
            sums.compared += u64::from(!noted);
            sums.noted += u64::from(noted);
            // Everybody has been counted by the scan already where there was one.
            sums.before_horizon += u64::from(options.sample.is_some() && is_before_horizon(&state, at));
            for (way, server, counts) in
                [("can_send", can_send, !noted), ("state @@ question", operator, true)]
            {
                if counts && server != batch {
                    let (contact, question) = (row.get(0), message.in_words());
                    found.push(Difference { contact, question, batch, server, way });
                }
            }
        }
    }
    Ok(sums)
}
