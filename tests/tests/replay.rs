//! A message that should not have gone out must be found afterwards, with the reason why, and no other be blamed.

use crate::batch::batch;
use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Contacts 1 to 300 in Germany, who opted in with proof, but for every tenth; every ninth opted out. All are claimed for the
/// campaign `autumn`, and who may be written to is.
fn campaign() -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    client
        .batch_execute(
            "CREATE SCHEMA crm;
             CREATE TABLE crm.customer (id bigint PRIMARY KEY);
             INSERT INTO crm.customer SELECT generate_series(1, 400);
             CREATE VIEW crm.contact AS SELECT id AS contact_id, 'DE'::text AS country, id || '@example.org' AS email FROM crm.customer;
             INSERT INTO consent_data.sender (name, country, is_default) VALUES ('shop', 'DE', true);
             INSERT INTO consent_data.category (name) VALUES ('shoes');
             SELECT consent.bind_contacts('crm.contact');",
        )
        .unwrap();
    assert_eq!(batch(&cluster, &["refold"]).0, 0);
    client
        .batch_execute(
            "SELECT count(consent.opt_in(id, purposes => '{marketing,newsletter}', double_opt_in => false, evidence => '{\"form\": \"f/1\"}'))
               FROM crm.customer WHERE id % 10 <> 0;
             SELECT count(consent.opt_out(id)) FROM crm.customer WHERE id % 9 = 0;",
        )
        .unwrap();
    for id in 1..=300i64 {
        let claim = "SELECT decision_id, allowed FROM consent.claim_send($1::bigint, 'newsletter', campaign => 'autumn')";
        let row = client.query_one(claim, &[&id]).unwrap();
        assert_eq!(row.get::<_, bool>(1), id % 9 != 0 && id % 10 != 0, "contact {id}");
        if row.get(1) {
            client
                .query_one("SELECT consent.claim_outcome($1::bigint, 'sent')", &[&row.get::<_, i64>(0)])
                .unwrap();
        }
    }
    client
        .batch_execute(
            "CREATE TABLE crm.sent AS
             SELECT d.contact_id, d.message_kind, clock_timestamp() AS sent_at FROM consent_data.decision d WHERE d.allowed;",
        )
        .unwrap();
    (cluster, client)
}

/// Exit code, the differences, and the figures.
fn replay(cluster: &Cluster, more: &[&str]) -> (i32, Vec<Value>, Value) {
    let (code, said) = batch(cluster, &[&["replay", "--json", "--campaign", "autumn"], more].concat());
    let lines: Vec<Value> = said.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let figures = lines.iter().find_map(|l| l.get("figures")).cloned().unwrap_or(Value::Null);
    (code, lines.into_iter().filter(|l| l.get("cause").is_some()).collect(), figures)
}

fn by_cause(differences: &[Value]) -> BTreeMap<&str, Vec<&str>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for d in differences {
        found.entry(d["cause"].as_str().unwrap()).or_default().push(d["contact"].as_str().unwrap());
    }
    found.values_mut().for_each(|contacts| contacts.sort_by_key(|c| c.parse::<i64>().unwrap()));
    found
}

#[test]
fn twenty_wrong_sends_are_found_and_nobody_else_is_blamed() {
    let (cluster, mut client) = campaign();
    let (code, differences, figures) = replay(&cluster, &["--sends", "crm.sent"]);
    assert_eq!((code, differences.len()), (0, 0), "{differences:?}");
    assert_eq!(figures["messages"], json!(240));

    // Ten to people whose claim said no, ten to people nobody claimed and who have refused or never agreed.
    client
        .batch_execute(
            "INSERT INTO crm.sent SELECT id, 'newsletter', clock_timestamp() FROM crm.customer WHERE id IN (9, 18, 27, 36, 10, 20, 30, 40, 50, 90);
             INSERT INTO crm.sent SELECT id, 'newsletter', clock_timestamp() FROM crm.customer WHERE id IN (306, 315, 324, 333, 342, 310, 320, 330, 340, 350);",
        )
        .unwrap();
    let (code, differences, figures) = replay(&cluster, &["--sends", "crm.sent"]);
    assert_eq!(code, 2);
    let found = by_cause(&differences);
    assert_eq!(found["sent_against_the_answer"], ["9", "10", "18", "20", "27", "30", "36", "40", "50", "90"]);
    assert_eq!(
        found["sent_without_permission"],
        ["306", "310", "315", "320", "324", "330", "333", "340", "342", "350"]
    );
    assert_eq!(differences.len(), 20);
    assert_eq!(figures["causes"], json!({"sent_against_the_answer": 10, "sent_without_permission": 10}));
    assert!(
        differences.iter().all(|d| d["reason"].is_string() && d["known_then"] == json!(false)),
        "{differences:?}"
    );
    // By the log of claims alone nothing was sent that was not claimed.
    assert_eq!(replay(&cluster, &[]).0, 0);
}

