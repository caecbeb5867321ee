//! Calling hours and attempt limits: a message that is allowed may still have to wait.

use super::case::{Case, ContactLog};
use super::{Check, Denied};
use crate::codes::{Channel, Reason};
use crate::pack::{Cap, Hours, Requirement, Rule, Span};
use crate::question::Phase;
use crate::time::{Instant, from_local, start_of_day};
use chrono::{Datelike, Days, NaiveDate, Weekday};

const MS_PER_HOUR: i64 = 3_600_000;
/// Two weeks hold a lawful hour under any rule that has one at all.
const LOOK_AHEAD_DAYS: u64 = 14;

/// All calling hours that apply, the country's and the region's, must allow it.
pub(super) fn check_hours<'q>(case: &Case<'_, 'q>) -> Check<'q> {
    let hours = || {
        case.rules(Phase::Last).filter_map(|rule| match &rule.then {
            Requirement::Hours(h) => Some((rule, h)),
            _ => None,
        })
    };
    for (rule, own) in hours() {
        if next_lawful(case, own, case.at) != Some(case.at) {
            // A later hour that suits one rule need not suit the next.
            let mut time = Some(case.at);
            while let Some(t) = time {
                let all = hours().try_fold(t, |latest, (_, h)| Some(next_lawful(case, h, t)?.max(latest)));
                if all == Some(t) {
                    break;
                }
                time = all;
            }
            return Err(Denied { not_before: time, ..Denied::new(Reason::QuietHours).by(rule) }.into());
        }
    }
    Ok(())
}

/// The first lawful instant at `t` or later.
fn next_lawful(case: &Case<'_, '_>, hours: &Hours, t: Instant) -> Option<Instant> {
    let zone = case.zone();
    let local = t.local(zone);
    (0..LOOK_AHEAD_DAYS).filter_map(|n| local.date().checked_add_days(Days::new(n))).find_map(|date| {
        let within = |s: &&Span| date > local.date() || local.time() < s.to;
        lawful_spans(case, hours, date).iter().find(within).map(|s| {
            if date == local.date() && s.from <= local.time() {
                t
            } else {
                from_local(date.and_time(s.from), zone)
            }
        })
    })
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
    let speaks_of_texts = rule.when.channels.is_none_or(|c| c.contains(Channel::Sms));
    let texts: &[Instant] = if speaks_of_texts { &log.texts } else { &[] };
    let mut attempts: Vec<Instant> = log.call_attempts.iter().chain(texts).filter(counts).copied().collect();
    if (attempts.len() as u32) < cap.attempts {
        return Ok(());
    }
    // The next attempt is free once the oldest that fills the limit has left the period.
    attempts.sort_unstable();
    let not_before =
        attempts.iter().rev().nth(cap.attempts.saturating_sub(1) as usize).map(|t| free_again(*t));
    Err(Denied { not_before, ..Denied::new(Reason::FrequencyCap).by(rule) }.into())
}
