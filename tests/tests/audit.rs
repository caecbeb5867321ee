//! The audit views and the dossier: equal to what the live functions say, whole at any moment, with nothing of others and no
//! words of people where only counts belong.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;

/// Views of single rows, for auditors: they show what was written.
const OF_ROWS: &[&str] = &["audit_ledger", "audit_contact_record", "audit_decision_log", "audit_subject"];

pub fn start() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let client = shop::set_up(&cluster, "bigint");
    (cluster, client)
}

fn batch(cluster: &Cluster, user: &str, arguments: &[&str]) -> (i32, String) {
    let here = std::env::current_exe().unwrap();
    let run = Command::new(here.ancestors().nth(2).unwrap().join("consent-batch"))
        .args(arguments)
        .args(["--database", &cluster.url("postgres", user)])
        .output()
        .expect("target/release/consent-batch: cargo build --release -p consent-batch");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (run.status.code().unwrap_or(-1), text(&run.stdout) + &text(&run.stderr))
}

fn summarise(cluster: &Cluster) {
    let (code, out) = batch(cluster, "postgres", &["summarise"]);
    assert_eq!(code, 0, "{out}");
}

fn views(client: &mut Client) -> Vec<String> {
    let rows = client.query(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'consent'::regnamespace AND relkind = 'v' AND relname LIKE 'audit\\_%' ORDER BY 1",
        &[],
    );
    rows.unwrap().iter().map(|r| r.get(0)).collect()
}

pub fn json(client: &mut Client, sql: &str) -> Value {
    client.query_one(sql, &[]).unwrap().get(0)
}

/// Fails unless both queries have the same rows, and some.
fn same(client: &mut Client, shown: &str, live: &str) {
    for (a, b) in [(shown, live), (live, shown)] {
        let rows = format!("SELECT coalesce(jsonb_agg(d), '[]') FROM ({a} EXCEPT ALL {b}) d");
        assert_eq!(json(client, &rows), json!([]), "in\n{a}\nand not in\n{b}");
    }
    assert!(shop::number(client, &format!("SELECT count(*) FROM ({shown}) s")) > 0, "no rows: {shown}");
}

pub const DECISIONS: &str = "
    INSERT INTO consent_data.decision (contact_id, message_kind, channel, sender_id, campaign, message_ref, allowed, basis, rule, jurisdiction,
        evidence, policy_decision, policy_version, made_for)
    SELECT s.contact_id, CASE n WHEN 1 THEN 'newsletter' ELSE 'order_confirmation' END, 'email', 1, 'campaign ' || s.contact_id % 3,
           'ref ' || s.contact_id || ' ' || n, true, 'contract', 'gb.service/1', 'gb', jsonb_build_object('of', 'evidence of ' || s.contact_id || '.'),
           CASE WHEN s.contact_id % 4 = 0 THEN '{\"switch\": \"gb.free_account_is_sale\", \"decided_by\": \"default\"}'::jsonb END, '2026.1', 'claim'
      FROM consent_data.contact_state s, generate_series(1, 2) n;
    INSERT INTO consent_data.outcome (decision_id, decided_at, outcome)
    SELECT decision_id, decided_at, CASE WHEN decision_id % 5 = 0 THEN 'released' ELSE 'sent' END FROM consent_data.decision WHERE decision_id % 3 > 0;";

#[test]
fn every_audit_view_says_whose_question_it_answers() {
    let (_cluster, mut client) = start();
    for view in views(&mut client) {
        let comment: String = client
            .query_one(
                "SELECT coalesce(obj_description(to_regclass('consent.' || $1), 'pg_class'), '')",
                &[&view],
            )
            .unwrap()
            .get(0);
        let (who, question) = comment.split_once(": ").unwrap_or_default();
        assert!(!who.is_empty() && who.len() < 50 && question.contains('?'), "{view}: {comment}");
    }
}

