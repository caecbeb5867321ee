//! Refold: every state anew, in the server. Differences only are written, by compare-and-set on each row's
//! revision; what changed meanwhile is folded again under its row's lock (see `sql/12_refold.sql`).

use crate::arguments::Arguments;
use crate::connection::{long_statements, retrying, short_statements};
use crate::report::Report;
use crate::run::Finding;
use anyhow::Result;
use postgres::Client;
use serde_json::json;

pub fn refold(client: &mut Client, arguments: &Arguments, report: &Report) -> Result<Finding> {
    if arguments.dry_run {
        // What a fold makes is in temporary tables, which need a transaction that may write, and go with it.
        let mut t = client.build_transaction().read_only(false).start()?;
        let contacts: i64 = t.query_one("SELECT consent._refold_fold()", &[])?.get(0);
        t.rollback()?;
        return Ok(Finding::done(json!({ "dry_run": true, "contacts": contacts })));
    }
    let addresses: i64 =
        retrying(|| client.query_one("SELECT consent._refold_addresses()", &[]).map(|row| row.get(0)))?;
    let contacts: i64 =
        retrying(|| client.query_one("SELECT consent._refold_fold()", &[]).map(|row| row.get(0)))?;
    let bar = report.progress("refold", contacts as u64);
    short_statements(client, arguments)?;
    let chunk = i64::from(arguments.chunk);
    let mut sums = [0i64; 4];
    let mut first = 1;
    while first <= contacts {
        let last = (first + chunk - 1).min(contacts);
        let row =
            retrying(|| client.query_one("SELECT * FROM consent._refold_apply($1, $2)", &[&first, &last]))?;
        let mut written = 0;
        for (i, sum) in sums.iter_mut().enumerate() {
            written += row.get::<_, i64>(i);
            *sum += row.get::<_, i64>(i);
        }
        bar.inc((last - first + 1) as u64);
        report.pace.between_chunks(written as u64)?;
        first = last + 1;
    }
    bar.finish_and_clear();
    long_statements(client)?;
    retrying(|| client.execute("SELECT consent._refold_finish()", &[]))?;
    count_yes(client)?;
    let [added, drifted, removed, refolded] = sums;
    Ok(Finding::done(json!({
        "contacts": contacts, "new_addresses": addresses, "added": added, "drifted": drifted,
        "removed": removed, "changed_meanwhile": refolded,
    })))
}

/// Folds the contacts that the CRM's triggers have noted, until none is left or what is left is locked.
pub fn pending(client: &mut Client, arguments: &Arguments, report: &Report) -> Result<Finding> {
    let noted = |client: &mut Client| {
        client
            .query_one("SELECT count(DISTINCT contact_id) FROM consent_data.pending", &[])
            .map(|row| row.get::<_, i64>(0))
    };
    if arguments.dry_run {
        return Ok(Finding::done(json!({ "dry_run": true, "still_noted": noted(client)? })));
    }
    let bar = report.progress("pending", noted(client)? as u64);
    // Short transactions: a fold that gives a contact an address keeps refusals of that address waiting.
    let chunk = (arguments.chunk as i32).min(1000);
    let mut folded = 0;
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
    Ok(Finding::done(json!({ "contacts": folded, "still_noted": noted(client)? })))
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
