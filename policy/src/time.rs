//! Instants, and calendar arithmetic in the contact's zone.
//!
//! A statute counts years and months on the calendar of the person it protects, so every window is added in
//! that person's zone: 2023-03-28 00:30 in Paris plus three years is 00:30 in Paris, whatever UTC says.

use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z. Two facts in the same millisecond count as simultaneous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instant(pub i64);

impl Instant {
    pub const MIN: Instant = Instant(-(1 << 46));
    /// Later than any date PostgreSQL applications use (the year 4199); means "no end".
    pub const MAX: Instant = Instant(1 << 46);

    /// From microseconds since the Unix epoch, rounded down; dates beyond the representable range are clamped.
    pub fn from_unix_micros(micros: i64) -> Instant {
        Instant(micros.div_euclid(1000)).clamp(Instant::MIN, Instant::MAX)
    }

    pub fn from_utc(t: DateTime<Utc>) -> Instant {
        Instant(t.timestamp_millis()).clamp(Instant::MIN, Instant::MAX)
    }

    pub fn to_utc(self) -> DateTime<Utc> {
        // Within MIN..=MAX every millisecond is a date that chrono can hold.
        DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
    }

    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    pub fn from_seconds(seconds: i64) -> Instant {
        Instant(seconds.saturating_mul(1000)).clamp(Instant::MIN, Instant::MAX)
    }

    pub fn local(self, zone: Tz) -> NaiveDateTime {
        self.to_utc().with_timezone(&zone).naive_local()
    }

    pub fn local_date(self, zone: Tz) -> NaiveDate {
        self.local(zone).date()
    }

    /// The same wall-clock time `period` later in `zone`; a day the month lacks becomes its last day
    /// (29 February plus a year is 28 February).
    pub fn plus(self, period: Period, zone: Tz) -> Instant {
        let local = self.local(zone);
        let moved = local
            .checked_add_months(Months::new(period.years * 12 + period.months))
            .and_then(|t| t.checked_add_days(Days::new(u64::from(period.days))));
        moved.map_or(Instant::MAX, |t| from_local(t, zone)).min(Instant::MAX)
    }
}

/// The instant of a wall-clock time: the earlier of two where clocks go back, the first after a gap where they
/// go forward.
pub fn from_local(local: NaiveDateTime, zone: Tz) -> Instant {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => Instant::from_utc(t.with_timezone(&Utc)),
        LocalResult::None => {
            let before = local - chrono::Duration::hours(3);
            let offset = match zone.offset_from_local_datetime(&before) {
                LocalResult::Single(o) | LocalResult::Ambiguous(o, _) => {
                    chrono::Offset::fix(&o).local_minus_utc()
                }
                LocalResult::None => 0,
            };
            Instant(local.and_utc().timestamp_millis() - i64::from(offset) * 1000)
        }
    }
}

/// 00:00 of `date` in `zone`: where a rule's first day starts.
pub fn start_of_day(date: NaiveDate, zone: Tz) -> Instant {
    from_local(date.and_time(NaiveTime::MIN), zone)
}

/// A calendar length as statutes give it: `{ years = 3 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Period {
    #[serde(default)]
    pub years: u32,
    #[serde(default)]
    pub months: u32,
    #[serde(default)]
    pub days: u32,
}

/// A public holiday: a fixed day of the year, or days after Easter Sunday.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Holiday {
    Fixed { month: u32, day: u32 },
    Easter { offset: i64 },
}

impl Holiday {
    pub fn falls_on(self, date: NaiveDate) -> bool {
        match self {
            Holiday::Fixed { month, day } => date.month() == month && date.day() == day,
            Holiday::Easter { offset } => computus::gregorian(date.year())
                .ok()
                .and_then(|e| NaiveDate::from_ymd_opt(e.year, e.month, e.day))
                .is_some_and(|easter| easter + chrono::Duration::days(offset) == date),
        }
    }
}

impl TryFrom<String> for Holiday {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("holiday `{text}`: expected MM-DD or easter+N");
        if let Some(days) = text.strip_prefix("easter") {
            return days.parse().map(|offset| Holiday::Easter { offset }).map_err(|_| bad());
        }
        let (month, day) = text.split_once('-').ok_or_else(bad)?;
        let (month, day) = (month.parse().map_err(|_| bad())?, day.parse().map_err(|_| bad())?);
        // 2024 has every day a year can have.
        NaiveDate::from_ymd_opt(2024, month, day).map(|_| Holiday::Fixed { month, day }).ok_or_else(bad)
    }
}

impl From<Holiday> for String {
    fn from(h: Holiday) -> String {
        match h {
            Holiday::Fixed { month, day } => format!("{month:02}-{day:02}"),
            Holiday::Easter { offset } => format!("easter{offset:+}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::from_utc(text.parse::<DateTime<chrono::FixedOffset>>().unwrap().with_timezone(&Utc))
    }

    #[test]
    fn years_are_counted_on_the_wall_clock_across_summer_time() {
        let three = Period { years: 3, ..Period::default() };
        assert_eq!(
            at("2023-03-28T00:30:00+02:00").plus(three, chrono_tz::Europe::Paris),
            at("2026-03-28T00:30:00+01:00")
        );
    }

    #[test]
    fn a_leap_day_ends_on_the_28th() {
        let three = Period { years: 3, ..Period::default() };
        assert_eq!(
            at("2024-02-29T10:00:00+01:00").plus(three, chrono_tz::Europe::Paris),
            at("2027-02-28T10:00:00+01:00")
        );
    }

    #[test]
    fn a_time_that_summer_time_skips_is_not_lost() {
        let local = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(2, 30, 0).unwrap();
        assert_eq!(from_local(local, chrono_tz::Europe::Paris), at("2026-03-29T03:30:00+02:00"));
    }

    #[test]
    fn movable_holidays_follow_easter() {
        let easter_monday = Holiday::try_from("easter+1".to_owned()).unwrap();
        assert!(easter_monday.falls_on(NaiveDate::from_ymd_opt(2026, 4, 6).unwrap()));
        assert!(!easter_monday.falls_on(NaiveDate::from_ymd_opt(2026, 4, 5).unwrap()));
        assert!(Holiday::try_from("02-31".to_owned()).is_err());
    }
}
