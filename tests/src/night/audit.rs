//! How long the audit views take on the night's set: over everybody, for one contact, and what the step that counts for
//! them costs.

use super::{DB, Night, SERVER, Settings, data, processes, report::Report};
use crate::bench::machine;
use crate::cluster::{Cluster, Options};
use anyhow::{Result, ensure};
use postgres::Client;
use std::time::{Duration, Instant};

/// The aim for every view.
const AIM: Duration = Duration::from_secs(2);
/// The slowest of so many is told.
const TIMES: usize = 3;
/// Contacts asked about one by one.
const ONES: i64 = 20;

/// Views that list: whole only where few rows are asked for.
const BY_CONTACT: &[&str] = &["audit_contact_record", "audit_ledger", "audit_decision_log"];

/// Opt-ins in the ledger of half the contacts, two messages each, in part to people who had refused; a few holds.
const LOGS: &str = "
    INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, channels, purposes, detail, evidence)
    SELECT c.id, 'opt_in', t.at, t.at, 1, '{email}', '{newsletter}', '{\"method\": \"active\"}',
           CASE WHEN c.id % 10 > 0 THEN jsonb_build_object('form', 'sign-up/' || c.id % 7, 'page', '/join', 'wording', 'w' || c.id % 3) END
      FROM crm.customer c, LATERAL (SELECT now() - interval '700 days' + c.id % 500 * interval '1 day' AS at) t WHERE c.id % 2 = 0;
    INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, sender_id, reason)
    SELECT c.id, 'legal_hold', now(), now(), 1, 'claim' FROM crm.customer c WHERE c.id % 50000 = 0;
    INSERT INTO consent_data.decision (contact_id, decided_at, message_kind, channel, sender_id, campaign, message_ref, allowed, basis, rule,
           jurisdiction, policy_decision, policy_version, made_for)
    SELECT c.id, now() - (c.id % 60) * interval '1 day' - n * interval '1 hour', CASE n WHEN 1 THEN 'newsletter' ELSE 'order_confirmation' END,
           'email', 1, CASE n WHEN 1 THEN 'campaign ' || c.id % 200 ELSE 'orders' END, 'm' || n || '-' || c.id, true, 'soft_opt_in', 'gb.soft_opt_in/2', 'gb',
           CASE WHEN c.id % 20 = 0 THEN '{\"switch\": \"gb.free_account_is_sale\", \"decided_by\": \"default\"}'::jsonb END, '2026.1', 'claim'
      FROM crm.customer c, generate_series(1, 2) n;
    INSERT INTO consent_data.outcome (decision_id, decided_at, outcome)
    SELECT d.decision_id, d.decided_at, CASE WHEN d.decision_id % 50 = 0 THEN 'failed' ELSE 'sent' END FROM consent_data.decision d";

/// Makes the set, takes it through a night, and times every audit view.
///
/// # Errors
/// A step that fails.
pub fn run(settings: &Settings) -> Result<()> {
    ensure!(settings.contacts >= 10_000, "at least 10000 contacts");
    processes::must_exist(&settings.batch)?;
    let options = SERVER.iter().fold(Options::default(), |o, (name, value)| o.set(name, value));
    let cluster = Cluster::start(options)?;
    cluster.connect("postgres", "postgres")?.batch_execute(&format!("CREATE DATABASE {DB}"))?;
    let postmaster = processes::postmaster(cluster.data_dir())?;
    let night = Night { settings, cluster, postmaster };
    let mut client = night.cluster.connect(DB, "postgres")?;
    let mut report = Report::default();
    for (name, value) in machine::facts(&mut client)? {
        report.fact(name, value);
    }
    data::make(&night, &mut client, &mut report)?;
    for arguments in
        [&["refold"][..], &["rescore", "--eligible", "0.1"], &["retention", "--apply", "--force"]]
    {
        night.batch(arguments)?;
    }
    client.batch_execute(LOGS)?;
    for table in
        ["event", "decision", "outcome", "contact_state", "contact_address", "retention_action", "similarity"]
    {
        client.batch_execute(&format!("VACUUM (ANALYZE) consent_data.{table}"))?;
    }
    report.section("the step");
    let cost = night.batch(&["summarise"])?;
    report.row("summarise", "summarise", &cost, night.contacts(), "");
    report.fact("load at the end", machine::load());
    report.print();
    parts(&mut client)?;
    views(&mut client, i64::from(settings.contacts))
}

