//! What went wrong, for people and for machines: the causes in one line, and the server's SQLSTATE, DETAIL and HINT.

use postgres::error::{DbError, SqlState};
use serde_json::{Value, json};
use std::error::Error;
use std::fmt;

/// An error with advice: what to do about it.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Hinted {}

/// An error whose hint is shown below it.
pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into() }.into()
}

/// A hint for an error that has none of its own; the message stays.
pub fn with_hint(error: anyhow::Error, hint: impl Into<String>) -> anyhow::Error {
    if error.is::<Hinted>() {
        return error;
    }
    error.context(Hinted { message: String::new(), hint: hint.into() })
}

/// An error taken apart for showing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub sqlstate: Option<String>,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl Failure {
    pub fn of(error: &anyhow::Error) -> Failure {
        let mut failure = Failure::default();
        let mut parts: Vec<String> = Vec::new();
        failure.hint = error.downcast_ref::<Hinted>().map(|h| h.hint.clone());
        for cause in error.chain() {
            if let Some(server) = cause.downcast_ref::<DbError>() {
                parts.push(server.message().to_owned());
                failure.sqlstate = Some(server.code().code().to_owned());
                failure.detail = server.detail().map(str::to_owned);
                failure.hint = failure
                    .hint
                    .or_else(|| server.hint().map(str::to_owned))
                    .or_else(|| advice(server.code()));
            } else if let Some(driver) = cause.downcast_ref::<postgres::Error>() {
                // Its text is only the kind of error where a cause follows that says more.
                if driver.source().is_none() || driver.as_db_error().is_none() {
                    parts.push(driver.to_string());
                }
                if driver.is_closed() {
                    failure.hint = failure.hint.or(advice(&SqlState::CONNECTION_FAILURE));
                }
            } else {
                parts.push(cause.to_string());
            }
        }
        // Many errors repeat their cause at their end.
        let mut message = String::new();
        for part in parts {
            if part.is_empty() {
                continue;
            } else if message.is_empty() {
                message = part;
            } else if !message.ends_with(&part) {
                message = format!("{message}: {part}");
            }
        }
        failure.message = message;
        failure
    }

    pub fn text(&self) -> String {
        let code = self.sqlstate.as_ref().map_or(String::new(), |c| format!(" (SQLSTATE {c})"));
        let line = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |v| format!("\n{name}: {v}"))
        };
        format!("{}{code}{}{}", self.message, line("DETAIL", &self.detail), line("HINT", &self.hint))
    }

    pub fn json(&self) -> Value {
        json!({"message": self.message, "sqlstate": self.sqlstate, "detail": self.detail, "hint": self.hint})
    }
}

/// What to do where the server itself gives no hint.
fn advice(code: &SqlState) -> Option<String> {
    let text = match code.code() {
        "57P01" | "57P02" | "57P03" | "08006" | "08003" | "08001" | "25P03" => {
            "The connection was lost in the middle. Nothing half-done is left: run the same command again, it goes on."
        }
        "57014" => {
            "A statement took longer than --statement-timeout allows: give it more, or a smaller --chunk."
        }
        "55P03" | "40P01" | "40001" => {
            "The CRM held what the batch needed, also after several tries: run it again at a quieter time, or with a \
             smaller --chunk."
        }
        "25006" => {
            "Under --dry-run nothing may be written; without it, the server is a standby or set to read-only."
        }
        "42P01" | "3F000" | "42883" => {
            "Is pg_consent set up in this database, by CREATE EXTENSION pg_consent and CALL consent.setup(), and as \
             new as this program?"
        }
        "42501" => "The role must be a member of consent_batch: GRANT consent_batch TO the role.",
        "53300" => "Every worker thread has a session of its own: give a smaller --threads.",
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_causes_make_one_line_and_the_hint_another() {
        let cause: anyhow::Result<()> = Err(hinted("no such file", "Make one."));
        let Err(error) = cause.context("reading the file").context("refold") else { unreachable!() };
        let failure = Failure::of(&error);
        assert_eq!(failure.text(), "refold: reading the file: no such file\nHINT: Make one.");
        assert_eq!(failure.json()["hint"], "Make one.");
    }
}
