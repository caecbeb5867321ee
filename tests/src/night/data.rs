//! The set: a CRM with all its rows, bound and watched.

use super::processes::in_server;
use super::report::Report;
use super::{DB, Night, fill};
use crate::cluster::Cluster;
use anyhow::Result;
use postgres::Client;

const CRM: &str = include_str!("crm.sql");
const TABLES: &str = include_str!("tables.sql");
const BIND: &str = include_str!("bind.sql");

pub fn make(night: &Night<'_>, client: &mut Client, report: &mut Report) -> Result<()> {
    report.section("the set");
    let settings = night.settings;
    client.batch_execute(CRM)?;
    let midnight: i64 =
        client.query_one("SELECT extract(epoch FROM date_trunc('day', now()))::bigint", &[])?.get(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let contacts = i64::from(settings.contacts);
    let (filled, ()) = in_server(night.postmaster, || {
        fill::fill(&night.cluster, DB, contacts, settings.seed, midnight, threads)
    })?;
    let (sorted, ()) = in_server(night.postmaster, || statements(client, TABLES))?;
    let row = client.query_one(
        "SELECT (SELECT count(*) FROM crm.sale), (SELECT count(*) FROM crm.engagement), (SELECT count(*) FROM crm.answer)",
        &[],
    )?;
    let [sales, engagement, answers] = [0, 1, 2].map(|i| row.get::<_, i64>(i));
    let events = (sales + engagement + answers) as f64;
    report.row("fill", "made and written by binary COPY", &filled, events + night.contacts(), "");
    report.row("sort", "put in the order of time, indexed", &sorted, events, "");
    let text = format!(
        "{contacts} contacts in 5 countries, {events} events: {sales} purchases of 2 senders, {engagement} clicks and opens, \
         {answers} opt-ins and opt-outs; seed {}",
        settings.seed
    );
    report.fact("set", text);
    let (bound, ()) = in_server(night.postmaster, || statements(client, BIND))?;
    report.row("bind", "five views bound, five tables watched", &bound, 0.0, "");
    Ok(())
}

/// The same without figures, for tests: nobody is folded yet.
pub fn populate(cluster: &Cluster, db: &str, contacts: u32, seed: u64) -> Result<()> {
    let mut client = cluster.connect(db, "postgres")?;
    client.batch_execute(CRM)?;
    let midnight: i64 =
        client.query_one("SELECT extract(epoch FROM date_trunc('day', now()))::bigint", &[])?.get(0);
    fill::fill(cluster, db, i64::from(contacts), seed, midnight, 2)?;
    statements(&mut client, TABLES)?;
    statements(&mut client, BIND)
}

/// One statement at a time: VACUUM can't run in the transaction that a batch is.
fn statements(client: &mut Client, sql: &str) -> Result<()> {
    let code: Vec<&str> = sql.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
    for statement in code.join("\n").split(";\n").filter(|s| !s.trim().is_empty()) {
        client.batch_execute(statement)?;
    }
    Ok(())
}