/// What the server counts beside the states, part by part.
fn parts(client: &mut Client) -> Result<()> {
    println!("\ncounted by the server\n  {:<22}{:>10}{:>12}", "part", "seconds", "rows");
    for name in names(client, "consent_data", "count\\_%")? {
        let (took, rows) = timed(client, &format!("SELECT count(v::text) FROM consent_data.{name} v"))?;
        println!("  {name:<22}{:>10.3}{rows:>12}", took.as_secs_f64());
    }
    Ok(())
}

fn views(client: &mut Client, contacts: i64) -> Result<()> {
    println!("\naudit views, the slowest of {TIMES}\n  {:<44}{:>10}{:>12}", "question", "seconds", "rows");
    let mut asked: Vec<(String, String)> = Vec::new();
    for name in
        names(client, "consent", "audit\\_%")?.into_iter().chain(names(client, "consent", "report\\_%")?)
    {
        if !BY_CONTACT.contains(&name.as_str()) {
            asked.push((name.clone(), format!("SELECT count(v::text) FROM consent.{name} v")));
        }
    }
    for name in BY_CONTACT {
        let ones = (1..=ONES).map(|n| (n * contacts / ONES).to_string()).collect::<Vec<_>>().join(", ");
        // One by one, as one asks: not a list that might be hashed.
        asked.push((
            format!("{name}, {ONES} contacts one by one"),
            format!(
                "SELECT sum(x.n)::bigint FROM unnest('{{{ones}}}'::bigint[]) k,
                        LATERAL (SELECT count(v::text) AS n FROM consent.{name} v WHERE v.contact_id = k OFFSET 0) x"
            ),
        ));
    }
    let log = "SELECT count(v::text) FROM consent.audit_decision_log v WHERE";
    asked.push(("audit_decision_log, one campaign".into(), format!("{log} v.campaign = 'campaign 7'")));
    asked.push(("audit_decision_log, one message".into(), format!("{log} v.message_ref = 'm1-77'")));
    asked.push((
        "audit_similarity, one category".into(),
        "SELECT count(v::text) FROM consent.audit_similarity v WHERE 'type 1000' IN (v.category_a, v.category_b)".into(),
    ));
    asked.push(("dossier".into(), format!("SELECT length(consent.dossier({})::text)::bigint", contacts / 2)));
    let mut slow = 0;
    for (what, query) in asked {
        let (took, rows) = timed(client, &query)?;
        slow += usize::from(took > AIM);
        let mark = if took > AIM { "  over 2 s" } else { "" };
        println!("  {what:<44}{:>10.3}{rows:>12}{mark}", took.as_secs_f64());
    }
    println!("{slow} over {} s", AIM.as_secs());
    Ok(())
}

fn names(client: &mut Client, schema: &str, pattern: &str) -> Result<Vec<String>> {
    let rows = client.query(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'v' AND c.relname LIKE $2 ORDER BY 1",
        &[&schema, &pattern],
    )?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

/// The slowest of some, and the number the query answers with.
fn timed(client: &mut Client, query: &str) -> Result<(Duration, i64)> {
    let (mut slowest, mut rows) = (Duration::ZERO, 0);
    for _ in 0..TIMES {
        let began = Instant::now();
        rows = client.query_one(query, &[])?.get::<_, Option<i64>>(0).unwrap_or(0);
        slowest = slowest.max(began.elapsed());
        // What takes longer than a minute is told after one.
        if slowest > Duration::from_secs(60) {
            break;
        }
    }
    Ok((slowest, rows))
}
