//! Which groups refuse, and how those who refused had been doing.

use crate::page::charts::{Bar, bars};
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::Figures;
use crate::page::segments::{BOUGHT_SINCE, Dimension, POOLED, Row};
use crate::page::words::{count, jurisdiction, percent, words};

pub fn section(f: &Figures) -> Section {
    let mut parts = Vec::new();
    if f.segments.is_empty() {
        parts.push(Part::Text(
            "There are too few contacts to compare groups of them, or no default sender.".into(),
        ));
        return Section { id: "segments", heading: HEADING, parts };
    }
    parts.push(Part::Text(
        "Refused: an opt-out, objection or erasure request stands against marketing by the default sender, whoever made it (the person, \
         another holder of the address, a clean-up). Stayed: all others, whether or not they may be written to."
            .into(),
    ));
    parts.push(Part::Text(
        "Categories: how many different ones were ever bought from, on average. Bought and clicked: the share who did so in the year \
         before they refused; for those who stayed, in the year before this report. Only the latest purchase of each category and \
         the latest click or log-in are known, so a later one hides what came before the refusal. Bought after: the share who bought after \
         they refused. A flag in the CRM without a date counts as a refusal, but not in these shares."
            .into(),
    ));
    for dimension in Dimension::ALL {
        let rows: Vec<&Row> = f.segments.iter().filter(|r| r.dimension == dimension.code()).collect();
        parts.push(Part::Heading(heading(dimension).to_owned()));
        if rows.is_empty() {
            parts.push(Part::Text("Too few contacts to show.".into()));
        } else {
            parts.extend(compare(dimension, &rows));
        }
    }
    Section { id: "segments", heading: HEADING, parts }
}

const HEADING: &str = "Who refuses, and how they had been doing";

const fn heading(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Jurisdiction => "By jurisdiction",
        Dimension::Acquisition => "By how they came to us",
        Dimension::LastCategory => "By category last bought",
        Dimension::LastPurchase => "By time since the last purchase",
    }
}

fn name(dimension: Dimension, row: &Row) -> String {
    match dimension {
        Dimension::Jurisdiction if row.segment != POOLED => jurisdiction(&row.segment),
        Dimension::LastPurchase => match row.segment.as_str() {
            "up_to_3_months" => "up to 3 months".into(),
            "3_to_12_months" => "3 to 12 months".into(),
            "1_to_2_years" => "1 to 2 years".into(),
            "over_2_years" => "over 2 years".into(),
            BOUGHT_SINCE => "not known: bought since refusing".into(),
            other => words(other),
        },
        // A category's own name, unless it is one of ours.
        Dimension::LastCategory if !OWN.contains(&row.segment.as_str()) => row.segment.clone(),
        _ => words(&row.segment),
    }
}

const OWN: [&str; 4] = [POOLED, "other_categories", "no_category_named", "no_purchase_known"];

fn compare(dimension: Dimension, rows: &[&Row]) -> Vec<Part> {
    let drawn: Vec<Bar> = rows
        .iter()
        .filter_map(|r| {
            // A group that consists of refusals by its making shows no share.
            let share = r.refused_share().filter(|_| r.segment != BOUGHT_SINCE)?;
            Some(Bar {
                label: name(dimension, r),
                parts: vec![r.refused?, r.stayed?],
                note: format!("{} refused", percent(share)),
            })
        })
        .collect();
    let title = format!("{}: share that refused", heading(dimension));
    let table = Table {
        caption: format!("{}: refused and stayed", heading(dimension)),
        head: HEAD.to_vec(),
        rows: rows.iter().map(|r| line(dimension, r)).collect(),
    };
    if drawn.is_empty() {
        return vec![Part::Text("Too few refused in any group to show a share.".into()), Part::Table(table)];
    }
    let (refused, all) =
        drawn.iter().fold((0, 0), |(r, a), b| (r + b.parts[0], a + b.parts.iter().sum::<u64>()));
    let desc = format!("Of {} contacts in the groups shown, {} refused.", count(all), count(refused));
    let id = format!("segments-{}", dimension.code().replace('_', "-"));
    let svg = bars(&id, &title, desc, &["refused", "stayed"], &drawn, true);
    vec![Part::Chart(svg, table)]
}

const HEAD: [&str; 11] = [
    "Group",
    "Stayed",
    "Refused",
    "Refused, share",
    "Categories, stayed",
    "Categories, refused",
    "Bought, stayed",
    "Bought, refused",
    "Clicked, stayed",
    "Clicked, refused",
    "Bought after refusing",
];

fn line(dimension: Dimension, r: &Row) -> Vec<Cell> {
    if let Some(n) = r.pooled {
        let mut cells = vec![Cell::text(format!("{} ({})", name(dimension, r), count(n)))];
        cells.extend((1..HEAD.len()).map(|_| Cell::text("")));
        return cells;
    }
    // A group that consists of refusals by its making: what came before is not known.
    let known = r.segment != BOUGHT_SINCE;
    let share = |s: Option<f64>| Cell::share(s.filter(|_| known));
    vec![
        Cell::text(name(dimension, r)),
        Cell::people(r.stayed),
        Cell::people(r.refused),
        share(r.refused_share()),
        Cell::decimal(r.stayed_categories),
        Cell::decimal(r.refused_categories),
        share(r.stayed_bought),
        share(r.refused_bought),
        share(r.stayed_clicked),
        share(r.refused_clicked),
        share(r.refused_bought_after),
    ]
}
