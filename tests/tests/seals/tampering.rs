//! What a superuser does to the data with the triggers off, each on a copy of its own: found and named, and nothing else.

use super::*;

/// A copy of `base` that has been tampered with.
fn copy(cluster: &Cluster, admin: &mut Client, base: &str, name: &str, sql: &str) -> Client {
    admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {base}")).unwrap();
    let mut client = cluster.connect(name, "postgres").unwrap();
    for table in ["event", "decision", "outcome", "seal", "seal_leaf"] {
        client.batch_execute(&format!("ALTER TABLE consent_data.{table} DISABLE TRIGGER USER")).unwrap();
    }
    client.batch_execute(sql).unwrap_or_else(|e| panic!("{e:?} in {sql}"));
    client
}

/// Events 1 to 34, decisions and outcomes in seal 1; a number of nobody (35), events 36 to 41 in seal 2; contact 3 erased (of
/// whom a copy was kept), and that in seal 3.
fn base() -> (Cluster, Client, PathBuf) {
    let (cluster, mut client) = start();
    let head = temporary(&format!(
        "tampering-{}",
        client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get::<_, i32>(0)
    ));
    seal(&cluster, "postgres");
    client.batch_execute("BEGIN; SELECT consent.opt_in('70'); ROLLBACK").unwrap();
    client.batch_execute("SELECT consent.opt_in(n::text) FROM generate_series(70, 75) n").unwrap();
    seal(&cluster, "postgres");
    client
        .batch_execute("CREATE TABLE public.kept AS SELECT * FROM consent_data.event WHERE contact_id = 3;
             CREATE TABLE public.kept_decision AS SELECT * FROM consent_data.decision WHERE contact_id = 3; SELECT consent.erase('3', 'request')")
        .unwrap();
    assert_eq!(batch(&cluster, "postgres", &["seal", "--export", head.to_str().unwrap()]).0, 0);
    assert_eq!(verify(&cluster, "postgres", Some(&head)), []);
    drop(client);
    let admin = cluster.connect("template1", "postgres").unwrap();
    (cluster, admin, head)
}

/// As erase() would, had anybody asked.
const ERASED: &str = "salt = NULL, contact_id = NULL, evidence = NULL, reason = NULL, detail = NULL,
    commitment = consent._commitment(salt, consent._event_personal(contact_id::text, detail, evidence, reason, address_hash))";

fn found(named: &[(&str, &str, i64)]) -> Vec<Found> {
    named.iter().map(|(what, log, id)| ((*what).to_owned(), (*log).to_owned(), *id)).collect()
}

#[test]
fn every_row_that_is_tampered_with_is_named_and_no_other() {
    let (cluster, mut admin, head) = base();
    let erased = |id: i64, day: &str| {
        format!("UPDATE consent_data.event SET erased_at = {day}, {ERASED} WHERE event_id = {id}")
    };
    let today = "date_trunc('day', now(), 'UTC')";
    #[rustfmt::skip]
    let cases: Vec<(String, Vec<Found>)> = vec![
        ("UPDATE consent_data.event SET at = at - interval '1 day' WHERE event_id = 7".into(), found(&[("altered", "event", 7)])),
        ("UPDATE consent_data.event SET evidence = '{\"form\": \"other/2\"}' WHERE event_id = 8".into(), found(&[("altered", "event", 8)])),
        ("UPDATE consent_data.event SET reason = 'none given' WHERE event_id = 32".into(), found(&[("altered", "event", 32)])),
        ("UPDATE consent_data.event SET address_hash = sha256('x') WHERE event_id = 34".into(), found(&[("altered", "event", 34)])),
        // Of one who was erased, by whose hash alone the refusal lives on.
        ("UPDATE consent_data.event SET address_hash = sha256('x') WHERE event_id = 33".into(), found(&[("altered", "event", 33)])),
        ("UPDATE consent_data.event SET contact_id = 99 WHERE event_id = 2".into(), found(&[("altered", "event", 2)])),
        ("UPDATE consent_data.event SET salt = gen_random_uuid() WHERE event_id = 2".into(), found(&[("altered", "event", 2)])),
        ("DELETE FROM consent_data.event WHERE event_id IN (5, 38)".into(), found(&[("removed", "event", 5), ("removed", "event", 38)])),
        ("INSERT INTO consent_data.event (event_id, contact_id, kind, at, sender_id) OVERRIDING SYSTEM VALUE VALUES (35, 9, 'opt_in', now(), 1)".into(),
         found(&[("inserted", "event", 35)])),
        ("INSERT INTO consent_data.event (event_id, contact_id, kind, at, recorded_at, entered_at, sender_id) OVERRIDING SYSTEM VALUE
          VALUES (35, 9, 'opt_in', '2026-01-01Z', '2026-01-01Z', '2026-01-01Z', 1)".into(), found(&[("inserted", "event", 35)])),
        ("INSERT INTO consent_data.event (event_id, contact_id, kind, at, sender_id) OVERRIDING SYSTEM VALUE VALUES (7, 9, 'opt_in', now(), 1)".into(),
         found(&[("inserted", "event", 7)])),
        ("INSERT INTO consent_data.event (event_id, contact_id, kind, at, sender_id) OVERRIDING SYSTEM VALUE VALUES (-1, 9, 'opt_in', now(), 1)".into(),
         found(&[("inserted", "event", -1)])),
        // Not sealed yet, under a number of its own, and dated back.
        ("INSERT INTO consent_data.event (contact_id, kind, at, recorded_at, entered_at, sender_id) VALUES (9, 'opt_in', '2026-01-01Z', '2026-01-01Z', '2026-01-01Z', 1)".into(),
         found(&[("backdated", "event", 43)])),
        ("ALTER TABLE consent_data.event ALTER event_id SET GENERATED BY DEFAULT; UPDATE consent_data.event SET event_id = 1000 WHERE event_id = 4; UPDATE consent_data.event SET event_id = 4 WHERE event_id = 6;
          UPDATE consent_data.event SET event_id = 6 WHERE event_id = 1000".into(), found(&[("altered", "event", 4), ("altered", "event", 6)])),
        ("UPDATE consent_data.decision SET allowed = true, reason = NULL WHERE decision_id = 2".into(), found(&[("altered", "decision", 2)])),
        ("DELETE FROM consent_data.decision WHERE decision_id = 9".into(), found(&[("removed", "decision", 9)])),
        ("UPDATE consent_data.outcome SET outcome = 'released' WHERE outcome_id = 5".into(), found(&[("altered", "outcome", 5)])),
        ("UPDATE consent_data.erasure SET why = 'other'".into(), found(&[("altered", "erasure", 1)])),
        // Erasures that nobody asked for, and one that is undone.
        (erased(9, "'2026-01-05Z'"), found(&[("erased_unrecorded", "event", 9)])),
        (erased(9, today), found(&[("erasure_differs", "erasure", 1)])),
        ("UPDATE consent_data.decision SET erased_at = '2026-01-05Z', contact_id = NULL, salt = NULL,
                 commitment = consent._commitment(salt, consent._decision_personal(contact_id::text, address_hash, evidence, message_ref)) WHERE decision_id = 8".into(),
         found(&[("erased_unrecorded", "decision", 8)])),
        ("UPDATE consent_data.event e SET contact_id = k.contact_id, evidence = k.evidence, reason = k.reason, detail = k.detail, address_hash = k.address_hash,
                 salt = k.salt, commitment = NULL, erased_at = NULL, erased_as = NULL FROM public.kept k WHERE k.event_id = e.event_id AND e.event_id = 3".into(),
         found(&[("unerased", "event", 3)])),
        ("UPDATE consent_data.decision SET erased_at = date_trunc('day', now(), 'UTC'), contact_id = NULL, salt = NULL,
                 commitment = consent._commitment(salt, consent._decision_personal(contact_id::text, address_hash, evidence, message_ref)) WHERE decision_id = 8".into(),
         found(&[("erasure_differs", "erasure", 1)])),
        ("UPDATE consent_data.decision d SET contact_id = k.contact_id, salt = k.salt, commitment = NULL, erased_at = NULL
            FROM public.kept_decision k WHERE k.decision_id = d.decision_id".into(), found(&[("unerased", "decision", 3)])),
        ("UPDATE consent_data.event SET contact_id = 9, erased_at = NULL, erased_as = NULL WHERE event_id = 33".into(), found(&[("altered", "event", 33)])),
        ("UPDATE consent_data.event SET erased_as = NULL WHERE event_id = 33".into(), found(&[("erasure_differs", "erasure", 1)])),
        ("UPDATE consent_data.event SET erased_as = sha256('x') WHERE event_id = 33".into(), found(&[("erased_unrecorded", "event", 33)])),
        ("UPDATE consent_data.event SET detail = detail || '{\"form\": 7}' WHERE event_id = 33".into(), found(&[("altered", "event", 33)])),
        // The seals themselves.
        ("UPDATE consent_data.seal_leaf SET leaf = sha256('x') WHERE log = 1 AND row_id = 7".into(), found(&[("leaf_altered", "event", 7)])),
        ("DELETE FROM consent_data.seal_leaf WHERE log = 2 AND row_id = 3".into(), found(&[("leaf_removed", "decision", 3)])),
        ("INSERT INTO consent_data.seal_leaf (row_id, seal_id, position, log, leaf) VALUES (35, 2, 6, 1, sha256('x'))".into(), found(&[("leaf_inserted", "event", 35)])),
        ("UPDATE consent_data.seal_leaf SET position = 50 WHERE log = 1 AND row_id = 7".into(), found(&[("leaf_altered", "event", 7)])),
        ("UPDATE consent_data.seal_leaf SET leaf = sha256('x') WHERE row_id = 7 AND log = 1; DELETE FROM consent_data.event WHERE event_id = 12".into(),
         found(&[("leaf_altered", "event", 7), ("removed", "event", 12)])),
        ("UPDATE consent_data.seal SET sealed_at = sealed_at - interval '1 day' WHERE seal_id = 2".into(), found(&[("seal_altered", "seal", 2)])),
        ("UPDATE consent_data.seal SET upto_event = 37 WHERE seal_id = 2".into(), found(&[("seal_altered", "seal", 2)])),
        ("UPDATE consent_data.seal SET blocks = sha256('x') WHERE seal_id = 2".into(), found(&[("seal_altered", "seal", 2)])),
        ("DELETE FROM consent_data.seal WHERE seal_id = 2".into(), found(&[("seal_missing", "seal", 2)])),
        // Sealed anew: the next seal knows the head that was.
        ("UPDATE consent_data.event SET reason = 'x' WHERE event_id = 36;
          UPDATE consent_data.seal_leaf l SET leaf = sha256('\\x00'::bytea || convert_to(t.content, 'UTF8')) FROM consent.sealed_text t
           WHERE t.log = 'event' AND t.row_id = 36 AND l.log = 1 AND l.row_id = 36;
          UPDATE consent_data.seal s SET root = x.root, blocks = x.root, head = sha256(convert_to(consent._seal_text(s.seal_id, s.sealed_at,
                 ARRAY[s.upto_event, s.upto_decision, s.upto_outcome, s.upto_erasure, s.upto_prune], s.leaves, x.root, s.previous), 'UTF8'))
            FROM (SELECT consent._merkle_root(string_agg(leaf, ''::bytea ORDER BY log, row_id)) AS root FROM consent_data.seal_leaf WHERE seal_id = 2) x
           WHERE s.seal_id = 2".into(), found(&[("chain_broken", "seal", 3), ("head_differs", "seal", 2)])),
        // As of a day long past, with a record of it that was made since.
        (format!("{}; INSERT INTO consent_data.erasure (key_hash, why, erased_at, figures) VALUES (sha256('x'), 'request', '2026-01-05 07:00Z', '{{\"removed\": {{\"event\": 1}}}}')", erased(9, "'2026-01-05Z'")),
         found(&[("backdated", "erasure", 2)])),
        // Under numbers that no seal comes to.
        ("INSERT INTO consent_data.event (event_id, contact_id, kind, at, sender_id) OVERRIDING SYSTEM VALUE VALUES (1000000000, 9, 'opt_in', now(), 1)".into(),
         found(&[("inserted", "event", 1_000_000_000)])),
        // The end of the chain is gone, with its leaves or without; all of it; and leaves of a seal that never was.
        ("DELETE FROM consent_data.seal WHERE seal_id = 3".into(), found(&[("seal_missing", "seal", 3)])),
        ("DELETE FROM consent_data.seal WHERE seal_id = 3; DELETE FROM consent_data.seal_leaf WHERE seal_id = 3".into(), found(&[("seal_missing", "seal", 3)])),
        ("DELETE FROM consent_data.seal; DELETE FROM consent_data.run".into(),
         found(&[("seal_missing", "seal", 1), ("seal_missing", "seal", 2), ("seal_missing", "seal", 3)])),
        ("TRUNCATE consent_data.seal, consent_data.seal_leaf".into(),
         found(&[("seal_missing", "seal", 1), ("seal_missing", "seal", 2), ("seal_missing", "seal", 3)])),
        ("INSERT INTO consent_data.seal_leaf (row_id, seal_id, position, log, leaf) VALUES (1, 0, 0, 1, sha256('x')), (99, 7, 0, 1, sha256('x'))".into(),
         found(&[("seal_missing", "seal", 0), ("seal_missing", "seal", 7)])),
    ];
    for (n, (sql, expected)) in cases.iter().enumerate() {
        let name = format!("case_{n}");
        let mut client = copy(&cluster, &mut admin, "postgres", &name, sql);
        assert_eq!(verify(&cluster, &name, None), *expected, "{sql}");
        for (what, log, id) in expected
            .iter()
            .filter(|f| ["altered", "removed", "inserted"].contains(&f.0.as_str()) && f.1 != "seal")
        {
            // What was put in beside a sealed row, and what erasures take away, is not the row's own text.
            if !(sql.contains("erased_at = NULL")
                || sql.contains("'{\"form\": 7}'")
                || sql.contains("OVERRIDING") && *id != 35)
            {
                assert_eq!(&proves(&mut client, log, *id).unwrap_err(), what, "{sql}");
            }
        }
        drop(client);
        admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).unwrap();
    }
    // All seals made anew from the first, and the runs forgotten: whole in itself, and found against the head.
    let anew = "UPDATE consent_data.event SET reason = 'x' WHERE event_id = 7; TRUNCATE consent_data.seal, consent_data.seal_leaf";
    drop(copy(&cluster, &mut admin, "postgres", "anew", anew));
    seal(&cluster, "anew");
    let told =
        found(&[("head_differs", "seal", 1), ("seal_missing", "seal", 2), ("seal_missing", "seal", 3)]);
    assert_eq!(verify(&cluster, "anew", None), told);
    let forget = "DELETE FROM consent_data.run r WHERE r.run_id < (SELECT max(run_id) FROM consent_data.run WHERE step = 'seal')";
    cluster.connect("anew", "postgres").unwrap().batch_execute(forget).unwrap();
    assert_eq!(verify(&cluster, "anew", None), []);
    assert_eq!(verify(&cluster, "anew", Some(&head)), found(&[("head_missing", "seal", 3)]));
    // The record of an erasure is gone: so is what accounts for its rows.
    drop(copy(&cluster, &mut admin, "postgres", "unrecorded", "DELETE FROM consent_data.erasure"));
    let named = verify(&cluster, "unrecorded", None);
    assert!(named.contains(&("removed".into(), "erasure".into(), 1)), "{named:?}");
    let ids: Vec<i64> =
        named.iter().filter(|f| f.0 == "erased_unrecorded" && f.1 == "event").map(|f| f.2).collect();
    assert_eq!(ids, [3, 33, 42], "{named:?}");
    std::fs::remove_file(head).unwrap();
}

#[test]
fn what_was_pruned_may_be_gone_and_nothing_else() {
    let (cluster, client) = start();
    seal(&cluster, "postgres");
    drop(client);
    let mut admin = cluster.connect("template1", "postgres").unwrap();
    let prune = |before: &str, first: i64, last: i64, rows: i64| {
        format!(
            "INSERT INTO consent_data.prune (log, decided_before, first_id, last_id, rows) VALUES ('decision', {before}, {first}, {last}, {rows});"
        )
    };
    // Sealed so long ago that what is gone may have been old.
    let long_ago = "DELETE FROM consent_data.run; UPDATE consent_data.seal SET sealed_at = sealed_at - interval '200 days',
        head = sha256(convert_to(consent._seal_text(seal_id, sealed_at - interval '200 days', ARRAY[upto_event, upto_decision, upto_outcome, upto_erasure, upto_prune],
                                                    leaves, root, previous), 'UTF8'));";
    let old = "date_trunc('month', now() - interval '150 days', 'UTC')";
    let gone = "DELETE FROM consent_data.decision WHERE decision_id <= 4;";
    let mut check = |name: &str, sql: &str, expected: Vec<Found>| {
        drop(copy(&cluster, &mut admin, "postgres", name, sql));
        assert_eq!(verify(&cluster, name, None), expected, "{sql}");
    };
    check("dropped", &(prune(old, 1, 4, 4) + gone + long_ago), found(&[]));
    check("more", &(prune(old, 1, 3, 3) + gone + long_ago), found(&[("removed", "decision", 4)]));
    check("fewer", &(prune(old, 1, 4, 3) + gone + long_ago), found(&[("removed", "decision", 4)]));
    // Records that prune_decisions() can't have made: of young rows, of the time to come, dated ahead, or just after their seal.
    let young: Vec<Found> = (1..=4).map(|id| ("pruned_young".into(), "decision".into(), id)).collect();
    check(
        "young",
        &(prune("date_trunc('month', now() - interval '80 days', 'UTC')", 1, 4, 4) + gone + long_ago),
        young.clone(),
    );
    check("to_come", &(prune("'2100-01-01Z'", 1, 4, 4) + gone + long_ago), young.clone());
    let ahead = "UPDATE consent_data.prune SET pruned_at = now() + interval '1 year';";
    check(
        "ahead",
        &(prune("date_trunc('month', now(), 'UTC')", 1, 4, 4) + gone + long_ago + ahead),
        young.clone(),
    );
    check("at_once", &(prune(old, 1, 4, 4) + gone), young);
    // In a seal that came after another, it is known how old a row can be.
    let later = "INSERT INTO consent_data.decision (contact_id, message_kind, allowed, made_for) VALUES (1, 'newsletter', true, 'claim')";
    check("later", &(long_ago.to_owned() + later), found(&[]));
    seal(&cluster, "later");
    let young = prune("date_trunc('month', now() - interval '202 days', 'UTC')", 1, 99, 99)
        + "DELETE FROM consent_data.decision WHERE decision_id = 13;";
    cluster.connect("later", "postgres").unwrap().batch_execute(&young).unwrap();
    assert_eq!(verify(&cluster, "later", None), found(&[("pruned_young", "decision", 13)]));
}

#[test]
fn a_dossier_tells_the_chain_once_and_its_proofs_hold_with_it() {
    let (cluster, _, head) = base();
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    // Each part's proofs, with the seals put back that come after their own.
    let holds = "SELECT count(*) FILTER (WHERE consent.verify_proof(p || jsonb_build_object('chain',
                     (SELECT coalesce(jsonb_agg(c.text ORDER BY c.n), '[]') FROM jsonb_array_elements(d->'seal_chain') WITH ORDINALITY c (text, n)
                       WHERE c.n > (p->>'chain_from')::bigint)))) * 1000 + count(*)
                   FROM consent.dossier($1::text) d, jsonb_path_query(d, '$.**.proof') p WHERE p->>'proved' = 'true'";
    for (contact, least) in [("5", 3), ("72", 1), ("3", 2)] {
        let found: i64 = client.query_one(holds, &[&contact]).unwrap().get(0);
        assert!(found % 1001 == 0 && found >= least * 1001, "{contact}: {found}");
    }
    let sound = "SELECT (consent.dossier('5')->>'seal_chain_holds')::boolean::integer::bigint";
    assert_eq!(shop::number(&mut client, sound), 1);
    client
        .batch_execute("ALTER TABLE consent_data.seal DISABLE TRIGGER USER; UPDATE consent_data.seal SET sealed_at = sealed_at - interval '1 day' WHERE seal_id = 2")
        .unwrap();
    assert_eq!(shop::number(&mut client, sound), 0);
    std::fs::remove_file(head).unwrap();
}

#[test]
fn a_seal_that_is_gone_keeps_nobody_from_counting() {
    let (cluster, mut client) = start();
    seal(&cluster, "postgres");
    client
        .batch_execute("ALTER TABLE consent_data.seal DISABLE TRIGGER USER; DELETE FROM consent_data.seal")
        .unwrap();
    let (code, said) = batch(&cluster, "postgres", &["nightly", "--force"]);
    assert!(code == 2 && findings(&said).contains(&("seal_missing".into(), "seal".into(), 1)), "{said:?}");
    assert!(shop::number(&mut client, "SELECT count(*) FROM consent_data.summary") > 0);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.seal"), 0);
}
