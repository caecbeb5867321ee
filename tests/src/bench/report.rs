//! The figures: a table for people, and one line of JSON.

use serde_json::{Map, Value, json};

#[derive(Debug, Default)]
pub struct Report {
    facts: Vec<(String, String)>,
    sections: Vec<Section>,
    others: Vec<Line>,
    json: Map<String, Value>,
}

#[derive(Debug)]
struct Section {
    title: String,
    /// What the ratios are multiples of.
    baseline: &'static str,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    time: String,
    ratio: Option<f64>,
    note: String,
}

impl Report {
    pub fn fact(&mut self, name: &str, value: String) {
        self.json.insert(name.replace([' ', '-'], "_").to_lowercase(), json!(value));
        self.facts.push((name.into(), value));
    }

    pub fn figure(&mut self, id: &str, value: f64) {
        // Four digits: more would be noise.
        let rounded = format!("{value:.3e}").parse().unwrap_or(value);
        self.json.insert(id.into(), json!(rounded));
    }

    pub fn section(&mut self, title: &str) {
        self.section_against(title, "× flag");
    }

    pub fn section_against(&mut self, title: &str, baseline: &'static str) {
        self.sections.push(Section { title: title.into(), baseline, lines: Vec::new() });
    }

    /// A row of the current section, in milliseconds and as a multiple of its baseline.
    pub fn scan(&mut self, id: &str, name: &str, ms: f64, ratio: f64, note: String) {
        self.figure(&format!("{id}_ms"), ms);
        self.figure(&format!("{id}_ratio"), ratio);
        let line = Line {
            name: name.into(),
            time: if ms < 1.0 { format!("{:.0} µs", ms * 1e3) } else { format!("{ms:.1} ms") },
            ratio: Some(ratio),
            note,
        };
        if let Some(section) = self.sections.last_mut() {
            section.lines.push(line);
        }
    }

    /// A row of the current section, in nanoseconds and as a multiple of reading a flag in memory.
    pub fn decision(&mut self, id: &str, name: &str, ns: f64, ratio: f64) {
        self.figure(&format!("{id}_ns"), ns);
        self.figure(&format!("{id}_ratio"), ratio);
        let line =
            Line { name: name.into(), time: format!("{ns:.1} ns"), ratio: Some(ratio), note: String::new() };
        if let Some(section) = self.sections.last_mut() {
            section.lines.push(line);
        }
    }

    /// A row that has no counterpart in a scan.
    pub fn other(&mut self, id: &str, name: &str, time: f64, unit: &str, note: String) {
        self.figure(&format!("{id}_{}", unit.replace('µ', "u")), time);
        self.others.push(Line { name: name.into(), time: format!("{time:.1} {unit}"), ratio: None, note });
    }

    pub fn print(&self) {
        let width =
            |lines: &mut dyn Iterator<Item = &str>| lines.map(|l| l.chars().count()).max().unwrap_or(0);
        let facts = width(&mut self.facts.iter().map(|(n, _)| n.as_str()));
        println!();
        for (name, value) in &self.facts {
            println!("{name:facts$}  {value}");
        }
        let all = || self.sections.iter().flat_map(|s| &s.lines).chain(&self.others);
        let names = width(&mut all().map(|l| l.name.as_str()));
        let times = width(&mut all().map(|l| l.time.as_str()));
        let print = |title: &str, ratio: &str, lines: &[Line]| {
            println!("\n{title:names$}  {:>times$}  {ratio:>7}", "time");
            for l in lines {
                let ratio = l.ratio.map_or_else(String::new, |r| format!("{r:.2}"));
                println!(
                    "{}",
                    format!("{:names$}  {:>times$}  {ratio:>7}  {}", l.name, l.time, l.note).trim_end()
                );
            }
        };
        for s in &self.sections {
            print(&s.title, s.baseline, &s.lines);
        }
        print("by key, and folds", "", &self.others);
        println!("\n{}", Value::Object(self.json.clone()));
    }
}
