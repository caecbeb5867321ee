//! Rows by text COPY, the fastest way into PostgreSQL that needs no knowledge of the binary formats.

use anyhow::{Context, Result};
use chrono::DateTime;
use postgres::Transaction;
use std::fmt::Write as _;
use std::io::Write as _;

/// Bytes collected before they are sent: enough to make the number of messages irrelevant.
const CHUNK: usize = 1 << 20;

/// The line of one row, column by column.
#[derive(Default)]
pub struct Row {
    text: String,
    begun: bool,
}

impl Row {
    fn separate(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            self.text.push('\t');
        }
    }

    fn end(&mut self) {
        self.text.push('\n');
        self.begun = false;
    }

    // Writing to a String can't fail, here and below.
    fn push(&mut self, value: std::fmt::Arguments<'_>) -> &mut Self {
        self.separate();
        let _ = self.text.write_fmt(value);
        self
    }

    pub fn integer(&mut self, value: impl Into<i64>) -> &mut Self {
        self.push(format_args!("{}", value.into()))
    }

    /// An amount of hundredths as numeric.
    pub fn hundredths(&mut self, value: i64) -> &mut Self {
        let sign = if value < 0 { "-" } else { "" };
        let value = value.unsigned_abs();
        self.push(format_args!("{sign}{}.{:02}", value / 100, value % 100))
    }

    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.push(format_args!("{}", if value { "t" } else { "f" }))
    }

    /// Seconds since 1970-01-01 UTC as timestamptz or date.
    pub fn time(&mut self, seconds: i64) -> &mut Self {
        match DateTime::from_timestamp(seconds, 0) {
            Some(at) => self.push(format_args!("{}+00", at.naive_utc())),
            // No such instant; PostgreSQL refuses the number with the table, the column and the line.
            None => self.push(format_args!("{seconds}")),
        }
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.separate();
        for letter in value.chars() {
            match letter {
                '\\' => self.text.push_str("\\\\"),
                '\t' => self.text.push_str("\\t"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                letter => self.text.push(letter),
            }
        }
        self
    }

    /// NULL, or the value written by `write`.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl Fn(&mut Row, T) -> &mut Row) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.push(format_args!("\\N")),
        }
    }
}

/// Writes each item as a row of `target`, a table with its columns, and answers how many there were.
pub fn copy<'a, T: 'a>(
    transaction: &mut Transaction<'_>,
    target: &str,
    items: impl IntoIterator<Item = &'a T>,
    write: impl Fn(&mut Row, &T),
) -> Result<u64> {
    let send = || -> Result<u64> {
        let mut writer = transaction.copy_in(&format!("COPY {target} FROM STDIN"))?;
        let mut row = Row::default();
        for item in items {
            write(&mut row, item);
            row.end();
            if row.text.len() >= CHUNK {
                writer.write_all(row.text.as_bytes())?;
                row.text.clear();
            }
        }
        writer.write_all(row.text.as_bytes())?;
        Ok(writer.finish()?)
    };
    send().with_context(|| format!("filling {target}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_copy_reads_them() {
        let mut row = Row::default();
        row.integer(7).hundredths(-5).hundredths(1_234).boolean(true).time(1_793_491_199);
        row.text("a\tb\\c\nd").optional(None::<i64>, Row::integer).optional(Some("x"), Row::text);
        row.end();
        let wanted = "7\t-0.05\t12.34\tt\t2026-10-31 23:59:59+00\ta\\tb\\\\c\\nd\t\\N\tx\n";
        assert_eq!(row.text, wanted);
    }

    #[test]
    fn the_second_row_begins_without_a_separator() {
        let mut row = Row::default();
        row.integer(1).integer(2);
        row.end();
        row.integer(3);
        row.end();
        assert_eq!(row.text, "1\t2\n3\n");
    }
}
