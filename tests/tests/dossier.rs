//! A dossier has all of one contact and nothing of another, and says so where there is nothing.

use crate::audit::{DECISIONS, json, start};
use crate::shop;
use postgres::Client;
use serde_json::{Value, json};

/// All values of a member, wherever it stands in these lists.
fn ids(of: &Value, lists: &[&str], id: &str) -> Vec<i64> {
    let rows = lists.iter().flat_map(|list| of[*list].as_array().unwrap_or_else(|| panic!("{list} in {of}")));
    rows.map(|row| row[id].as_i64().unwrap()).collect()
}

#[test]
fn a_dossier_has_each_row_of_the_contact_once_and_nothing_of_another() {
    let (_cluster, mut client) = start();
    shop::fill(&mut client, 200, 3);
    client.batch_execute(DECISIONS).unwrap();
    client
        .batch_execute(
            "INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes');
             SELECT consent.record_event(id, 'opt_out', reason => 'words of ' || id || '.', evidence => jsonb_build_object('note', 'evidence of ' || id || '.'))
               FROM crm.customer WHERE id % 10 IN (0, 9);
             SELECT consent.merge_contacts(101::bigint, 102::bigint)",
        )
        .unwrap();
    let mut facts = 0;
    for contact in (9..=200).step_by(10).flat_map(|n| [n, n + 1]).chain([1, 101, 205]).filter(|n| *n <= 210) {
        let dossier: Value =
            client.query_one("SELECT consent.dossier($1::bigint)", &[&contact]).unwrap().get(0);
        let expected = |client: &mut Client, sql: &str| -> Vec<i64> {
            client.query(sql, &[&contact]).unwrap().iter().map(|r| r.get(0)).collect()
        };
        let own = &dossier["contact"];
        let events = "SELECT event_id FROM consent_data.event WHERE contact_id = $1 ORDER BY at, event_id";
        assert_eq!(ids(own, &["facts"], "event_id"), expected(&mut client, events), "{contact}");
        let decisions = "SELECT decision_id FROM consent_data.decision WHERE contact_id = $1 ORDER BY decided_at, decision_id";
        assert_eq!(ids(own, &["decisions"], "decision_id"), expected(&mut client, decisions), "{contact}");
        let text = dossier.to_string();
        for other in (1..=210_i64).filter(|n| *n != contact) {
            assert!(!text.contains(&format!("words of {other}.")), "{contact} tells what {other} wrote");
            assert!(
                contact == 101 || !text.contains(&format!("evidence of {other}.")),
                "{contact} has what {other} gave"
            );
        }
        let refused = own["refusals_by_others_that_bind"].as_array().unwrap();
        assert!(contact % 10 != 0 || !refused.is_empty(), "{contact} is bound by who shares its address");
        for row in own["facts"].as_array().unwrap().iter().chain(own["decisions"].as_array().unwrap()) {
            facts += 1;
            assert!(row["proof"].is_object() || row["why_no_proof"].is_string(), "{row}");
            // The hash of the words shown is the one that seals have.
            let opened = client
                .query_one(
                    "SELECT encode(sha256(convert_to($1 || ' ' || $2, 'UTF8')), 'hex') = $3
                        AND EXISTS (SELECT FROM consent.sealed_text t WHERE t.log = $4 AND t.row_id = $5 AND t.content::jsonb->>'personal' = $3)",
                    &[
                        &row["personal_part"]["salt"].as_str(),
                        &row["personal_part"]["text"].as_str(),
                        &row["personal_part"]["sha256"].as_str(),
                        &if row["event_id"].is_number() { "event" } else { "decision" },
                        &row["event_id"].as_i64().or(row["decision_id"].as_i64()),
                    ],
                )
                .unwrap();
            assert!(opened.get::<_, bool>(0), "{row}");
        }
        let again: Value = client
            .query_one("SELECT consent.dossier($1::text) #- '{dossier,made_at}'", &[&contact.to_string()])
            .unwrap()
            .get(0);
        assert_eq!(again["contact"]["facts"], own["facts"], "the same each time");
        assert!(
            dossier["law"].as_array().unwrap().iter().any(|r| r["requirement"].is_string()),
            "the rules in words"
        );
    }
    assert!(facts > 100, "{facts}");
    let merged = json(&mut client, "SELECT consent.dossier(101::bigint)");
    assert_eq!(merged["merged_contacts"].as_array().unwrap().len(), 1);
    assert_eq!(merged["merged_contacts"][0]["contact"], json!(102));
}

#[test]
fn a_dossier_of_somebody_erased_gone_or_unknown_says_so() {
    let (_cluster, mut client) = start();
    shop::fill(&mut client, 30, 8);
    client
        .batch_execute(
            "SELECT consent.opt_out(7::bigint, reason => 'words of 7.');
             SELECT consent.opt_out(8::bigint, reason => 'words of 8.');
             DELETE FROM crm.sale WHERE customer IN (7, 8);
             DELETE FROM crm.customer WHERE id IN (7, 8);
             SELECT consent.legal_hold(e::bigint, 'settled', on_hold => false, sender => s.name) FROM generate_series(7, 8) e, consent_data.sender s
              WHERE EXISTS (SELECT FROM consent_data.event x WHERE x.contact_id = e AND x.kind = 'legal_hold');
             SELECT consent.refold('{7,8}')",
        )
        .unwrap();
    client
        .batch_execute(&DECISIONS.replace("consent_data.contact_state s", "(VALUES (7), (8)) s (contact_id)"))
        .unwrap();
    // Gone from the CRM: all the ledger has.
    let gone = json(&mut client, "SELECT consent.dossier(8::bigint)");
    assert_eq!(gone["contact"]["crm_as_seen_now"]["contacts"], json!([]));
    assert!(gone.to_string().contains("words of 8."));
    assert_eq!(gone["contact"]["decisions"].as_array().unwrap().len(), 2);
    assert_eq!(gone["dossier"]["held"], json!(true));
    // Erased: what was refused, without the person, and that it was erased.
    client.batch_execute("SELECT consent.erase(7::bigint, 'request 17')").unwrap();
    let erased = json(&mut client, "SELECT consent.dossier(7::bigint)");
    assert!(!erased.to_string().contains("words of 7.") && !erased.to_string().contains("evidence of 7."));
    assert_eq!((&erased["contact"]["facts"], &erased["contact"]["decisions"]), (&json!([]), &json!([])));
    let kept = ids(&erased["contact"], &["facts_kept_after_erasure"], "event_id");
    let rows = client.query("SELECT event_id FROM consent_data.event WHERE erased_as = consent._key_hash('7') ORDER BY at, event_id", &[]);
    assert_eq!(kept, rows.unwrap().iter().map(|r| r.get::<_, i64>(0)).collect::<Vec<_>>());
    assert!(!kept.is_empty());
    let erasures = erased["contact"]["erasures"].as_array().unwrap();
    assert_eq!((erasures.len(), &erasures[0]["why"]), (1, &json!("request 17")));
    assert!(erasures[0]["proof"].is_object() || erasures[0]["why_no_proof"].is_string());
    assert_eq!(erased["contact"]["refusals_by_others_that_bind"], json!([]), "its own stand above");
    // Never heard of.
    let unknown = json(&mut client, "SELECT consent.dossier(4711::bigint)");
    assert_eq!((&unknown["dossier"]["held"], &unknown["contact"]["facts"]), (&json!(false), &json!([])));
    let error = client.query_one("SELECT consent.dossier(NULL::bigint)", &[]).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "22004");
}
