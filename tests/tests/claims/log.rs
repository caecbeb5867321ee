//! The log: what erasing leaves of it, how long it is kept, and other types of keys.

use super::{NEWSLETTER, claim, note, queue, recheck, start};
use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;

#[test]
fn an_erased_persons_claims_name_nobody_and_allow_nothing() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    let sent = claim(&mut queue, 1, &format!("{NEWSLETTER}, message_ref => 'm1'"));
    let open = claim(&mut queue, 1, NEWSLETTER);
    assert!(sent.allowed && open.allowed);
    let texts = "SELECT md5(string_agg(content, '' ORDER BY log, row_id)) FROM consent.sealed_text WHERE log = 'decision'";
    let text = |client: &mut Client| -> String { client.query_one(texts, &[]).unwrap().get(0) };
    let before = text(&mut client);
    client.batch_execute("SELECT consent.erase(1::bigint, 'request')").unwrap();
    assert_eq!(text(&mut client), before, "what is sealed stays the same");
    let named = "SELECT count(*) FROM consent_data.decision WHERE contact_id IS NOT NULL OR message_ref IS NOT NULL OR evidence IS NOT NULL OR address_hash IS NOT NULL";
    assert_eq!(shop::number(&mut client, named), 0);
    let (after, changed) = recheck(&mut queue, open.id());
    assert_eq!((after.allowed, after.reason(), changed), (false, "erased", true));
    assert_eq!(note(&mut queue, sent.id(), "sent"), Ok(true), "what became of a message can still be said");
    assert_eq!(claim(&mut queue, 1, NEWSLETTER).reason(), "erased");
}

#[test]
fn no_month_of_the_log_goes_before_its_time_or_unsealed() {
    let (_cluster, mut client) = start();
    client
        .batch_execute(
            "DROP TABLE IF EXISTS consent_data.seal CASCADE;
             CREATE TABLE consent_data.seal (upto_decision bigint, upto_outcome bigint);
             DO $$ DECLARE log text; month date; BEGIN
                 FOREACH log IN ARRAY ARRAY['decision', 'outcome'] LOOP
                     FOR month IN VALUES (date '2020-01-01'), (date '2020-02-01'), (date_trunc('month', now() - interval '1 year')::date) LOOP
                         EXECUTE format('CREATE TABLE consent_data.%I PARTITION OF consent_data.%I FOR VALUES FROM (%L) TO (%L)',
                             log || '_' || to_char(month, 'YYYY_MM'), log, month, month + interval '1 month');
                         CALL consent._protect(log || '_' || to_char(month, 'YYYY_MM'));
                     END LOOP;
                 END LOOP; END $$;
             INSERT INTO consent_data.decision (decided_at, message_kind, allowed, made_for)
             SELECT t, 'newsletter', true, 'claim' FROM unnest(ARRAY['2019-05-05Z', '2020-01-15Z', '2020-01-16Z', '2020-02-15Z', now() - interval '1 year']) t;
             SELECT consent.claim_outcome(2, 'sent'), consent.claim_outcome(4, 'sent');",
        )
        .unwrap();
    let rows = |client: &mut Client| -> Vec<i64> {
        client
            .query("SELECT decision_id FROM consent_data.decision ORDER BY 1", &[])
            .unwrap()
            .iter()
            .map(|r| r.get(0))
            .collect()
    };
    let prune = |client: &mut Client| shop::number(client, "SELECT consent.prune_decisions()");
    let seal = |client: &mut Client, decision: i64, outcome: i64| {
        client
            .execute(
                "INSERT INTO consent_data.seal (upto_decision, upto_outcome) VALUES ($1, $2)",
                &[&decision, &outcome],
            )
            .unwrap();
    };
    assert_eq!(prune(&mut client), 0, "nothing is sealed");
    assert_eq!(rows(&mut client), [1, 2, 3, 4, 5]);
    seal(&mut client, 5, 1);
    // January with its outcome, and what lies in the default partition; February's outcome is not sealed yet, and last year's
    // is young.
    assert_eq!(prune(&mut client), 4);
    assert_eq!(rows(&mut client), [4, 5]);
    let pruned = "SELECT string_agg(format('%s %s-%s %s %s', log, first_id, last_id, rows, to_char(decided_before, 'YYYY-MM-DD')), '; ' ORDER BY prune_id) FROM consent_data.prune";
    let told: String = client.query_one(pruned, &[]).unwrap().get(0);
    assert_eq!(told, "decision 1-1 1 2019-06-01; decision 2-3 2 2020-02-01; outcome 1-1 1 2020-02-01");
    // An outcome that comes late keeps its month until it is sealed, too.
    seal(&mut client, 5, 2);
    client.batch_execute("UPDATE consent_data.setting SET keep_decisions = NULL").unwrap();
    assert_eq!(prune(&mut client), 0, "kept for ever");
    client.batch_execute("UPDATE consent_data.setting SET keep_decisions = '10 years'").unwrap();
    assert_eq!(prune(&mut client), 0, "younger than that");
    client.batch_execute("UPDATE consent_data.setting SET keep_decisions = '3 years'").unwrap();
    // Somebody reads: the claims of the others must not queue behind us for long, and nothing goes by halves.
    assert_eq!(prune(&mut client), 2);
    assert_eq!(rows(&mut client), [5]);
    assert_eq!(prune(&mut client), 0);
    assert!(client.batch_execute("UPDATE consent_data.setting SET keep_decisions = '1 month'").is_err());
    let left = "SELECT count(*) FROM pg_class WHERE relname ~ '^(decision|outcome)_2020'";
    assert_eq!(shop::number(&mut client, left), 0);
}

