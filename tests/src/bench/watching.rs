//! What triggers cost the CRM: the same statements on two tables, one of which is watched.

use super::report::Report;
use super::{median, say, seconds};
use anyhow::Result;
use postgres::Client;
use std::io::Write;
use std::time::Instant;

const SETUP: &str = include_str!("watch.sql");
const SINGLE: usize = 1000;
const BULK: usize = 5;

pub fn measure(client: &mut Client, report: &mut Report) -> Result<()> {
    say("watched tables");
    client.batch_execute(SETUP)?;
    report.section_against("changes of the CRM, watched", "× plain");

    let order = "INSERT INTO crm.{}order (customer, category, at) SELECT id, 42, now() FROM crm.sample OFFSET $n LIMIT 1";
    line(client, report, "watch_insert", "an order, a transaction each", SINGLE, |c, table, n| {
        timed(c, &order.replace("{}", table).replace("$n", &n.to_string()))
    })?;
    let cancel = "UPDATE crm.{}order SET state = 'cancelled' WHERE id = $n";
    line(client, report, "watch_void", "an order voided", SINGLE, |c, table, n| {
        timed(c, &cancel.replace("{}", table).replace("$n", &n.to_string()))
    })?;
    let touch = "UPDATE crm.{}order SET note = 'x' WHERE id = $n";
    line(
        client,
        report,
        "watch_touch",
        "an order changed in what does not matter",
        SINGLE,
        |c, table, n| timed(c, &touch.replace("{}", table).replace("$n", &n.to_string())),
    )?;
    let refuse = "INSERT INTO crm.{}list (customer, opted_out, at) SELECT id, true, now() FROM crm.sample OFFSET $n LIMIT 1";
    line(client, report, "watch_opt_out", "an opt-out in a list, into the ledger", SINGLE, |c, table, n| {
        timed(c, &refuse.replace("{}", table).replace("$n", &n.to_string()))
    })?;
    let bulk =
        "INSERT INTO crm.{}order (customer, category, at) SELECT id, 42, now() FROM crm.sample LIMIT 10000";
    line(client, report, "watch_bulk", "10,000 orders in a statement", BULK, |c, table, _| {
        timed(c, &bulk.replace("{}", table))
    })?;
    let rows = copied_rows(client)?;
    line(client, report, "watch_copy", "COPY of 100,000 orders", BULK, |c, table, _| {
        let started = Instant::now();
        let mut copy = c.copy_in(&format!("COPY crm.{table}order (customer, category, at) FROM STDIN"))?;
        copy.write_all(&rows)?;
        copy.finish()?;
        Ok(started.elapsed().as_secs_f64())
    })?;
    drain(client, report)
}

/// Both tables in turn, so that neither has the warmer machine.
fn line(
    client: &mut Client,
    report: &mut Report,
    id: &str,
    name: &str,
    runs: usize,
    run: impl Fn(&mut Client, &str, usize) -> Result<f64>,
) -> Result<()> {
    let (mut plain, mut watched) = (Vec::new(), Vec::new());
    for n in 1..=runs {
        plain.push(run(client, "plain_", n)?);
        watched.push(run(client, "watched_", n)?);
    }
    let (plain, watched) = (median(plain) * 1e3, median(watched) * 1e3);
    let note =
        if plain < 1.0 { format!("plain {:.0} µs", plain * 1e3) } else { format!("plain {plain:.1} ms") };
    report.scan(id, name, watched, watched / plain, note);
    Ok(())
}

fn timed(client: &mut Client, sql: &str) -> Result<f64> {
    seconds(client, sql)
}

fn copied_rows(client: &mut Client) -> Result<Vec<u8>> {
    let ids = client.query("SELECT id FROM crm.sample", &[])?;
    let mut rows = Vec::new();
    for n in 0..100_000 {
        let id: i64 = ids[n % ids.len()].get(0);
        writeln!(rows, "{id}\t42\t2026-01-15 12:00:00+00")?;
    }
    Ok(rows)
}

/// What is left for the minute that follows.
fn drain(client: &mut Client, report: &mut Report) -> Result<()> {
    client.batch_execute("ANALYZE consent_data.pending, consent_data.event, consent_data.contact_state")?;
    let noted: i64 =
        client.query_one("SELECT count(DISTINCT contact_id) FROM consent_data.pending", &[])?.get(0);
    let (mut folded, started) = (0i64, Instant::now());
    while folded < noted.min(10_000) {
        folded += client.query_one("SELECT consent.refold_pending(5000)", &[])?.get::<_, i64>(0).max(1);
    }
    let us = started.elapsed().as_secs_f64() * 1e6 / folded as f64;
    report.other("drain", "refold_pending(), each contact", us, "µs", format!("of {noted} noted"));
    Ok(())
}
