//! What one would otherwise run, on the same rows in the same run. Results must equal the batch's.

use super::Night;
use super::processes::{self, Cost, in_server};
use super::report::Report;
use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::Command;

const EXPIRED: &str = include_str!("expired.sql");
const TOGETHER: &str = include_str!("together.sql");
const PROGRAM: &str = include_str!("rivals.py");
/// One contact in so many is in the self-join, unless --slow.
const SAMPLE: u32 = 20;

/// The contacts that the self-join in SQL went over, what it counted and how long it took.
struct Sample {
    every: u32,
    named: String,
    counted: String,
    seconds: f64,
}

/// A set of contacts, independent of its order.
const OF_CONTACTS: &str = "count(*), sum(id), bit_xor((id * 2654435761) % 4294967291)";
/// Counted pairs, independent of their order. As `sums` in rivals.py.
const OF_PAIRS: &str =
    "count(*), sum(n), sum((a::bigint * 2333 + b) * n), bit_xor((a::bigint * 2333 + b) * n)";

pub fn measure(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<()> {
    // As a careful hand would: enough memory, and the faster of two plans.
    client.batch_execute("SET work_mem = '1GB'")?;
    report.section("retention, who has expired");
    let (sql, expired) = retention(night, client, report)?;
    report.section("similarity, who bought both");
    let counted = batch_pairs(client)?;
    let sample = self_join(night, client, report)?;
    kernel(night, client, report, sample.seconds)?;
    client.batch_execute("RESET work_mem")?;
    let Some(packages) = night.settings.python.as_deref().filter(|p| p.join("numpy").is_dir()) else {
        report.fact("results", format!("retention: the batch and SQL find the same contacts ({expired})"));
        report.fact("SKIPPED", "DuckDB, scipy and implicit: their Python packages could not be had");
        return Ok(());
    };
    let midnight = export(night, client, report)?;
    let duckdb = python(night, packages, "duckdb", midnight, sample.every)?;
    let part = |from: &(Cost, Value), name: &str| Cost {
        wall: from.1[name].as_f64().unwrap_or(f64::NAN),
        ..Cost::default()
    };
    let whole = |from: &(Cost, Value)| {
        let (c, version) = (&from.0, from.1["version"].as_str().unwrap_or("?"));
        format!(
            "version {version}; its whole run {:.1} s wall, {:.1} s CPU, {:.0} MiB",
            c.wall, c.cpu, c.memory
        )
    };
    let events = night.contacts() * 8.0;
    report.row("duckdb_load", "DuckDB reads the CSV", &part(&duckdb, "load"), events, whole(&duckdb));
    let cost = part(&duckdb, "retention");
    report.compared("duckdb_retention", "DuckDB, retention", &cost, events, Some(sql), "");
    ensure!(duckdb.1["expired"] == expired.as_str(), "DuckDB finds others expired: {}", duckdb.1["expired"]);
    let pairs = duckdb.1["pairs"].as_f64().unwrap_or(0.0);
    report.fact("distinct pairs", format!("{pairs:.0} of contact and category, at the larger sender"));
    report.row("duckdb_distinct", "DuckDB, removing duplicates", &part(&duckdb, "distinct"), events, "");
    report.row("duckdb_together", "DuckDB, self-join", &part(&duckdb, "together"), pairs, "");
    same_pairs("DuckDB", &duckdb.1, &counted)?;
    let (theirs, ours) = (&duckdb.1["sample"], sample.counted.as_str());
    ensure!(*theirs == ours, "on {} SQL counts {ours}, DuckDB {theirs}", sample.named);
    let scipy = python(night, packages, "scipy", midnight, sample.every)?;
    report.row("scipy_together", "scipy, X'X", &part(&scipy, "together"), pairs, whole(&scipy));
    same_pairs("scipy", &scipy.1, &counted)?;
    ensure!(scipy.1["all_pairs"] == duckdb.1["all_pairs"], "scipy and DuckDB count pairs differently");
    let implicit = python(night, packages, "implicit", midnight, sample.every)?;
    let cost = part(&implicit, "together");
    report.row("implicit_together", "implicit, 20 nearest of each", &cost, pairs, whole(&implicit));
    ensure!(implicit.1["same_top"] == true, "implicit's highest counts are not those of X'X");
    report.fact(
        "results",
        format!(
            "retention: the batch, SQL and DuckDB find the same contacts ({expired}); co-occurrence: the batch, DuckDB and scipy \
             count the same ({counted}), SQL and DuckDB on {}, implicit's 20 highest counts of each category are scipy's",
            sample.named
        ),
    );
    std::fs::remove_dir_all(&night.settings.scratch).context("removing the exports")?;
    Ok(())
}

fn same_pairs(who: &str, found: &Value, counted: &str) -> Result<()> {
    ensure!(found["checksum"] == counted, "{who} counts {}, the batch {counted}", found["checksum"]);
    Ok(())
}

/// Seconds of the hand-written SQL, and the checksum of the contacts it finds.
fn retention(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<(f64, String)> {
    let query = format!("SELECT concat_ws(' ', {OF_CONTACTS}) FROM ({EXPIRED}) found (id)");
    let mut best = (f64::INFINITY, String::new());
    for (workers, name) in [(0, "hand-written SQL, serial plan"), (2, "hand-written SQL, 2 workers")] {
        client.batch_execute(&format!("SET max_parallel_workers_per_gather = {workers}"))?;
        let (cost, sum) =
            in_server(night.postmaster, || Ok(client.query_one(&query, &[])?.get::<_, String>(0)))?;
        report.row(&format!("sql_retention_{workers}"), name, &cost, night.contacts(), "");
        if cost.wall < best.0 {
            best = (cost.wall, sum);
        }
    }
    client.batch_execute("RESET max_parallel_workers_per_gather")?;
    // Ends lie between 8 and 19 o'clock; what ended today is left out on both sides.
    let found: String = client
        .query_one(
            &format!(
                "SELECT concat_ws(' ', {OF_CONTACTS})
                   FROM (SELECT DISTINCT r.contact_id FROM consent_data.retention_action r
                           JOIN consent_data.sender s USING (sender_id) WHERE r.stage = 'expired' AND s.name = 'shop'
                            AND r.ends_at <= date_trunc('day', now())) x (id)"
            ),
            &[],
        )?
        .get(0);
    let full =
        if night.knows("retention", "--full") { vec!["retention", "--full"] } else { vec!["retention"] };
    let cost = night.batch(&full)?;
    let name = "consent-batch, full pass, nothing written";
    report.compared("retention_dry", name, &cost, night.contacts(), Some(best.0), "");
    ensure!(found == best.1, "retention: the batch finds {found}, hand-written SQL {}", best.1);
    Ok(best)
}

/// The batch's own counts, of the pairs it stores.
fn batch_pairs(client: &mut Client) -> Result<String> {
    Ok(client
        .query_one(
            &format!(
                "SELECT concat_ws(' ', {OF_PAIRS})
                   FROM (SELECT category_a AS a, category_b AS b, buyers_both AS n FROM consent_data.similarity
                           JOIN consent_data.sender s USING (sender_id)
                          WHERE version = (SELECT similarity_version FROM consent_data.setting) AND s.name = 'shop'
                            AND buyers_both > 0) x"
            ),
            &[],
        )?
        .get(0))
}

/// What the batch's last scoring took to count pairs, of that alone; nothing where it does not say.
fn kernel(night: &Night<'_>, client: &mut Client, report: &mut Report, self_join: f64) -> Result<()> {
    let figures: Value = client
        .query_one(
            "SELECT figures FROM consent_data.run WHERE step = 'rescore' ORDER BY run_id DESC LIMIT 1",
            &[],
        )?
        .get(0);
    let Some(seconds) = figures["seconds"]["counting"].as_f64() else { return Ok(()) };
    let cost = Cost { wall: seconds, ..Cost::default() };
    let name = "consent-batch, counting, all contacts";
    let pairs = figures["bought"].as_f64().unwrap_or(0.0);
    let aim = format!("aim {:.2} s", night.contacts() / 5e6);
    let baseline = night.settings.slow.then_some(self_join);
    report.compared("kernel", name, &cost, pairs, baseline, aim);
    Ok(())
}

/// Counts by a self-join in SQL.
fn self_join(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<Sample> {
    let every = if night.settings.slow { 1 } else { SAMPLE };
    let sample = if every == 1 { "all contacts".into() } else { format!("one contact in {every}") };
    client.batch_execute("DROP TABLE IF EXISTS bought")?;
    let make = format!(
        "CREATE TEMP TABLE bought AS SELECT DISTINCT customer, category FROM crm.sale WHERE company = 1 AND customer % {every} = 0"
    );
    let (distinct, ()) = in_server(night.postmaster, || Ok(client.batch_execute(&make)?))?;
    client.batch_execute("ANALYZE bought")?;
    report.row("sql_distinct", &format!("SQL, removing duplicates, {sample}"), &distinct, 0.0, "");
    let query = format!("SELECT concat_ws(' ', {OF_PAIRS}) FROM ({TOGETHER}) x");
    let (cost, counted) =
        in_server(night.postmaster, || Ok(client.query_one(&query, &[])?.get::<_, String>(0)))?;
    let note =
        if every == 1 { String::new() } else { format!("all of it would take about {every} times that") };
    report.row("sql_together", &format!("SQL, self-join, {sample}"), &cost, 0.0, note);
    let sample = Sample { every, named: sample, counted, seconds: cost.wall };
    Ok(sample)
}

/// Writes the tables as CSV, and answers with the midnight everything is judged at.
fn export(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<i64> {
    let folder = night.scratch()?.to_owned();
    let epoch = "extract(epoch FROM at)::bigint";
    let department = "(WITH RECURSIVE up AS (SELECT id, id AS top, parent FROM crm.category
                         UNION ALL SELECT up.id, c.id, c.parent FROM up JOIN crm.category c ON c.id = up.parent)
                       SELECT up.id, up.top, c.sensitive::integer FROM up JOIN crm.category c USING (id) WHERE up.parent IS NULL)";
    let (cost, bytes) = in_server(night.postmaster, || {
        let mut bytes = 0;
        for (name, query) in [
            ("customer", "(SELECT id, country, address_kind FROM crm.customer)".to_owned()),
            ("sale", format!("(SELECT customer, category, company, {epoch} FROM crm.sale)")),
            ("engagement", format!("(SELECT customer, kind, machine::integer, {epoch} FROM crm.engagement)")),
            ("answer", format!("(SELECT customer, kind, {epoch} FROM crm.answer)")),
            ("rule", "(SELECT country, years FROM crm.retention_rule)".to_owned()),
            ("category", department.to_owned()),
        ] {
            let mut reader = client.copy_out(&format!("COPY {query} TO STDOUT (FORMAT csv)"))?;
            bytes += std::io::copy(&mut reader, &mut File::create(folder.join(format!("{name}.csv")))?)?;
        }
        Ok(bytes)
    })?;
    let note = format!("{:.0} MiB; for the three below", bytes as f64 / 1048576.0);
    report.row("export", "export as CSV", &cost, night.contacts() * 8.0, note);
    Ok(client.query_one("SELECT extract(epoch FROM date_trunc('day', now()))::bigint", &[])?.get(0))
}

fn python(night: &Night<'_>, packages: &Path, who: &str, midnight: i64, every: u32) -> Result<(Cost, Value)> {
    let folder = night.scratch()?;
    let program = folder.join("rivals.py");
    std::fs::write(&program, PROGRAM)?;
    let mut command = Command::new("python3");
    command
        .arg(&program)
        .arg(who)
        .arg(folder)
        .args([midnight.to_string(), every.to_string()])
        .env("PYTHONPATH", packages);
    // implicit warns that a BLAS with threads of its own would slow it down.
    command.env("OPENBLAS_NUM_THREADS", "1");
    let cost = processes::run(&mut command, night.postmaster)?;
    ensure!(cost.code == 0, "rivals.py {who} ended with {}", cost.code);
    let line = cost.out.lines().last().unwrap_or_default();
    let figures = serde_json::from_str(line).with_context(|| format!("rivals.py {who} said: {line}"))?;
    Ok((cost, figures))
}
