//! Status: what is set up, what ran last, and what needs somebody's attention.

use crate::report::Report;
use crate::run::Outcome;
use anyhow::Result;
use postgres::Client;
use serde_json::{Value, json};

/// Past this the night is overdue: a day, and room for one that runs longer.
const OVERDUE: &str = "26 hours";
/// Of those that run each minute, the last only.
const SHOWN_RUNS: i64 = 10;

/// One thing that is wrong.
struct Trouble {
    what: String,
    hint: String,
}

pub fn status(client: &mut Client, report: &Report) -> Result<Outcome> {
    let mut troubles = Vec::new();
    facts(client, report)?;
    seals(client, report, &mut troubles)?;
    runs(client, report)?;
    nights(client, &mut troubles)?;
    sources(client, &mut troubles)?;
    for t in &troubles {
        let hint = if t.hint.is_empty() { String::new() } else { format!("\n         {}", t.hint) };
        report.warn(
            &format!("{}{hint}", t.what),
            &json!({"event": "attention", "message": t.what, "hint": t.hint}),
        );
    }
    if troubles.is_empty() {
        report.line("nothing needs attention", &json!({"event": "attention", "message": null}));
        return Ok(Outcome::Done);
    }
    Ok(Outcome::Findings)
}

fn facts(client: &mut Client, report: &Report) -> Result<()> {
    let s = client.query_one(
        "SELECT key_type, marketing_off, similarity_version, similarity_threshold,
                (SELECT count(*) FROM consent_data.contact_state), (SELECT count(*) FROM consent_data.contact_overflow),
                (SELECT count(*) FROM consent_data.event), (SELECT count(*) FROM consent_data.binding),
                (SELECT count(*) FROM consent_data.outbox WHERE sent_at IS NULL),
                (SELECT count(DISTINCT contact_id) FROM consent_data.pending),
                (SELECT min(noted_at)::timestamptz(0)::text FROM consent_data.pending)
           FROM consent_data.setting",
        &[],
    )?;
    let number = |i: usize| json!(s.get::<_, i64>(i));
    let off: bool = s.get(1);
    let facts: [(&str, Value); 11] = [
        ("contacts", number(4)),
        ("of them in the overflow table", number(5)),
        ("ledger events", number(6)),
        ("bound views", number(7)),
        ("confirmations to send", number(8)),
        ("noted contacts to fold", number(9)),
        ("the oldest noted", json!(s.get::<_, Option<String>>(10))),
        ("key type", json!(s.get::<_, String>(0))),
        ("marketing", json!(if off { "switched off" } else { "on" })),
        ("similarity version", json!(s.get::<_, i32>(2))),
        ("similarity threshold", json!(s.get::<_, f64>(3))),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_null()) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        report.line(&format!("{name:30} {text}"), &json!({"event": "fact", "name": name, "value": value}));
    }
    Ok(())
}

fn runs(client: &mut Client, report: &Report) -> Result<()> {
    let rows = client.query(
        "SELECT step, started_at::timestamptz(0)::text, coalesce(outcome, 'unfinished'),
                extract(epoch FROM finished_at - started_at)::float8
           FROM consent_data.run
          WHERE step <> 'refold --pending'
             OR run_id = (SELECT max(run_id) FROM consent_data.run WHERE step = 'refold --pending')
          ORDER BY run_id DESC LIMIT $1",
        &[&SHOWN_RUNS],
    )?;
    for r in rows.iter().rev() {
        let (step, at, outcome): (String, String, String) = (r.get(0), r.get(1), r.get(2));
        let seconds: Option<f64> = r.get(3);
        let took = seconds.map_or(String::new(), |s| format!(", {s:.1} s"));
        report.line(
            &format!("{at}  {step:18} {outcome}{took}"),
            &json!({"event": "run", "step": step, "started_at": at, "outcome": outcome, "seconds": seconds}),
        );
    }
    Ok(())
}

