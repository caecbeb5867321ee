//! The nightly batch must not run twice at once, retire too many at a stroke, act twice, or undo an opt-out.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use std::path::PathBuf;
use std::process::Command;

/// The batch's release build, beside which these tests are built.
pub fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("consent-batch")
}

pub fn batch(cluster: &Cluster, arguments: &[&str]) -> (i32, String) {
    let run = Command::new(program())
        .args(arguments)
        .args(if arguments.contains(&"--json") { &[][..] } else { &["--text"] })
        .args(["--database", &cluster.url("postgres", "postgres")])
        .output()
        .expect("target/release/consent-batch: cargo build --release -p consent-batch");
    (run.status.code().unwrap_or(-1), String::from_utf8_lossy(&run.stdout).into_owned())
}

/// French customers 1 to 9, who bought shoes: the first three too long ago.
pub fn start() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client
        .batch_execute(
            "CREATE SCHEMA crm;
             CREATE TABLE crm.customer (id bigint PRIMARY KEY, bought_at timestamptz);
             INSERT INTO crm.customer SELECT n, now() - CASE WHEN n <= 3 THEN interval '4 years' ELSE interval '1 year' END
               FROM generate_series(1, 9) n;
             CREATE VIEW crm.contact AS SELECT id AS contact_id, 'FR'::text AS country,
                    id || '@example.org' AS email FROM crm.customer;
             CREATE VIEW crm.purchase AS SELECT id AS contact_id, bought_at AS at,
                    'shoes'::text AS category, 'yes'::text AS opt_out_offered FROM crm.customer;
             INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
             INSERT INTO consent_data.category (name) VALUES ('shoes');
             SELECT consent.bind_contacts('crm.contact'), consent.bind_purchases('crm.purchase');",
        )
        .unwrap();
    assert_eq!(batch(&cluster, &["refold"]).0, 0);
    (cluster, client)
}

#[test]
fn two_runs_at_once_do_not_meet() {
    let (cluster, mut client) = start();
    client.batch_execute("SELECT pg_advisory_lock(27988542867467892)").unwrap();
    assert_eq!(batch(&cluster, &["nightly"]).0, 3);
    client.batch_execute("SELECT pg_advisory_unlock_all()").unwrap();
    assert_eq!(batch(&cluster, &["nightly", "--force"]).0, 0);
}

#[test]
fn retention_neither_retires_a_third_at_a_stroke_nor_anybody_twice() {
    let (cluster, mut client) = start();
    let recorded = "SELECT count(*) FROM consent_data.retention_action";
    assert_eq!(batch(&cluster, &["retention"]).0, 2, "three of nine are more than a fifth");
    assert_eq!(batch(&cluster, &["retention", "--max-share", "0.5"]).0, 0);
    assert_eq!(shop::number(&mut client, recorded), 0, "a dry run");
    for _ in 0..2 {
        assert_eq!(batch(&cluster, &["retention", "--apply", "--max-share", "0.5"]).0, 0);
        assert_eq!(shop::number(&mut client, recorded), 3);
    }
}

#[test]
fn a_night_that_would_retire_too_many_is_sealed_and_counted() {
    let (cluster, mut client) = start();
    assert_eq!(batch(&cluster, &["nightly", "--apply"]).0, 2);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.retention_action"), 0);
    assert!(shop::number(&mut client, "SELECT count(*) FROM consent_data.summary") > 0);
    let steps = "SELECT string_agg(step || ' ' || outcome, ', ' ORDER BY run_id) FROM consent_data.run WHERE step NOT IN ('refold', 'rescore')";
    let steps: String = client.query_one(steps, &[]).unwrap().get(0);
    assert_eq!(steps, "nightly findings, retention findings, seal done, summarise done");
}

#[test]
fn a_night_undoes_no_opt_out_and_a_second_one_changes_nothing() {
    let (cluster, mut client) = start();
    client.batch_execute("SELECT consent.opt_out(9::bigint)").unwrap();
    let nightly = ["nightly", "--apply", "--force"];
    let states = "SELECT string_agg(contact_id || ':' || rev, ',' ORDER BY contact_id) FROM consent_data.contact_state";
    assert_eq!(batch(&cluster, &nightly).0, 0);
    let before: String = client.query_one(states, &[]).unwrap().get(0);
    assert_eq!(batch(&cluster, &nightly).0, 0);
    assert_eq!(client.query_one(states, &[]).unwrap().get::<_, String>(0), before);
    let asked =
        "SELECT consent.can_send(9, 'newsletter', 'shoes'), consent.can_send(8, 'newsletter', 'shoes')";
    let row = client.query_one(asked, &[]).unwrap();
    assert_eq!([row.get::<_, bool>(0), row.get(1)], [false, true]);
}
