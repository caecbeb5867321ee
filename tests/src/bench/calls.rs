//! Questions about one contact, and what recording costs.

use super::report::Report;
use super::{ASKED, median, say, seconds};
use anyhow::Result;
use postgres::Client;
use std::time::Instant;

const CALLS: usize = 10_000;
const SLOW_CALLS: usize = 1000;
const RUNS: usize = 5;

pub fn measure(client: &mut Client, report: &mut Report) -> Result<()> {
    say("by key");
    let inside = |client: &mut Client, body: &str, calls| in_server(client, body, calls);
    let us = inside(client, &format!("answer := consent.can_send(i, {ASKED});"), CALLS)?;
    report.other(
        "can_send_call",
        "can_send() inside the server",
        us,
        "µs",
        "one statement, other ids".into(),
    );
    let body = format!("EXECUTE 'SELECT consent.can_send($1, $2, $3)' INTO answer USING i, {ASKED};");
    let us = inside(client, &body, CALLS)?;
    report.other("can_send_statement", "can_send(), a statement each", us, "µs", "planned each time".into());
    let us = inside(client, &format!("PERFORM consent.question({ASKED});"), SLOW_CALLS)?;
    report.other("question", "question()", us, "µs", String::new());

    let (empty, asked) = round_trips(client)?;
    let note = format!("of a round trip of {asked:.0}; an empty one takes {empty:.0}");
    report.other("can_send_prepared", "can_send(), prepared statement each", asked - empty, "µs", note);
    report.figure("round_trip_us", asked);

    let us = inside(client, &format!("PERFORM * FROM consent.explain_send(i, {ASKED});"), SLOW_CALLS)?;
    report.other("explain_send", "explain_send()", us, "µs", String::new());
    Ok(())
}

pub fn measure_writes(client: &mut Client, report: &mut Report) -> Result<()> {
    say("opt-outs");
    let sample: Vec<i64> = client
        .query(&format!("SELECT id FROM crm.customer ORDER BY crm.u(id, 80) LIMIT {SLOW_CALLS}"), &[])?
        .iter()
        .map(|r| r.get(0))
        .collect();
    let opt_out = client.prepare("SELECT consent.opt_out($1::bigint, 'email')")?;
    let mut times = Vec::with_capacity(sample.len());
    for id in sample {
        let started = Instant::now();
        client.query_one(&opt_out, &[&id])?;
        times.push(started.elapsed().as_secs_f64() * 1e6);
    }
    report.other("opt_out", "opt_out(), a transaction each", median(times), "µs", "no fsync".into());
    Ok(())
}

/// Microseconds a call, by a loop in the server less the empty loop.
fn in_server(client: &mut Client, body: &str, calls: usize) -> Result<f64> {
    let code = |body: &str| {
        format!(
            "DO $do$ DECLARE i bigint; answer boolean; BEGIN \
             FOR i IN SELECT id FROM crm.sample LIMIT {calls} LOOP {body} END LOOP; END $do$"
        )
    };
    let (full, empty) = (code(body), code("answer := i > 0;"));
    let mut times = Vec::new();
    for n in 0..=RUNS {
        let net = seconds(client, &full)? - seconds(client, &empty)?;
        if n > 0 {
            times.push(net);
        }
    }
    Ok(median(times) * 1e6 / calls as f64)
}

/// The median round trip of a prepared statement, in microseconds: empty, and asking.
fn round_trips(client: &mut Client) -> Result<(f64, f64)> {
    let sample: Vec<i64> = client
        .query(&format!("SELECT id FROM crm.customer ORDER BY crm.u(id, 79) LIMIT {CALLS}"), &[])?
        .iter()
        .map(|r| r.get(0))
        .collect();
    let empty = client.prepare("SELECT $1::bigint > 0")?;
    let asked = client.prepare(&format!("SELECT consent.can_send($1::bigint, {ASKED})"))?;
    let mut times = (Vec::new(), Vec::new());
    for id in &sample {
        for (statement, times) in [(&empty, &mut times.0), (&asked, &mut times.1)] {
            let started = Instant::now();
            client.query_one(statement, &[id])?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok((median(times.0), median(times.1)))
}
