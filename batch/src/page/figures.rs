//! Everything the page says, as figures: what `--json` prints and the sections put in words. Small cells are out already, or
//! are when they are written as JSON.

use super::cells::{LEAST, pool_requests};
use super::segments::Row;
use serde::{Serialize, Serializer};
use serde_json::Value;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// UTC, to the minute.
    pub made_at: String,
    pub database: String,
    pub senders: Vec<Sender>,
    pub policy_version: String,
    /// Why all marketing is denied (`switched_off`, `key_missing`), if it is.
    pub marketing_blocked: Option<String>,
    pub contacts: u64,
    /// Contacts who deny until they are folded.
    #[serde(serialize_with = "few")]
    pub waiting: u64,
    pub bindings: Vec<Binding>,
    pub binding_problems: Vec<Problem>,
    /// The default sender has no questions of its own in `audit_question`: `marketing` stands for them.
    pub audited_by_default: bool,
    pub permission: Vec<Permission>,
    #[serde(serialize_with = "requests")]
    pub refusals: Vec<Refusals>,
    pub retention_ends: Vec<Ending>,
    #[serde(serialize_with = "few")]
    pub retention_ends_pooled: u64,
    #[serde(serialize_with = "few")]
    pub held: u64,
    pub segments: Vec<Row>,
    pub evidence: Vec<Evidence>,
    pub similarity: Option<Similarity>,
    pub retained: Vec<Retained>,
    pub runs: Vec<Run>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Sender {
    pub name: String,
    pub country: Option<String>,
    pub is_default: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Binding {
    pub view: String,
    pub kind: String,
    /// UTC, to the minute: when a whole refold last read it.
    pub seen_at: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub binding: String,
    pub problem: String,
    pub denies: bool,
}

/// Whom one message may go to.
#[derive(Debug, Clone, Serialize)]
pub struct Permission {
    pub message_kind: String,
    pub product_category: Option<String>,
    pub answers: Vec<Answer>,
    /// People in groups too small to be shown.
    #[serde(serialize_with = "few")]
    pub pooled: u64,
    pub ends: Vec<Ends>,
    #[serde(serialize_with = "few")]
    pub ends_pooled: u64,
    /// Denied although all is there but the proof; 0: fewer than ten.
    pub without_proof: u64,
    /// Jurisdictions of which a part is in the pool: no share can be told.
    #[serde(skip)]
    pub in_part: Vec<String>,
}

impl Permission {
    /// What is advertised, in words.
    pub fn message(&self) -> String {
        match &self.product_category {
            Some(category) => format!("{} about {category}", self.message_kind),
            None => self.message_kind.clone(),
        }
    }

    /// The sum of what is shown.
    pub fn sum(&self, of: impl Fn(&Answer) -> bool) -> u64 {
        self.answers.iter().filter(|a| of(a)).map(|a| a.contacts).sum()
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    pub jurisdiction: String,
    pub allowed: bool,
    /// A basis, or a reason.
    pub code: String,
    pub contacts: u64,
}

/// Permissions that end in one week.
#[derive(Debug, Clone, Serialize)]
pub struct Ends {
    /// 0: the coming seven days.
    pub week: i64,
    /// The week's first day.
    pub from: String,
    pub basis: String,
    pub contacts: u64,
}

/// Fewer than ten people are never a number.
fn few<S: Serializer>(people: &u64, to: S) -> Result<S::Ok, S::Error> {
    match people {
        1..LEAST => to.serialize_str("fewer than ten"),
        n => to.serialize_u64(*n),
    }
}

fn requests<S: Serializer>(all: &[Refusals], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(pool_requests(all))
}

/// Requests of one month by one way for one reason.
#[derive(Debug, Clone, Serialize)]
pub struct Refusals {
    /// `2026-03`.
    pub month: String,
    pub kind: String,
    pub sender: String,
    pub via: String,
    pub reason_code: String,
    pub events: u64,
}

/// Contacts whose retention is over or ends soon.
#[derive(Debug, Clone, Serialize)]
pub struct Ending {
    pub sender: String,
    pub stage: String,
    pub rule: String,
    pub contacts: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    pub kind: String,
    pub sender: String,
    pub method: String,
    pub events: u64,
    pub without: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Similarity {
    pub threshold: f64,
    pub curve: Vec<Point>,
    /// UTC, to the minute: when it was drawn.
    pub at: String,
    /// The other figures of that run (pairs, hubs, drift), as it left them.
    pub figures: Value,
}

#[derive(Debug, Clone, Serialize)]
pub struct Point {
    pub threshold: f64,
    pub eligible: f64,
    pub inside: f64,
}

/// What is on record about one stage of retention.
#[derive(Debug, Clone, Serialize)]
pub struct Retained {
    pub sender: String,
    pub stage: String,
    pub rule: String,
    #[serde(serialize_with = "few")]
    pub contacts: u64,
    pub last_at: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub step: String,
    pub started_at: String,
    pub seconds: Option<f64>,
    pub outcome: String,
    pub figures: Value,
}
