//! The README's SQL is executed: a document that lies about a command costs its reader an hour.
#![allow(clippy::unwrap_used, clippy::panic)]

use pg_consent_tests::cluster::{Cluster, Options};

const README: &str = include_str!("../../README.md");

/// The SQL blocks of a document, in its order.
fn sql_blocks(document: &str) -> Vec<&str> {
    document.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(sql, _)| sql)).collect()
}

#[test]
fn no_sql_of_the_readme_fails() {
    let blocks = sql_blocks(README);
    assert!(blocks.len() >= 8, "{} blocks", blocks.len());
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    for block in blocks {
        client.batch_execute(block).unwrap_or_else(|e| panic!("{e:?} in:\n{block}"));
    }
    let answers =
        "SELECT consent.can_send(41, 'newsletter', 'shoes'), consent.can_send(43, 'newsletter', 'shoes'),
                          consent.can_send(41, 'order_confirmation')";
    let row = client.query_one(answers, &[]).unwrap();
    let answers: [bool; 3] = [0, 1, 2].map(|i| row.get(i));
    assert_eq!(answers, [false, false, true], "what the README's comments say");
}
