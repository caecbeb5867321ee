//! What a run shows: a progress bar and text to a person, JSON lines to anything else.

use crate::arguments::Arguments;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::IsTerminal;

pub struct Report {
    json: bool,
}

impl Report {
    pub fn new(arguments: &Arguments) -> Report {
        let seen = std::io::stdout().is_terminal() || std::io::stderr().is_terminal() || arguments.text;
        Report { json: arguments.json || !seen }
    }

    /// A bar over `total` units; without a terminal it stays silent.
    pub fn progress(&self, what: &'static str, total: u64) -> ProgressBar {
        let target = if self.json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("{msg:12} {bar:30} {human_pos}/{human_len} {per_sec} {eta}");
        ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what)
    }

    /// A line for people; `value` is what a machine gets in its stead.
    pub fn line(&self, text: &str, value: &Value) {
        if self.json {
            println!("{value}");
        } else {
            println!("{text}");
        }
    }

    /// The figures at the end of a step.
    pub fn summary(&self, step: &str, outcome: &str, figures: &Value) {
        let text = figures.as_object().map(|f| {
            let pairs = f.iter().filter(|(_, v)| !v.is_object() && !v.is_array());
            pairs.map(|(k, v)| format!("{} {v}", k.replace('_', " "))).collect::<Vec<_>>().join(", ")
        });
        self.line(
            &format!("{step}: {outcome}; {}", text.unwrap_or_default()),
            &json!({"step": step, "outcome": outcome, "figures": figures}),
        );
    }
}
