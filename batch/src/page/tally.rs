//! What has to be decided contact by contact, counted in one pass over the states: every answer is the policy's.

use super::segments::Segments;
use crate::permission::{self, sum};
use pg_consent_policy::codes::Reason;
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::{Stage, assess};
use pg_consent_policy::state::{Atom, StateView};
use pg_consent_policy::time::Instant;
use std::collections::BTreeMap;

pub const DAY_MS: i64 = 86_400_000;
/// What ends sooner than this is told.
pub const DAYS_AHEAD: i64 = 90;

/// The questions of one page, all as of one instant.
pub struct Asked {
    /// The messages whose permissions are counted.
    pub audited: Vec<Question>,
    /// A marketing message of each sender, with its id, for the ends of retention.
    pub retention: Vec<Question>,
    /// A marketing message of the default sender as if marketing were switched on: who refused, and who stayed.
    pub standing: Option<Question>,
    pub at: Instant,
}

impl Asked {
    fn horizon(&self) -> Instant {
        Instant(self.at.0 + DAYS_AHEAD * DAY_MS)
    }
}

/// Counts of one message, its ends by week from now.
pub type Permission<'q> = permission::Permission<'q, i64>;

pub struct Tally<'q> {
    asked: &'q Asked,
    pub contacts: u64,
    pub permission: Vec<Permission<'q>>,
    /// (sender, stage today, rule): whose retention ends within [`DAYS_AHEAD`], or has ended.
    pub retention_ends: BTreeMap<(&'q str, &'static str, &'q str), u64>,
    /// Of those beyond their end, and those with an end in sight: held back by a legal hold.
    pub on_hold: u64,
    pub segments: Segments<'q>,
}

impl<'q> Tally<'q> {
    pub fn new(asked: &'q Asked) -> Tally<'q> {
        Tally {
            asked,
            contacts: 0,
            permission: asked.audited.iter().map(|_| Permission::default()).collect(),
            retention_ends: BTreeMap::new(),
            on_hold: 0,
            segments: Segments::new(asked.standing.as_ref()),
        }
    }

    /// Takes in one contact's state. The same state several `times` over: contacts who deny until they are folded.
    pub fn add(&mut self, state: &[u8], times: u64) {
        self.contacts += times;
        let at = self.asked.at.0;
        for (question, counts) in self.asked.audited.iter().zip(&mut self.permission) {
            counts
                .add(state, question, times, self.asked.horizon(), |end| (end.0 - at).max(0) / (7 * DAY_MS));
        }
        self.add_retention(state, times);
        if let Ok(view) = StateView::new(state) {
            let held = view.activity().any(|a| matches!(a, Ok(Atom::Hold(h)) if h.is_held()));
            self.on_hold += if held { times } else { 0 };
            self.segments.add(state, &view);
        }
    }

    fn add_retention(&mut self, state: &[u8], times: u64) {
        for question in &self.asked.retention {
            let Ok(Some(found)) = assess(state, question) else { continue };
            if found.ends_at < self.asked.horizon() && !found.held {
                let key = (question.sender.name.as_str(), found.stage.code(), found.rule.id.as_str());
                *self.retention_ends.entry(key).or_default() += times;
            }
        }
    }

    pub fn merge(mut self, other: Tally<'q>) -> Tally<'q> {
        self.contacts += other.contacts;
        self.on_hold += other.on_hold;
        for (a, b) in self.permission.iter_mut().zip(other.permission) {
            a.join(b);
        }
        sum(&mut self.retention_ends, other.retention_ends);
        self.segments.merge(other.segments);
        self
    }
}

/// The stage of those whose retention is over.
pub const OVER: &str = Stage::Expired.code();
/// Everything is there but the proof.
pub const WITHOUT_PROOF: [&str; 2] = [Reason::ConsentUnproven.code(), Reason::RelevanceUnproven.code()];
