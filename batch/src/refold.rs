//! Refold: states anew, in the server. Differences only are written, by compare-and-set on each row's revision; what
//! changed meanwhile is folded again under its row's lock (see `sql/15_refold.sql`).

use crate::arguments::Arguments;
use crate::connection::{long_statements, retrying, short_statements};
use crate::report::Report;
use crate::run::{Finding, Outcome};
use anyhow::Result;
use clap::{Args, ValueEnum};
use postgres::Client;
use serde_json::{Value, json};

#[derive(Debug, Clone, Default, Args)]
pub struct Refold {
    /// Only the contacts that the CRM's triggers have noted; for every minute.
    #[arg(long)]
    pub pending: bool,
    /// What a night folds; the step alone folds everything.
    #[arg(skip = Mode::Whole)]
    pub mode: Mode,
}

/// The same for a whole night.
#[derive(Debug, Clone, Copy, Default, Args)]
#[group(skip)]
pub struct Nightly {
    /// What to fold: the noted contacts, and everything if the CRM may have changed unseen; or one of the two; or nothing.
    #[arg(long, value_enum, default_value_t)]
    pub refold: Mode,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Everything if a bound view is not watched, stale or broken, or was last folded whole more than a week ago.
    #[default]
    Auto,
    Whole,
    Pending,
    None,
}

/// From this many noted contacts on they are folded in sets, at a tenth of what each costs alone.
const MANY_NOTED: i64 = 500;

pub fn run(client: &mut Client, options: &Refold, arguments: &Arguments, report: &Report) -> Result<Finding> {
    let mode = if options.pending { Mode::Pending } else { options.mode };
    match mode {
        Mode::Whole => whole(client, arguments, report, None),
        Mode::Pending => pending(client, arguments, report),
        Mode::None => Ok(Finding::done(json!({ "mode": "none" }))),
        Mode::Auto => match client.query_one("SELECT consent._refold_due()", &[])?.get(0) {
            Some(why) => whole(client, arguments, report, Some(why)),
            None => pending(client, arguments, report),
        },
    }
}

fn number(client: &mut Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[])?.get(0))
}

/// `why`: what made the night choose it.
fn whole(
    client: &mut Client,
    arguments: &Arguments,
    report: &Report,
    why: Option<String>,
) -> Result<Finding> {
    client.batch_execute(MEMORY)?;
    if arguments.dry_run {
        return compare(client, report);
    }
    let addresses: i64 =
        retrying(|| client.query_one("SELECT consent._refold_addresses()", &[]).map(|row| row.get(0)))?;
    let different: i64 =
        retrying(|| client.query_one("SELECT consent._refold_fold()", &[]).map(|row| row.get(0)))?;
    let drift: Value = client.query_one("SELECT consent._refold_drift()", &[])?.get(0);
    let [added, drifted, removed, refolded] = apply(client, arguments, report, different)?;
    retrying(|| client.execute("SELECT consent._refold_finish()", &[]))?;
    count_yes(client)?;
    say(report, &drift);
    Ok(Finding::done(json!({
        "mode": "whole", "why": why, "contacts": drift["contacts"], "new_addresses": addresses, "added": added,
        "drifted": drifted, "removed": removed, "changed_meanwhile": refolded,
        "findings": drift["findings"], "drift": drift,
    })))
}

/// Sorts and hash tables of a fold; a session's usual 4 MB would go to disk.
const MEMORY: &str = "SET work_mem = '96MB'";

/// What a fold would find different. Nothing is written: addresses are not taken over from the CRM, and the temporary
/// tables are rolled back.
fn compare(client: &mut Client, report: &Report) -> Result<Finding> {
    let mut t = client.build_transaction().read_only(false).start()?;
    t.execute("SELECT consent._refold_fold(dry => true)", &[])?;
    let drift: Value = t.query_one("SELECT consent._refold_drift()", &[])?.get(0);
    t.rollback()?;
    say(report, &drift);
    let outcome = if drift["findings"] == json!(0) { Outcome::Done } else { Outcome::Findings };
    let figures = json!({
        "mode": "whole", "dry_run": true, "contacts": drift["contacts"], "different": drift["different"],
        "findings": drift["findings"], "drift": drift,
    });
    Ok(Finding { outcome, figures })
}

