//! Calling hours and attempt limits: a message that is allowed may still have to wait.

use super::case::{Case, ContactLog};
use super::{Check, Denied};
use crate::codes::Reason;
use crate::pack::{Cap, Hours, Rule, Span};
use crate::time::{Instant, from_local, start_of_day};
use chrono::{Datelike, Days, NaiveDate, Weekday};

const MS_PER_HOUR: i64 = 3_600_000;
/// Two weeks hold a lawful hour under any rule that has one at all.
const LOOK_AHEAD_DAYS: u64 = 14;

pub(super) fn check_hours<'q>(case: &Case<'_, 'q>, rule: &'q Rule, hours: &Hours) -> Check<'q> {
    let zone = case.zone();
    let local = case.at.local(zone);
    let spans = |date| lawful_spans(case, hours, date);
    if spans(local.date()).iter().any(|s| s.from <= local.time() && local.time() < s.to) {
        return Ok(());
    }
    let next =
        (0..LOOK_AHEAD_DAYS).filter_map(|n| local.date().checked_add_days(Days::new(n))).find_map(|date| {
            spans(date).iter().map(|s| from_local(date.and_time(s.from), zone)).find(|t| *t > case.at)
        });
    Err(Denied { not_before: next, ..Denied::new(Reason::QuietHours).by(rule) }.into())
}

fn lawful_spans<'h>(case: &Case<'_, '_>, hours: &'h Hours, date: NaiveDate) -> &'h [Span] {
    if !hours.on_holidays && case.jurisdiction.holidays.iter().any(|h| h.falls_on(date)) {
        return &[];
    }
    match date.weekday() {
        Weekday::Sat => &hours.saturday,
        Weekday::Sun => &hours.sunday,
        _ => &hours.weekdays,
    }
}

/// Counts calendar days in the contact's zone, today included, or hours back from now.
pub(super) fn check_cap<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    cap: &Cap,
    log: Option<&ContactLog>,
) -> Check<'q> {
    let Some(log) = log else { return Ok(()) };
    let zone = case.zone();
    let free_again = |attempt: Instant| match cap.hours {
        0 => {
            let day = attempt.local_date(zone).checked_add_days(Days::new(u64::from(cap.days)));
            day.map_or(Instant::MAX, |d| start_of_day(d, zone))
        }
        hours => Instant(attempt.0 + i64::from(hours) * MS_PER_HOUR),
    };
    let counts = |t: &&Instant| **t <= case.at && case.at < free_again(**t);
    let mut attempts: Vec<Instant> = log.call_attempts.iter().filter(counts).copied().collect();
    if (attempts.len() as u32) < cap.attempts {
        return Ok(());
    }
    // The next attempt is free once the oldest that fills the limit has left the period.
    attempts.sort_unstable();
    let not_before =
        attempts.iter().rev().nth(cap.attempts.saturating_sub(1) as usize).map(|t| free_again(*t));
    Err(Denied { not_before, ..Denied::new(Reason::FrequencyCap).by(rule) }.into())
}
