//! The night's scores must be those of the facts, whatever the key's type; a person's word must win over them; and neither a
//! killed run nor one too many may leave anything behind.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("consent-batch")
}

/// Runs as a role that has nothing but consent_batch, and answers with the figures.
fn rescore(cluster: &Cluster, arguments: &[&str]) -> Value {
    let out = run(cluster, arguments);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let lines = String::from_utf8(out.stdout).unwrap();
    let mut ends = lines.lines().rev().filter_map(|l| serde_json::from_str::<Value>(l).ok());
    ends.find(|v| v["outcome"] == "done").unwrap()["figures"].clone()
}

fn run(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(["rescore", "--json", "--database", &cluster.url("postgres", "night")])
        .args(arguments)
        .output()
        .expect("target/release/consent-batch: cargo build --release -p consent-batch")
}

/// Departments fashion (shoes, boots, socks, and belts that nobody buys), pharmacy (plasters, and pills, which are sensitive)
/// and books. Of contacts 1 to 400: shoes and boots are bought together, socks by others, everything else by a few.
/// Contact n has the key that `key` makes of n.
fn start(key_type: &str, key: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, key_type);
    client
        .batch_execute(&format!(
            "CREATE ROLE night LOGIN IN ROLE consent_batch;
             INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
             INSERT INTO consent_data.category (name, sensitive) VALUES ('fashion', false), ('pharmacy', false), ('books', false);
             INSERT INTO consent_data.category (name, parent_id, sensitive) VALUES
                 ('shoes', 1, false), ('boots', 1, false), ('socks', 1, false), ('belts', 1, false), ('plasters', 2, false), ('pills', 2, true);
             CREATE FUNCTION key(n integer) RETURNS {key_type} LANGUAGE sql IMMUTABLE RETURN {key};
             CREATE FUNCTION buys(n integer, category integer, sender integer DEFAULT 1, at timestamptz DEFAULT '2026-01-01Z')
                 RETURNS void LANGUAGE sql AS $$
                 INSERT INTO consent_data.contact_state AS s (contact_id, state)
                 VALUES (key(n), consent.fact('purchase', at, at, sender, '{{email}}', category, 'yes', false, true))
                 ON CONFLICT (contact_id) DO UPDATE SET state = consent._merge(s.state, excluded.state), rev = s.rev + 1 $$;
             SELECT buys(n, 4), buys(n, 5) FROM generate_series(1, 100) n;
             SELECT buys(n, 4) FROM generate_series(101, 130) n;
             SELECT buys(n, 6) FROM generate_series(131, 300) n;
             SELECT buys(n, 8), buys(n, 9) FROM generate_series(301, 380) n;
             SELECT buys(n, 3) FROM generate_series(381, 400) n;
             SELECT buys(n, 6, 2) FROM generate_series(1, 40) n;
             ANALYZE consent_data.contact_state;"
        ))
        .unwrap();
    (cluster, client)
}

fn bigint() -> (Cluster, Client) {
    start("bigint", "n")
}

/// category, score and what it rests on, of the shop.
fn list(client: &mut Client, contact: i32) -> Vec<(String, f32, String)> {
    let rows = client
        .query(
            "SELECT s.category, s.score, s.rests_on FROM consent.contact_similar s
              WHERE s.contact_id = key($1) AND s.sender = 'shop' ORDER BY s.rank",
            &[&contact],
        )
        .unwrap();
    rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect()
}

fn version(client: &mut Client) -> i64 {
    shop::number(client, "SELECT similarity_version::bigint FROM consent_data.setting")
}

