//! What retention did, and the runs' own figures.

use crate::page::document::{Cell, Part, Section, Table};
use crate::page::figures::{Figures, Run};
use crate::page::gather::plain;
use crate::page::words::{contacts, count, short};
use serde_json::Value;

pub fn retention(f: &Figures) -> Section {
    let mut parts = Vec::new();
    match f.runs.iter().find(|r| r.step == "retention") {
        None => parts.push(Part::Text("Retention has not run yet.".into())),
        Some(run) => {
            let applied = match &run.figures["applied"] {
                Value::Bool(true) => "; what it found is on record",
                Value::Bool(false) => "; a dry run, nothing was written",
                _ => "",
            };
            parts.push(Part::Text(format!(
                "The last run, of {}, ended as: {}{applied}.",
                run.started_at, run.outcome
            )));
            let facts = flat(&run.figures);
            if !facts.is_empty() {
                parts.push(Part::Table(Table {
                    caption: "Figures of the last run".into(),
                    head: vec!["Figure", "Value"],
                    rows: facts.into_iter().map(|(name, value)| vec![Cell::text(name), value]).collect(),
                }));
            }
        }
    }
    if f.retained.is_empty() {
        parts.push(Part::Text("No contact has reached a stage of retention on record.".into()));
    } else {
        let (rows, pooled) =
            crate::page::cells::publish(f.retained.iter().map(|r| (r, r.contacts)).collect());
        let mut rows: Vec<Vec<Cell>> = rows
            .into_iter()
            .map(|(r, n)| {
                vec![
                    Cell::text(r.sender.clone()),
                    Cell::text(r.stage.clone()),
                    Cell::text(r.rule.clone()),
                    Cell::count(n),
                    Cell::text(r.last_at.clone()),
                ]
            })
            .collect();
        if let Some(n) = crate::page::cells::shown(pooled) {
            rows.push(vec![
                Cell::text("small groups together"),
                Cell::text(""),
                Cell::text(""),
                Cell::count(n),
                Cell::text(""),
            ]);
        }
        parts.push(Part::Table(Table {
            caption: "On record so far (consent.audit_retention): contacts who reached a stage, by rule"
                .into(),
            head: vec!["Sender", "Stage", "Rule", "Contacts", "Last recorded"],
            rows,
        }));
    }
    parts.push(Part::Text(match f.held {
        0 => "No contact is on legal hold.".into(),
        n if n < crate::page::cells::LEAST => {
            "Fewer than ten contacts are on legal hold, which stops every action.".into()
        }
        n => format!("{} on legal hold, which stops every action.", contacts(n)),
    }));
    Section { id: "retention", heading: "Retention", parts }
}

pub fn runs(f: &Figures) -> Section {
    let parts = if f.runs.is_empty() {
        vec![Part::Text("No night has run yet.".into())]
    } else {
        let rows = f.runs.iter().map(line).collect();
        vec![Part::Table(Table {
            caption: format!("The last {} steps, the latest first", f.runs.len()),
            head: vec!["Started", "Step", "Outcome", "Seconds", "Contacts", "Drift found", "Other figures"],
            rows,
        })]
    };
    Section { id: "runs", heading: "The nights", parts }
}

fn line(run: &Run) -> Vec<Cell> {
    let number = |name: &str| run.figures.get(name).and_then(Value::as_u64);
    let optional = |n: Option<u64>| n.map_or_else(|| Cell::text("–"), Cell::count);
    let others: Vec<String> = flat(&run.figures)
        .into_iter()
        .filter(|(name, _)| name != "contacts" && name != "drifted" && !name.contains(':'))
        .map(|(name, value)| format!("{name} {}", value.text))
        .collect();
    vec![
        Cell::text(run.started_at.clone()),
        Cell::text(run.step.clone()),
        Cell::text(run.outcome.clone()),
        Cell { text: run.seconds.map_or("–".into(), |s| format!("{s:.1}")), value: Some(String::new()) },
        optional(number("contacts")),
        optional(number("drifted")),
        Cell::text(short(&others.join(", "), 160)),
    ]
}

/// Figures of a run by name, those one level down under their parent's: `stages: expired (fr.retention/1)`. Lists are left out.
pub fn flat(figures: &Value) -> Vec<(String, Cell)> {
    let name = |key: &str| plain(key.replace('_', " "));
    let mut all = Vec::new();
    for (key, value) in figures.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) => {
                all.extend(
                    inner.iter().filter_map(|(k, v)| {
                        Some((format!("{}: {}", name(key), plain(k.clone())), cell(v)?))
                    }),
                );
            }
            one => all.extend(cell(one).map(|c| (name(key), c))),
        }
    }
    all
}

pub fn cell(value: &Value) -> Option<Cell> {
    Some(match value {
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(n), _) => Cell { text: count(n), value: Some(String::new()) },
            (None, Some(x)) => Cell { text: format!("{x:.3}"), value: Some(String::new()) },
            _ => return None,
        },
        Value::Bool(yes) => Cell::text(if *yes { "yes" } else { "no" }),
        Value::String(text) => Cell::text(plain(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    })
}