/// Whether the night is done when it should be, and how the last of each step ended.
fn nights(client: &mut Client, troubles: &mut Vec<Trouble>) -> Result<()> {
    // The steps may be run one by one: then it is the refold that must not be missed.
    let last = client.query_one(
        &format!(
            "SELECT max(finished_at)::timestamptz(0)::text, coalesce(max(finished_at) < clock_timestamp() - interval '{OVERDUE}', true)
               FROM consent_data.run WHERE step IN ('nightly', 'refold') AND outcome = 'done'"
        ),
        &[],
    )?;
    let (at, overdue): (Option<String>, bool) = (last.get(0), last.get(1));
    if overdue {
        let since = at.map_or("never".into(), |at| format!("last at {at}"));
        troubles.push(Trouble {
            what: format!("the night is overdue: done {since}"),
            hint: "Run consent-batch nightly from a timer each night.".into(),
        });
    }
    let unwell = client.query(
        "SELECT step, outcome, started_at::timestamptz(0)::text FROM (
             SELECT DISTINCT ON (step) * FROM consent_data.run WHERE outcome IS NOT NULL ORDER BY step, run_id DESC) l
          WHERE outcome <> 'done' ORDER BY step",
        &[],
    )?;
    for row in unwell {
        let (step, outcome, at): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let hint = match outcome.as_str() {
            "findings" => "Its figures are in consent.audit_run.",
            _ => "Run it again: it goes on where it was.",
        };
        troubles.push(Trouble {
            what: format!("the last {step}, of {at}, ended as {outcome}"),
            hint: hint.into(),
        });
    }
    Ok(())
}

/// Whether the logs are sealed as far as a night ago.
fn seals(client: &mut Client, report: &Report, troubles: &mut Vec<Trouble>) -> Result<()> {
    let last = client.query_one(
        &format!(
            "SELECT s.sealed_at::timestamptz(0)::text,
                    EXISTS (SELECT FROM consent_data.event e
                             WHERE e.event_id > coalesce(s.upto_event, 0) AND e.entered_at < clock_timestamp() - interval '{OVERDUE}')
                 OR EXISTS (SELECT FROM consent_data.decision d
                             WHERE d.decision_id > coalesce(s.upto_decision, 0) AND d.decided_at < clock_timestamp() - interval '{OVERDUE}')
               FROM (VALUES (1)) one LEFT JOIN (SELECT * FROM consent_data.seal ORDER BY seal_id DESC LIMIT 1) s ON true"
        ),
        &[],
    )?;
    let (at, overdue): (Option<String>, bool) = (last.get(0), last.get(1));
    if let Some(at) = &at {
        let name = "last seal";
        report.line(&format!("{name:30} {at}"), &json!({"event": "fact", "name": name, "value": at}));
    }
    if overdue {
        troubles.push(Trouble {
            what: format!("rows of the logs wait for a seal; the last one is {}", at.as_deref().unwrap_or("none")),
            hint: "Run consent-batch seal (nightly does): what is not sealed can be altered without anybody noticing.".into(),
        });
    }
    Ok(())
}

/// Bound views, watches, noted contacts, keys.
fn sources(client: &mut Client, troubles: &mut Vec<Trouble>) -> Result<()> {
    let problems =
        client.query("SELECT binding, problem, detail, hint, denies FROM consent.check_bindings()", &[])?;
    for row in problems.iter().filter(|row| row.get::<_, bool>(4)) {
        let detail: Option<String> = row.get(2);
        let detail = detail.map_or(String::new(), |d| format!(" ({d})"));
        let (binding, problem): (String, String) = (row.get(0), row.get(1));
        troubles.push(Trouble {
            what: format!("{binding}: {problem}{detail}"),
            hint: row.get::<_, Option<String>>(3).unwrap_or_default(),
        });
    }
    let keys = client
        .query("SELECT generation, file, problem FROM consent.key_status() WHERE problem IS NOT NULL", &[])?;
    for row in keys {
        troubles.push(Trouble {
            what: format!("address key {}: {}", row.get::<_, i32>(0), row.get::<_, String>(2)),
            hint: format!(
                "Put {} back; all marketing is denied without it.",
                row.get::<_, Option<String>>(1).unwrap_or_default()
            ),
        });
    }
    Ok(())
}
