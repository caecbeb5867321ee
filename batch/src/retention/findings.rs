//! What a pass finds: contacts that are no longer simply active, and when the next stage begins for the others.

use crate::states::{KeyType, Keys};
use chrono::{DateTime, Utc};
use pg_consent_policy::codes::Reason;
use pg_consent_policy::question::Question;
use pg_consent_policy::retention::{Stage, assess_all};
use pg_consent_policy::time::Instant;

const MS_PER_DAY: i64 = 86_400_000;

/// One contact that has reached a stage with one sender.
pub struct Found<'q> {
    /// Its place in [`Findings::keys`].
    pub key: usize,
    pub sender: i32,
    pub stage: Stage,
    pub rule: &'q str,
    pub since: Instant,
    pub ends_at: Instant,
}

pub struct Findings<'q> {
    pub keys: Keys,
    pub found: Vec<Found<'q>>,
    pub assessed: u64,
    pub unassessable: u64,
}

impl<'q> Findings<'q> {
    pub const fn new(of: KeyType) -> Findings<'q> {
        Findings { keys: Keys::new(of), found: Vec::new(), assessed: 0, unassessable: 0 }
    }

    /// Assesses one contact; `due` takes each sender with the instant at which to look again.
    pub fn take(
        &mut self,
        questions: &'q [Question],
        contact: &[u8],
        state: &[u8],
        mut due: impl FnMut(i32, Instant),
    ) {
        self.assessed += 1;
        let Some(first) = questions.first() else { return };
        let tomorrow = Instant(first.at.0 + MS_PER_DAY);
        let outlook = match assess_all(state, questions) {
            Ok(outlook) => outlook,
            Err(why) => {
                self.unassessable += 1;
                // A fold may mend it by tomorrow; what else can't be assessed waits for the next full pass.
                if why.0 == Reason::Dirty {
                    due(first.sender.id as i32, tomorrow);
                }
                return;
            }
        };
        let key = self.keys.len();
        let before = self.found.len();
        for (sender, a) in outlook.senders {
            let sender = sender as i32;
            if let Some(next) = a.next {
                due(sender, next);
            } else if a.held {
                due(sender, tomorrow);
            }
            if a.stage > Stage::Active && !a.held {
                let (stage, rule) = (a.stage, a.rule.id.as_str());
                self.found.push(Found { key, sender, stage, rule, since: a.since, ends_at: a.ends_at });
            }
        }
        if self.found.len() > before {
            self.keys.push(contact);
        }
    }

    /// Some of them as the columns that SQL takes.
    pub fn columns(&self, range: std::ops::Range<usize>) -> Columns<'q> {
        let mut columns = Columns::default();
        for f in &self.found[range] {
            columns.contacts.push(self.keys.get(f.key).to_string());
            columns.senders.push(f.sender);
            columns.stages.push(f.stage.code());
            columns.rules.push(f.rule);
            columns.since.push(f.since.to_utc());
            columns.ends.push(f.ends_at.to_utc());
        }
        columns
    }
}

#[derive(Default)]
pub struct Columns<'q> {
    pub contacts: Vec<String>,
    pub senders: Vec<i32>,
    pub stages: Vec<&'static str>,
    pub rules: Vec<&'q str>,
    pub since: Vec<DateTime<Utc>>,
    pub ends: Vec<DateTime<Utc>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_cannot_be_read_is_counted_and_looked_at_tomorrow() {
        let mut findings = Findings::new(KeyType::Bigint);
        let mut due = Vec::new();
        findings.take(&[], &[0; 8], &[9, 9], |sender, at| due.push((sender, at)));
        assert_eq!((findings.assessed, findings.unassessable, due.len()), (1, 0, 0), "nobody sends");
    }
}