#[test]
fn a_summary_says_what_the_live_functions_say() {
    let (cluster, mut client) = start();
    shop::fill(&mut client, 300, 11);
    client.batch_execute(DECISIONS).unwrap();
    client
        .batch_execute(
            "INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes'), ('marketing', NULL), ('order_confirmation', NULL);
             SELECT count(consent.opt_out(id, reason_code => 'too_many')) FROM crm.customer WHERE id % 9 = 0;
             INSERT INTO consent_data.pending (contact_id, restricts) SELECT id, true FROM crm.customer WHERE id <= 8;
             INSERT INTO consent_data.retention_action (run_id, contact_id, sender_id, stage, rule, since, ends_at)
             SELECT 1, id, 1, 'warning', 'own/1', now() - interval '3 years', now() FROM crm.customer WHERE id % 3 = 0",
        )
        .unwrap();
    // Nothing is counted yet, which is told, and nothing is made up.
    assert_eq!(json(&mut client, "SELECT to_jsonb(counted) FROM consent.audit_summary_age"), json!("never"));
    for view in [
        "audit_permission",
        "audit_expiring",
        "audit_opt_out_trend",
        "audit_evidence_gap",
        "audit_data_quality",
    ] {
        assert_eq!(shop::number(&mut client, &format!("SELECT count(*) FROM consent.{view}")), 0, "{view}");
    }
    summarise(&cluster);
    assert_eq!(json(&mut client, "SELECT to_jsonb(stale) FROM consent.audit_summary_age"), json!(false));
    same(
        &mut client,
        "SELECT sender, message_kind, product_category, jurisdiction, allowed, basis, reason, contacts FROM consent.audit_permission",
        "SELECT s.name, q.message_kind, q.product_category, e.* FROM consent_data.audit_question q, consent_data.sender s, consent.audit_summary_age a,
                LATERAL consent.explain_audience(q.message_kind, q.product_category, NULL, s.name, a.counted_at) e",
    );
    same(
        &mut client,
        "SELECT sender, message_kind, product_category, jurisdiction, basis, month, contacts FROM consent.audit_expiring",
        "SELECT s.name, q.message_kind, q.product_category, coalesce(d.answer->>'jurisdiction', 'none'), d.answer->>'basis',
                date_trunc('month', (d.answer->>'valid_until')::timestamptz AT TIME ZONE 'UTC')::date, count(*)
           FROM consent_data.audit_question q, consent_data.sender s, consent.audit_summary_age a,
                LATERAL (SELECT consent._decide(x.state, (SELECT consent.question(q.message_kind, q.product_category, NULL, s.name, a.counted_at))) AS answer
                           FROM consent.decidable x WHERE NOT consent._overflows(x.state)) d
          WHERE (d.answer->>'allowed')::boolean AND (d.answer->>'valid_until')::timestamptz < a.counted_at + interval '1 year'
          GROUP BY 1, 2, 3, 4, 5, 6",
    );
    for (view, count, columns) in [
        ("audit_opt_out_trend", "opt_out", "month, kind, channels, sender, via, reason, events"),
        (
            "audit_opt_out_rate",
            "opt_out_rate",
            "month, message_kind, campaign, sender, channel, sent, refused",
        ),
        (
            "audit_service_share",
            "service_share",
            "message_kind, nature, campaign, sender, messages, to_refused, erased_since, first_at, last_at",
        ),
        (
            "audit_evidence_gap",
            "evidence",
            "kind, sender, method, kept_in, grade, lacks, events, without_evidence, empty_evidence",
        ),
        (
            "audit_retention",
            "retention",
            "stage, rule, sender, ends_in, contacts, last_acted_at, action, outcome, reason, last_found_at, acts_from",
        ),
        ("audit_data_quality", "quality", "contacts, without_country, without_name, not_folded"),
        (
            "audit_decision",
            "decision",
            "switch, permissive, decided_by, document, answers, allowed, claims, first_at, last_at",
        ),
    ] {
        same(
            &mut client,
            &format!("SELECT {columns} FROM consent.{view}"),
            &format!("SELECT {columns} FROM consent_data.count_{count}"),
        );
    }
    // The views of before, over the tables themselves.
    same(
        &mut client,
        "SELECT kind, sum(events)::bigint FROM consent.audit_opt_out_trend GROUP BY 1",
        "SELECT kind, count(*) FROM consent_data.event WHERE kind IN ('opt_out', 'objection', 'erasure_request') GROUP BY 1",
    );
    same(
        &mut client,
        "SELECT sum(sent)::bigint FROM consent.audit_opt_out_rate",
        "SELECT count(*) FROM consent_data.decision d WHERE NOT EXISTS (SELECT FROM consent_data.outcome o WHERE o.decision_id = d.decision_id AND o.outcome <> 'sent')",
    );
    let fact = |kinds: &str| {
        format!("f->>'kind' IN ({kinds}) AND f->>'method' IS NOT NULL = (f->>'kind' = 'opt_in')")
    };
    let (opt_in, other) = (
        fact("'opt_in'"),
        fact(
            "'purchase', 'contract_start', 'subscription_start', 'quote_request', 'enquiry', 'trial_start', 'free_account', 'donation', \
              'volunteering', 'support_expressed', 'membership_start', 'referral', 'address_published', 'address_disclosed'",
        ),
    );
    let proven = format!(
        "(SELECT bool_or(f->>'evidence' = 'proof') FROM jsonb_array_elements(facts) f
           WHERE CASE WHEN jsonb_path_exists(facts, '$[*] ? (@.kind == \"opt_in\")') THEN {opt_in} ELSE {other} AND f ? 'opt_out_offered' END)"
    );
    same(
        &mut client,
        "SELECT unknown_how_subscribed, without_evidence, waiting FROM consent.audit_data_quality",
        &format!(
            "SELECT count(*) FILTER (WHERE {proven} IS NULL), count(*) FILTER (WHERE NOT {proven}), 8
               FROM (SELECT consent.state_json(d.state)->'facts' AS facts FROM consent.decidable d WHERE NOT consent._overflows(d.state)) s"
        ),
    );
    same(
        &mut client,
        "SELECT with_valid_email, with_valid_phone, with_valid_post, without_clean_address FROM consent.audit_data_quality",
        "SELECT count(*) FILTER (WHERE 'email' = ANY (g)), count(*) FILTER (WHERE 'phone' = ANY (g)), count(*) FILTER (WHERE 'post' = ANY (g)), count(*) FILTER (WHERE g = '{}')
           FROM (SELECT ARRAY(SELECT a.channel_group FROM consent_data.contact_address a WHERE a.contact_id = d.contact_id AND a.since IS DISTINCT FROM 'infinity') AS g
                   FROM consent.decidable d WHERE NOT consent._overflows(d.state) AND consent._has_profile(d.state)) x",
    );
    // A view of the CRM that is dropped takes what counts it along: that figure goes, the others are counted on.
    client.batch_execute("DROP VIEW consent_data.count_quality").unwrap();
    let (code, out) = batch(&cluster, "postgres", &["summarise"]);
    assert!(code == 0 && out.contains("consent.setup()"), "{out}");
    assert_eq!(
        shop::number(&mut client, "SELECT count(*) FROM consent.audit_data_quality"),
        0,
        "no figure of the night before"
    );
    assert!(shop::number(&mut client, "SELECT count(*) FROM consent.audit_permission") > 0);
    client.batch_execute("CALL consent.setup()").unwrap();
    summarise(&cluster);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent.audit_data_quality"), 1);
    // A dry run leaves it as it is.
    let before = json(&mut client, "SELECT jsonb_agg(s ORDER BY part) FROM consent_data.summary s");
    assert_eq!(batch(&cluster, "postgres", &["summarise", "--dry-run"]).0, 0);
    assert_eq!(json(&mut client, "SELECT jsonb_agg(s ORDER BY part) FROM consent_data.summary s"), before);
}

