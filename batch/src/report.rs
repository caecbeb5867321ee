//! What a run shows: a progress bar and text to a person, JSON lines with their time to anything else.
//!
//! Every line has `at` (RFC 3339, UTC), `level` (`info`, `warning` or `error`) and what the step says; `docs/night.md`
//! describes them.

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::pace::Pace;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};
use serde_json::{Map, Value, json};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How often a log says how far a step is.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    json: bool,
    /// On standard error JSON comes only where it was asked for: people read that of a timer, too.
    json_errors: bool,
    quiet: bool,
}

impl Manner {
    pub fn of(arguments: &Arguments) -> Manner {
        let seen = std::io::stdout().is_terminal() || std::io::stderr().is_terminal() || arguments.text;
        Manner { json: arguments.json || !seen, json_errors: arguments.json, quiet: arguments.quiet }
    }

    /// The last line of a run that failed.
    pub fn error(arguments: &Arguments, failure: &Failure, exit: u8) {
        if arguments.json {
            let mut value = failure.json();
            value["exit"] = json!(exit);
            value["step"] = json!(arguments.step.name());
            told(&mut std::io::stderr(), &stamped("error", &value).to_string());
        } else {
            told(&mut std::io::stderr(), &format!("error: {}", failure.text()));
        }
    }
}

/// What clap has to say: help, or what is wrong with the arguments. That is a failure; clap's own 2 means findings here.
pub fn usage(e: &clap::Error) -> ExitCode {
    if !e.use_stderr() {
        e.print().ok();
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|a| a == "--json") {
        let message = e.to_string();
        let message = message.trim_start_matches("error: ").trim_end();
        told(&mut std::io::stderr(), &stamped("error", &json!({"message": message, "exit": 1})).to_string());
    } else {
        e.print().ok();
    }
    ExitCode::FAILURE
}

pub struct Report {
    manner: Manner,
    /// Between chunks: the rate, and whether to stop.
    pub pace: Pace,
}

impl Report {
    pub fn new(arguments: &Arguments) -> Report {
        Report { manner: Manner::of(arguments), pace: Pace::new(arguments.rate) }
    }

    /// A bar over `total` units with the time left; without a terminal, a line now and then.
    pub fn progress(&self, what: &'static str, total: u64) -> ProgressBar {
        let shown = !self.manner.json && !self.manner.quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{msg:12} {bar:30} {human_pos}/{human_len} {per_sec} {eta}");
        let bar = ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what);
        if self.manner.json && !self.manner.quiet {
            log_now_and_then(bar.downgrade(), what);
        }
        bar
    }

    /// A line for people; `value` is what a machine gets in its stead.
    pub fn line(&self, text: &str, value: &Value) {
        match self.manner {
            Manner { quiet: true, .. } => {}
            Manner { json: true, .. } => told(&mut std::io::stdout(), &stamped("info", value).to_string()),
            _ => told(&mut std::io::stdout(), text),
        }
    }

    /// As [`line`](Self::line), but also under `--quiet`, and on standard error.
    pub fn warn(&self, text: &str, value: &Value) {
        if self.manner.json_errors {
            told(&mut std::io::stderr(), &stamped("warning", value).to_string());
        } else {
            told(&mut std::io::stderr(), &format!("warning: {text}"));
        }
    }

    /// The figures at the end of a step.
    pub fn summary(&self, step: &str, outcome: &str, figures: &Value) {
        let text = figures.as_object().map(|f| {
            let pairs = f.iter().filter(|(_, v)| !v.is_object() && !v.is_array());
            pairs.map(|(k, v)| format!("{} {v}", k.replace('_', " "))).collect::<Vec<_>>().join(", ")
        });
        let text = text.filter(|t| !t.is_empty()).map_or(String::new(), |t| format!("; {t}"));
        self.line(
            &format!("{step}: {outcome}{text}"),
            &json!({"event": "end", "step": step, "outcome": outcome, "figures": figures}),
        );
    }
}

/// Nobody reads any more: no reason to stop the night.
fn told(to: &mut impl Write, line: &str) {
    writeln!(to, "{line}").ok();
}

/// The object with its time and level first.
fn stamped(level: &str, value: &Value) -> Value {
    let at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let mut line = Map::from_iter([("at".to_owned(), json!(at)), ("level".to_owned(), json!(level))]);
    match value {
        Value::Object(members) => line.extend(members.clone()),
        other => drop(line.insert("message".into(), other.clone())),
    }
    Value::Object(line)
}

/// Until the bar is finished or gone.
fn log_now_and_then(bar: WeakProgressBar, what: &'static str) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOGGED_EVERY);
            let Some(bar) = bar.upgrade().filter(|b| !b.is_finished()) else { return };
            let value = json!({
                "event": "progress", "step": what, "done": bar.position(), "total": bar.length(),
                "seconds": bar.elapsed().as_secs(), "eta_seconds": bar.eta().as_secs(),
            });
            told(&mut std::io::stdout(), &stamped("info", &value).to_string());
        }
    });
}
