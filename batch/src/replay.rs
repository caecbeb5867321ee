//! Replay: a campaign of the past decided once more, message by message, by what was known when each was sent and by what
//! is known now. What would be answered otherwise, or went out without leave, is listed with its cause. Nothing is written.

use crate::connection::Database;
use crate::failure::with_hint;
use crate::pace;
use crate::report::Report;
use crate::run::Outcome;
use crate::states::Snapshot;
use anyhow::{Result, anyhow, ensure};
use chrono::{DateTime, Utc};
use clap::Args;
use indicatif::ProgressBar;
use postgres::{Client, Row};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

#[derive(Debug, Clone, Default, Args)]
pub struct Replay {
    /// The campaign, as it was named to claim_send.
    #[arg(long, value_name = "NAME")]
    pub campaign: String,
    /// What was sent, from the sender's own log: a table or view with contact_id, message_kind and sent_at, and, where
    /// they were not the usual ones, product_category, channel and sender; with a column campaign, this campaign's rows.
    /// Without it, what was claimed and not taken back.
    #[arg(long, value_name = "RELATION")]
    pub sends: Option<String>,
    /// Differences that are listed.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub list: usize,
}

/// Messages that a session decides by one statement: about a tenth of a second.
const AT_A_TIME: usize = 100;

/// What there is to decide once more.
enum Past {
    /// Numbers of decisions.
    Claims(Vec<i64>),
    Sends(Vec<Send>),
}

struct Send {
    contact: String,
    kind: String,
    category: Option<String>,
    channel: Option<String>,
    sender: Option<String>,
    at: DateTime<Utc>,
    /// The claim it was sent on.
    decision: Option<i64>,
    /// There were fewer claims than messages.
    extra: bool,
}

struct Difference {
    decision: Option<i64>,
    contact: String,
    kind: String,
    at: DateTime<Utc>,
    cause: String,
    known_then: bool,
    known_now: bool,
    /// The code that denies, or the basis.
    reason: Option<String>,
    rule: Option<String>,
    /// What was recorded only after the message, or between its claim and it.
    events: Option<Vec<i64>>,
}

pub fn replay(database: &Database, options: &Replay, report: &Report) -> Result<Outcome> {
    let mut snapshot = Snapshot::take(database)?;
    let (past, mut erased, unreadable) = match &options.sends {
        None => claims(snapshot.client(), &options.campaign).map(|(past, erased)| (past, erased, 0))?,
        Some(relation) => sends(snapshot.client(), relation, &options.campaign)
            .map(|(sends, bad)| (Past::Sends(sends), 0, bad))?,
    };
    ensure_something(&past, erased + unreadable, options)?;
    let bar = report.progress("replay", past.len() as u64);
    let mut found = decide(database, &snapshot, &past, &bar)?;
    bar.finish_and_clear();
    let all = found.len();
    found.retain(|d| d.cause != "erased");
    erased += (all - found.len()) as i64;
    if unreadable > 0 {
        let text = format!(
            "{unreadable} messages name no contact that could be one, no kind or no instant: nobody knows whether they were allowed"
        );
        report.warn(&text, &json!({"event": "finding", "what": "unreadable", "messages": unreadable}));
    }
    let mut causes = BTreeMap::<&str, u64>::new();
    for d in &found {
        *causes.entry(&d.cause).or_default() += 1;
    }
    for d in found.iter().take(options.list) {
        report.line(&d.in_words(), &d.to_json());
    }
    if found.len() > options.list {
        let more = found.len() - options.list;
        report.line(&format!("  and {more} more"), &json!({"not_listed": more}));
    }
    let figures = json!({
        "campaign": options.campaign, "messages": past.len(), "erased": erased, "unreadable": unreadable,
        "differences": found.len(), "causes": causes,
    });
    let outcome = if found.is_empty() && unreadable == 0 { Outcome::Done } else { Outcome::Findings };
    report.line(&words(options, &past, erased, &causes), &json!({"step": "replay", "figures": figures}));
    Ok(outcome)
}

impl Past {
    fn len(&self) -> usize {
        match self {
            Past::Claims(ids) => ids.len(),
            Past::Sends(sends) => sends.len(),
        }
    }
}

fn ensure_something(past: &Past, erased: i64, options: &Replay) -> Result<()> {
    if past.len() > 0 || erased > 0 {
        return Ok(());
    }
    let (error, hint) = match &options.sends {
        None => (
            anyhow!("nothing was claimed for campaign `{}`", options.campaign),
            "Claims name it: consent.claim_send(..., campaign => ...). A campaign sent without claims has its messages in --sends.",
        ),
        Some(relation) => (anyhow!("{relation} has no messages"), "Name a table or view of what was sent."),
    };
    Err(with_hint(error, hint))
}