#[test]
fn no_reader_sees_half_a_summary_or_two() {
    let (cluster, mut client) = start();
    let replace = |client: &mut Client, run: i64| {
        let rows = json!([{"contacts": run}]);
        let parts = json!({"quality": rows, "permission": rows, "retention": rows});
        client.execute("SELECT consent._summary_replace($1, now(), $2)", &[&run, &parts]).unwrap();
    };
    replace(&mut client, 0);
    let mut reader = cluster.connect("postgres", "postgres").unwrap();
    let reading = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        loop {
            let row = reader
                .query_one(
                    "SELECT count(*), count(DISTINCT run_id), count(DISTINCT (rows->0->>'contacts')), max(run_id) FROM consent_data.summary",
                    &[],
                )
                .unwrap();
            let [parts, runs, contents, run] = [0, 1, 2, 3].map(|n| row.get::<_, i64>(n));
            assert_eq!((parts, runs, contents), (3, 1, 1), "in run {run}");
            seen.insert(run);
            if run == 300 {
                return seen.len();
            }
        }
    });
    (1..=300).for_each(|run| replace(&mut client, run));
    assert!(reading.join().unwrap() > 3, "the reader was too slow to see anything");
    // A run that is broken off before it commits leaves the one before.
    let mut t = client.transaction().unwrap();
    t.execute("SELECT consent._summary_replace(301, now(), '{}')", &[]).unwrap();
    t.rollback().unwrap();
    assert_eq!(shop::number(&mut client, "SELECT contacts FROM consent.audit_data_quality"), 300);
}

