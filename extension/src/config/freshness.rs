//! Until when what the folds have seen of the CRM may be used.

use crate::pg;
use pg_consent_policy::codes::Reason;
use pg_consent_policy::fact::SenderId;
use pg_consent_policy::question::Question;
use std::collections::HashMap;

/// Until when what the folds have seen of the CRM may be used, in PostgreSQL's microseconds.
pub struct Freshness {
    /// Of master data and refusals: on these every marketing rests.
    refusals: i64,
    /// Of sales, by sender.
    sales: HashMap<SenderId, i64>,
    /// The same for people.
    pub words: String,
}

impl Default for Freshness {
    fn default() -> Self {
        Freshness { refusals: i64::MAX, sales: HashMap::new(), words: String::new() }
    }
}

impl Freshness {
    pub fn take_in(&mut self, kind: &str, sender: Option<SenderId>, until: i64) {
        match (kind, sender) {
            // What people did only extends what they allowed.
            ("engagement", _) => {}
            ("purchases", Some(sender)) => {
                let sales = self.sales.entry(sender).or_insert(i64::MAX);
                *sales = until.min(*sales);
            }
            _ => self.refusals = until.min(self.refusals),
        }
    }

    /// The question as far as what the folds have seen of the CRM still serves.
    pub fn apply(&self, mut question: Question) -> Question {
        let now = pg::statement_timestamp();
        if self.refusals < now {
            question.marketing_blocked.get_or_insert(Reason::StaleSource);
        }
        question.stale_sales =
            self.sales.iter().filter(|(_, until)| **until < now).map(|(id, _)| *id).collect();
        question
    }
}
