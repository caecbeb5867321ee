//! One run at a time, whoever starts it: an advisory lock, which the server lets go of with its session.

use crate::arguments::Arguments;
use crate::report::Report;
use anyhow::Result;
use postgres::{Client, Transaction};
use serde_json::json;
use std::time::{Duration, Instant};

/// "consent" in ASCII.
const LOCK: i64 = 0x63_6f_6e_73_65_6e_74;
const ASKED_EVERY: Duration = Duration::from_millis(200);

/// Whether we have the lock now, after waiting for it as long as `--wait` says.
pub fn take(client: &mut Client, arguments: &Arguments, report: &Report) -> Result<bool> {
    let until = Instant::now() + Duration::from_secs(arguments.wait.into());
    let mut told = false;
    loop {
        if client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])?.get(0) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        if !told {
            let holder = holder(client)?;
            report.line(&format!("waiting: {holder}"), &json!({"event": "waiting", "holder": holder}));
            told = true;
        }
        report.pace.sleep(ASKED_EVERY)?;
    }
}

/// The server would let go of it too, but only after we are gone: whoever follows at once must not find it held.
pub fn release(client: &mut Client) {
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).ok();
}

/// Holds it until the transaction ends, too, whatever the CRM's code does in it: that may let go of a session's locks.
pub fn hold(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).map(drop)
}

/// Has the session hold it again, once and not twice, before a transaction of [`hold`] ends.
pub fn hold_on(transaction: &mut Transaction<'_>) -> Result<(), postgres::Error> {
    transaction.execute("SELECT pg_advisory_unlock($1)", &[&LOCK])?;
    transaction.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).map(drop)
}

/// Who holds the lock, for a message: its session, and what it has recorded.
pub fn holder(client: &mut Client) -> Result<String> {
    // A session that is another role's shows its process only.
    let session = client.query_opt(
        "SELECT l.pid, a.application_name, a.usename::text, host(a.client_addr), a.backend_start::timestamptz(0)::text
           FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
          WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
            AND (l.classid::bigint << 32) | l.objid::bigint = $1",
        &[&LOCK],
    )?;
    let Some(session) = session else { return Ok("another run, which has just ended".into()) };
    let text = |i: usize| session.get::<_, Option<String>>(i).filter(|t| !t.is_empty());
    let mut holder = format!("another run holds the lock: server process {}", session.get::<_, i32>(0));
    for (word, value) in
        [(", ", text(1)), (", user ", text(2)), (", from ", text(3)), (", connected since ", text(4))]
    {
        if let Some(value) = value {
            holder = format!("{holder}{word}{value}");
        }
    }
    let run = client.query_opt(
        "SELECT step, started_at::timestamptz(0)::text FROM consent_data.run WHERE outcome IS NULL
          ORDER BY run_id DESC LIMIT 1",
        &[],
    )?;
    if let Some(run) = run {
        holder = format!("{holder}; {} since {}", run.get::<_, String>(0), run.get::<_, String>(1));
    }
    Ok(holder)
}