#[test]
fn scores_are_those_of_the_facts_whatever_the_key() {
    let uuid = "('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid";
    for (key_type, key) in
        [("bigint", "n"), ("uuid", uuid), ("text", "'Kontakt Nr. ' || n || repeat('é', n % 50)")]
    {
        let (cluster, mut client) = start(key_type, key);
        for threads in ["1", "3"] {
            client.batch_execute("UPDATE consent_data.setting SET similarity_threshold = 0.3").unwrap();
            let figures = rescore(&cluster, &["--threads", threads]);
            assert_eq!(figures["contacts"], 440, "of both senders: {figures}");
            // Recomputed with SQL from the states themselves.
            let wrong = client
                .query(
                    "WITH bought AS MATERIALIZED (
                         SELECT DISTINCT s.contact_id, (f->>'sender_id')::int AS sender_id, (f->>'category_id')::int AS category_id
                           FROM consent_data.contact_state s, jsonb_array_elements(consent.state_json(s.state)->'facts') f
                          WHERE f->>'category_id' IS NOT NULL),
                     counted AS (
                         SELECT s.*, (SELECT count(*) FROM bought b WHERE b.sender_id = s.sender_id AND b.category_id = s.category_a) AS a,
                                (SELECT count(*) FROM bought b WHERE b.sender_id = s.sender_id AND b.category_id = s.category_b) AS b,
                                (SELECT count(*) FROM bought x JOIN bought y USING (sender_id, contact_id)
                                  WHERE x.sender_id = s.sender_id AND (x.category_id, y.category_id) = (s.category_a, s.category_b)) AS n_both,
                                (SELECT count(DISTINCT b.contact_id) FROM bought b WHERE b.sender_id = s.sender_id) AS n
                           FROM consent_data.similarity s WHERE s.version = (SELECT similarity_version FROM consent_data.setting))
                     SELECT category_a, category_b FROM counted c
                      WHERE (a, b, n_both, n) IS DISTINCT FROM (buyers_a, buyers_b, buyers_both, buyers_all)
                         OR abs(score - (0.3 * wu_palmer + CASE WHEN evidence THEN 0.7 * greatest(0, npmi) * n_both / (n_both + 10.0) ELSE 0 END)) > 1e-12
                         OR evidence IS DISTINCT FROM (n_both >= 10 AND llr >= 10.8)
                         OR evidence AND abs(npmi - ln(n_both * n / (a * b)::float8) / -ln(n_both / n::float8)) > 1e-9",
                    &[],
                )
                .unwrap();
            assert!(wrong.is_empty(), "{key_type}: {wrong:?}");
            let pairs = client
                .query_one(
                    "SELECT string_agg(category_a || '-' || category_b, ' ' ORDER BY category_a, category_b)
                       FROM consent_data.similarity s JOIN consent_data.setting t ON t.similarity_version = s.version WHERE sender_id = 1",
                    &[],
                )
                .unwrap();
            // Within departments; none with pills; belts are new and have the tree alone; nobody bought 1 and 7, nor 1 and 2.
            assert_eq!(pairs.get::<_, &str>(0), "1-4 1-5 1-6 2-8 4-5 4-6 4-7 5-6 5-7 6-7", "{key_type}");
            let boots = list(&mut client, 101);
            assert_eq!(boots.len(), 1);
            assert_eq!((boots[0].0.as_str(), boots[0].2.as_str()), ("boots", "shoes"));
            assert_eq!(list(&mut client, 1), [], "has both");
            assert_eq!(list(&mut client, 301), [], "pills make nothing similar");
            rescore(&cluster, &["--threshold", "0.9"]);
        }
    }
}

#[test]
fn a_person_s_word_wins_over_every_score() {
    let (cluster, mut client) = bigint();
    rescore(&cluster, &["--threshold", "0.3"]);
    assert_eq!(list(&mut client, 101)[0].0, "boots");
    client
        .batch_execute(
            "INSERT INTO consent_data.similarity_override (sender_id, category_a, category_b, is_similar, reason) VALUES
                 (NULL, 5, 4, false, 'shoes are no boots'), (1, 4, 8, true, 'blisters'), (2, 4, 6, true, 'of the sister alone'),
                 (1, 4, 3, true, 'a guide'), (NULL, 3, 4, false, 'no to it, and no beats yes');",
        )
        .unwrap();
    let plasters = [("plasters".to_owned(), 1.0, "shoes".to_owned())];
    assert_eq!(list(&mut client, 101), plasters, "at once");
    assert_eq!(rescore(&cluster, &[])["unchanged"], true, "no pair was scored otherwise");
    assert_eq!(list(&mut client, 101), plasters);
    // As the decision has it.
    let decided = "SELECT other FROM consent_data.similar_pair WHERE sender_id = 1 AND category_id = 4";
    let rows = client.query(decided, &[]).unwrap();
    assert_eq!(rows.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>(), [8]);
}

#[test]
fn whoever_was_erased_or_may_have_lost_a_purchase_is_in_no_list() {
    let (cluster, mut client) = bigint();
    client
        .batch_execute(
            "INSERT INTO consent_data.pending (contact_id, restricts) VALUES (101, true), (102, false);
             SELECT consent.record_event(103::bigint, 'erasure_request');",
        )
        .unwrap();
    let figures = rescore(&cluster, &["--threshold", "0.3"]);
    assert_eq!(figures["contacts"], 438);
    let lists = [101, 102, 103, 104].map(|n| list(&mut client, n).len());
    assert_eq!(lists, [0, 1, 0, 1]);
    client.batch_execute("SELECT consent.erase(104::bigint, 'request')").unwrap();
    assert_eq!(list(&mut client, 104), []);
}

