//! Could we prove it?

use crate::page::charts::{Bar, bars};
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Evidence, Figures};
use crate::page::words::{contacts, count, words};

pub fn section(f: &Figures) -> Section {
    let mut parts = vec![Part::Heading("Denied for want of proof".into())];
    let gaps: Vec<_> = f.permission.iter().map(|p| (p.message(), p.without_proof)).collect();
    if gaps.iter().all(|(_, n)| *n == 0) {
        parts.push(Part::Text(
            "No group of ten or more contacts is denied because a ground lacks its proof.".into(),
        ));
    }
    for (message, n) in gaps.into_iter().filter(|(_, n)| *n > 0) {
        parts.push(Part::Text(format!(
            "For {message}: {} have a ground that nothing proves, and no other. Whoever sends must be able to show it, so the answer is no.",
            contacts(n)
        )));
    }
    parts.push(Part::Heading("Opt-ins without evidence".into()));
    parts.push(opt_ins(f));
    Section { id: "evidence", heading: "Evidence: could we prove it?", parts }
}

fn opt_ins(f: &Figures) -> Part {
    if f.evidence.is_empty() {
        return Part::Text("No opt-ins are recorded in the ledger yet.".into());
    }
    let several = f.senders.len() > 1;
    let what = |e: &Evidence| match e.kind.as_str() {
        "opt_in" => format!("{} opt-in", words(&e.method)),
        kind => words(kind),
    };
    let label = |e: &Evidence| if several { format!("{}, {}", what(e), e.sender) } else { what(e) };
    let drawn: Vec<Bar> = f
        .evidence
        .iter()
        .map(|e| Bar {
            label: label(e),
            parts: vec![e.events.saturating_sub(e.without), e.without],
            note: format!("{} without", count(e.without)),
        })
        .collect();
    let (all, without) = f.evidence.iter().fold((0, 0), |(a, w), e| (a + e.events, w + e.without));
    let title = "Opt-ins recorded in the ledger, with and without evidence";
    let desc = format!("{} of {} have no evidence.", count(without), count(all));
    let svg = bars("evidence-method", title, desc, &["with evidence", "without"], &drawn, false);
    let rows = f
        .evidence
        .iter()
        .map(|e| {
            let with = e.events.saturating_sub(e.without);
            vec![
                Cell::text(what(e)),
                Cell::text(e.sender.clone()),
                Cell::count(with),
                Cell::count(e.without),
                Cell::part(e.without, e.events),
            ]
        })
        .collect();
    Part::Chart(
        svg,
        Table {
            caption: title.into(),
            head: vec!["How given", "Sender", "With evidence", "Without", "Share without"],
            rows,
        },
    )
}
