//! Showing SQL and what it answers, as psql would.

use anyhow::Result;
use postgres::{Client, SimpleQueryMessage};

/// The widest a column may get before its text is cut.
const WIDEST: usize = 60;

/// Runs a query and prints it with its rows. Answers with the rows as text.
pub fn query(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>> {
    println!("{}", indent(sql));
    let rows = fetch(client, sql)?;
    print_table(&rows);
    Ok(rows.into_iter().skip(1).collect())
}

/// The same without a word.
pub fn quietly(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>> {
    Ok(fetch(client, sql)?.into_iter().skip(1).collect())
}

/// One row, its columns below one another.
pub fn query_expanded(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>> {
    println!("{}", indent(sql));
    let rows = fetch(client, sql)?;
    let Some((names, answers)) = rows.split_first() else { return Ok(Vec::new()) };
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for row in answers {
        for (name, value) in names.iter().zip(row).filter(|(_, v)| !v.is_empty()) {
            println!("    {name:width$}  {value}");
        }
        println!();
    }
    Ok(answers.to_vec())
}

fn fetch(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for message in client.simple_query(sql)? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                rows = vec![columns.iter().map(|c| c.name().to_owned()).collect()];
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|i| row.get(i).unwrap_or_default().to_owned()).collect());
            }
            _ => {}
        }
    }
    Ok(rows)
}

fn indent(sql: &str) -> String {
    let mut text = String::from("  > ");
    text.push_str(&sql.trim().replace('\n', "\n    "));
    text.push(';');
    text
}

fn print_table(rows: &[Vec<String>]) {
    let cut = |value: &str| -> String {
        if value.chars().count() <= WIDEST {
            return value.to_owned();
        }
        value.chars().take(WIDEST - 1).chain(['…']).collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|v| cut(v)).collect()).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|v| v.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (n, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(value, width)| {
            let numeric = n > 0 && value.parse::<f64>().is_ok();
            if numeric { format!("{value:>width$}") } else { format!("{value:width$}") }
        });
        println!("    {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        if n == 0 {
            println!("    {}", widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  "));
        }
    }
    println!();
}
