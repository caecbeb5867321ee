//! The second step: what was announced and still holds is done, in the server, a few contacts a transaction.

use crate::connection::{long_statements, retrying};
use crate::lock;
use crate::report::Report;
use anyhow::Result;
use postgres::Client;
use std::collections::BTreeMap;

/// Contacts acted on in one transaction. Refusals wait for it, so it must be over in a fraction of a second.
const AT_ONCE: i32 = 20;
/// A trigger of the CRM's that hangs must not keep refusals waiting for ever.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '60s'";

/// What waits to be done by now.
pub struct Due {
    pub action: String,
    pub rule: String,
    pub contacts: u64,
}

pub fn due(client: &mut Client, run_id: i64) -> Result<Vec<Due>> {
    let rows = client.query(
        "WITH setting AS (
             SELECT s.source, string_agg(s.action, ', ' ORDER BY s.retention_setting_id) AS action
               FROM consent_data.retention_setting s GROUP BY s.source
         ), open AS (
             SELECT a.contact_id, min(a.rule) AS rule FROM consent_data.retention_action a
              WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after <= now() AND a.run_id <> $1
              GROUP BY a.contact_id
         )
         SELECT s.action, o.rule, count(*) FROM open o
           JOIN setting s ON s.source IS NULL OR s.source = split_part(o.contact_id::text, ':', 1)
          GROUP BY 1, 2 ORDER BY 1, 2",
        &[&run_id],
    )?;
    let due = |row: &postgres::Row| Due {
        action: row.get(0),
        rule: row.get(1),
        contacts: u64::try_from(row.get::<_, i64>(2)).unwrap_or_default(),
    };
    Ok(rows.iter().map(due).collect())
}

/// Contacts found before an action was configured, or before it was changed, who wait to be announced.
pub fn open(client: &mut Client) -> Result<u64> {
    let row = client.query_one(
        "SELECT count(DISTINCT a.contact_id) FROM consent_data.retention_action a
          WHERE a.stage = 'expired' AND a.acted_at IS NULL AND a.act_after IS NULL AND a.outcome IS NULL
            AND EXISTS (SELECT FROM consent_data.retention_setting s
                         WHERE s.source IS NULL OR s.source = split_part(a.contact_id::text, ':', 1))",
        &[],
    )?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

/// Announces those who were found before an action was configured.
pub fn announce_open(client: &mut Client, chunk: u32, report: &Report) -> Result<i64> {
    let chunk = i32::try_from(chunk).unwrap_or(i32::MAX);
    let mut announced = 0;
    loop {
        let n: i64 = retrying(|| {
            client.query_one("SELECT consent._retention_configured($1)", &[&chunk]).map(|row| row.get(0))
        })?;
        announced += n;
        if n == 0 {
            return Ok(announced);
        }
        report.pace.between_chunks(n.unsigned_abs())?;
    }
}

/// Contacts by outcome.
pub fn act(client: &mut Client, run_id: i64, total: u64, report: &Report) -> Result<BTreeMap<String, i64>> {
    let bar = report.progress("acting", total);
    let mut outcomes: BTreeMap<String, i64> = BTreeMap::new();
    client.batch_execute(STATEMENT_TIMEOUT)?;
    loop {
        let rows = retrying(|| {
            let mut transaction = client.transaction()?;
            lock::hold(&mut transaction)?;
            let rows = transaction.query("SELECT * FROM consent._retire($1, $2)", &[&run_id, &AT_ONCE])?;
            lock::hold_on(&mut transaction)?;
            transaction.commit()?;
            Ok(rows)
        })?;
        let mut acted = 0;
        for row in &rows {
            let n: i64 = row.get(1);
            acted += n.unsigned_abs();
            bar.inc(n.unsigned_abs());
            *outcomes.entry(row.get(0)).or_default() += n;
        }
        if rows.is_empty() {
            break;
        }
        report.pace.between_chunks(acted)?;
    }
    long_statements(client)?;
    bar.finish_and_clear();
    Ok(outcomes)
}
