//! Waiting for the transactions that may still be writing a row with an id that is to be sealed.

use super::LOOKED_EVERY;
use crate::report::Report;
use anyhow::Result;
use postgres::Client;
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Waits until none of `writers` is left; answers with since when the oldest is open if that takes longer than `patience`
/// seconds.
pub fn wait(
    client: &mut Client,
    writers: &[String],
    patience: u32,
    report: &Report,
) -> Result<Option<String>> {
    let until = Instant::now() + Duration::from_secs(patience.into());
    let mut awaited: HashSet<String> = writers.iter().cloned().collect();
    let mut told = false;
    while !awaited.is_empty() {
        let rows = client.query(
            "SELECT writer, since::timestamptz(0)::text FROM consent._seal_writers() ORDER BY since NULLS LAST",
            &[],
        )?;
        awaited = still(&awaited, rows.iter().map(|row| row.get(0)));
        let Some(oldest) = rows.iter().find(|row| awaited.contains(row.get::<_, &str>(0))) else { break };
        let since = oldest.get::<_, Option<String>>(1).unwrap_or_else(|| "an unknown time".into());
        if Instant::now() >= until {
            return Ok(Some(since));
        }
        if !told {
            let text = format!(
                "waiting for transactions that may be writing to a log, the oldest open since {since}"
            );
            report.line(&text, &json!({"event": "waiting", "for": "writers", "since": since}));
            told = true;
        }
        report.pace.sleep(LOOKED_EVERY)?;
    }
    Ok(None)
}

/// Which of the writers at this moment are to be waited for. A transaction that is prepared gets another name, `-1/…`: while one
/// under its first name was awaited a moment ago, any prepared one may be it. For an instant in between it has none (`…/0`).
fn still<'a>(awaited: &HashSet<String>, now: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let prepared = |name: &str| name.starts_with("-1/");
    let may_be_prepared = awaited.iter().any(|name| !prepared(name));
    now.filter(|name| awaited.contains(*name) || may_be_prepared && (prepared(name) || name.ends_with("/0")))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> HashSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    fn step(awaited: &[&str], now: &[&str]) -> HashSet<String> {
        still(&set(awaited), now.iter().copied())
    }

    #[test]
    fn who_came_later_is_not_waited_for() {
        assert_eq!(step(&["3/7", "4/9"], &["4/9", "5/1", "3/8"]), set(&["4/9"]));
        assert_eq!(step(&["3/7"], &["3/8"]), set(&[]));
    }

    #[test]
    fn nobody_slips_away_by_being_prepared() {
        assert_eq!(step(&["3/7"], &["-1/771", "4/2"]), set(&["-1/771"]));
        assert_eq!(step(&["3/7"], &["3/0"]), set(&["3/0"]));
        assert_eq!(step(&["3/0"], &["-1/771"]), set(&["-1/771"]));
        // All that could be it were seen: later ones are others.
        assert_eq!(step(&["-1/771"], &["-1/771", "-1/772"]), set(&["-1/771"]));
        assert_eq!(step(&["-1/771"], &["-1/772"]), set(&[]));
    }
}
