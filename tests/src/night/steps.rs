//! The night's steps, as the batch takes them.

use super::Night;
use super::processes::Cost;
use super::report::Report;
use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::Value;

/// The aim for 5 million contacts, in seconds and MiB.
const WHOLE_NIGHT: f64 = 20.0;
const MEMORY: f64 = 1536.0;

/// The first whole fold, scores and stages: what an installation pays once.
pub fn first(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<()> {
    report.section("the first night");
    step(night, client, report, "refold_first", "refold, everything new", &["refold"])?;
    for table in ["event", "contact_state", "contact_address", "address", "contact_overflow"] {
        client.batch_execute(&format!("VACUUM (ANALYZE) consent_data.{table}"))?;
    }
    client.batch_execute("CHECKPOINT")?;
    let row = client.query_one(
        "SELECT count(*), avg(pg_column_size(state))::float8, max(pg_column_size(state)),
                pg_table_size('consent_data.contact_state') / 1048576.0::float8,
                (SELECT count(*) FROM consent_data.contact_overflow), (SELECT count(*) FROM consent_data.event)
           FROM consent_data.contact_state",
        &[],
    )?;
    let (states, size, largest): (i64, f64, i32) = (row.get(0), row.get(1), row.get(2));
    let (table, overflow, ledger): (f64, i64, i64) = (row.get(3), row.get(4), row.get(5));
    report.figure("states", states as f64);
    report.figure("state_bytes", size);
    report.fact(
        "states",
        format!(
            "{states} of {size:.0} bytes on average, {largest} at most, {table:.0} MiB with the table; {overflow} overflow; \
             {ledger} ledger events"
        ),
    );
    step(
        night,
        client,
        report,
        "rescore_first",
        "rescore, first version",
        &["rescore", "--eligible", "0.1"],
    )?;
    let arguments = ["retention", "--apply", "--force"];
    step(night, client, report, "retention_first", "retention, all stages new", &arguments)?;
    client.batch_execute("VACUUM (ANALYZE) consent_data.retention_action")?;
    step(night, client, report, "seal_first", "seal, the whole ledger", &["seal"])?;
    step(night, client, report, "summarise_first", "summarise", &["summarise"])?;
    Ok(())
}

/// A night as all others: few contacts noted, few stages new. Answers with the whole night's wall time.
pub fn warm(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<f64> {
    report.section("a warm night");
    let noted = note(night, client, 1)?;
    let name = format!("refold --pending, {noted:.0} contacts");
    step(night, client, report, "pending", &name, &["refold", "--pending"])?;
    step(night, client, report, "rescore", "rescore", &["rescore"])?;
    if night.knows("retention", "--full") {
        step(
            night,
            client,
            report,
            "retention_full",
            "retention, full",
            &["retention", "--apply", "--full"],
        )?;
    }
    step(night, client, report, "retention", "retention", &["retention", "--apply"])?;
    if night.settings.refold {
        step(night, client, report, "refold", "refold, next to nothing changed", &["refold"])?;
    }
    note(night, client, 2)?;
    let cost = step(night, client, report, "nightly", "nightly, all of it", &["nightly", "--apply"])?;
    let share = night.contacts() / 5e6;
    report.fact(
        "whole night",
        format!(
            "{:.1} s (aim {:.1} s: 20 s for 5 million), peak {:.0} MiB of the batch (aim {MEMORY:.0})",
            cost.wall,
            WHOLE_NIGHT * share,
            cost.memory
        ),
    );
    let still: i64 = client.query_one("SELECT count(*) FROM consent_data.pending", &[])?.get(0);
    ensure!(still == 0, "{still} contacts are still noted after the night");
    let again =
        step(night, client, report, "nightly_again", "nightly, nothing new", &["nightly", "--apply"])?;
    report.figure("again_ratio", again.wall / cost.wall);
    Ok(cost.wall)
}

/// Has so many contacts buy something; the CRM's triggers note them.
fn note(night: &Night<'_>, client: &mut Client, round: i64) -> Result<f64> {
    let n = night.settings.noted.min(night.settings.contacts / 3);
    let every = i64::from(night.settings.contacts / n);
    client.execute(
        "INSERT INTO crm.sale (customer, category, company, opt_out_offered, at)
         SELECT id, 333 + (id % 2000)::integer, 1, true, date_trunc('day', now()) - interval '12 hours'
           FROM crm.customer WHERE id % $1 = $2 % $1",
        &[&every, &round],
    )?;
    let noted: i64 =
        client.query_one("SELECT count(DISTINCT contact_id) FROM consent_data.pending", &[])?.get(0);
    ensure!(noted > 0, "the triggers noted nobody");
    Ok(noted as f64)
}

/// One call of the batch, and a line for each of its steps that says what it found.
fn step(
    night: &Night<'_>,
    client: &mut Client,
    report: &mut Report,
    id: &str,
    name: &str,
    arguments: &[&str],
) -> Result<Cost> {
    let before: i64 = client.query_one("SELECT coalesce(max(run_id), 0) FROM consent_data.run", &[])?.get(0);
    let cost = night.batch(arguments)?;
    let runs = client.query(
        "SELECT step, extract(epoch FROM finished_at - started_at)::float8, figures FROM consent_data.run
          WHERE run_id > $1 ORDER BY run_id",
        &[&before],
    )?;
    let one = runs.len() == 1;
    let note = runs.first().filter(|_| one).map_or_else(String::new, |r| described(&r.get(2)));
    // A drain looks at those who are noted, everything else at everybody.
    let rows =
        runs.first().filter(|_| id == "pending").and_then(|r| r.get::<_, Value>(2)["contacts"].as_f64());
    report.row(id, name, &cost, rows.unwrap_or(night.contacts()), note);
    for r in runs.iter().filter(|_| !one) {
        let (step, wall): (String, Option<f64>) = (r.get(0), r.get(1));
        let part = Cost { wall: wall.unwrap_or(0.0), ..Cost::default() };
        let id = format!("{id}_{}", step.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        report.row(&id, &format!("  of that, {step}"), &part, night.contacts(), described(&r.get(2)));
    }
    Ok(cost)
}

/// A step's figures that are plain numbers or text, and the seconds of its parts.
fn described(figures: &Value) -> String {
    let mut all = Vec::new();
    let mut take = |name: &str, value: &Value| match value {
        Value::Number(x) if x.is_i64() => all.push(format!("{} {x}", name.replace('_', " "))),
        Value::Number(x) => {
            all.push(format!("{} {:.3}", name.replace('_', " "), x.as_f64().unwrap_or(f64::NAN)))
        }
        Value::String(text) => all.push(format!("{} {text}", name.replace('_', " "))),
        _ => {}
    };
    for (name, value) in figures.as_object().into_iter().flatten() {
        match value {
            Value::Object(inner) if matches!(name.as_str(), "seconds" | "outcomes") => {
                inner.iter().for_each(|(k, v)| take(&format!("{name} {k}"), v));
            }
            other => take(name, other),
        }
    }
    all.join(", ")
}
