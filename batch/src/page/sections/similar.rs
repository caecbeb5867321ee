//! The threshold curve: what counts as a similar product, and what another threshold would open.

use crate::page::charts::curve;
use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Figures, Similarity};
use crate::page::gather::plain;
use crate::page::words::percent;
use serde_json::Value;

pub fn section(f: &Figures) -> Section {
    let parts = match &f.similarity {
        Some(s) if !s.curve.is_empty() => drawn(s),
        _ => vec![Part::Text(
            "No curve has been drawn yet: similar categories were never scored from purchases.".into(),
        )],
    };
    Section { id: "similar", heading: "Similar products: the threshold", parts }
}

fn drawn(s: &Similarity) -> Vec<Part> {
    let mut parts = vec![Part::Text(
        "Two categories count as similar from the threshold on. A lower threshold opens more of the catalogue to each customer \
         (eligible), and less of that lies in a department the customer has bought from (inside)."
            .into(),
    )];
    let near = s
        .curve
        .iter()
        .min_by(|a, b| (a.threshold - s.threshold).abs().total_cmp(&(b.threshold - s.threshold).abs()));
    let desc = near.map_or_else(String::new, |p| {
        format!(
            "In use is {:.2}: at {:.2}, {} of the catalogue is similar to what a contact bought, and {} of that is inside a department \
             bought from. Drawn at {}.",
            s.threshold,
            p.threshold,
            percent(p.eligible),
            percent(p.inside),
            s.at
        )
    });
    let line =
        |of: fn(&crate::page::figures::Point) -> f64| s.curve.iter().map(|p| (p.threshold, of(p))).collect();
    let svg = curve(
        "similar-curve",
        "Share of the catalogue that is eligible, and how much of it is inside, by threshold",
        desc,
        [("eligible", line(|p| p.eligible)), ("inside", line(|p| p.inside))],
        s.threshold,
    );
    let rows = s
        .curve
        .iter()
        .map(|p| {
            vec![
                Cell::text(format!("{:.2}", p.threshold)),
                Cell::share(Some(p.eligible)),
                Cell::share(Some(p.inside)),
            ]
        })
        .collect();
    parts.push(Part::Chart(
        svg,
        Table {
            caption: format!("The threshold curve of {}; in use: {:.2}", s.at, s.threshold),
            head: vec!["Threshold", "Eligible", "Inside"],
            rows,
        },
    ));
    let facts = super::nights::flat(&s.figures);
    if !facts.is_empty() {
        parts.push(Part::Table(Table {
            caption: "The scoring that the curve is of".into(),
            head: vec!["Figure", "Value"],
            rows: facts.into_iter().map(|(name, value)| vec![Cell::text(name), value]).collect(),
        }));
    }
    parts.extend(hubs(&s.figures).map(Part::Table));
    parts.extend(changes(&s.figures).map(Part::Table));
    parts
}

/// Categories that are similar to unusually many others: a wide gate, or a category that everybody buys.
fn hubs(figures: &Value) -> Option<Table> {
    let rows: Vec<_> = listed(&figures["hubs"])
        .map(|h| vec![said(&h["category"]), said(&h["sender"]), said(&h["similar_to"])])
        .collect();
    (!rows.is_empty()).then(|| Table {
        caption: "Hubs: categories that count as similar to unusually many others".into(),
        head: vec!["Category", "Sender", "Similar to"],
        rows,
    })
}

/// Drift: whose scores moved most since the version before.
fn changes(figures: &Value) -> Option<Table> {
    let rows: Vec<_> = listed(&figures["drift"]["largest_changes"])
        .map(|c| {
            let pair = c["categories"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let pair = pair.map(|name| plain(name.to_owned())).collect::<Vec<_>>().join(" and ");
            vec![Cell::text(pair), said(&c["before"]), said(&c["now"])]
        })
        .collect();
    (!rows.is_empty()).then(|| Table {
        caption: "Drift: the pairs whose score moved most since the version before".into(),
        head: vec!["Categories", "Before", "Now"],
        rows,
    })
}

fn listed(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn said(value: &Value) -> Cell {
    super::nights::cell(value).unwrap_or_else(|| Cell::text("–"))
}