#[test]
fn a_list_knows_the_purchases_and_the_overrides_of_now() {
    let (cluster, mut client) = bigint();
    rescore(&cluster, &["--threshold", "0.3"]);
    let before = list(&mut client, 101);
    let bought: i32 = client
        .query_one("SELECT category_id FROM consent_data.category WHERE name = $1", &[&before[0].0])
        .unwrap()
        .get(0);
    client.execute("SELECT buys(101, $1)", &[&bought]).unwrap();
    assert!(list(&mut client, 101).iter().all(|l| l.0 != before[0].0), "bought by now");
    assert_eq!(list(&mut client, 102).len(), 1);
    client
        .execute(
            "INSERT INTO consent_data.similarity_override (category_a, category_b, is_similar, reason)
             SELECT a.category_id, b.category_id, false, 'unlike' FROM consent_data.category a, consent_data.category b
              WHERE a.name = $1 AND b.name = $2",
            &[&before[0].0, &before[0].2],
        )
        .unwrap();
    assert_eq!(list(&mut client, 102), []);
}

#[test]
fn a_second_run_with_no_new_facts_changes_nothing() {
    let (cluster, mut client) = bigint();
    let first = rescore(&cluster, &["--threshold", "0.3"]);
    assert_eq!((&first["unchanged"], &first["version"]), (&Value::Bool(false), &Value::from(1)));
    let tables = "SELECT md5(string_agg(r, ' ' ORDER BY r)) FROM (SELECT s::text || s.xmin AS r FROM consent_data.similarity s
                   UNION ALL SELECT s::text || s.xmin FROM consent_data.setting s) x";
    let before: String = client.query_one(tables, &[]).unwrap().get(0);
    for threads in ["1", "4"] {
        let again = rescore(&cluster, &["--threads", threads]);
        assert_eq!((&again["unchanged"], &again["version"]), (&Value::Bool(true), &Value::from(1)));
        assert_eq!(again["drift"]["changed_sides"], 0);
        assert_eq!(client.query_one(tables, &[]).unwrap().get::<_, String>(0), before);
    }
    // One more purchase is news, and so is another threshold; a dry run tells and writes nothing.
    client.batch_execute("SELECT buys(131, 4)").unwrap();
    let dry = rescore(&cluster, &["--dry-run"]);
    assert_eq!((&dry["unchanged"], &dry["version"]), (&Value::Bool(false), &Value::from(1)));
    assert_eq!(client.query_one(tables, &[]).unwrap().get::<_, String>(0), before);
    assert_eq!(rescore(&cluster, &[])["version"], 2);
    let other = rescore(&cluster, &["--threshold", "0.9"]);
    assert_eq!((&other["version"], &other["drift"]["changed_sides"]), (&Value::from(3), &Value::from(1)));
}

#[test]
fn old_versions_go_but_the_pairs_of_the_last_three_stay() {
    let (cluster, mut client) = bigint();
    for n in 0..5 {
        rescore(&cluster, &["--threshold", ["0.3", "0.31", "0.32", "0.33", "0.34"][n]]);
    }
    let kept = client.query("SELECT DISTINCT version FROM consent_data.similarity ORDER BY 1", &[]).unwrap();
    assert_eq!(kept.iter().map(|r| r.get::<_, i32>(0)).collect::<Vec<_>>(), [3, 4, 5]);
    let kept = shop::number(&mut client, "SELECT min(version)::bigint FROM consent_data.similarity_version");
    assert_eq!(kept, 3);
}

#[test]
fn what_a_killed_run_leaves_comes_neither_into_use_nor_in_the_way() {
    let (cluster, mut client) = bigint();
    rescore(&cluster, &["--threshold", "0.3"]);
    let undisturbed = list(&mut client, 101);
    // As if killed before publishing: pairs of versions that nobody uses.
    client
        .batch_execute(
            "SELECT consent._similar_prepare(2);
             CREATE TABLE consent_data.similarity_7 (LIKE consent_data.similarity);
             INSERT INTO consent_data.similarity_2 SELECT 2, sender_id, category_a, category_b, 1, NULL, 0, 0, 0, 0, 0, 0, 0, 0, false, 0 FROM consent_data.similarity;
             SELECT buys(102, 6);",
        )
        .unwrap();
    assert_eq!(list(&mut client, 101), undisturbed);
    assert_eq!(rescore(&cluster, &[])["version"], 2);
    assert_eq!(version(&mut client), 2);
    assert_eq!(list(&mut client, 101)[0].0, "boots");
    let leftover = "SELECT count(*) FROM consent_data.similarity WHERE buyers_all = 0";
    assert_eq!(shop::number(&mut client, leftover), 0);
}

