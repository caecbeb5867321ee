//! One run: the lock, the steps in turn, and their record.

use crate::arguments::{Arguments, Step, When};
use crate::connection::Database;
use crate::failure::with_hint;
use crate::pace::{self, Interrupted};
use crate::record::{self, Night};
use crate::report::Report;
use crate::{
    lock, page, refold, replay, rescore, retention, seal, shell, simulate, status, steps, summary, verify,
};
use anyhow::{Context, Result, anyhow};
use postgres::Client;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// A guard stopped the run before it did damage, or differences were found.
    Findings,
    /// Another run holds the lock.
    Busy,
    /// Asked to stop, by this signal.
    Interrupted(i32),
}

impl Outcome {
    pub const fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Findings => 2,
            Outcome::Busy => 3,
            // As a shell reports who ended by it: a night that was stopped is no night done.
            Outcome::Interrupted(signal) => 128 + signal as u8,
        }
    }
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

pub fn run(arguments: &Arguments) -> Result<Outcome> {
    match &arguments.step {
        Step::Completions(options) => return shell::completions(options),
        Step::Man => return shell::manual(),
        _ => {}
    }
    if arguments.threads > 0 {
        rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global()?;
    }
    let report = Report::new(arguments);
    report.pace.listen()?;
    match with_database(arguments, &report) {
        Err(e) => match e.downcast_ref::<Interrupted>() {
            Some(by @ Interrupted(signal)) => {
                report.warn(&format!("{e}: {by}"), &json!({"event": "stopped", "by": by.to_string()}));
                Ok(Outcome::Interrupted(*signal))
            }
            None => Err(e),
        },
        other => other,
    }
}

fn with_database(arguments: &Arguments, report: &Report) -> Result<Outcome> {
    let database = Arc::new(Database::new(arguments)?);
    database.cancel_when_stopped();
    for warning in database.warnings() {
        report.warn(warning, &json!({"event": "connecting", "message": warning}));
    }
    let mut client = database.connect()?;
    if matches!(arguments.step, Step::Status) {
        return status::status(&mut client, report);
    }
    if let Step::Simulate(options) = &arguments.step {
        return simulate::simulate(&database, options, report);
    }
    if let Step::Replay(options) = &arguments.step {
        return replay::replay(&database, options, report);
    }
    if !lock::take(&mut client, arguments, report)? {
        let holder = lock::holder(&mut client)?;
        report.warn(&holder, &json!({"event": "busy", "message": holder}));
        return Ok(Outcome::Busy);
    }
    let outcome = locked(&mut client, &database, arguments, report);
    lock::release(&mut client);
    outcome
}

fn locked(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
) -> Result<Outcome> {
    record::mark_killed(client, arguments, report).map_err(|e| {
        with_hint(e, "Is pg_consent set up in this database, and the role a member of consent_batch?")
    })?;
    let Step::Nightly { resume, .. } = &arguments.step else {
        return all_steps(client, database, arguments, report, &Night::default());
    };
    let night = record::begin_night(client, arguments, resume.resume == When::Auto)?;
    if !night.done.is_empty() {
        let done = night.done.join(", ");
        report.line(
            &format!("going on with the night that was broken off; done already: {done}"),
            &json!({"event": "resumed", "step": "nightly", "done": night.done}),
        );
    }
    let result = all_steps(client, database, arguments, report, &night);
    let word = match &result {
        Ok(outcome) => record::word(&Ok(Finding { outcome: *outcome, figures: Value::Null })),
        Err(e) if e.is::<Interrupted>() => "stopped",
        Err(_) => "failed",
    };
    let recorded = record::end(client, night.run_id, word, &json!({}));
    // A connection that broke fails here once more; what broke it says more.
    let outcome = result?;
    recorded?;
    Ok(outcome)
}

fn all_steps(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
    night: &Night,
) -> Result<Outcome> {
    let mut worst = Outcome::Done;
    for step in steps(&arguments.step) {
        if night.done.iter().any(|done| done == step.name()) {
            continue;
        }
        report.pace.between_chunks(0)?;
        match recorded(client, database, arguments, report, &step, night)? {
            Outcome::Done => {}
            // No step rests on one that a guard stopped: too many to retire keeps nobody from sealing, nor an open transaction
            // from counting.
            Outcome::Findings => worst = Outcome::Findings,
            stopped => return Ok(stopped),
        }
    }
    Ok(worst)
}

fn recorded(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
    step: &Step,
    night: &Night,
) -> Result<Outcome> {
    let name = step.name();
    if record::is_idle(client, step)? {
        report.summary(name, "done", &json!({"contacts": 0}));
        return Ok(Outcome::Done);
    }
    report.line(&format!("{name}: begun"), &json!({"event": "begin", "step": name}));
    let known = night.chain.map_or(json!({}), |chain| json!({"night": chain}));
    let id = record::begin(client, arguments, name, &known)?;
    let result =
        one_step(client, database, arguments, report, step, id.unwrap_or_default()).map_err(pace::reason);
    let word = record::word(&result);
    let nothing = json!({});
    let figures = result.as_ref().map_or(&nothing, |finding| &finding.figures);
    // A step may have left the session in the middle of a transaction that failed.
    let recorded = record::end(client, id, word, figures);
    if let Err(e) = &result
        && e.is::<Interrupted>()
    {
        report.summary(name, word, &nothing);
    }
    let finding = result.context(name)?;
    recorded?;
    report.summary(name, word, &finding.figures);
    Ok(finding.outcome)
}

fn one_step(
    client: &mut Client,
    database: &Database,
    arguments: &Arguments,
    report: &Report,
    step: &Step,
    run_id: i64,
) -> Result<Finding> {
    match step {
        Step::Refold(options) => refold::run(client, options, arguments, report),
        Step::Verify(options) if options.seals => {
            seal::verify(database, options.against.as_deref(), options.list.unwrap_or(1_000), report)
        }
        Step::Verify(options) => verify::verify(database, options, report),
        Step::Rescore(options) => rescore::rescore(client, database, arguments, options, report),
        Step::Retention(options) => {
            retention::retention(client, database, arguments, options, run_id, report)
        }
        Step::Seal(options) => seal::seal(client, database, arguments, options, report),
        Step::Summarise => summary::summarise(client, database, run_id, arguments.dry_run, report),
        Step::Report(options) => page::page(database, options, arguments.dry_run, report),
        Step::Nightly { .. }
        | Step::Simulate(_)
        | Step::Replay(_)
        | Step::Status
        | Step::Completions(_)
        | Step::Man => Err(anyhow!("`{}` is no step of a run", step.name())),
    }
}
