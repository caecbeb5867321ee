//! Questions about everybody: each query runs in turn, round after round, so that a slow moment of the machine
//! hits all alike.

use super::report::Report;
use super::{ASKED, Settings, median, say};
use anyhow::{Context, Result};
use postgres::Client;
use std::time::Instant;

struct Scan {
    id: &'static str,
    name: &'static str,
    sql: String,
    times: Vec<f64>,
    count: i64,
}

impl Scan {
    fn new(id: &'static str, name: &'static str, sql: impl Into<String>) -> Scan {
        Scan { id, name, sql: sql.into(), times: Vec::new(), count: 0 }
    }
}

/// The first is what the others are compared with.
fn scans(with_slow: bool) -> Vec<Scan> {
    let mut scans = vec![
        Scan::new("flag", "flag column", "SELECT count(*) FROM crm.customer WHERE newsletter_ok"),
        // Of the column: count(*) could be answered from the index.
        Scan::new("states", "count(state)", "SELECT count(state) FROM consent_data.contact_state"),
        Scan::new(
            "operator",
            "state @@ question",
            format!(
                "SELECT count(*) FROM consent_data.contact_state \
                  WHERE state OPERATOR(consent.@@) (SELECT consent.question({ASKED}))"
            ),
        ),
        Scan::new("audience", "audience()", format!("SELECT count(*) FROM consent.audience({ASKED})")),
        Scan::new(
            "join",
            "customer JOIN audience()",
            format!(
                "SELECT count(c.email) FROM crm.customer c \
                   JOIN consent.audience({ASKED}) a ON a.contact_id = c.id"
            ),
        ),
        Scan::new(
            "in",
            "customer WHERE id IN (audience())",
            format!(
                "SELECT count(c.email) FROM crm.customer c \
                  WHERE c.id IN (SELECT contact_id FROM consent.audience({ASKED}))"
            ),
        ),
        Scan::new("rule_exists", "hand-written rule, EXISTS", include_str!("rule_exists.sql")),
        Scan::new("rule_joins", "hand-written rule, set-based", include_str!("rule_joins.sql")),
    ];
    if with_slow {
        scans.push(Scan::new(
            "can_send",
            "customer sample WHERE can_send()",
            format!("SELECT count(*) FROM crm.sample c WHERE consent.can_send(c.id, {ASKED})"),
        ));
    }
    scans
}

pub fn measure(client: &mut Client, settings: &Settings, report: &mut Report) -> Result<()> {
    say("scans, serial");
    report.section("serial");
    round(client, settings, report, "", true)?;
    say("scans, two workers");
    // As many workers as asked for, also with few contacts.
    client.batch_execute(
        "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0.01; \
         SET min_parallel_table_scan_size = 0",
    )?;
    for table in ["crm.customer", "crm.sale", "crm.consent_event", "consent_data.contact_state"] {
        client.batch_execute(&format!("ALTER TABLE {table} SET (parallel_workers = 2)"))?;
    }
    report.section("two workers");
    round(client, settings, report, "parallel_", false)?;
    client.batch_execute("RESET ALL")?;
    Ok(())
}

fn round(
    client: &mut Client,
    settings: &Settings,
    report: &mut Report,
    prefix: &str,
    serial: bool,
) -> Result<()> {
    let mut scans = scans(serial);
    for n in 0..=settings.runs {
        for scan in &mut scans {
            let started = Instant::now();
            let row = client.query_one(scan.sql.as_str(), &[]).with_context(|| scan.name)?;
            let ms = started.elapsed().as_secs_f64() * 1e3;
            scan.count = row.get(0);
            // The first round only warms up.
            if n > 0 {
                scan.times.push(ms);
            }
        }
    }
    let customers: i64 = client.query_one("SELECT count(*) FROM crm.customer", &[])?.get(0);
    let sample: i64 = client.query_one("SELECT count(*) FROM crm.sample", &[])?.get(0);
    let (mut flag, mut yes) = (f64::NAN, 0);
    for scan in scans {
        let ms = median(scan.times);
        if scan.id == "flag" {
            (flag, yes) = (ms, scan.count);
        }
        let is_sample = scan.id == "can_send";
        let rows = if is_sample { sample } else { customers } as f64;
        let ratio = (ms / rows) / (flag / customers as f64);
        let mut note = format!("{:.3} µs/row", ms * 1e3 / rows);
        if is_sample {
            note += &format!("; ratio per row, {sample} rows in random order");
        }
        if !is_sample && scan.id != "states" && scan.count != yes {
            note += &format!("; {:+} of {yes} answers", scan.count - yes);
        }
        let plan = explain(client, &scan.sql, "")?;
        if !serial && !plan.contains("Workers Planned: 2") {
            note += "; plan is serial";
        }
        report.scan(&format!("{prefix}{}", scan.id), scan.name, ms, ratio, note);
        if settings.explain {
            let plan = explain(client, &scan.sql, "(ANALYZE, BUFFERS)")?;
            println!("\n-- {prefix}{}\n{}\n{plan}", scan.id, scan.sql.trim());
        }
    }
    Ok(())
}

fn explain(client: &mut Client, sql: &str, options: &str) -> Result<String> {
    let rows = client.query(&format!("EXPLAIN {options} {sql}"), &[])?;
    Ok(rows.iter().map(|r| r.get::<_, String>(0)).collect::<Vec<_>>().join("\n"))
}
