//! Rows into tables, by COPY.

use anyhow::Result;
use chrono::NaiveDateTime;
use postgres::Client;
use std::io::Write;

/// A column's value in COPY's text format.
pub trait Value {
    fn text(&self) -> String;
}

impl<T: Value> Value for Option<T> {
    fn text(&self) -> String {
        self.as_ref().map_or("\\N".into(), Value::text)
    }
}

impl Value for &str {
    fn text(&self) -> String {
        self.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
    }
}

impl Value for String {
    fn text(&self) -> String {
        self.as_str().text()
    }
}

macro_rules! displayed {
    ($($t:ty),+) => { $(impl Value for $t {
        fn text(&self) -> String {
            self.to_string()
        }
    })+ };
}
displayed!(i32, f64, bool, NaiveDateTime, chrono::NaiveDate);

/// Copies rows into a table's named columns.
pub fn copy(
    client: &mut Client,
    table: &str,
    columns: &str,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<()> {
    let mut to = client.copy_in(&format!("COPY {table} ({columns}) FROM STDIN"))?;
    for row in rows {
        writeln!(to, "{}", row.join("\t"))?;
    }
    to.finish()?;
    Ok(())
}
