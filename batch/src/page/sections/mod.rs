//! The figures in words: one file a section, each with its empty state.

mod ending;
mod evidence;
mod nights;
mod permission;
mod refusals;
mod segments;
mod similar;
mod summary;

use super::document::{Page, Section};
use super::figures::Figures;

pub fn page(f: &Figures) -> Page {
    Page {
        title: summary::title(f),
        made_at: f.made_at.clone(),
        lead: summary::lead(f),
        attention: summary::attention(f),
        sections: sections(f),
    }
}

fn sections(f: &Figures) -> Vec<Section> {
    vec![
        permission::section(f),
        refusals::section(f),
        ending::section(f),
        segments::section(f),
        evidence::section(f),
        similar::section(f),
        nights::retention(f),
        nights::runs(f),
    ]
}
