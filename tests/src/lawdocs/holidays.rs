//! Public holidays in words.

use chrono::{Datelike, NaiveDate, Weekday};
use pg_consent_policy::holiday::Holiday;

pub(super) fn words(holidays: &[Holiday]) -> String {
    holidays.iter().map(|h| word(*h)).collect::<Vec<_>>().join(", ")
}

/// `25 December`.
fn day_of_month(month: u32, day: u32) -> String {
    // 2024 has every day a year can have.
    let date = NaiveDate::from_ymd_opt(2024, month, day);
    date.map_or_else(|| format!("{month:02}-{day:02}"), |d| format!("{} {}", d.day(), d.format("%B")))
}

const fn weekday_name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

fn word(holiday: Holiday) -> String {
    match holiday {
        Holiday::Fixed { month, day } => day_of_month(month, day),
        Holiday::Easter { offset } => match offset {
            -2 => "Good Friday".into(),
            0 => "Easter Sunday".into(),
            1 => "Easter Monday".into(),
            39 => "Ascension Day".into(),
            49 => "Whit Sunday".into(),
            50 => "Whit Monday".into(),
            days if days < 0 => format!("{} days before Easter Sunday", -days),
            days => format!("{days} days after Easter Sunday"),
        },
        Holiday::Weekday { month, weekday, nth } => {
            let nth = match nth {
                0 => "last",
                1 => "first",
                2 => "second",
                3 => "third",
                4 => "fourth",
                _ => "fifth",
            };
            let date = NaiveDate::from_ymd_opt(2024, month, 1);
            let month = date.map_or_else(|| month.to_string(), |d| d.format("%B").to_string());
            format!("{nth} {} of {month}", weekday_name(weekday))
        }
        Holiday::Before { weekday, month, day } => {
            format!("{} before {}", weekday_name(weekday), day_of_month(month, day))
        }
        Holiday::Once(day) => day.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_holiday_is_named_as_another() {
        let named = |text: &str| word(Holiday::try_from(text.to_owned()).unwrap());
        for (text, name) in [
            ("12-25", "25 December"),
            ("easter-2", "Good Friday"),
            ("easter+60", "60 days after Easter Sunday"),
            ("easter-48", "48 days before Easter Sunday"),
            ("05-mon-last", "last Monday of May"),
            ("06-mon-2", "second Monday of June"),
            ("mon-before-05-25", "Monday before 25 May"),
            ("2026-07-10", "2026-07-10"),
        ] {
            assert_eq!(named(text), name);
        }
    }
}
