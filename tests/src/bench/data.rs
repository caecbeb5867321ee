//! The data: a CRM, bound and folded; and the flag column with exactly the answers that the gate gives.

use super::report::Report;
use super::{ASKED, Settings, say, seconds};
use anyhow::Result;
use postgres::Client;
use std::time::Instant;

const CRM: &str = include_str!("crm.sql");
const BINDINGS: &str = include_str!("bind.sql");
/// What the batch writes in one transaction.
const STRETCH: i64 = 50_000;

pub fn build(client: &mut Client, settings: &Settings, report: &mut Report) -> Result<()> {
    let contacts = settings.contacts;
    say(&format!("making {contacts} customers"));
    client.batch_execute(&format!("SET bench.contacts = '{contacts}'"))?;
    statements(client, CRM)?;
    say("binding them");
    statements(client, BINDINGS)?;
    for (what, name) in [("all new", "refold_new"), ("nothing changed", "refold_same")] {
        say(&format!("refold, {what}"));
        refold(client, contacts, what, name, report)?;
    }
    say("vacuum; the flag column");
    for table in ["event", "contact_state", "contact_address", "address"] {
        client.batch_execute(&format!("VACUUM ANALYZE consent_data.{table}"))?;
    }
    client.batch_execute(&format!(
        "UPDATE crm.customer c SET newsletter_ok = true FROM consent.audience({ASKED}) a WHERE a.contact_id = c.id"
    ))?;
    // Rewritten, so that the scan of the flag does not pay for the update's dead rows, and in the order of the
    // keys: with all the yes at the end the processor would predict each answer.
    client.batch_execute("CLUSTER crm.customer USING customer_pkey")?;
    client.batch_execute("VACUUM ANALYZE crm.customer")?;
    client.batch_execute(
        "CREATE TABLE crm.sample AS SELECT id FROM crm.customer \
          WHERE crm.u(id, 77) < 100000.0 / current_setting('bench.contacts')::float8 ORDER BY crm.u(id, 78)",
    )?;
    client.batch_execute("VACUUM ANALYZE crm.sample")?;
    client.batch_execute("CHECKPOINT")?;
    describe(client, report)
}

/// One statement at a time: VACUUM can't run in the transaction that a batch is.
fn statements(client: &mut Client, sql: &str) -> Result<()> {
    let code: Vec<&str> = sql.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
    for statement in code.join("\n").split(";\n").filter(|s| !s.trim().is_empty()) {
        client.batch_execute(statement)?;
    }
    Ok(())
}

fn refold(client: &mut Client, contacts: u32, what: &str, name: &str, report: &mut Report) -> Result<()> {
    let addresses = seconds(client, "SELECT consent._refold_addresses()")?;
    let started = Instant::now();
    let folded: i64 = client.query_one("SELECT consent._refold_fold()", &[])?.get(0);
    let fold = started.elapsed().as_secs_f64();
    let apply = client.prepare("SELECT consent._refold_apply($1, $2)")?;
    let started = Instant::now();
    for first in (1..=folded).step_by(STRETCH as usize) {
        client.query(&apply, &[&first, &(first + STRETCH - 1)])?;
    }
    let apply = started.elapsed().as_secs_f64();
    let all = addresses + fold + apply;
    let note = format!(
        "{:.0} contacts/s: addresses {addresses:.1}, fold {fold:.1}, apply {apply:.1} s",
        f64::from(contacts) / all
    );
    report.other(name, &format!("refold of everything, {what}"), all, "s", note);
    report.figure(&format!("{name}_addresses_s"), addresses);
    report.figure(&format!("{name}_fold_s"), fold);
    report.figure(&format!("{name}_apply_s"), apply);
    Ok(())
}

fn describe(client: &mut Client, report: &mut Report) -> Result<()> {
    let row = client.query_one(
        "SELECT (SELECT count(*) FROM crm.customer), (SELECT count(*) FROM crm.sale), \
                (SELECT count(*) FROM consent_data.event), count(*), avg(pg_column_size(state))::float8, \
                percentile_disc(0.99) WITHIN GROUP (ORDER BY pg_column_size(state)), max(pg_column_size(state)), \
                (SELECT count(*) FROM crm.customer WHERE newsletter_ok) \
           FROM consent_data.contact_state",
        &[],
    )?;
    let (customers, sales, events, states): (i64, i64, i64, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let (size, nearly_all, largest): (f64, i32, i32) = (row.get(4), row.get(5), row.get(6));
    let yes = row.get::<_, i64>(7) as f64 / customers as f64;
    report.fact("data", format!("{customers} contacts, {sales} sales, {events} ledger events"));
    let sizes = format!("{states}; {size:.0} bytes on average, 99 % under {nearly_all}, largest {largest}");
    report.fact("states", sizes);
    report.fact("yes-rate", format!("{:.1} %", 100.0 * yes));
    report.figure("contacts", customers as f64);
    report.figure("state_bytes", size);
    report.figure("yes_rate", yes);
    Ok(())
}