/// The campaign's claims, and how many there were of people who have been erased since.
fn claims(client: &mut Client, campaign: &str) -> Result<(Past, i64)> {
    let row = client.query_one(
        "SELECT coalesce(array_agg(d.decision_id ORDER BY d.decision_id) FILTER (WHERE d.erased_at IS NULL), '{}'),
                count(*) FILTER (WHERE d.erased_at IS NOT NULL)
           FROM consent_data.decision d WHERE d.campaign = $1 AND d.made_for = 'claim'",
        &[&campaign],
    )?;
    Ok((Past::Claims(row.get(0)), row.get(1)))
}

/// The messages of the log with the claims they were sent on, and how many rows are none. The first message is held against the
/// first claim that said yes and was not taken back, the second against the second; where there is none, against the latest claim
/// before it, which said no or was taken back.
fn sends(client: &mut Client, relation: &str, campaign: &str) -> Result<(Vec<Send>, i64)> {
    let row = client.query_one("SELECT to_regclass($1)::text", &[&relation])?;
    let quoted: Option<String> = row.get(0);
    let quoted = quoted.ok_or_else(|| anyhow!("there is no relation `{relation}`"))?;
    let columns: Vec<String> = client
        .query_one(
            "SELECT coalesce(array_agg(a.attname::text), '{}') FROM pg_attribute a
              WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped",
            &[&relation],
        )?
        .get(0);
    let has = |name: &str| columns.iter().any(|c| c == name);
    for needed in ["contact_id", "message_kind", "sent_at"] {
        ensure!(has(needed), "{quoted} has no column {needed}");
    }
    let optional = |name: &str| if has(name) { format!("s.{name}::text") } else { "NULL::text".into() };
    // A log without categories is of whatever was claimed.
    let same_category =
        if has("product_category") { "c.category IS NOT DISTINCT FROM m.category" } else { "true" };
    let of_campaign = if has("campaign") { "s.campaign::text = $1" } else { "true" };
    let rows = client.query(
        &format!(
            "WITH log AS MATERIALIZED (
                 SELECT consent._key_or_null(s.contact_id::text) AS contact, s.message_kind::text AS kind, {} AS category,
                        coalesce({}, k.channel) AS channel, coalesce({}, d.name) AS sender, s.sent_at::timestamptz AS sent
                   FROM {quoted} s
                   LEFT JOIN consent_data.message_kind k ON k.name = s.message_kind::text
                   LEFT JOIN consent_data.sender d ON d.is_default
                  WHERE {of_campaign}
             ), message AS (
                 SELECT l.*, row_number() OVER (PARTITION BY l.contact, l.kind, l.category, l.channel, l.sender ORDER BY l.sent) AS n
                   FROM log l
             ), claimed AS MATERIALIZED (
                 SELECT d.decision_id, d.decided_at, d.contact_id::text AS contact, d.message_kind AS kind, c.name AS category, d.channel,
                        s.name AS sender, d.allowed AND coalesce(o.outcome, 'sent') = 'sent' AS stands
                   FROM consent_data.decision d
                   LEFT JOIN consent_data.outcome o USING (decision_id, decided_at)
                   LEFT JOIN consent_data.sender s USING (sender_id)
                   LEFT JOIN consent_data.category c USING (category_id)
                  WHERE d.campaign = $1 AND d.made_for = 'claim' AND d.contact_id IS NOT NULL
             ), standing AS (
                 SELECT c.*, row_number() OVER (PARTITION BY c.contact, c.kind, c.channel, c.sender{} ORDER BY c.decided_at) AS n
                   FROM claimed c WHERE c.stands
             )
             SELECT m.contact, m.kind, m.category, m.channel, m.sender, m.sent, coalesce(c.decision_id, f.decision_id),
                    c.decision_id IS NULL AND coalesce(f.stands, false)
               FROM message m
               LEFT JOIN standing c ON (c.contact, c.kind, c.channel, c.sender, c.n) = (m.contact, m.kind, m.channel, m.sender, m.n)
                                   AND {same_category} AND c.decided_at <= m.sent
               LEFT JOIN LATERAL (
                    SELECT c.decision_id, c.stands FROM claimed c
                     WHERE (c.contact, c.kind, c.channel, c.sender) = (m.contact, m.kind, m.channel, m.sender)
                       AND {same_category} AND c.decided_at <= m.sent
                     ORDER BY c.decided_at DESC LIMIT 1) f ON c.decision_id IS NULL
              ORDER BY m.sent, m.contact",
            optional("product_category"),
            optional("channel"),
            optional("sender"),
            if has("product_category") { ", c.category" } else { "" },
        ),
        &[&campaign],
    )?;
    let all = rows.len();
    let sends: Vec<Send> = rows
        .iter()
        .filter_map(|r| {
            Some(Send {
                contact: r.get::<_, Option<String>>(0)?,
                kind: r.get::<_, Option<String>>(1)?,
                category: r.get(2),
                channel: r.get(3),
                sender: r.get(4),
                at: r.get::<_, Option<DateTime<Utc>>>(5)?,
                decision: r.get(6),
                extra: r.get(7),
            })
        })
        .collect();
    let unreadable = (all - sends.len()) as i64;
    Ok((sends, unreadable))
}

