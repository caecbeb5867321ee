//! What the page consists of, and the templates that write it. Whatever comes from the database is text here; the templates
//! escape it, so no name can bring in markup.

use super::charts::{Mark, Svg};
use super::filters;
use super::words;
use askama::Template;

#[derive(Template)]
#[template(path = "page.html")]
pub struct Page {
    pub title: String,
    pub made_at: String,
    pub lead: Vec<(&'static str, String)>,
    /// What needs attention, in whole sentences; empty: nothing does.
    pub attention: Vec<String>,
    pub sections: Vec<Section>,
}

pub struct Section {
    pub id: &'static str,
    pub heading: &'static str,
    pub parts: Vec<Part>,
}

pub enum Part {
    /// A heading below the section's.
    Heading(String),
    Text(String),
    /// A chart, and its figures as a table.
    Chart(Svg, Table),
    Table(Table),
}

pub struct Table {
    pub caption: String,
    pub head: Vec<&'static str>,
    pub rows: Vec<Vec<Cell>>,
}

/// `value` is the figure without its dress: a chart's marks carry the same.
pub struct Cell {
    pub text: String,
    pub value: Option<String>,
}

impl Cell {
    pub fn text(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), value: None }
    }

    pub fn count(n: u64) -> Cell {
        Cell { text: words::count(n), value: Some(n.to_string()) }
    }

    /// A number of people; `None` is too small a group, or would give one away.
    pub fn people(n: Option<u64>) -> Cell {
        n.map_or_else(|| Cell { text: "not shown".into(), value: Some(String::new()) }, Cell::count)
    }

    /// A share from 0 to 1.
    pub fn share(share: Option<f64>) -> Cell {
        Cell {
            text: share.map_or("–".into(), words::percent),
            value: Some(share.map(|s| format!("{s:.4}")).unwrap_or_default()),
        }
    }

    /// A share of counts; nothing of nothing is no share.
    pub fn part(n: u64, of: u64) -> Cell {
        Cell::share((of > 0).then(|| n as f64 / of as f64))
    }

    pub fn decimal(x: Option<f64>) -> Cell {
        Cell { text: x.map_or("–".into(), |x| format!("{x:.1}")), value: Some(String::new()) }
    }
}
