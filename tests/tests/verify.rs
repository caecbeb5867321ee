//! A state that does not say what the facts say must be found; the batch must not decide otherwise than the server; a draft's
//! effect must be that of the draft put into force.

use crate::batch::{batch, start};
use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::{Value, json};
use std::path::PathBuf;

/// What a run says, a JSON object a line.
fn lines(cluster: &Cluster, arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, text) = batch(cluster, &[arguments, &["--json"]].concat());
    (code, text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect())
}

fn figures(lines: &[Value]) -> &Value {
    &lines.iter().rfind(|l| l.get("figures").is_some()).expect("a summary")["figures"]
}

/// Both tables watched, everything folded since.
fn watch(cluster: &Cluster, client: &mut Client) {
    client
        .batch_execute(
            "SELECT consent.watch('crm.customer', 'contacts', contact => 'r.id'),
                    consent.watch('crm.customer', 'purchases', contact => 'r.id')",
        )
        .unwrap();
    assert_eq!(batch(cluster, &["refold"]).0, 0);
}

const REVISIONS: &str = "SELECT string_agg(contact_id || ':' || rev || md5(consent._state_bytes(state)), ',' ORDER BY contact_id) FROM consent_data.contact_state";

#[test]
fn a_state_that_lost_an_opt_out_is_found_and_mended() {
    let (cluster, mut client) = start();
    watch(&cluster, &mut client);
    client.batch_execute("SELECT consent.opt_out(5::bigint), consent.opt_out(6::bigint)").unwrap();
    let (code, said) = lines(&cluster, &["refold", "--dry-run"]);
    assert_eq!((code, &figures(&said)["different"]), (0, &json!(0)), "{said:?}");

    // By hand, past all functions: 5 as if nothing had been refused, 6 dirty, 7 gone, 8 of another.
    client
        .batch_execute(
            "UPDATE consent_data.contact_state SET state = (SELECT state FROM consent_data.contact_state WHERE contact_id = 4) WHERE contact_id = 5;
             UPDATE consent_data.contact_state SET state = consent._merge(state, consent._dirty()) WHERE contact_id = 6;
             DELETE FROM consent_data.contact_state WHERE contact_id = 7;",
        )
        .unwrap();
    let before: String = client.query_one(REVISIONS, &[]).unwrap().get(0);
    let (code, said) = lines(&cluster, &["refold", "--dry-run"]);
    assert_eq!(code, 2, "{said:?}");
    let found = figures(&said);
    assert_eq!((&found["different"], &found["findings"]), (&json!(3), &json!(3)));
    assert_eq!(found["drift"]["contacts"], json!([5, 6, 7]));
    let kinds = &found["drift"]["kinds"]["finding"];
    assert_eq!(
        (&kinds["missing opt_out"], &kinds["dirty"], &kinds["no state"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(
        client.query_one(REVISIONS, &[]).unwrap().get::<_, String>(0),
        before,
        "a dry run writes nothing"
    );

    let (code, said) = lines(&cluster, &["refold"]);
    assert_eq!((code, &figures(&said)["findings"]), (0, &json!(3)), "{said:?}");
    assert_eq!(lines(&cluster, &["refold", "--dry-run"]).0, 0);
    let asked = "SELECT consent.can_send(5, 'newsletter', 'shoes')";
    assert!(!client.query_one(asked, &[]).unwrap().get::<_, bool>(0));
}

#[test]
fn what_an_unwatched_view_changed_is_taken_in_and_no_finding() {
    let (cluster, mut client) = start();
    client
        .batch_execute("UPDATE crm.customer SET bought_at = now() - interval '5 days' WHERE id = 4")
        .unwrap();
    let (code, said) = lines(&cluster, &["refold", "--dry-run"]);
    let found = figures(&said);
    assert_eq!(
        (code, &found["findings"], &found["drift"]["taken_in"]),
        (0, &json!(0), &json!(1)),
        "{said:?}"
    );
    // What no view can explain is a finding all the same.
    client.batch_execute("SELECT consent.opt_out(5::bigint)").unwrap();
    client
        .batch_execute(
            "UPDATE consent_data.contact_state SET state = (SELECT state FROM consent_data.contact_state WHERE contact_id = 6) WHERE contact_id = 5",
        )
        .unwrap();
    let (code, said) = lines(&cluster, &["refold", "--dry-run"]);
    assert_eq!((code, &figures(&said)["drift"]["contacts"]), (2, &json!([5])), "{said:?}");
}

#[test]
fn a_night_folds_everything_only_where_it_must() {
    let (cluster, mut client) = start();
    let mode = |arguments: &[&str]| {
        let (code, said) = lines(&cluster, arguments);
        assert_eq!(code, 0, "{said:?}");
        let refold = said.iter().find(|l| l["step"] == "refold" && l.get("figures").is_some()).unwrap();
        refold["figures"]["mode"].as_str().unwrap().to_owned()
    };
    let night = ["nightly", "--force"];
    assert_eq!(mode(&night), "whole", "nothing watches the views");
    watch(&cluster, &mut client);
    assert_eq!(mode(&night), "pending");
    assert_eq!(mode(&["nightly", "--force", "--refold", "whole"]), "whole");
    assert_eq!(mode(&["nightly", "--force", "--refold", "none"]), "none");
    client.batch_execute("UPDATE consent_data.run SET finished_at = now() - interval '8 days'").unwrap();
    assert_eq!(mode(&night), "whole", "the last one is too old");
    client.batch_execute("ALTER TABLE crm.customer DISABLE TRIGGER USER").unwrap();
    assert_eq!(mode(&night), "whole", "a trigger is off");
}

#[test]
fn many_noted_contacts_are_folded_in_sets_as_one_by_one() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    shop::fill(&mut client, 3_000, 7);
    shop::refold_all(&mut client);
    // Everything that a trigger may have to note: purchases that came and went, addresses, countries, people.
    client
        .batch_execute(
            "DELETE FROM crm.sale WHERE customer % 7 = 0;
             INSERT INTO crm.sale SELECT id, '2026-02-01Z', 'tea', 'yes', id % 13 = 0 FROM crm.customer WHERE id % 3 = 0;
             UPDATE crm.customer SET email = 'new' || id || '@example.org' WHERE id % 5 = 0;
             UPDATE crm.customer SET country = 'FR' WHERE id % 11 = 0;
             DELETE FROM crm.customer WHERE id % 97 = 0;
             INSERT INTO crm.customer SELECT n, 'GB', 'person' || n - 9000 || '@example.org' FROM generate_series(9001, 9050) n;
             INSERT INTO consent_data.pending (contact_id, restricts) SELECT n, n % 2 = 0 FROM generate_series(1, 9060) n;",
        )
        .unwrap();
    let (code, said) = lines(&cluster, &["refold", "--pending"]);
    assert_eq!((code, &figures(&said)["still_noted"]), (0, &json!(0)), "{said:?}");
    let in_sets: String = client.query_one(REVISIONS_ASIDE, &[]).unwrap().get(0);
    client
        .batch_execute("SELECT consent.refold(ARRAY(SELECT n::text FROM generate_series(1, 9060) n))")
        .unwrap();
    assert_eq!(client.query_one(REVISIONS_ASIDE, &[]).unwrap().get::<_, String>(0), in_sets);
    client.batch_execute("SELECT consent._refold_addresses(); SELECT consent._refold_fold()").unwrap();
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_fresh"), 0);
}

const REVISIONS_ASIDE: &str = "SELECT string_agg(contact_id || ':' || md5(consent._state_bytes(state)), ',' ORDER BY contact_id) FROM consent_data.contact_state";

#[test]
fn the_batch_decides_as_the_server_does() {
    for key_type in ["bigint", "text"] {
        let cluster = Cluster::start(Options::default()).unwrap();
        let mut client = shop::set_up(&cluster, key_type);
        if key_type == "bigint" {
            shop::fill(&mut client, 400, 11);
        } else {
            client
                .batch_execute(
                    "INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true);
                     SELECT consent.opt_in('contact ' || n, evidence => '{\"form\": 1}') FROM generate_series(1, 50) n",
                )
                .unwrap();
        }
        let (code, said) = lines(&cluster, &["verify"]);
        let found = figures(&said);
        assert_eq!((code, &found["differences"]), (0, &json!(0)), "{said:?}");
        // Every kind on every channel for every sender; contacts that are not restricted.
        assert!(found["questions"].as_u64().unwrap() >= 100, "{found}");
        let readable = shop::number(
            &mut client,
            "SELECT count(*) FROM consent.decidable d WHERE NOT consent._overflows(d.state)",
        );
        assert_eq!(found["contacts"], json!(readable));
        assert!(found["by_key"].as_u64().unwrap() > 0);

        let (code, said) = lines(&cluster, &["verify", "--sample", "20", "--kind", "newsletter"]);
        let found = figures(&said);
        assert_eq!((code, &found["contacts"], &found["questions"]), (0, &json!(0), &json!(1)), "{said:?}");

        // Before their latest facts the states can't answer, and it is said of how many.
        let (code, said) =
            lines(&cluster, &["verify", "--kind", "newsletter", "--as-of", "2020-01-01T00:00:00Z"]);
        let found = figures(&said);
        assert_eq!((code, &found["differences"]), (0, &json!(0)), "{said:?}");
        assert!(found["before_horizon"].as_u64().unwrap() > 0);
    }
}

fn write(cluster_name: &str, name: &str, text: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("pg_consent-{}-{cluster_name}-{name}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_draft_is_counted_as_it_would_be_in_force() {
    let (cluster, mut client) = start();
    client
        .batch_execute(
            "INSERT INTO consent_data.audit_question VALUES ('newsletter', 'shoes');
             INSERT INTO crm.customer VALUES (10, now() - interval '1 day');
             SELECT consent.refold('{10}')",
        )
        .unwrap();
    let tables = "SELECT md5(string_agg(r::text, ',')) FROM (SELECT to_jsonb(o) FROM consent_data.policy_override o UNION ALL SELECT to_jsonb(r) FROM consent_data.run r) r (r)";
    let before: Option<String> = client.query_one(tables, &[]).unwrap().get(0);
    // 4 to 10 may be written to; who bought a year ago loses it under an own rule of half a year.
    let own = json!({"extends": "fr", "tighten": {"fr.existing_customer/1": {"then": {"relationship": {"window": {"months": 6}}}}}});
    let file = write("own", "draft.json", &own.to_string());
    let simulate = |file: &PathBuf| lines(&cluster, &["simulate", "--policy", file.to_str().unwrap()]);
    let (code, said) = simulate(&file);
    assert_eq!(code, 0, "{said:?}");
    let counted = said.iter().find(|l| l.get("gained").is_some()).unwrap();
    assert_eq!(
        (&counted["gained"], &counted["lost"], &counted["allowed_now"]),
        (&json!(0), &json!(6), &json!(7)),
        "{said:?}"
    );
    let row = said.iter().find(|l| l.get("jurisdiction").is_some()).unwrap();
    assert_eq!((&row["jurisdiction"], &row["contacts"]), (&json!("fr"), &json!(6)), "{said:?}");
    assert_eq!((&row["before"]["allowed"], &row["after"]["allowed"]), (&json!(true), &json!(false)));
    assert_eq!(
        client.query_one(tables, &[]).unwrap().get::<_, Option<String>>(0),
        before,
        "nothing is written"
    );

    // Put into force, it does what was counted.
    client
        .execute(
            "INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('ours', $1, 'as simulated')",
            &[&own],
        )
        .unwrap();
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent.audience('newsletter', 'shoes')"), 1);
    client.batch_execute("DELETE FROM consent_data.policy_override").unwrap();

    // A whole pack may take the place of one, and loosen; it says so. In TOML, without what ends permissions.
    let pack: String = include_str!("../../policy/packs/fr.toml").to_owned();
    let looser = write("own", "fr.toml", &without_rules(&pack, "fr.retention/1"));
    let (code, said) = simulate(&looser);
    assert_eq!(code, 0, "{said:?}");
    assert!(said.iter().any(|l| l["draft"]["does"] == "replace"));
    assert!(said.iter().any(|l| l.get("loosens").is_some()), "{said:?}");
    let counted = said.iter().find(|l| l.get("gained").is_some()).unwrap();
    assert_eq!((&counted["gained"], &counted["lost"]), (&json!(3), &json!(0)), "{said:?}");

    let faulty =
        write("own", "faulty.json", r#"{"extends": "fr", "tighten": {"fr.nothing/1": {}}, "rules": [{}]}"#);
    let (code, _) = simulate(&faulty);
    assert_eq!(code, 1);
    [file, looser, faulty].iter().for_each(|f| std::fs::remove_file(f).unwrap());
}

/// A pack's text without the rules that have such a line.
fn without_rules(pack: &str, line: &str) -> String {
    let (head, rules) = pack.split_once("[[rules]]").unwrap();
    let kept = rules.split("[[rules]]").filter(|rule| !rule.contains(line));
    kept.fold(head.to_owned(), |text, rule| text + "[[rules]]" + rule)
}