/// A line for each kind of difference, the findings with a few contacts.
fn say(report: &Report, drift: &Value) {
    for (standing, kinds) in drift["kinds"].as_object().into_iter().flatten() {
        for (kind, contacts) in kinds.as_object().into_iter().flatten() {
            report.line(
                &format!("  {:9} {kind:28} {contacts}", standing.replace('_', " ")),
                &json!({"standing": standing, "kind": kind, "contacts": contacts}),
            );
        }
    }
    if drift["findings"] != json!(0) {
        let examples = &drift["found_in"];
        report
            .line(&format!("  findings are of contacts such as {examples}"), &json!({"contacts": examples}));
    }
}

/// Writes what differs, in chunks.
fn apply(client: &mut Client, arguments: &Arguments, report: &Report, different: i64) -> Result<[i64; 4]> {
    let bar = report.progress("refold", different as u64);
    short_statements(client, arguments)?;
    let chunk = i64::from(arguments.chunk);
    let mut sums = [0i64; 4];
    let mut first = 1;
    while first <= different {
        let last = (first + chunk - 1).min(different);
        let row =
            retrying(|| client.query_one("SELECT * FROM consent._refold_apply($1, $2)", &[&first, &last]))?;
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += row.get::<_, i64>(i);
        }
        bar.inc((last - first + 1) as u64);
        report.pace.between_chunks((last - first + 1) as u64)?;
        first = last + 1;
    }
    bar.finish_and_clear();
    long_statements(client)?;
    Ok(sums)
}

const NOTED: &str = "SELECT count(DISTINCT contact_id) FROM consent_data.pending";

/// Folds the contacts that the CRM's triggers have noted, until none is left or what is left is locked.
fn pending(client: &mut Client, arguments: &Arguments, report: &Report) -> Result<Finding> {
    let at_first = number(client, NOTED)?;
    if arguments.dry_run {
        return Ok(Finding::done(json!({ "mode": "pending", "dry_run": true, "still_noted": at_first })));
    }
    let mut folded = 0;
    if at_first >= MANY_NOTED {
        client.batch_execute(MEMORY)?;
        retrying(|| client.execute("SELECT consent._refold_addresses(only_noted => true)", &[]))?;
        let different: i64 = retrying(|| {
            client.query_one("SELECT consent._refold_fold(only_noted => true)", &[]).map(|row| row.get(0))
        })?;
        apply(client, arguments, report, different)?;
        retrying(|| client.execute("SELECT consent._refold_finish()", &[]))?;
        folded += at_first;
    }
    let bar = report.progress("pending", number(client, NOTED)? as u64);
    // Short transactions: a fold that gives a contact an address keeps refusals of that address waiting.
    let chunk = (arguments.chunk as i32).min(1000);
    loop {
        let n: i64 = retrying(|| {
            client.query_one("SELECT consent.refold_pending($1)", &[&chunk]).map(|row| row.get(0))
        })?;
        folded += n;
        bar.inc(n as u64);
        if n == 0 {
            break;
        }
        report.pace.between_chunks(n as u64)?;
    }
    bar.finish_and_clear();
    Ok(Finding::done(json!({ "mode": "pending", "contacts": folded, "still_noted": number(client, NOTED)? })))
}

/// Tells the planner how many contacts usually pass, from a sample under the first audited message.
fn count_yes(client: &mut Client) -> Result<()> {
    client.execute(
        "UPDATE consent_data.setting SET yes_rate = y.rate
           FROM (SELECT avg(CASE WHEN s.state OPERATOR(consent.@@) q.question THEN 1 ELSE 0 END)::float8 AS rate
                   FROM (SELECT consent.question(a.message_kind, a.product_category) AS question
                           FROM consent_data.audit_question a ORDER BY a.message_kind, a.product_category LIMIT 1) q,
                        (SELECT c.state FROM consent_data.contact_state c LIMIT 10000) s) y
          WHERE y.rate IS NOT NULL",
        &[],
    )?;
    Ok(())
}
