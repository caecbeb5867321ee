//! The figures: a table for people, and one line of JSON.

use super::processes::Cost;
use serde_json::{Map, Value, json};

#[derive(Debug, Default)]
pub struct Report {
    facts: Vec<(String, String)>,
    sections: Vec<(String, Vec<Row>)>,
    json: Map<String, Value>,
}

#[derive(Debug)]
struct Row {
    name: String,
    cost: Cost,
    /// Rows by the second of wall time.
    rate: Option<f64>,
    /// Multiple of the hand-written SQL's wall time.
    ratio: Option<f64>,
    note: String,
}

impl Report {
    pub fn fact(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        eprintln!("== {name}: {value}");
        self.json.insert(name.replace([' ', '-', ','], "_").to_lowercase(), json!(value));
        self.facts.push((name.into(), value));
    }

    pub fn figure(&mut self, id: &str, value: f64) {
        let rounded = format!("{value:.3e}").parse().unwrap_or(value);
        self.json.insert(id.into(), json!(rounded));
    }

    pub fn section(&mut self, title: &str) {
        self.sections.push((title.into(), Vec::new()));
    }

    /// A row of the current section; `rows` is what the work went through, 0 where that says nothing.
    pub fn row(&mut self, id: &str, name: &str, cost: &Cost, rows: f64, note: impl Into<String>) {
        self.compared(id, name, cost, rows, None, note);
    }

    /// The same beside a `baseline` in seconds.
    pub fn compared(
        &mut self,
        id: &str,
        name: &str,
        cost: &Cost,
        rows: f64,
        baseline: Option<f64>,
        note: impl Into<String>,
    ) {
        let note = note.into();
        eprintln!("== {name}: {:.2} s {note}", cost.wall);
        for (what, value) in [("wall_s", cost.wall), ("cpu_s", cost.cpu), ("server_cpu_s", cost.server_cpu)] {
            self.figure(&format!("{id}_{what}"), value);
        }
        if cost.memory > 0.0 {
            self.figure(&format!("{id}_mib"), cost.memory);
        }
        let ratio = baseline.map(|b| cost.wall / b);
        if let Some(ratio) = ratio {
            self.figure(&format!("{id}_ratio"), ratio);
        }
        let rate = (rows > 0.0 && cost.wall > 0.0).then(|| rows / cost.wall);
        let row = Row { name: name.into(), cost: cost.clone(), rate, ratio, note };
        if let Some((_, rows)) = self.sections.last_mut() {
            rows.push(row);
        }
    }

    pub fn print(&self) {
        let width = |it: &mut dyn Iterator<Item = &str>| it.map(|s| s.chars().count()).max().unwrap_or(0);
        let facts = width(&mut self.facts.iter().map(|(n, _)| n.as_str()));
        println!();
        for (name, value) in &self.facts {
            println!("{name:facts$}  {value}");
        }
        let titles = self.sections.iter().map(|(t, _)| t.as_str());
        let names = self.sections.iter().flat_map(|(_, rows)| rows).map(|r| r.name.as_str());
        let wide = width(&mut titles.chain(names));
        for (title, rows) in &self.sections {
            println!(
                "\n{title:wide$}  {:>8}  {:>8}  {:>8}  {:>10}  {:>7}  {:>6}",
                "wall s", "CPU s", "server s", "rows/s", "MiB", "× SQL"
            );
            for r in rows {
                let some = |x: f64, digits: usize| {
                    if x > 0.0 { format!("{x:.digits$}") } else { String::new() }
                };
                let line = format!(
                    "{:wide$}  {:>8.2}  {:>8}  {:>8}  {:>10}  {:>7}  {:>6}  {}",
                    r.name,
                    r.cost.wall,
                    some(r.cost.cpu, 2),
                    some(r.cost.server_cpu, 2),
                    some(r.rate.unwrap_or(0.0), 0),
                    some(r.cost.memory, 0),
                    r.ratio.map_or_else(String::new, |x| format!("{x:.2}")),
                    r.note
                );
                println!("{}", line.trim_end());
            }
        }
        println!("\n{}", Value::Object(self.json.clone()));
    }
}
