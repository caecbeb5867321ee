//! Status: what is set up, what ran last, and what is wrong.

use crate::report::Report;
use crate::run::Outcome;
use anyhow::{Context, Result};
use postgres::Client;
use serde_json::json;

pub fn status(client: &mut Client, report: &Report) -> Result<Outcome> {
    let s = client
        .query_one(
            "SELECT key_type, marketing_off, similarity_version, similarity_threshold,
                    (SELECT count(*) FROM consent_data.contact_state), (SELECT count(*) FROM consent_data.contact_overflow),
                    (SELECT count(*) FROM consent_data.event), (SELECT count(*) FROM consent_data.binding),
                    (SELECT count(*) FROM consent_data.outbox WHERE sent_at IS NULL)
               FROM consent_data.setting",
            &[],
        )
        .context("is pg_consent set up in this database, and the role a member of consent_batch?")?;
    let number = |i: usize| s.get::<_, i64>(i);
    let off: bool = s.get(1);
    let facts = [
        ("contacts", json!(number(4))),
        ("of them in the overflow table", json!(number(5))),
        ("ledger events", json!(number(6))),
        ("bound views", json!(number(7))),
        ("confirmations to send", json!(number(8))),
        ("key type", json!(s.get::<_, String>(0))),
        ("marketing", json!(if off { "switched off" } else { "on" })),
        ("similarity version", json!(s.get::<_, i32>(2))),
        ("similarity threshold", json!(s.get::<_, f64>(3))),
    ];
    for (name, value) in &facts {
        report.line(&format!("{name:30} {value}"), &json!({"name": name, "value": value}));
    }
    let runs = client.query(
        "SELECT DISTINCT ON (step) step, started_at::text, coalesce(outcome, 'unfinished'),
                extract(epoch FROM finished_at - started_at)::float8
           FROM consent_data.run ORDER BY step, run_id DESC",
        &[],
    )?;
    for r in &runs {
        let (step, at, outcome): (String, String, String) = (r.get(0), r.get(1), r.get(2));
        let seconds: Option<f64> = r.get(3);
        let took = seconds.map_or(String::new(), |s| format!(", {s:.1} s"));
        report.line(
            &format!("last {step:25} {outcome} ({at}{took})"),
            &json!({"step": step, "started_at": at, "outcome": outcome, "seconds": seconds}),
        );
    }
    Ok(Outcome::Done)
}