#[test]
fn no_words_of_people_are_in_a_count() {
    let (cluster, mut client) = start();
    shop::fill(&mut client, 120, 5);
    client.batch_execute(DECISIONS).unwrap();
    client
        .batch_execute(
            "INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes');
             SELECT consent.record_event(id, 'opt_out', detail => '{\"via\": \"letter\"}', reason => 'Jane wrote: jane@example.org', evidence => '{\"note\": \"Jane\"}')
               FROM crm.customer WHERE id % 5 = 0;
             SELECT consent.object(id, reason => 'Jane') FROM crm.customer WHERE id % 7 = 0;
             SELECT consent.opt_in(id, evidence => '{\"form\": \"Jane\", \"spoken\": \"Jane\"}') FROM crm.customer WHERE id % 11 = 0;
             SELECT consent.legal_hold(3::bigint, 'Jane against us');
             -- Written before codes were checked.
             INSERT INTO consent_data.event (contact_id, kind, at, sender_id, detail) VALUES (2, 'opt_out', now(), 1, '{\"reason_code\": \"Jane says no\"}')",
        )
        .unwrap();
    summarise(&cluster);
    let mut rows = 0;
    for view in views(&mut client).iter().filter(|v| !OF_ROWS.contains(&v.as_str())) {
        let shown = json(&mut client, &format!("SELECT coalesce(jsonb_agg(v), '[]') FROM consent.{view} v"));
        rows += shown.as_array().unwrap().len();
        assert!(!shown.to_string().contains("Jane") && !shown.to_string().contains("evidence of "), "{view}");
    }
    assert!(rows > 50, "{rows}");
    let stored = json(
        &mut client,
        "SELECT jsonb_agg(s) || (SELECT jsonb_agg(r) FROM consent_data.run r) FROM consent_data.summary s",
    );
    assert!(!stored.to_string().contains("Jane"));
    assert!(
        json(&mut client, "SELECT jsonb_agg(v) FROM consent.audit_ledger v").to_string().contains("Jane"),
        "the test finds words"
    );
    let told = "SELECT sum(events)::bigint FROM consent.audit_opt_out_trend WHERE reason = 'in words'";
    assert!(shop::number(&mut client, told) >= 24, "that there are words is told");
}

#[test]
fn a_service_message_after_an_opt_out_is_found_and_nothing_else() {
    let (cluster, mut client) = start();
    shop::fill(&mut client, 0, 1);
    client
        .batch_execute(
            "INSERT INTO crm.customer (id, country, email) SELECT n, 'GB', 'p' || CASE n WHEN 8 THEN 1 ELSE n END || '@example.org' FROM generate_series(1, 9) n;
             SELECT consent.refold(ARRAY(SELECT id::text FROM crm.customer));
             -- 1 refuses, and 8 has its address; 3 refuses one category, 4 on another channel, 5 another sender; 6 comes back.
             SELECT consent.opt_out(1::bigint), consent.opt_out(2::bigint), consent.opt_out(4::bigint, channel => 'sms'),
                    consent.opt_out(5::bigint, sender => 'sister'), consent.opt_out(6::bigint);
             SELECT consent.record_event(3::bigint, 'opt_out', category => 'shoes', detail => '{\"scope\": \"category\"}')",
        )
        .unwrap();
    // A statement of its own, and so later.
    client.batch_execute("SELECT consent.opt_in(6::bigint, evidence => '{\"form\": 1}')").unwrap();
    let claim = |client: &mut Client, contact: i64, kind: &str, campaign: &str, outcome: Option<&str>| {
        client
            .execute(
                "WITH d AS (INSERT INTO consent_data.decision (contact_id, message_kind, channel, sender_id, campaign, allowed, made_for)
                            VALUES ($1, $2, 'email', 1, $3, true, 'claim') RETURNING decision_id, decided_at)
                 INSERT INTO consent_data.outcome (decision_id, decided_at, outcome) SELECT decision_id, decided_at, $4::text FROM d WHERE $4 IS NOT NULL",
                &[&contact, &kind, &campaign, &outcome],
            )
            .unwrap();
    };
    (1..=9).for_each(|contact| claim(&mut client, contact, "order_confirmation", "orders", None));
    claim(&mut client, 1, "order_confirmation", "orders", Some("released"));
    claim(&mut client, 1, "newsletter", "spring", Some("sent"));
    claim(&mut client, 2, "order_confirmation", "vouchers", Some("sent"));
    claim(&mut client, 9, "newsletter", "spring", Some("sent"));
    claim(&mut client, 9, "newsletter", "summer", Some("sent"));
    // Afterwards: of messages already gone it says nothing, but it counts against the last of them.
    client.batch_execute("SELECT consent.opt_out(9::bigint)").unwrap();
    summarise(&cluster);
    let rows = json(
        &mut client,
        "SELECT jsonb_agg(jsonb_build_array(campaign, messages, to_refused, share) ORDER BY campaign) FROM consent.audit_service_share",
    );
    assert_eq!(rows, json!([["orders", 9, 3, 0.3333], ["vouchers", 1, 1, 1.0]]), "1, 2 and 8");
    let rate = json(
        &mut client,
        "SELECT jsonb_agg(jsonb_build_array(message_kind, campaign, sent, refused, per_thousand) ORDER BY campaign) FROM consent.audit_opt_out_rate",
    );
    assert_eq!(
        rate,
        json!([
            ["order_confirmation", "orders", 9, 0, 0.0],
            ["newsletter", "spring", 2, 0, 0.0],
            ["newsletter", "summer", 1, 1, 1000.0],
            ["order_confirmation", "vouchers", 1, 0, 0.0]
        ])
    );
    // Whoever takes the kind away hides nothing.
    client.batch_execute("DELETE FROM consent_data.message_kind WHERE name = 'order_confirmation'").unwrap();
    summarise(&cluster);
    assert_eq!(
        shop::number(&mut client, "SELECT sum(to_refused)::bigint FROM consent.audit_service_share"),
        4
    );
}