#[test]
fn each_message_has_a_claim_of_its_own() {
    let (cluster, mut client) = campaign();
    let claim_of = |client: &mut Client, id: i64| -> i64 {
        let query = "SELECT decision_id FROM consent_data.decision WHERE contact_id = $1 AND made_for = 'claim' ORDER BY 1 DESC LIMIT 1";
        client.query_one(query, &[&id]).unwrap().get(0)
    };
    // 301 and 302 are claimed and refuse before they are written to, one of them after a recheck that said no; 303 is released;
    // 304 is written to twice; 305 is claimed by e-mail and by SMS, which is denied; 307 gets an SMS on a claim by e-mail.
    client
        .batch_execute(
            "SELECT count(*) FROM unnest('{301,302,303,304,305,307,308}'::bigint[]) c, consent.claim_send(c, 'newsletter', campaign => 'autumn') WHERE allowed;
             SELECT consent.opt_out(301::bigint), consent.opt_out(302::bigint);",
        )
        .unwrap();
    let asked_again = claim_of(&mut client, 302);
    let row = client.query_one("SELECT allowed FROM consent.recheck($1)", &[&asked_again]).unwrap();
    assert!(!row.get::<_, bool>(0));
    let released = claim_of(&mut client, 303);
    client.query_one("SELECT consent.claim_outcome($1::bigint, 'released')", &[&released]).unwrap();
    client
        .batch_execute(
            "SELECT * FROM consent.claim_send(305::bigint, 'newsletter', channel => 'sms', campaign => 'autumn');
             ALTER TABLE crm.sent ADD channel text, ADD campaign text DEFAULT 'autumn';
             INSERT INTO crm.sent SELECT c, 'newsletter', clock_timestamp(), 'email' FROM unnest('{301,302,303,304,304,305,308}'::bigint[]) c;
             INSERT INTO crm.sent VALUES (307, 'newsletter', clock_timestamp(), 'sms', 'autumn'), (9, 'newsletter', clock_timestamp(), 'email', 'winter');
             SELECT pg_sleep(0.01);",
        )
        .unwrap();
    client
        .batch_execute("SELECT consent.opt_out(305::bigint), consent.erase(308::bigint, 'a request')")
        .unwrap();
    let (code, differences, figures) = replay(&cluster, &["--sends", "crm.sent"]);
    assert_eq!(code, 2);
    let found = by_cause(&differences);
    assert_eq!(found["lapsed_after_claim"], ["301"]);
    assert_eq!(found["sent_after_release"], ["302", "303"]);
    assert_eq!(found["sent_twice"], ["304"]);
    assert_eq!(found["sent_without_permission"], ["307"]);
    assert_eq!(
        (differences.len(), &figures["erased"], &figures["unreadable"]),
        (5, &json!(1), &json!(0)),
        "{differences:?}"
    );
    let lapsed = differences.iter().find(|d| d["cause"] == "lapsed_after_claim").unwrap();
    assert_eq!(
        (&lapsed["reason"], lapsed["events"].as_array().map(Vec::len)),
        (&json!("opted_out"), Some(1))
    );
}

#[test]
fn a_row_of_the_send_log_that_nobody_can_read_is_no_clean_one() {
    let (cluster, mut client) = campaign();
    client
        .batch_execute(
            "CREATE TABLE crm.log AS SELECT contact_id::text, message_kind, sent_at FROM crm.sent;
             INSERT INTO crm.log VALUES ('abc', 'newsletter', now()), (NULL, 'newsletter', now()), ('1', 'newsletter', NULL);",
        )
        .unwrap();
    let (code, differences, figures) = replay(&cluster, &["--sends", "crm.log"]);
    assert_eq!((code, differences.len(), &figures["unreadable"]), (2, 0, &json!(3)), "{differences:?}");
}

