//! Public holidays as data, and the business days between them.

use chrono::{Datelike, Days, NaiveDate, Weekday};
use serde::{Deserialize, Serialize};

/// A public holiday. Written `12-25`; `easter+1`; `05-mon-last` and `09-mon-1` (the last, the first Monday of a month);
/// `mon-before-05-25`; `2026-07-10` for one that follows no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Holiday {
    Fixed {
        month: u32,
        day: u32,
    },
    Easter {
        offset: i64,
    },
    /// `nth` 0 is the month's last.
    Weekday {
        month: u32,
        weekday: Weekday,
        nth: u8,
    },
    Before {
        weekday: Weekday,
        month: u32,
        day: u32,
    },
    Once(NaiveDate),
}

impl Holiday {
    pub fn falls_on(self, date: NaiveDate) -> bool {
        match self {
            Holiday::Fixed { month, day } => date.month() == month && date.day() == day,
            Holiday::Easter { offset } => computus::gregorian(date.year())
                .ok()
                .and_then(|e| NaiveDate::from_ymd_opt(e.year, e.month, e.day))
                .is_some_and(|easter| easter + chrono::Duration::days(offset) == date),
            Holiday::Weekday { month, weekday, nth } => {
                let same = date.month() == month && date.weekday() == weekday;
                let last = date.checked_add_days(Days::new(7)).is_none_or(|d| d.month() != month);
                same && if nth == 0 { last } else { (date.day() - 1) / 7 + 1 == u32::from(nth) }
            }
            Holiday::Before { weekday, month, day } => {
                let limit = NaiveDate::from_ymd_opt(date.year(), month, day);
                date.weekday() == weekday && limit.is_some_and(|l| date < l && (l - date).num_days() <= 7)
            }
            Holiday::Once(day) => day == date,
        }
    }
}

/// The `n`th business day from `from`: Monday to Friday without holidays. With `counts_the_day` the first can be
/// `from` itself.
pub fn business_day(from: NaiveDate, n: u32, counts_the_day: bool, holidays: &[Holiday]) -> NaiveDate {
    let is_business = |d: NaiveDate| {
        !matches!(d.weekday(), Weekday::Sat | Weekday::Sun) && !holidays.iter().any(|h| h.falls_on(d))
    };
    let mut day = if counts_the_day { Some(from) } else { from.succ_opt() };
    let mut left = n;
    while let Some(d) = day {
        if is_business(d) {
            left = left.saturating_sub(1);
        }
        if left == 0 {
            return d;
        }
        day = d.succ_opt();
    }
    NaiveDate::MAX
}

impl TryFrom<String> for Holiday {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad = || {
            format!("holiday `{text}`: expected MM-DD, easter+N, MM-ddd-N, ddd-before-MM-DD or YYYY-MM-DD")
        };
        parse(&text).ok_or_else(bad)
    }
}

fn parse(text: &str) -> Option<Holiday> {
    if let Some(days) = text.strip_prefix("easter") {
        return days.parse().ok().filter(|n: &i64| n.abs() <= 366).map(|offset| Holiday::Easter { offset });
    }
    if let Some((weekday, day)) = text.split_once("-before-") {
        let (month, day) = month_and_day(day)?;
        return Some(Holiday::Before { weekday: weekday.parse().ok()?, month, day });
    }
    match text.split('-').collect::<Vec<_>>()[..] {
        [_, _] => month_and_day(text).map(|(month, day)| Holiday::Fixed { month, day }),
        [month, weekday, nth] if weekday.bytes().all(|b| b.is_ascii_alphabetic()) => Some(Holiday::Weekday {
            month: month.parse().ok().filter(|m| (1..=12).contains(m))?,
            weekday: weekday.parse().ok()?,
            nth: if nth == "last" { 0 } else { nth.parse().ok().filter(|n| (1..=5).contains(n))? },
        }),
        [_, _, _] => text.parse().ok().map(Holiday::Once),
        _ => None,
    }
}

fn month_and_day(text: &str) -> Option<(u32, u32)> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // 2024 has every day a year can have.
    NaiveDate::from_ymd_opt(2024, month, day).map(|_| (month, day))
}

impl From<Holiday> for String {
    fn from(h: Holiday) -> String {
        let short = |w: Weekday| w.to_string().to_lowercase();
        match h {
            Holiday::Fixed { month, day } => format!("{month:02}-{day:02}"),
            Holiday::Easter { offset } => format!("easter{offset:+}"),
            Holiday::Weekday { month, weekday, nth: 0 } => format!("{month:02}-{}-last", short(weekday)),
            Holiday::Weekday { month, weekday, nth } => format!("{month:02}-{}-{nth}", short(weekday)),
            Holiday::Before { weekday, month, day } => {
                format!("{}-before-{month:02}-{day:02}", short(weekday))
            }
            Holiday::Once(day) => day.to_string(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn holidays(texts: &[&str]) -> Vec<Holiday> {
        texts.iter().map(|t| Holiday::try_from((*t).to_owned()).unwrap()).collect()
    }

    #[test]
    fn movable_holidays_are_found_in_their_year() {
        for (text, date, next_week) in [
            ("easter+1", "2026-04-06", "2026-04-13"),
            ("05-mon-last", "2026-05-25", "2026-05-18"),
            ("09-mon-1", "2026-09-07", "2026-09-14"),
            ("mon-before-05-25", "2026-05-18", "2026-05-25"),
            ("2026-07-10", "2026-07-10", "2027-07-10"),
            ("12-25", "2026-12-25", "2026-12-26"),
        ] {
            let holiday = holidays(&[text])[0];
            assert!(holiday.falls_on(day(date)), "{text}");
            assert!(!holiday.falls_on(day(next_week)), "{text}");
            assert_eq!(String::from(holiday), text);
        }
        for wrong in ["02-31", "05-xxx-1", "05-mon-6", "mon-before-13-01", "christmas"] {
            assert!(Holiday::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    /// The same request of Monday 2026-05-11 under four statutes.
    #[test]
    fn business_days_are_counted_as_each_statute_counts() {
        let request = day("2026-05-11");
        assert_eq!(business_day(request, 5, true, &[]), day("2026-05-15"));
        assert_eq!(business_day(request, 5, false, &[]), day("2026-05-18"));
        assert_eq!(business_day(request, 10, false, &holidays(&["mon-before-05-25"])), day("2026-05-26"));
        assert_eq!(business_day(request, 10, false, &holidays(&["05-mon-last"])), day("2026-05-26"));
    }
}