#[test]
fn auditors_read_all_of_it_and_change_nothing_and_the_night_has_no_more_than_its_role() {
    let (cluster, mut client) = start();
    shop::fill(&mut client, 20, 2);
    client
        .batch_execute(
            "CREATE ROLE auditor LOGIN IN ROLE consent_audit; CREATE ROLE night LOGIN IN ROLE consent_batch;
             CREATE ROLE seller LOGIN IN ROLE consent_decide; CREATE ROLE clerk LOGIN IN ROLE consent_record;
             INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes')",
        )
        .unwrap();
    let (code, out) = batch(&cluster, "night", &["summarise"]);
    assert_eq!(code, 0, "{out}");
    let mut auditor = cluster.connect("postgres", "auditor").unwrap();
    for view in views(&mut client) {
        auditor
            .query_one(&format!("SELECT count(v::text) FROM consent.{view} v"), &[])
            .unwrap_or_else(|e| panic!("{view}: {e}"));
    }
    auditor.query_one("SELECT consent.dossier(1::bigint), consent.dossier('1')", &[]).unwrap();
    let before = json(&mut client, "SELECT jsonb_agg(e ORDER BY e.event_id) FROM consent_data.event e");
    // In a transaction that may write nothing, it has all it needs.
    let mut t = auditor.build_transaction().read_only(true).start().unwrap();
    t.query_one("SELECT consent.dossier(2::bigint)", &[]).unwrap();
    t.commit().unwrap();
    assert_eq!(
        json(&mut client, "SELECT jsonb_agg(e ORDER BY e.event_id) FROM consent_data.event e"),
        before
    );
    let denied = |user: &str, sql: &str| {
        let error = cluster.connect("postgres", user).unwrap().query(sql, &[]).unwrap_err();
        assert_eq!(error.code().map(|c| c.code()), Some("42501"), "{user}: {sql}");
    };
    denied("auditor", "SELECT consent._summary_replace(1, now(), '{}')");
    for change in ["DELETE FROM", "TRUNCATE"] {
        denied("auditor", &format!("{change} consent_data.summary"));
        denied("night", &format!("{change} consent_data.summary"));
    }
    for user in ["seller", "clerk", "night"] {
        denied(user, "SELECT consent.dossier(1::bigint)");
        denied(user, "SELECT consent.dossier('1')");
        denied(user, "SELECT * FROM consent.audit_decision_log");
    }
    denied("seller", "SELECT * FROM consent_data.summary");
    denied("auditor", "SELECT consent._dossier_of('1')");
}
