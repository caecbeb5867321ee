//! Charts as marks that a template writes as SVG.
//!
//! Drawn here and not by a library: plotters' and poloto's SVG has neither `<title>` nor `<desc>`, tells series apart by
//! colour alone and brings its own colours, which neither paper nor a dark screen can change.
//!
//! All are 360 units wide, so that they stay legible on a phone; wider screens scale them.

use super::words::{count, short};

pub struct Svg {
    pub id: String,
    pub title: String,
    pub desc: String,
    pub width: u32,
    pub height: u32,
    /// How many of the five fill patterns are used.
    pub patterns: usize,
    pub marks: Vec<Mark>,
}

/// `value` is the figure a mark stands for, as the table beside the chart has it.
pub enum Mark {
    Bar { x: f64, y: f64, width: f64, height: f64, pattern: usize, value: Option<String> },
    Text { x: f64, y: f64, anchor: &'static str, class: &'static str, text: String },
    Line { x1: f64, y1: f64, x2: f64, y2: f64, class: &'static str },
    Path { points: String, class: &'static str },
    Dot { x: f64, y: f64, class: &'static str, value: String },
}

pub const PATTERNS: usize = 5;
const WIDTH: f64 = 360.0;
/// Of a 13-unit letter, on average, and of a bold one.
const LETTER: f64 = 6.8;
const BOLD: f64 = 8.2;

/// One bar: what it is about, and the counts it consists of, in the order of the series.
pub struct Bar {
    pub label: String,
    pub parts: Vec<u64>,
    /// Stands at the right end of the label's line.
    pub note: String,
}

fn text(x: f64, y: f64, anchor: &'static str, class: &'static str, text: impl Into<String>) -> Mark {
    Mark::Text { x, y, anchor, class, text: text.into() }
}

/// What the patterns mean; answers with the height it takes.
fn legend(marks: &mut Vec<Mark>, series: &[&str]) -> f64 {
    if series.len() < 2 {
        return 0.0;
    }
    let (mut x, mut y) = (0.0, 4.0);
    for (pattern, name) in series.iter().enumerate() {
        let wide = 20.0 + LETTER * name.chars().count() as f64 + 14.0;
        if x > 0.0 && x + wide > WIDTH {
            (x, y) = (0.0, y + 20.0);
        }
        marks.push(Mark::Bar { x: x + 1.0, y, width: 13.0, height: 13.0, pattern, value: None });
        marks.push(text(x + 20.0, y + 11.0, "start", "", *name));
        x += wide;
    }
    y + 26.0
}

/// Horizontal bars, the label above each. `whole`: every bar as long as the others, parts as shares of it.
pub fn bars(id: &str, title: &str, desc: String, series: &[&str], bars: &[Bar], whole: bool) -> Svg {
    const ROW: f64 = 42.0;
    let mut marks = Vec::new();
    let mut y = legend(&mut marks, series);
    let longest = bars.iter().map(|b| b.parts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    for bar in bars {
        let note = bar.note.chars().count();
        let room = (WIDTH - BOLD * note as f64 - 8.0) / LETTER;
        marks.push(text(0.0, y + 12.0, "start", "", short(&bar.label, room.max(8.0) as usize)));
        marks.push(text(WIDTH, y + 12.0, "end", "strong", bar.note.clone()));
        let total = if whole { bar.parts.iter().sum::<u64>().max(1) } else { longest };
        let mut x = 1.0;
        for (k, n) in bar.parts.iter().enumerate().filter(|(_, n)| **n > 0) {
            let width = ((WIDTH - 2.0) * *n as f64 / total as f64).max(1.0);
            let pattern = k.min(PATTERNS - 1);
            marks.push(Mark::Bar {
                x,
                y: y + 18.0,
                width,
                height: 14.0,
                pattern,
                value: Some(n.to_string()),
            });
            x += width;
        }
        y += ROW;
    }
    svg(id, title, desc, y, series.len().clamp(1, PATTERNS), marks)
}

/// Columns over time: one a label, stacked where there are several series. `every`: how many labels a written one.
pub fn columns(
    id: &str,
    title: &str,
    desc: String,
    series: &[(&str, Vec<u64>)],
    labels: &[String],
    every: usize,
) -> Svg {
    const PLOT: f64 = 150.0;
    const LEFT: f64 = 1.0;
    let mut marks = Vec::new();
    let names: Vec<&str> = series.iter().map(|(name, _)| *name).collect();
    let top = legend(&mut marks, &names) + 20.0;
    let total = |i: usize| series.iter().map(|(_, v)| v.get(i).copied().unwrap_or(0)).sum::<u64>();
    let highest = (0..labels.len()).map(total).max().unwrap_or(0).max(1);
    let step = (WIDTH - LEFT) / labels.len().max(1) as f64;
    let bottom = top + PLOT;
    for part in [0.5, 1.0] {
        let y = bottom - PLOT * part;
        marks.push(Mark::Line { x1: 0.0, y1: y, x2: WIDTH, y2: y, class: "grid" });
    }
    // A label stands over its column where there is room, else over the highest and the last.
    let roomy = step >= BOLD * count(highest).len() as f64 + 3.0;
    let peak = (0..labels.len()).rev().max_by_key(|i| total(*i));
    let last = labels.len().saturating_sub(1);
    for (i, label) in labels.iter().enumerate() {
        let x = LEFT + step * i as f64;
        let mut y = bottom;
        for (k, (_, values)) in series.iter().enumerate() {
            let n = values.get(i).copied().unwrap_or(0);
            if n == 0 {
                continue;
            }
            let height = (PLOT * n as f64 / highest as f64).max(1.0);
            y -= height;
            let (pattern, width) = (k.min(PATTERNS - 1), (step - 3.0).max(2.0));
            marks.push(Mark::Bar { x, y, width, height, pattern, value: Some(n.to_string()) });
        }
        let apart = peak.is_none_or(|p| p.abs_diff(i) as f64 * step > LETTER * 6.0);
        if total(i) > 0 && (roomy || Some(i) == peak || (i == last && apart)) {
            let middle = x + step / 2.0 - 1.5;
            let half = BOLD * count(total(i)).len() as f64 / 2.0;
            let middle = middle.clamp(half, WIDTH - half);
            marks.push(text(middle, y - 5.0, "middle", "strong", count(total(i))));
        }
        if i % every.max(1) == 0 {
            marks.push(Mark::Line { x1: x, y1: bottom, x2: x, y2: bottom + 5.0, class: "axis" });
            marks.push(text(x, bottom + 17.0, "start", "small", label.clone()));
        }
    }
    marks.push(Mark::Line { x1: 0.0, y1: bottom, x2: WIDTH, y2: bottom, class: "axis" });
    svg(id, title, desc, bottom + 24.0, series.len().clamp(1, PATTERNS), marks)
}

/// Shares (0 to 1) over a threshold (0 to 1), with the threshold in use marked.
pub fn curve(id: &str, title: &str, desc: String, series: [(&str, Vec<(f64, f64)>); 2], mark: f64) -> Svg {
    const PLOT: f64 = 190.0;
    const LEFT: f64 = 42.0;
    let mut marks = Vec::new();
    let top = 44.0;
    let bottom = top + PLOT;
    let wide = WIDTH - LEFT - 6.0;
    let place = |(x, y): (f64, f64)| (LEFT + wide * x.clamp(0.0, 1.0), bottom - PLOT * y.clamp(0.0, 1.0));
    for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (_, y) = place((0.0, part));
        let class = if part == 0.0 { "axis" } else { "grid" };
        marks.push(Mark::Line { x1: LEFT, y1: y, x2: WIDTH - 6.0, y2: y, class });
        marks.push(text(LEFT - 6.0, y + 4.0, "end", "small", format!("{:.0} %", part * 100.0)));
        let (x, _) = place((part, 0.0));
        marks.push(text(x, bottom + 16.0, "middle", "small", format!("{part:.2}")));
    }
    let (x, _) = place((mark, 0.0));
    marks.push(Mark::Line { x1: x, y1: top - 6.0, x2: x, y2: bottom, class: "mark" });
    let anchor = if mark > 0.6 { "end" } else { "start" };
    marks.push(text(x, top - 11.0, anchor, "strong", format!("in use: {mark:.2}")));
    for (k, (name, points)) in series.into_iter().enumerate() {
        let (line, dot) = [("l0", "d0"), ("l1", "d1")][k];
        let placed: Vec<(f64, f64)> = points.iter().map(|p| place(*p)).collect();
        let joined = placed.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        marks.push(Mark::Path { points: joined, class: line });
        for ((x, y), (_, value)) in placed.iter().zip(&points) {
            marks.push(Mark::Dot { x: *x, y: *y, class: dot, value: format!("{value:.4}") });
        }
        // The legend shows the line itself: its dashes tell it from the other on paper.
        let x = 180.0 * k as f64;
        marks.push(Mark::Line { x1: x, y1: 8.0, x2: x + 26.0, y2: 8.0, class: line });
        marks.push(text(x + 32.0, 12.0, "start", "", name));
    }
    marks.push(text(LEFT + wide / 2.0, bottom + 33.0, "middle", "small", "similarity threshold"));
    svg(id, title, desc, bottom + 40.0, 0, marks)
}

fn svg(id: &str, title: &str, desc: String, height: f64, patterns: usize, marks: Vec<Mark>) -> Svg {
    let (width, height) = (WIDTH as u32, height.ceil() as u32);
    Svg { id: id.to_owned(), title: title.to_owned(), desc, width, height, patterns, marks }
}