#[test]
fn a_refusal_before_a_planned_hour_is_no_late_one() {
    let (cluster, mut client) = campaign();
    client
        .batch_execute("SELECT * FROM consent.claim_send(301::bigint, 'newsletter', campaign => 'planned', at => now() + interval '5 days')")
        .unwrap();
    let (code, said) = batch(&cluster, &["replay", "--campaign", "planned", "--json"]);
    assert_eq!(code, 0, "{said}");
    client.batch_execute("SELECT consent.opt_out(301::bigint)").unwrap();
    let (code, said) = batch(&cluster, &["replay", "--campaign", "planned", "--json"]);
    assert_eq!((code, said.contains("lapsed_after_claim")), (2, true), "{said}");
}

#[test]
fn a_kill_switch_of_today_blames_no_campaign_of_yesterday() {
    let (cluster, mut client) = campaign();
    client.batch_execute("UPDATE consent_data.setting SET marketing_off = true").unwrap();
    assert_eq!(batch(&cluster, &["replay", "--campaign", "autumn"]).0, 1);
    client.batch_execute("UPDATE consent_data.setting SET marketing_off = false").unwrap();
    assert_eq!(batch(&cluster, &["replay", "--campaign", "autumn"]).0, 0);
}

#[test]
fn what_could_not_be_asked_then_is_no_difference_now() {
    let (cluster, mut client) = campaign();
    client
        .batch_execute(
            "SELECT * FROM consent.claim_send(1::bigint, 'newsletter', 'hats', campaign => 'autumn');
             SELECT * FROM consent.claim_send(2::bigint, 'newsletter', sender => 'nobody', campaign => 'autumn');
             SELECT * FROM consent.claim_send(3::bigint, 'newsletter', address => 'other@example.org', campaign => 'autumn');
             INSERT INTO consent_data.category (name) VALUES ('hats');",
        )
        .unwrap();
    let (code, differences, _) = replay(&cluster, &[]);
    assert_eq!((code, differences.len()), (0, 0), "{differences:?}");
}

#[test]
fn an_opt_out_taken_down_late_is_told_from_a_fault() {
    let (cluster, mut client) = campaign();
    // By letter, a week ago, and on the desk until today: after the campaign.
    let row = client
        .query_one("SELECT consent.opt_out(7::bigint, via => 'letter', at => now() - interval '7 days')", &[])
        .unwrap();
    let event: i64 = row.get(0);
    let (code, differences, _) = replay(&cluster, &[]);
    assert_eq!((code, differences.len()), (2, 1), "{differences:?}");
    let [late] = differences.as_slice() else { panic!() };
    assert_eq!((&late["contact"], &late["cause"]), (&json!("7"), &json!("recorded_late")));
    assert_eq!((&late["known_then"], &late["known_now"]), (&json!(true), &json!(false)));
    assert_eq!((&late["events"], &late["reason"]), (&json!([event]), &json!("opted_out")));
}

#[test]
fn a_rule_made_since_is_told_from_a_fault() {
    let (cluster, mut client) = campaign();
    client
        .batch_execute(
            r#"INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('no newsletters', '{"extends": "de",
               "rules": [{"id": "de.own_none/1", "from": "1900-01-01", "when": {"natures": ["newsletter"]}, "then": {"prohibited": {}},
                          "citation": "board decision", "confidence": "high"}]}', 'a test')"#,
        )
        .unwrap();
    let (code, differences, _) = replay(&cluster, &[]);
    assert_eq!(code, 2);
    let found = by_cause(&differences);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["changed_rule"], "{:?}", &differences[..2]);
    assert_eq!(differences.len(), 240);
}

#[test]
fn a_campaign_nobody_claimed_is_no_clean_one() {
    let (cluster, mut client) = campaign();
    assert_eq!(batch(&cluster, &["replay", "--campaign", "spring"]).0, 1);
    client.batch_execute("CREATE TABLE crm.other (id bigint)").unwrap();
    assert_eq!(batch(&cluster, &["replay", "--campaign", "autumn", "--sends", "crm.other"]).0, 1);
    assert_eq!(batch(&cluster, &["replay", "--campaign", "autumn", "--sends", "crm.nowhere"]).0, 1);
}

#[test]
fn the_erased_are_counted_and_not_asked_about() {
    let (cluster, mut client) = campaign();
    client.batch_execute("SELECT consent.erase(1::bigint, 'a request')").unwrap();
    let (code, differences, figures) = replay(&cluster, &[]);
    assert_eq!((code, differences.len()), (0, 0), "{differences:?}");
    assert_eq!((&figures["erased"], &figures["messages"]), (&json!(1), &json!(299)));
}