/// Over several sessions that see the same moment; the differences in the order of what was given.
fn decide(
    database: &Database,
    snapshot: &Snapshot,
    past: &Past,
    bar: &ProgressBar,
) -> Result<Vec<Difference>> {
    let tasks = past.len().div_ceil(AT_A_TIME);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || -> Result<Vec<(usize, Difference)>> {
        let mut client = snapshot.join(database)?;
        let mut found = Vec::new();
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks || failed.load(Ordering::Relaxed) {
                return Ok(found);
            }
            pace::go_on()?;
            let range = task * AT_A_TIME..((task + 1) * AT_A_TIME).min(past.len());
            bar.inc(range.len() as u64);
            let rows = match past {
                Past::Claims(ids) => {
                    client.query("SELECT * FROM consent._replay_claims($1)", &[&&ids[range]])?
                }
                Past::Sends(sends) => ask_of_sends(&mut client, &sends[range])?,
            };
            found.extend(rows.iter().map(|row| (task, Difference::from(row))));
        }
    };
    let found = thread::scope(|scope| {
        let sessions = database.sessions().min(tasks);
        let threads: Vec<_> = (0..sessions)
            .map(|_| scope.spawn(|| work().inspect_err(|_| failed.store(true, Ordering::Relaxed))))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap_or_else(|_| Err(anyhow!("a deciding thread panicked"))))
            .collect::<Result<Vec<_>>>()
    })?;
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    found.sort_by_key(|(task, _)| *task);
    Ok(found.into_iter().map(|(_, difference)| difference).collect())
}

fn ask_of_sends(client: &mut Client, sends: &[Send]) -> Result<Vec<Row>> {
    fn column<'a, T>(sends: &'a [Send], of: impl Fn(&'a Send) -> T) -> Vec<T> {
        sends.iter().map(of).collect()
    }
    Ok(client.query(
        "SELECT * FROM consent._replay_sends($1, $2, $3, $4, $5, $6, $7, $8)",
        &[
            &column(sends, |s| s.contact.as_str()),
            &column(sends, |s| s.kind.as_str()),
            &column(sends, |s| s.category.as_deref()),
            &column(sends, |s| s.channel.as_deref()),
            &column(sends, |s| s.sender.as_deref()),
            &column(sends, |s| s.at),
            &column(sends, |s| s.decision),
            &column(sends, |s| s.extra),
        ],
    )?)
}

impl From<&Row> for Difference {
    fn from(row: &Row) -> Difference {
        Difference {
            decision: row.get(0),
            contact: row.get(1),
            kind: row.get(2),
            at: row.get(3),
            cause: row.get(4),
            known_then: row.get::<_, Option<bool>>(5).unwrap_or_default(),
            known_now: row.get::<_, Option<bool>>(6).unwrap_or_default(),
            reason: row.get(7),
            rule: row.get(8),
            events: row.get(9),
        }
    }
}

impl Difference {
    fn in_words(&self) -> String {
        let verdict = |yes| if yes { "yes" } else { "no" };
        let mut words = format!(
            "  contact {}, {} of {}: {}; by what was known then {}, by what is known now {}",
            self.contact,
            self.kind,
            self.at.to_rfc3339(),
            self.cause.replace('_', " "),
            verdict(self.known_then),
            verdict(self.known_now),
        );
        for (label, told) in [("", &self.reason), ("rule ", &self.rule)] {
            words += &told.as_ref().map_or(String::new(), |t| format!(", {label}{t}"));
        }
        if let Some(events) = self.events.as_ref().filter(|e| !e.is_empty()) {
            let ids: Vec<String> = events.iter().map(i64::to_string).collect();
            words += &format!(", recorded meanwhile: event {}", ids.join(", "));
        }
        words
    }

    fn to_json(&self) -> Value {
        json!({
            "contact": self.contact, "message_kind": self.kind, "at": self.at, "decision": self.decision, "cause": self.cause,
            "known_then": self.known_then, "known_now": self.known_now, "reason": self.reason, "rule": self.rule,
            "events": self.events,
        })
    }
}

fn words(options: &Replay, past: &Past, erased: i64, causes: &BTreeMap<&str, u64>) -> String {
    let mut words = format!("replay: {} messages of campaign {}", past.len(), options.campaign);
    if erased > 0 {
        words += &format!("; {erased} of people who were erased since can't be asked again");
    }
    if causes.is_empty() {
        return words + "; each is decided now as it was then";
    }
    let causes: Vec<String> = causes.iter().map(|(c, n)| format!("{n} {}", c.replace('_', " "))).collect();
    words + "; " + &causes.join(", ")
}
