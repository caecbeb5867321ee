//! How many refuse, when, by which route and why? Objections and erasure requests apart from opt-outs.

use crate::page::charts::{Bar, bars, columns};
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Figures, Refusals};
use crate::page::words::{count, words};
use std::collections::BTreeMap;

const KINDS: [(&str, &str, &str); 3] = [
    ("opt_out", "Opt-outs", "opt-outs"),
    ("objection", "Objections", "objections"),
    ("erasure_request", "Erasure requests", "erasure requests"),
];

pub fn section(f: &Figures) -> Section {
    let mut parts = vec![Part::Text(
        "What was received in the last 24 months, this one included, by the month in which it happened. Months are those of UTC."
            .into(),
    )];
    let months = months(&f.made_at);
    for (kind, heading, many) in KINDS {
        parts.push(Part::Heading(heading.to_owned()));
        let of_kind: Vec<&Refusals> = f.refusals.iter().filter(|r| r.kind == kind).collect();
        if of_kind.is_empty() {
            parts.push(Part::Text(format!("No {many} recorded in these months.")));
            continue;
        }
        parts.push(by_month(kind, many, &of_kind, &months));
        if kind == "opt_out" {
            parts.push(by(many, &of_kind, "route", |r| &r.via));
        }
        if of_kind.iter().any(|r| r.reason_code != "not stated") {
            parts.push(by(many, &of_kind, "reason", |r| &r.reason_code));
        } else {
            parts.push(Part::Text(format!(
                "None of the {many} carries a reason code. The people's own words are not shown here."
            )));
        }
    }
    Section { id: "refusals", heading: "Opt-outs, objections and erasure requests", parts }
}

/// The 24 months that end with the one of `made_at`, the oldest first.
fn months(made_at: &str) -> Vec<String> {
    let number = |range: std::ops::Range<usize>| made_at.get(range).and_then(|s| s.parse::<i32>().ok());
    let (Some(year), Some(month)) = (number(0..4), number(5..7)) else { return Vec::new() };
    let last = year * 12 + month - 1;
    (last - 23..=last).map(|m| format!("{:04}-{:02}", m.div_euclid(12), m.rem_euclid(12) + 1)).collect()
}

fn by_month(kind: &str, many: &str, of_kind: &[&Refusals], months: &[String]) -> Part {
    let total = |month: &String| of_kind.iter().filter(|r| r.month == *month).map(|r| r.events).sum::<u64>();
    let values: Vec<u64> = months.iter().map(total).collect();
    let peak = values.iter().enumerate().max_by_key(|(_, n)| **n);
    let desc = format!(
        "{} in 24 months; {} in the last, and the most, {}, in {}.",
        count(values.iter().sum()),
        count(values.last().copied().unwrap_or(0)),
        count(peak.map_or(0, |(_, n)| *n)),
        peak.and_then(|(i, _)| months.get(i)).cloned().unwrap_or_default()
    );
    let title = format!("{} by month", capital(many));
    let id = format!("trend-{}", kind.replace('_', "-"));
    let rows =
        months.iter().zip(&values).map(|(m, n)| vec![Cell::text(m.clone()), Cell::count(*n)]).collect();
    let svg = columns(&id, &title, desc, &[(many, values.clone())], months, 6);
    Part::Chart(svg, Table { caption: title, head: vec!["Month", "Received"], rows })
}

fn by(many: &str, of_kind: &[&Refusals], what: &'static str, key: fn(&Refusals) -> &String) -> Part {
    let mut all: BTreeMap<&String, u64> = BTreeMap::new();
    for r in of_kind {
        *all.entry(key(r)).or_default() += r.events;
    }
    let sum: u64 = all.values().sum();
    // Who refused by letter for one rare reason could be known to somebody.
    let (mut rows, pooled) =
        crate::page::cells::publish(all.into_iter().map(|(k, n)| (words(k), n)).collect());
    rows.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), name.clone()));
    if let Some(n) = crate::page::cells::shown(pooled) {
        rows.push(("all others, each rarer than ten".into(), n));
    }
    let title = format!("{} by {what}", capital(many));
    if rows.is_empty() {
        return Part::Text(format!("{title}: fewer than ten in all, so none is shown."));
    }
    let drawn: Vec<Bar> =
        rows.iter().map(|(name, n)| Bar { label: name.clone(), parts: vec![*n], note: count(*n) }).collect();
    let desc = format!("{} first with {} of {}.", capital(&rows[0].0), count(rows[0].1), count(sum));
    let svg = bars(&format!("{}-{what}", many.replace(' ', "-")), &title, desc, &[what], &drawn, false);
    let table = rows
        .into_iter()
        .map(|(name, n)| vec![Cell::text(name), Cell::count(n), Cell::part(n, sum)])
        .collect();
    let head = vec![if what == "route" { "Route" } else { "Reason code" }, "Received", "Share"];
    Part::Chart(svg, Table { caption: title, head, rows: table })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_years_end_with_this_month() {
        let all = months("2026-02-03 10:00 UTC");
        assert_eq!((all.len(), all[0].as_str(), all[23].as_str()), (24, "2024-03", "2026-02"));
    }
}
