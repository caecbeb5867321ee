//! Refusing in every way there is, and asking afterwards. The CRM is that of `pgbench/setup.sql`.

use postgres::Client;
use std::path::{Path, PathBuf};

/// Ways of refusing of which only the CRM's tables or our functions know; each concerns contact %.
pub const WAYS: &[&str] = &[
    "SELECT consent.opt_out(%::bigint)",
    "SELECT consent.object(%::bigint)",
    "SELECT count(*) FROM consent.opt_out_addresses(ARRAY['C%@Example.org'])",
    "INSERT INTO crm.list (customer, opted_out) VALUES (%, true)",
    "INSERT INTO crm.blacklist (email) VALUES ('\"C\" <c%@example.org>')",
    "UPDATE crm.sale SET kind = 'cancelled' WHERE customer = %",
    "DELETE FROM crm.sale WHERE customer = %",
    "UPDATE crm.customer SET country = NULL WHERE id = %",
    "INSERT INTO crm.sale (customer, at, category, kind, refused) VALUES (%, now(), 'shoes', 'purchase', true)",
];

/// Contacts whom the load scripts leave alone, all of whom may be written to at first.
pub const UNTOUCHED: std::ops::RangeInclusive<i64> = 1_000_001..=1_001_000;

pub fn way(n: usize, contact: i64) -> String {
    WAYS[n % WAYS.len()].replace('%', &contact.to_string())
}

/// The folder of pgbench's scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pgbench")
}

/// Binds the scripts' CRM, watched and folded.
pub fn set_up(client: &mut Client) {
    client.batch_execute(&std::fs::read_to_string(scripts().join("setup.sql")).unwrap()).unwrap();
}

/// By key, and in the audience.
pub fn may(asker: &mut Client, contact: i64) -> [bool; 2] {
    let row = asker
        .query_one(
            "SELECT consent.can_send($1::bigint, 'newsletter', 'shoes'),
                    $1 IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes'))",
            &[&contact],
        )
        .unwrap();
    [row.get(0), row.get(1)]
}

pub fn why(asker: &mut Client, contact: i64) -> String {
    let asked = "SELECT format('%s %s', reason, freshness) FROM consent.explain_send($1::bigint, 'newsletter', 'shoes')";
    asker.query_one(asked, &[&contact]).unwrap().get(0)
}
