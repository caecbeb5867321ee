//! The night killed, and the server under it, at 50 random moments: after another run everything is as if nothing had
//! happened, no refusal is lost and nobody is acted on twice.

use crate::batch;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::process::Stdio;
use std::time::{Duration, Instant};

const MOMENTS: usize = 50;
/// Whole, so that every step has work; small chunks make many moments between transactions.
const NIGHT: &[&str] =
    &["nightly", "--apply", "--force", "--refold", "whole", "--chunk", "100", "--wait", "60", "--html"];

/// Those who refuse meanwhile are left out of comparisons: when they do is chance.
const REFUSING: std::ops::Range<i64> = 2901..3000;

/// What must be the same after any night, one value a row of the answer.
const OUTCOME: &[(&str, &str)] = &[
    (
        "states",
        "SELECT md5(string_agg(contact_id || ' ' || consent.state_json(state)::text, ',' ORDER BY contact_id))
           FROM consent_data.contact_state WHERE contact_id <= 2900",
    ),
    ("noted", "SELECT count(*)::text FROM consent_data.pending WHERE contact_id <= 2900"),
    (
        "pairs",
        "SELECT md5(string_agg((to_jsonb(s) - 'version')::text, ',' ORDER BY sender_id, category_a, category_b))
           FROM consent_data.similarity s JOIN consent_data.setting t ON t.similarity_version = s.version",
    ),
    (
        "lists",
        "SELECT md5(string_agg(s::text, ',' ORDER BY contact_id, sender, rank)) FROM consent.contact_similar s WHERE contact_id <= 2900",
    ),
    ("customers", "SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM crm.customer c"),
    (
        "retention",
        "SELECT md5(string_agg(concat_ws(' ', contact_id, sender_id, stage, rule, since, ends_at, action, outcome), ','
                               ORDER BY contact_id, sender_id, stage)) FROM consent_data.retention_action",
    ),
    (
        "falling due",
        "SELECT md5(string_agg(d::text, ',' ORDER BY contact_id, sender_id)) FROM consent_data.retention_due d WHERE contact_id <= 2900",
    ),
    ("erasures", "SELECT count(*)::text FROM consent_data.erasure"),
    ("acted on", "SELECT md5(string_agg(customer::text, ',' ORDER BY customer)) FROM crm.changed"),
    (
        "tables",
        "SELECT string_agg(regexp_replace(c.relname, '[0-9]+', 'n'), ',' ORDER BY regexp_replace(c.relname, '[0-9]+', 'n'))
           FROM pg_class c WHERE c.relnamespace = 'consent_data'::regnamespace AND c.relkind = 'r'",
    ),
    ("steps left open", "SELECT count(*)::text FROM consent_data.run WHERE outcome IS NULL"),
];

#[test]
fn no_kill_leaves_anything_lost_doubled_or_half_done() {
    let mut cluster = Cluster::start(Options::default()).unwrap();
    let page = cluster.data_dir().with_file_name("page.html");
    let night: Vec<&str> = NIGHT.iter().copied().chain([page.to_str().unwrap()]).collect();
    make_base(&cluster, &night);

    copy(&cluster, "undisturbed");
    let begun = Instant::now();
    expect_done(&cluster, "undisturbed", &night);
    let took = begun.elapsed();
    let expected = outcome(&cluster, "undisturbed");
    let acted: i64 = number(&cluster, "undisturbed", "SELECT count(*) FROM crm.changed");
    assert!(acted > 100, "the night acted on {acted} contacts only");

    let mut random = ChaCha8Rng::seed_from_u64(5);
    for moment in 0..MOMENTS {
        copy(&cluster, "disturbed");
        let mut run = batch::command(&cluster, "disturbed", &night)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let crm = cluster.connect("disturbed", "postgres").unwrap();
        let until = Instant::now() + took.mul_f64(random.random_range(0.0..1.0));
        let refused = refuse_until(crm, until);
        if moment % 2 == 0 {
            run.kill().unwrap();
        } else {
            cluster.kill().unwrap();
        }
        run.wait().unwrap();
        if moment % 2 != 0 {
            cluster.restart().unwrap();
        }
        expect_done(&cluster, "disturbed", &night);
        assert_eq!(outcome(&cluster, "disturbed"), expected, "moment {moment}");
        let allowed = format!(
            "SELECT count(*) FROM unnest('{{{}}}'::bigint[]) n WHERE consent.can_send(n, 'newsletter', 'category 1')
                 OR n IN (SELECT contact_id FROM consent.audience('newsletter', 'category 1'))",
            refused.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
        );
        assert_eq!(number(&cluster, "disturbed", &allowed), 0, "moment {moment}: a refusal was lost");
    }
}

/// The first night announces who expired; what comes in afterwards is left to the night that is killed.
fn make_base(cluster: &Cluster, night: &[&str]) {
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    client
        .batch_execute("SET client_min_messages = warning; CREATE EXTENSION pg_consent; CALL consent.setup()")
        .unwrap();
    client.batch_execute(include_str!("killed.sql")).unwrap();
    expect_done(cluster, "postgres", night);
    client
        .batch_execute(
            "INSERT INTO crm.sale SELECT 100000 + n, n, now() - interval '1 day', format('category %s', 1 + n % 40)
               FROM generate_series(1, 2900) n WHERE n % 7 = 0",
        )
        .unwrap();
}

fn copy(cluster: &Cluster, name: &str) {
    let mut client = cluster.connect("template1", "postgres").unwrap();
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE postgres")).unwrap();
    // A copied sequence believes that its next values are in the log of the copy, too; after a checkpoint it looks.
    client.batch_execute("CHECKPOINT").unwrap();
}

fn expect_done(cluster: &Cluster, database: &str, night: &[&str]) {
    let (code, said) = batch::run(cluster, database, night);
    assert_eq!(code, 0, "{said}");
}

fn outcome(cluster: &Cluster, database: &str) -> Vec<(&'static str, Option<String>)> {
    let mut client = cluster.connect(database, "postgres").unwrap();
    OUTCOME.iter().map(|(what, sql)| (*what, client.query_one(*sql, &[]).unwrap().get(0))).collect()
}

fn number(cluster: &Cluster, database: &str, sql: &str) -> i64 {
    cluster.connect(database, "postgres").unwrap().query_one(sql, &[]).unwrap().get(0)
}

/// Contacts who refuse one after the other until then; whoever is answered has committed.
fn refuse_until(mut crm: Client, until: Instant) -> Vec<i64> {
    let mut refused = Vec::new();
    for contact in REFUSING.cycle().take_while(|_| Instant::now() < until) {
        if crm.execute("SELECT consent.opt_out($1::bigint)", &[&contact]).is_ok() {
            refused.push(contact);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    refused
}
