//! One run: the lock, the steps in turn, and their record in `consent_data.run`.

use crate::arguments::{Arguments, Step};
use crate::connection::Database;
use crate::report::Report;
use crate::{refold, rescore, retention, simulate, status, steps, verify};
use anyhow::{Context, Result};
use postgres::Client;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A guard stopped the run before it did damage, or differences were found.
    Findings,
    /// Another run holds the lock.
    Busy,
}

/// What a step found and did.
pub struct Finding {
    pub outcome: Outcome,
    pub figures: Value,
}

impl Finding {
    pub fn done(figures: Value) -> Finding {
        Finding { outcome: Outcome::Done, figures }
    }
}

/// One run at a time, whoever starts it: an advisory lock under this key ("consent" in ASCII).
const LOCK: i64 = 0x63_6f_6e_73_65_6e_74;

pub fn run(arguments: &Arguments) -> Result<Outcome> {
    if arguments.threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    }
    let report = Report::new(arguments);
    let database = Database::new(arguments)?;
    let mut client = database.connect()?;
    if matches!(arguments.step, Step::Status) {
        return status::status(&mut client, &report);
    }
    if let Step::Simulate(options) = &arguments.step {
        return simulate::simulate(&database, options, &report);
    }
    let locked: bool = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.get(0);
    if !locked {
        eprintln!("error: another run is under way");
        return Ok(Outcome::Busy);
    }
    let outcome = all_steps(&mut client, &database, arguments, &report);
    // The server would let go of it too, but only after we are gone: whoever follows at once must not find it held.
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).ok();
    outcome
}

fn all_steps(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
) -> Result<Outcome> {
    for step in steps(&arguments.step) {
        let outcome = recorded(client, database, arguments, report, &step)?;
        if outcome != Outcome::Done {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Done)
}

fn recorded(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
    step: &Step,
) -> Result<Outcome> {
    let id: i64 = client
        .query_one("INSERT INTO consent_data.run (step) VALUES ($1) RETURNING run_id", &[&step.name()])
        .context("is pg_consent set up in this database, and the role a member of consent_batch?")?
        .get(0);
    let result = match step {
        Step::Refold(options) => refold::run(client, options, arguments, report),
        Step::Verify(options) => verify::verify(database, options, arguments, report),
        Step::Rescore(options) => rescore::rescore(client, database, arguments, options, report),
        Step::Retention(options) => retention::retention(client, database, arguments, options, id, report),
        Step::Nightly { .. } | Step::Simulate(_) | Step::Status => Ok(Finding::done(Value::Null)),
    };
    let (outcome, figures) = match &result {
        Ok(f) if f.outcome == Outcome::Done => ("done", f.figures.clone()),
        Ok(f) => ("findings", f.figures.clone()),
        Err(_) => ("failed", Value::Object(serde_json::Map::new())),
    };
    client.execute(
        "UPDATE consent_data.run SET finished_at = clock_timestamp(), outcome = $2, figures = $3 WHERE run_id = $1",
        &[&id, &outcome, &figures],
    )?;
    let finding = result.with_context(|| step.name())?;
    report.summary(step.name(), outcome, &finding.figures);
    Ok(finding.outcome)
}
