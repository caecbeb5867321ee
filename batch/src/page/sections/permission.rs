//! Whom may we write to, on which basis, and why not the others?

use crate::page::cells;
use crate::page::charts::{Bar, bars};
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Answer, Figures, Permission};
use crate::page::words::{count, jurisdiction, percent, words};
use std::collections::BTreeMap;

pub fn section(f: &Figures) -> Section {
    let mut parts = Vec::new();
    if f.permission.is_empty() {
        parts.push(Part::Text("No default sender is registered: there is nobody to ask for.".into()));
    } else if f.audited_by_default {
        parts.push(Part::Text(
            "No messages are listed in consent_data.audit_question yet; `marketing` without a category stands for them."
                .into(),
        ));
    }
    for (i, p) in f.permission.iter().enumerate() {
        parts.push(Part::Heading(format!("May {} be sent?", p.message())));
        if p.answers.is_empty() {
            parts.push(Part::Text(match p.pooled {
                0 => "There are no contacts yet.".into(),
                _ => "There are too few contacts to show anything about them.".into(),
            }));
            continue;
        }
        parts.push(by_jurisdiction(i, p));
        parts.push(grounds(i, p, true));
        parts.push(grounds(i, p, false));
        parts.push(Part::Table(full(p)));
    }
    Section { id: "permission", heading: "Permission by basis and jurisdiction", parts }
}

fn by_jurisdiction(i: usize, p: &Permission) -> Part {
    let mut all: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for a in &p.answers {
        all.entry(&a.jurisdiction).or_default()[usize::from(!a.allowed)] += a.contacts;
    }
    let mut rows: Vec<_> = all.into_iter().collect();
    rows.sort_by_key(|(id, [yes, no])| (std::cmp::Reverse(yes + no), *id));
    let drawn = rows.iter().map(|(id, [yes, no])| Bar {
        label: jurisdiction(id),
        parts: vec![*yes, *no],
        note: match p.in_part.iter().any(|x| x == id) {
            true => "in part".to_owned(),
            false => format!("{} allowed", percent(*yes as f64 / (yes + no) as f64)),
        },
    });
    let (yes, no) = (p.sum(|a| a.allowed), p.sum(|a| !a.allowed));
    let desc = format!(
        "Of those shown, {} of {} contacts are allowed ({}). One bar for each jurisdiction, the one with the most contacts first.",
        count(yes),
        count(yes + no),
        percent(yes as f64 / (yes + no).max(1) as f64)
    );
    let svg = bars(
        &format!("permission-{i}"),
        &format!("{}: share of contacts allowed, by jurisdiction", p.message()),
        desc,
        &["allowed", "denied"],
        &drawn.collect::<Vec<_>>(),
        true,
    );
    let line = |name: String, yes: u64, no: u64, whole: bool| {
        // An answer that fewer than ten were given is in the pool: the rest would tell a wrong share.
        let share = if whole { Cell::part(yes, yes + no) } else { Cell::text("–") };
        vec![Cell::text(name), Cell::count(yes + no), Cell::count(yes), Cell::count(no), share]
    };
    let whole = |id: &str| !p.in_part.iter().any(|x| x == id);
    let mut table: Vec<Vec<Cell>> =
        rows.iter().map(|(id, [yes, no])| line(jurisdiction(id), *yes, *no, whole(id))).collect();
    table.push(line("all shown".into(), yes, no, p.in_part.is_empty()));
    if let Some(n) = cells::shown(p.pooled) {
        table.push(vec![
            Cell::text("small groups together"),
            Cell::count(n),
            Cell::text(""),
            Cell::text(""),
            Cell::text(""),
        ]);
    }
    let head = vec!["Jurisdiction", "Contacts", "Allowed", "Denied", "Share allowed"];
    Part::Chart(
        svg,
        Table { caption: format!("{}: allowed and denied by jurisdiction", p.message()), head, rows: table },
    )
}

/// The bases of the yes, or the reasons of the no.
fn grounds(i: usize, p: &Permission, allowed: bool) -> Part {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for a in p.answers.iter().filter(|a| a.allowed == allowed) {
        *all.entry(&a.code).or_default() += a.contacts;
    }
    let (what, id) = if allowed { ("allowed, by basis", "basis") } else { ("denied, by reason", "reason") };
    let title = format!("{}: {what}", p.message());
    if all.is_empty() {
        let nobody = if allowed { "may be written to" } else { "is denied" };
        return Part::Text(format!("Nobody {nobody}, or fewer than ten of any kind."));
    }
    let sum: u64 = all.values().sum();
    let mut rows: Vec<_> = all.into_iter().collect();
    rows.sort_by_key(|(code, n)| (std::cmp::Reverse(*n), *code));
    let drawn: Vec<Bar> =
        rows.iter().map(|(code, n)| Bar { label: words(code), parts: vec![*n], note: count(*n) }).collect();
    let desc = format!(
        "The most frequent {id} is {} with {} of {} contacts.",
        words(rows[0].0),
        count(rows[0].1),
        count(sum)
    );
    let svg = bars(&format!("{id}-{i}"), &title, desc, &[id], &drawn, false);
    let table = rows
        .iter()
        .map(|(code, n)| vec![Cell::text(words(code)), Cell::count(*n), Cell::part(*n, sum)])
        .collect();
    let head = vec![if allowed { "Basis" } else { "Reason" }, "Contacts", "Share"];
    Part::Chart(svg, Table { caption: title, head, rows: table })
}

/// All of it, as `consent.audit_permission` has it.
fn full(p: &Permission) -> Table {
    let mut answers: Vec<&Answer> = p.answers.iter().collect();
    answers.sort_by_key(|a| (&a.jurisdiction, !a.allowed, std::cmp::Reverse(a.contacts)));
    let rows = answers
        .into_iter()
        .map(|a| {
            vec![
                Cell::text(jurisdiction(&a.jurisdiction)),
                Cell::text(if a.allowed { "allowed" } else { "denied" }),
                Cell::text(words(&a.code)),
                Cell::count(a.contacts),
                Cell::text(a.code.clone()),
            ]
        })
        .collect();
    Table {
        caption: format!("{}: every ground by jurisdiction (as in consent.audit_permission)", p.message()),
        head: vec!["Jurisdiction", "Answer", "Basis or reason", "Contacts", "Code"],
        rows,
    }
}