#[test]
fn tables_of_an_older_form_give_way_at_setup() {
    let (cluster, mut client) = bigint();
    client
        .batch_execute(
            "DROP TABLE consent_data.similarity CASCADE; DROP VIEW consent_data.count_quality;
             CREATE VIEW consent_data.count_quality AS SELECT 1 AS contacts, 2 AS without_country, 3 AS with_valid_email;
             CREATE TABLE consent_data.similarity (version integer NOT NULL, sender_id integer NOT NULL, category_a integer NOT NULL,
                 category_b integer NOT NULL, score double precision NOT NULL, common_ancestor integer, wu_palmer double precision NOT NULL,
                 buyers_a bigint NOT NULL, buyers_b bigint NOT NULL, buyers_both bigint NOT NULL, buyers_all bigint NOT NULL,
                 expected_both double precision NOT NULL, npmi double precision NOT NULL, llr double precision NOT NULL,
                 evidence boolean NOT NULL, threshold double precision NOT NULL, PRIMARY KEY (version, sender_id, category_a, category_b));
             INSERT INTO consent_data.similarity VALUES (4, 1, 4, 5, 0.9, 1, 0.5, 1, 1, 1, 9, 1, 1, 1, true, 0.3);
             UPDATE consent_data.setting SET similarity_version = 4;
             CREATE TABLE consent_data.contact_similar (version integer, contact_id bigint) PARTITION BY LIST (version);
             CREATE TABLE consent_data.contact_similar_1 PARTITION OF consent_data.contact_similar FOR VALUES IN (1);
             CREATE TABLE consent_data.contact_similar_2 (LIKE consent_data.contact_similar);
             CALL consent.setup(); CALL consent.setup();",
        )
        .unwrap();
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'contact\\_similar%' AND relkind <> 'v'";
    assert_eq!(shop::number(&mut client, left), 0);
    assert_eq!(list(&mut client, 101).len(), 1, "the pairs in use are kept");
    // The next night goes on from there, and so it does from a version somebody went back to.
    assert_eq!(rescore(&cluster, &["--threshold", "0.3"])["version"], 5);
    assert_eq!(rescore(&cluster, &["--threshold", "0.31"])["version"], 6);
    client.batch_execute("UPDATE consent_data.setting SET similarity_version = 5").unwrap();
    assert_eq!(rescore(&cluster, &["--threshold", "0.32"])["version"], 6);
    assert_eq!(list(&mut client, 101).len(), 1);
    // No session keeps what is gone, however it went.
    client.batch_execute("TRUNCATE consent_data.similarity_6").unwrap();
    assert_eq!(list(&mut client, 101), []);
}

#[test]
fn the_batch_s_role_can_neither_drop_what_is_in_use_nor_name_another_table() {
    let (cluster, mut client) = bigint();
    rescore(&cluster, &["--threshold", "0.3"]);
    let mut night = cluster.connect("postgres", "night").unwrap();
    for attempt in [
        "SELECT consent._similar_prepare(1)",
        "SELECT consent._similar_prepare(0)",
        "SELECT consent._similar_prepare(NULL)",
        "SELECT consent._similar_publish(1, 0.5, '')",
        "SELECT consent._similar_publish(9, 0.5, '')",
        "SELECT consent._similar_publish(NULL, 0.5, '')",
        "DELETE FROM consent_data.similarity",
        "INSERT INTO consent_data.similarity SELECT * FROM consent_data.similarity_1",
        "INSERT INTO consent_data.similarity_1 SELECT * FROM consent_data.similarity_1",
        "DROP TABLE consent_data.similarity_1",
        "UPDATE consent_data.setting SET similarity_version = 7",
    ] {
        assert!(night.batch_execute(attempt).is_err(), "{attempt}");
    }
    assert_eq!(list(&mut client, 101).len(), 1);
    let stranger = run(&cluster, &["--database", &cluster.url("postgres", "consent_decide")]);
    assert!(!stranger.status.success());
}
