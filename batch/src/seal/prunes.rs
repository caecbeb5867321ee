//! What was dropped from the decision log when its time was over: rows that are gone, and may be.

use anyhow::Result;
use chrono::{DateTime, Utc};
use postgres::Client;

/// A clock that was set back, or a claim that waited for a lock, may date a row so much before its number was given out.
pub const SLACK: i64 = 3600 * 1_000_000;

struct Prune {
    id: i64,
    log: String,
    ids: [i64; 2],
    /// Microseconds since 1970.
    before: i64,
    /// How many more rows it accounts for.
    left: i64,
    /// Nothing sealed later can have been old enough: a log is kept for months.
    sealed_until: i64,
    /// Whether it can have been made as it says.
    is_sound: bool,
}

/// What the shortest time that a log is kept leaves for a seal to be late, in microseconds.
const SEALED_FOR: i64 = 31 * 86_400 * 1_000_000;

/// The record, and whether it is of a month that was over for the shortest time a log is kept (four months), and of no later than
/// the seal that has it.
const RECORDS: &str = "
    SELECT p.prune_id, p.log, p.first_id, p.last_id, p.decided_before, p.rows, p.pruned_at,
           p.decided_before <= p.pruned_at - interval '119 days' AND p.decided_before = date_trunc('month', p.decided_before, 'UTC')
           AND p.pruned_at <= coalesce((SELECT min(s.sealed_at) FROM consent_data.seal s WHERE s.upto_prune >= p.prune_id), now())
                              + interval '1 hour'
      FROM consent_data.prune p ORDER BY p.prune_id";

pub struct Prunes(Vec<Prune>);

/// Whether a row may be gone.
#[derive(Debug, PartialEq, Eq)]
pub enum Account {
    Dropped,
    /// The record, by its id, says that only older ones were dropped.
    TooYoung(i64),
    None,
}

impl Prunes {
    pub fn read(client: &mut Client) -> Result<Prunes> {
        let rows = client.query(RECORDS, &[])?;
        let prune = |row: &postgres::Row| Prune {
            id: row.get(0),
            log: row.get(1),
            ids: [row.get(2), row.get(3)],
            before: row.get::<_, DateTime<Utc>>(4).timestamp_micros(),
            left: row.get(5),
            sealed_until: row.get::<_, DateTime<Utc>>(6).timestamp_micros().saturating_sub(SEALED_FOR),
            is_sound: row.get(7),
        };
        Ok(Prunes(rows.iter().map(prune).collect()))
    }

    /// Takes a row that is gone off the record that accounts for it. `since`: no row of its seal was written before, as far
    /// as the seals tell; an outcome is of a decision that may be older. `sealed_at`: of its seal, if that can be believed.
    pub fn take(&mut self, log: &str, id: i64, since: Option<i64>, sealed_at: Option<i64>) -> Account {
        let since = since.filter(|_| log == "decision");
        let sealed_at = sealed_at.filter(|_| log == "decision");
        let mut young = Account::None;
        let covering =
            self.0.iter_mut().filter(|p| p.log == log && p.ids[0] <= id && id <= p.ids[1] && p.left > 0);
        for prune in covering {
            let is_old = since.is_none_or(|at| at < prune.before)
                && sealed_at.is_none_or(|at| at <= prune.sealed_until);
            if prune.is_sound && is_old {
                prune.left -= 1;
                return Account::Dropped;
            }
            young = Account::TooYoung(prune.id);
        }
        young
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prunes() -> Prunes {
        let prune = |id, log: &str, ids, before, left| Prune {
            id,
            log: log.into(),
            ids,
            before,
            left,
            sealed_until: 2000,
            is_sound: true,
        };
        Prunes(vec![prune(1, "decision", [10, 20], 1000, 2), prune(2, "outcome", [5, 9], 1000, 9)])
    }

    #[test]
    fn a_record_accounts_for_its_own_rows_and_for_no_more_of_them() {
        let mut prunes = prunes();
        assert_eq!(prunes.take("decision", 9, None, None), Account::None);
        assert_eq!(prunes.take("decision", 21, None, None), Account::None);
        assert_eq!(prunes.take("event", 15, None, None), Account::None);
        assert_eq!(prunes.take("decision", 10, None, None), Account::Dropped);
        assert_eq!(prunes.take("decision", 20, Some(999), None), Account::Dropped);
        assert_eq!(prunes.take("decision", 15, None, None), Account::None, "it dropped two");
    }

    #[test]
    fn what_was_written_after_its_date_it_can_not_have_dropped() {
        let mut prunes = prunes();
        assert_eq!(prunes.take("decision", 15, Some(1000), None), Account::TooYoung(1));
        assert_eq!(prunes.take("outcome", 5, Some(1000), None), Account::Dropped, "of an older decision");
        assert_eq!(prunes.take("decision", 15, None, Some(2000)), Account::Dropped);
        assert_eq!(prunes.take("decision", 16, None, Some(2001)), Account::TooYoung(1), "sealed just before");
        prunes.0[0].is_sound = false;
        assert_eq!(
            prunes.take("decision", 16, None, None),
            Account::TooYoung(1),
            "no such record can have been made"
        );
    }
}
