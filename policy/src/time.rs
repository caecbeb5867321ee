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

    /// Days since 1970-01-01 in UTC.
    pub fn utc_day(self) -> i64 {
        self.0.div_euclid(86_400_000)
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

/// The first day outside a period of whole days that begins on `day`: three months from 10 July end with 9 October,
/// three from 30 November with the last of February (Acts Interpretation Act 1901 (Cth), s. 2G).
pub fn first_day_after(day: NaiveDate, period: Period) -> NaiveDate {
    let months = Months::new(period.years * 12 + period.months);
    let Some(end) = day.checked_add_months(months) else { return NaiveDate::MAX };
    let lacks_the_day = u64::from(end.day() != day.day());
    end.checked_add_days(Days::new(u64::from(period.days) + lacks_the_day)).unwrap_or(NaiveDate::MAX)
}

/// The last day on which something done on `day` lies within `period` counted *back* from that day: the same-numbered
/// day of the earlier month, or that month's last (Interpretation Act, R.S.C. I-21, s. 28). Not the same as counting
/// forward: a purchase of 28 February 2022 is within two years of 29 February 2024.
pub fn last_day_reaching_back(day: NaiveDate, period: Period) -> NaiveDate {
    let months = Months::new(period.years * 12 + period.months);
    let days = Days::new(u64::from(period.days));
    let reaches = |from: NaiveDate| {
        from.checked_sub_days(days)
            .and_then(|d| d.checked_sub_months(months))
            .is_some_and(|start| start <= day)
    };
    let mut last =
        day.checked_add_months(months).and_then(|d| d.checked_add_days(days)).unwrap_or(NaiveDate::MAX);
    while let Some(next) = last.succ_opt().filter(|d| reaches(*d)) {
        last = next;
    }
    last
}

impl Period {
    /// Longer than any statute's, shorter than what the calendar can hold.
    const MOST: Period = Period { years: 200, months: 2400, days: 73_000 };

    pub fn is_conceivable(self) -> bool {
        self.years <= Self::MOST.years && self.months <= Self::MOST.months && self.days <= Self::MOST.days
    }
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
    fn counting_back_is_not_counting_forward() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let last = |from, months| last_day_reaching_back(day(from), Period { months, ..Period::default() });
        assert_eq!(last("2024-03-15", 24), day("2026-03-15"));
        assert_eq!(last("2024-02-29", 24), day("2026-02-28"));
        assert_eq!(last("2022-02-28", 24), day("2024-02-29"));
        assert_eq!(last("2026-02-28", 6), day("2026-08-31"));
        assert_eq!(last("2025-08-31", 6), day("2026-02-28"));
    }

    #[test]
    fn a_month_that_lacks_the_day_is_not_cut_short() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let three = Period { months: 3, ..Period::default() };
        assert_eq!(first_day_after(day("2026-07-10"), three), day("2026-10-10"));
        assert_eq!(first_day_after(day("2026-11-30"), three), day("2027-03-01"));
        assert_eq!(first_day_after(day("2026-11-28"), three), day("2027-02-28"));
    }

    #[test]
    fn a_time_that_summer_time_skips_is_not_lost() {
        let local = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(2, 30, 0).unwrap();
        assert_eq!(from_local(local, chrono_tz::Europe::Paris), at("2026-03-29T03:30:00+02:00"));
    }
}
