//! What ends soon if nothing happens: permissions by week and basis, and retention by stage and rule.

use crate::page::cells;
use crate::page::charts::columns;
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Figures, Permission};
use crate::page::tally::{DAYS_AHEAD, OVER};
use crate::page::words::{count, words};

pub fn section(f: &Figures) -> Section {
    let mut parts = vec![Part::Text(format!(
        "Permissions whose grounds end within {DAYS_AHEAD} days, and contacts whose retention does. A purchase, a click or a new \
         opt-in, where the law lets it count, moves the end."
    ))];
    for (i, p) in f.permission.iter().enumerate() {
        parts.push(Part::Heading(format!("Permission for {}", p.message())));
        parts.push(permissions(i, p));
    }
    parts.push(Part::Heading("Retention".into()));
    parts.extend(retention(f));
    Section { id: "ending", heading: "What ends in the next 90 days", parts }
}

fn permissions(i: usize, p: &Permission) -> Part {
    if p.ends.is_empty() {
        return Part::Text(match p.ends_pooled {
            0 => format!("No permission ends within {DAYS_AHEAD} days."),
            n if cells::shown(n).is_some() => {
                format!(
                    "{} permissions end within {DAYS_AHEAD} days, on any one basis fewer than ten a week.",
                    count(n)
                )
            }
            _ => format!("Fewer than ten permissions of any kind end within {DAYS_AHEAD} days."),
        });
    }
    let mut bases: Vec<&str> = p.ends.iter().map(|e| e.basis.as_str()).collect();
    bases.sort_unstable();
    bases.dedup();
    let weeks = DAYS_AHEAD / 7 + 1;
    let start = p.ends.iter().map(|e| (e.week, &e.from)).min();
    let first = start.and_then(|(week, from)| {
        let day = chrono::NaiveDate::parse_from_str(from, "%Y-%m-%d").ok()?;
        day.checked_sub_signed(chrono::Duration::days(week * 7))
    });
    let labels: Vec<String> = (0..weeks)
        .map(|w| first.map_or_else(|| w.to_string(), |d| (d + chrono::Duration::days(w * 7)).to_string()))
        .collect();
    let of = |week: i64, basis: &str| {
        p.ends.iter().filter(|e| e.week == week && e.basis == basis).map(|e| e.contacts).sum::<u64>()
    };
    let names: Vec<String> = bases.iter().map(|b| b.replace('_', " ")).collect();
    let series: Vec<(&str, Vec<u64>)> = bases
        .iter()
        .zip(&names)
        .map(|(basis, name)| (name.as_str(), (0..weeks).map(|w| of(w, basis)).collect()))
        .collect();
    let sum: u64 = p.ends.iter().map(|e| e.contacts).sum();
    let title = format!("{}: permissions that end, by week and basis", p.message());
    let desc = format!("{} permissions end in {weeks} weeks if nothing happens.", count(sum));
    let svg = columns(&format!("ending-{i}"), &title, desc, &series, &labels, 4);
    let mut rows = Vec::new();
    for e in &p.ends {
        rows.push(vec![Cell::text(e.from.clone()), Cell::text(words(&e.basis)), Cell::count(e.contacts)]);
    }
    if let Some(n) = cells::shown(p.ends_pooled) {
        rows.push(vec![Cell::text("all weeks"), Cell::text("small groups together"), Cell::count(n)]);
    }
    Part::Chart(svg, Table { caption: title, head: vec!["Week from", "Basis", "Permissions"], rows })
}

fn retention(f: &Figures) -> Vec<Part> {
    if f.retention_ends.is_empty() {
        return vec![Part::Text(match f.retention_ends_pooled {
            0 => format!("Nobody's retention is over or ends within {DAYS_AHEAD} days."),
            n if cells::shown(n).is_some() => {
                format!("{} contacts are concerned, by any one rule fewer than ten at each stage.", count(n))
            }
            _ => "Fewer than ten contacts of any kind are concerned.".into(),
        })];
    }
    let rows = f
        .retention_ends
        .iter()
        .map(|e| {
            let stage =
                if e.stage == OVER { "over already".to_owned() } else { format!("ends soon: {}", e.stage) };
            vec![
                Cell::text(e.sender.clone()),
                Cell::text(stage),
                Cell::text(e.rule.clone()),
                Cell::count(e.contacts),
            ]
        })
        .chain(cells::shown(f.retention_ends_pooled).map(|n| {
            vec![Cell::text("small groups together"), Cell::text(""), Cell::text(""), Cell::count(n)]
        }))
        .collect();
    vec![
        Part::Text(
            "Of contacts who are not on legal hold: those whose time is over, and those for whom it ends within 90 days, by the \
             rule that ends it. active: nothing has to be done yet; warning and renewal: the person may still be asked to stay."
                .into(),
        ),
        Part::Table(Table {
            caption: "Contacts whose retention is over or ends within 90 days".into(),
            head: vec!["Sender", "Stage today", "Rule", "Contacts"],
            rows,
        }),
    ]
}