#[test]
fn an_outcome_goes_with_its_decision_whatever_partition_either_is_in() {
    let (_cluster, mut client) = start();
    let fake_seal = "DROP TABLE IF EXISTS consent_data.seal CASCADE;
        CREATE TABLE consent_data.seal AS SELECT 9::bigint AS upto_decision, 0::bigint AS upto_outcome";
    client
        .batch_execute(&format!(
            "INSERT INTO consent_data.decision (decided_at, message_kind, allowed, made_for) VALUES ('2020-01-15Z', 'newsletter', true, 'claim');
             CREATE TABLE consent_data.outcome_2020_01 PARTITION OF consent_data.outcome FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z');
             SELECT consent.claim_outcome(1, 'released'); {fake_seal}"
        ))
        .unwrap();
    let left = "SELECT (SELECT count(*) FROM consent_data.decision) * 10 + (SELECT count(*) FROM consent_data.outcome)";
    assert_eq!(shop::number(&mut client, "SELECT consent.prune_decisions()"), 0, "the outcome is not sealed");
    assert_eq!(shop::number(&mut client, left), 11);
    client.batch_execute("UPDATE consent_data.seal SET upto_outcome = 9").unwrap();
    assert_eq!(shop::number(&mut client, "SELECT consent.prune_decisions()"), 2);
    assert_eq!(shop::number(&mut client, left), 0);
    // The log only grows, as before.
    client.batch_execute("INSERT INTO consent_data.decision (decided_at, message_kind, allowed, made_for) VALUES ('2020-01-15Z', 'newsletter', true, 'claim')").unwrap();
    assert!(client.batch_execute("DELETE FROM consent_data.decision_default").is_err());
}

#[test]
fn a_log_in_use_is_pruned_another_night() {
    let (cluster, mut client) = start();
    client
        .batch_execute(
            "CREATE TABLE consent_data.decision_2020_01 PARTITION OF consent_data.decision FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')",
        )
        .unwrap();
    let mut reader = cluster.connect("postgres", "postgres").unwrap();
    let mut t = reader.transaction().unwrap();
    t.batch_execute("SELECT count(*) FROM consent_data.decision").unwrap();
    assert_eq!(shop::number(&mut client, "SELECT consent.prune_decisions()"), 0);
    let there = "SELECT count(*) FROM pg_class WHERE relname = 'decision_2020_01'";
    assert_eq!(shop::number(&mut client, there), 1);
    t.rollback().unwrap();
    client.batch_execute("SELECT consent.prune_decisions()").unwrap();
    assert_eq!(shop::number(&mut client, there), 0, "an empty month needs no seal");
}

#[test]
fn claims_work_for_every_type_of_key() {
    for (key_type, key) in [("uuid", "00000000-0000-0000-0000-00000000000a"), ("text", "crm:7")] {
        let cluster = Cluster::start(Options::default()).unwrap();
        let mut client = shop::set_up(&cluster, key_type);
        client
            .batch_execute(&format!(
                "INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
                 INSERT INTO consent_data.frequency_cap (max_messages, per, reason) VALUES (1, 'day', 'so');
                 CREATE SCHEMA crm;
                 CREATE TABLE crm.customer (id {key_type} PRIMARY KEY, country text, email text);
                 INSERT INTO crm.customer VALUES ('{key}', 'GB', 'a@example.org');
                 CREATE VIEW crm.bound AS SELECT id AS contact_id, country, email FROM crm.customer;
                 SELECT consent.bind_contacts('crm.bound'); SELECT consent.refold('{{{key}}}');
                 SELECT consent.opt_in('{key}'::{key_type}, purposes => '{{newsletter}}', evidence => '{{\"form\": 1}}');"
            ))
            .unwrap();
        let mut ask = |key: &str, key_type: &str| -> (bool, String) {
            let sql = format!(
                "SELECT allowed, coalesce(reason, '') FROM consent.claim_send('{key}'::{key_type}, 'newsletter', address => 'a@example.org')"
            );
            let r = client.query_one(&sql, &[]).unwrap();
            (r.get(0), r.get(1))
        };
        assert_eq!(
            ask(&key.to_uppercase(), if key_type == "uuid" { "uuid" } else { "text" }).0,
            key_type == "uuid"
        );
        assert_eq!(
            ask(key, "text"),
            if key_type == "uuid" { (false, "frequency_cap".into()) } else { (true, String::new()) }
        );
        assert_eq!(ask(key, "text"), (false, "frequency_cap".into()));
        assert_eq!(ask("7", "bigint"), (false, "unknown_contact".into()));
    }
}

#[test]
fn no_sql_of_the_document_fails_and_its_claims_are_allowed() {
    let (cluster, mut client) = start();
    client.batch_execute("UPDATE crm.customer SET email = 'ann@example.org' WHERE id = 41").unwrap();
    client.batch_execute("SELECT consent.refold('{41}')").unwrap();
    client
        .batch_execute("SELECT consent.opt_in(41::bigint, purposes => '{marketing,newsletter}', evidence => '{\"form\": 1}')")
        .unwrap();
    let document = include_str!("../../../docs/claims.md");
    let blocks = document.split("```sql\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let mut asker = queue(&cluster);
    let mut run = 0;
    for (sql, _) in blocks {
        let by = if sql.starts_with("INSERT") { &mut client } else { &mut asker };
        by.batch_execute(sql).unwrap_or_else(|e| panic!("{e:?} in:\n{sql}"));
        run += 1;
    }
    assert!(run >= 4, "{run} blocks");
    let yes = "SELECT count(*) FROM consent_data.decision WHERE allowed AND made_for = 'claim'";
    assert_eq!(shop::number(&mut client, yes), 6, "every claim of the document");
}
