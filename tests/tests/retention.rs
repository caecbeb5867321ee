//! Retention acts in the CRM on whoever it announced and who did not come back, once, with the rights of the table's
//! owner; and what the person refused outlives it.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::Client;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    here.ancestors().nth(2).unwrap().join("consent-batch")
}

/// As the batch's own role, which has no other rights.
pub fn command(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).args(["--text", "--database", &cluster.url("postgres", "night")]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

pub fn batch(cluster: &Cluster, arguments: &[&str]) -> i32 {
    let run = command(cluster, arguments).output().expect("cargo build --release -p consent-batch");
    let code = run.status.code().unwrap_or(-1);
    assert!(code != 1, "{}", String::from_utf8_lossy(&run.stderr));
    code
}

pub const APPLY: &[&str] = &["retention", "--apply", "--max-share", "1"];

/// The figures of the last run.
pub fn figures(client: &mut Client) -> Value {
    let last = "SELECT figures FROM consent_data.run WHERE step = 'retention' ORDER BY run_id DESC LIMIT 1";
    client.query_one(last, &[]).unwrap().get(0)
}

pub fn text(client: &mut Client, sql: &str) -> String {
    let row = client.query_one(sql, &[]).unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

pub fn start(key_type: &str) -> (Cluster, Client) {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, key_type);
    client
        .batch_execute(
            "CREATE ROLE night LOGIN IN ROLE consent_batch;
             CREATE ROLE crm LOGIN IN ROLE consent_admin;
             CREATE SCHEMA crm AUTHORIZATION crm;
             INSERT INTO consent_data.sender (name, is_default) VALUES ('shop', true), ('sister', false);
             INSERT INTO consent_data.category (name) VALUES ('shoes');",
        )
        .unwrap();
    (cluster, client)
}

/// French customers who bought shoes: the first `expired` of them four years ago, the others last year.
pub fn shop(expired: i64, all: i64) -> (Cluster, Client) {
    let (cluster, mut client) = start("bigint");
    client
        .batch_execute(&format!(
            "SET SESSION AUTHORIZATION crm;
             CREATE TABLE crm.customer (id bigint PRIMARY KEY, name text, email text);
             CREATE TABLE crm.sale (customer bigint, at timestamptz);
             CREATE INDEX ON crm.sale (customer);
             INSERT INTO crm.customer SELECT n, 'person ' || n, n || '@example.org' FROM generate_series(1, {all}) n;
             INSERT INTO crm.sale SELECT n, now() - CASE WHEN n <= {expired} THEN interval '4 years' ELSE interval '1 year' END
               FROM generate_series(1, {all}) n;
             CREATE VIEW crm.contact AS SELECT id AS contact_id, 'FR'::text AS country, email FROM crm.customer;
             CREATE VIEW crm.purchase AS SELECT customer AS contact_id, at, 'shoes'::text AS category,
                    'yes'::text AS opt_out_offered FROM crm.sale;
             RESET SESSION AUTHORIZATION;
             SELECT consent.bind_contacts('crm.contact'), consent.bind_purchases('crm.purchase', sender => 'shop');",
        ))
        .unwrap();
    shop::refold_all(&mut client);
    (cluster, client)
}

pub fn configure(cluster: &Cluster, call: &str) {
    let mut owner = cluster.connect("postgres", "crm").unwrap();
    owner.batch_execute(call).unwrap();
}

pub const ANONYMISE: &str = "SELECT consent.set_retention('crm.customer', key => 'id', action => 'anonymise',
    columns => '{\"name\": \"gone {key}\", \"email\": null}', grace => '0')";
pub const DELETE: &str =
    "SELECT consent.set_retention('crm.sale', key => 'customer', action => 'delete', grace => '0');
    SELECT consent.set_retention('crm.customer', key => 'id', action => 'delete', grace => '0')";

/// Everything a second run must leave as it is.
fn all_there_is(client: &mut Client) -> String {
    text(
        client,
        "SELECT concat_ws(' ', (SELECT string_agg(a::text, ';' ORDER BY a.retention_action_id) FROM consent_data.retention_action a),
                (SELECT string_agg(s.contact_id || ':' || s.rev, ';' ORDER BY s.contact_id) FROM consent_data.contact_state s),
                (SELECT string_agg(d::text, ';' ORDER BY d.contact_id, d.sender_id) FROM consent_data.retention_due d),
                (SELECT string_agg(e::text, ';' ORDER BY e.event_id) FROM consent_data.event e))",
    )
}

#[test]
fn each_source_has_its_own_action_and_nothing_is_done_twice() {
    let (cluster, mut client) = start("text");
    let sources = ["flag", "call", "anonymise", "delete"];
    for source in sources {
        client
            .batch_execute(&format!(
                "SET SESSION AUTHORIZATION crm;
                 CREATE TABLE crm.{source} (id integer PRIMARY KEY, email text, bought_at timestamptz);
                 INSERT INTO crm.{source} VALUES (1, '{source}1@example.org', now() - interval '4 years'),
                     (2, '{source}2@example.org', now() - interval '1 year');
                 CREATE VIEW crm.{source}_contact AS SELECT id AS contact_id, 'FR'::text AS country, email FROM crm.{source};
                 CREATE VIEW crm.{source}_sale AS SELECT id AS contact_id, bought_at AS at, 'shoes'::text AS category FROM crm.{source};
                 RESET SESSION AUTHORIZATION;
                 SELECT consent.bind_contacts('crm.{source}_contact', source => 'res.{source}'),
                        consent.bind_purchases('crm.{source}_sale', source => 'res.{source}');"
            ))
            .unwrap();
    }
    configure(
        &cluster,
        "CREATE TABLE crm.called (id integer);
         CREATE FUNCTION crm.retire(id integer) RETURNS void LANGUAGE sql AS 'INSERT INTO called VALUES (id)';
         SELECT consent.set_retention(action => 'flag', source => 'res.flag', grace => '0');
         SELECT consent.set_retention('crm.call', action => 'call', function => 'crm.retire(integer)', source => 'res.call', grace => '0');
         SELECT consent.set_retention('crm.anonymise', key => 'id', action => 'anonymise', columns => '{\"email\": null}',
                                      source => 'res.anonymise', grace => '0');
         SELECT consent.set_retention('crm.delete', key => 'id', action => 'delete', source => 'res.delete', grace => '0')",
    );
    shop::refold_all(&mut client);
    // A spelling of its own, which is not the CRM's 2.
    client.batch_execute("SELECT consent.record_event('res.delete:02', 'purchase', now() - interval '4 years', category => 'shoes')").unwrap();

    assert_eq!(batch(&cluster, &["retention", "--max-share", "1"]), 0);
    assert_eq!(
        shop::number(&mut client, "SELECT count(*) FROM consent_data.retention_action"),
        0,
        "a dry run"
    );
    assert_eq!(batch(&cluster, APPLY), 0);
    let shown = "SELECT string_agg(native_key || ' ' || source || ' ' || action || coalesce(' done' || left(acted_at::text, 0), ''), ', ' ORDER BY source)
                   FROM consent.retention_due WHERE contact_id NOT LIKE '%:02'";
    assert_eq!(
        text(&mut client, shown),
        "1 res.anonymise anonymise, 1 res.call call, 1 res.delete delete, 1 res.flag flag"
    );
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.called"), 0, "announced first");
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(text(&mut client, shown), "1 res.call call done, 1 res.flag flag done");
    assert_eq!(text(&mut client, "SELECT string_agg(id::text, ',') FROM crm.called"), "1");
    assert_eq!(
        text(
            &mut client,
            "SELECT string_agg(concat_ws(' ', id, email), ', ' ORDER BY id) FROM crm.anonymise"
        ),
        "1, 2 anonymise2@example.org"
    );
    assert_eq!(text(&mut client, "SELECT string_agg(id::text, ',') FROM crm.delete"), "2");
    let done = "SELECT string_agg(concat_ws(' ', contact_id, action, rule, outcome, reason, rows_touched, acted_run_id > run_id, acted_at IS NOT NULL),
                                  ', ' ORDER BY contact_id) FROM consent_data.retention_action WHERE contact_id NOT LIKE '%:02'";
    assert_eq!(
        text(&mut client, done),
        "res.anonymise:1 anonymise fr.retention/1 done 1 t t, res.call:1 call fr.retention/1 done 1 t t, \
         res.delete:1 delete fr.retention/1 done 1 t t, res.flag:1 flag fr.retention/1 done 0 t t"
    );
    let states = "SELECT string_agg(contact_id, ',' ORDER BY contact_id) FROM consent_data.contact_state WHERE contact_id ~ 'res.delete:.$'";
    assert_eq!(text(&mut client, states), "res.delete:2");
    let allowed =
        "SELECT string_agg(contact_id, ',' ORDER BY contact_id) FROM consent.audience('newsletter', 'shoes')";
    assert!(!text(&mut client, allowed).contains(":1"), "flagged or called for, marketing stays denied");

    let before = all_there_is(&mut client);
    for arguments in [APPLY, &["retention", "--apply", "--full"]] {
        assert_eq!(batch(&cluster, arguments), 0);
        assert_eq!(all_there_is(&mut client), before);
    }
}

#[test]
fn whoever_comes_back_is_held_or_is_another_s_customer_is_kept() {
    let (cluster, mut client) = shop(6, 9);
    configure(&cluster, DELETE);
    client
        .batch_execute(
            "SELECT consent.record_event(4::bigint, 'purchase', now() - interval '1 year', category => 'shoes', sender => 'sister');
             SELECT consent.record_event(6::bigint, 'subscription_start', now() - interval '5 years', category => 'shoes', sender => 'sister')",
        )
        .unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(figures(&mut client)["newly_expired"], 6);
    client
        .batch_execute(
            "SELECT consent.record_event(2::bigint, 'click');
             SELECT consent.legal_hold(3::bigint, 'claim 17');
             INSERT INTO crm.sale VALUES (5, now() - interval '1 day')",
        )
        .unwrap();
    let shown = "SELECT string_agg(contact_id::text, ',' ORDER BY contact_id) FROM consent.retention_due";
    assert_eq!(text(&mut client, shown), "1,5", "nothing watches the sale");
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(
        text(&mut client, "SELECT string_agg(id::text, ',' ORDER BY id) FROM crm.customer"),
        "2,3,4,5,6,7,8,9"
    );
    let outcomes = "SELECT string_agg(concat_ws(' ', contact_id, outcome, reason), ', ' ORDER BY contact_id)
                      FROM consent_data.retention_action WHERE stage = 'expired'";
    assert_eq!(
        text(&mut client, outcomes),
        "1 done, 2 saved active, 3 kept legal_hold, 4 kept active, 5 saved active, 6 kept contract"
    );
    let next = "SELECT string_agg(contact_id::text, ',' ORDER BY contact_id) FROM consent_data.retention_due WHERE due_at > now() + interval '2 years'";
    assert_eq!(text(&mut client, next), "2,5", "their time begins anew");

    // The hold is released: the next time it is looked at, it is done. A state knows seconds, and in one second a hold stands.
    std::thread::sleep(Duration::from_millis(1100));
    client
        .batch_execute(
            "SELECT consent.legal_hold(3::bigint, 'settled', on_hold => false);
             UPDATE consent_data.retention_action SET act_after = now() WHERE outcome = 'kept'",
        )
        .unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(
        text(&mut client, "SELECT string_agg(id::text, ',' ORDER BY id) FROM crm.customer"),
        "2,4,5,6,7,8,9"
    );
}

#[test]
fn a_merged_person_who_is_active_keeps_the_other_contact() {
    let (cluster, mut client) = shop(2, 5);
    configure(&cluster, DELETE);
    client.batch_execute("SELECT consent.merge_contacts(1::bigint, 4::bigint)").unwrap();
    for _ in 0..2 {
        assert_eq!(batch(&cluster, APPLY), 0);
    }
    let outcomes = "SELECT string_agg(concat_ws(' ', contact_id, outcome, reason), ', ' ORDER BY contact_id) FROM consent_data.retention_action";
    assert_eq!(text(&mut client, outcomes), "1 kept merged_contact, 2 done");
}

#[test]
fn what_was_refused_outlives_the_contact() {
    for action in [ANONYMISE, DELETE] {
        let (cluster, mut client) = shop(2, 5);
        configure(&cluster, action);
        client.batch_execute("SELECT consent.opt_out(1::bigint)").unwrap();
        for _ in 0..2 {
            assert_eq!(batch(&cluster, APPLY), 0);
        }
        assert_eq!(
            text(&mut client, "SELECT string_agg(outcome, ',') FROM consent_data.retention_action"),
            "done,done"
        );
        let named = "SELECT count(*) FROM consent_data.event WHERE contact_id = 1 OR reason IS NOT NULL OR evidence IS NOT NULL";
        assert_eq!(shop::number(&mut client, named), 0);
        let erasures = "SELECT string_agg(left(why, 26), ',') FROM consent_data.erasure";
        assert_eq!(text(&mut client, erasures), "retention: fr.retention/1,,retention: fr.retention/1,");
        // The address under a new key, the key with a new address, and somebody else.
        client
            .batch_execute(
                "INSERT INTO crm.customer VALUES (101, 'again', '1@example.org'), (102, 'other', 'other@example.org');
                 INSERT INTO crm.customer VALUES (1, 'back', 'new@example.org')
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, email = excluded.email;
                 INSERT INTO crm.sale SELECT n, now() - interval '1 day' FROM unnest(ARRAY[1, 101, 102]) n",
            )
            .unwrap();
        shop::refold_all(&mut client);
        let asked =
            "SELECT string_agg(n || ' ' || consent.can_send(n, 'newsletter', 'shoes'), ', ' ORDER BY n)
                       FROM unnest(ARRAY[1, 101, 102]::bigint[]) n";
        assert_eq!(text(&mut client, asked), "1 false, 101 false, 102 true");
        // Both came back with a purchase, and are nobody whose time is over.
        assert_eq!(batch(&cluster, &["retention", "--apply", "--full", "--max-share", "1"]), 0);
        assert_eq!(figures(&mut client)["newly_expired"], 0);
    }
}

#[test]
fn too_many_at_a_stroke_stop_the_run_before_it_writes() {
    let (cluster, mut client) = shop(3, 9);
    configure(&cluster, DELETE);
    let rows = "SELECT count(*) FROM consent_data.retention_action";
    assert_eq!(batch(&cluster, &["retention", "--apply"]), 2);
    assert_eq!(shop::number(&mut client, rows), 0);
    assert_eq!(batch(&cluster, &["retention", "--apply", "--force"]), 0);
    assert_eq!(shop::number(&mut client, rows), 3);
    let before = all_there_is(&mut client);
    assert_eq!(batch(&cluster, &["retention", "--apply"]), 2, "three of nine would be deleted");
    assert_eq!(all_there_is(&mut client), before);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.customer"), 9);
}

#[test]
fn only_what_falls_due_is_assessed_until_the_rules_change() {
    let (cluster, mut client) = shop(1, 9);
    assert_eq!(batch(&cluster, APPLY), 0);
    let seen = |client: &mut Client| {
        let f = figures(client);
        (f["full"].as_bool().unwrap(), f["assessed"].as_u64().unwrap(), f["recorded"].as_u64().unwrap())
    };
    assert_eq!(seen(&mut client), (true, 9, 1));
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.retention_due"), 8);
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(seen(&mut client), (false, 0, 0));
    // One whose last purchase turns out to be old, and one who has gone.
    client
        .batch_execute(
            "UPDATE crm.sale SET at = now() - interval '35 months' WHERE customer = 5; DELETE FROM crm.sale WHERE customer = 6;
             DELETE FROM crm.customer WHERE id = 6;
             UPDATE consent_data.retention_due SET due_at = now() WHERE contact_id IN (5, 6, 7)",
        )
        .unwrap();
    shop::refold_all(&mut client);
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(seen(&mut client), (false, 2, 1));
    let stages = "SELECT string_agg(contact_id || ' ' || stage, ', ' ORDER BY contact_id) FROM consent_data.retention_action";
    assert_eq!(text(&mut client, stages), "1 expired, 5 renewal");
    assert_eq!(text(&mut client, "SELECT string_agg(stage, ',') FROM consent.retention_due"), "renewal");
    let due = "SELECT string_agg(contact_id::text, ',' ORDER BY contact_id) FROM consent_data.retention_due";
    assert_eq!(text(&mut client, due), "2,3,4,5,7,8,9");
    client
        .batch_execute(
            r#"INSERT INTO consent_data.policy_override (name, document, reason) VALUES ('shorter',
               '{"extends": "fr", "tighten": {"fr.retention/1": {"then": {"retention": {"after": {"months": 6}}}}}}', 'we forget sooner')"#,
        )
        .unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    let (full, assessed, recorded) = seen(&mut client);
    assert_eq!((full, assessed, recorded), (true, 8, 8));
}

#[test]
fn another_instant_is_judged_but_never_applied() {
    let (cluster, mut client) = shop(1, 9);
    let as_of: String =
        text(&mut client, "SELECT to_char(now() + interval '30 months', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
    assert_eq!(batch(&cluster, &["retention", "--max-share", "1", "--as-of", &as_of]), 0);
    assert_eq!(figures(&mut client)["newly_expired"], 9);
    let refused = command(&cluster, &["retention", "--apply", "--as-of", &as_of]).output().unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("--apply"));
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.retention_action"), 0);
}

#[test]
fn killed_at_any_moment_nobody_is_acted_on_twice() {
    const ALL: i64 = 120;
    let (mut cluster, mut client) = shop(ALL, ALL + 10);
    configure(
        &cluster,
        &format!(
            "CREATE TABLE crm.log (id bigint);
             CREATE FUNCTION crm.note() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO crm.log VALUES (new.id); PERFORM pg_sleep(0.01); RETURN NULL; END';
             CREATE TRIGGER note AFTER UPDATE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.note();
             {ANONYMISE}"
        ),
    );
    let kill = |mut child: Child, after: u64| {
        std::thread::sleep(Duration::from_millis(after));
        child.kill().unwrap();
        child.wait().unwrap();
    };
    for after in [30, 60, 120, 300, 450, 600, 800] {
        kill(command(&cluster, APPLY).spawn().unwrap(), after);
    }
    let child = command(&cluster, APPLY).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    cluster.kill().unwrap();
    kill(child, 0);
    cluster.restart().unwrap();
    client = {
        drop(client);
        cluster.connect("postgres", "postgres").unwrap()
    };
    let open = "SELECT count(*) FROM consent_data.retention_action WHERE acted_at IS NULL";
    for _ in 0..20 {
        // A server's process may hold the lock a moment longer than its client lives.
        if batch(&cluster, APPLY) == 3 {
            std::thread::sleep(Duration::from_millis(300));
        } else if shop::number(&mut client, "SELECT count(*) FROM consent_data.retention_action") == ALL
            && shop::number(&mut client, open) == 0
        {
            break;
        }
        // Whom a killed process still had locked.
        client
            .batch_execute(
                "UPDATE consent_data.retention_action SET act_after = now() WHERE acted_at IS NULL",
            )
            .unwrap();
    }
    assert_eq!(shop::number(&mut client, open), 0);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.log"), ALL);
    assert_eq!(shop::number(&mut client, "SELECT count(DISTINCT id) FROM crm.log"), ALL);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.erasure"), ALL);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.customer WHERE email IS NULL"), ALL);
}

#[test]
fn a_hostile_owner_gets_no_rights_but_its_own() {
    let (cluster, mut client) = shop(3, 9);
    client.batch_execute("REVOKE consent_admin FROM crm; GRANT crm TO postgres").unwrap();
    configure(
        &cluster,
        "CREATE TABLE crm.seen (what text);
         CREATE FUNCTION crm.try(command text) RETURNS void LANGUAGE plpgsql AS $$
             BEGIN
                 EXECUTE command;
                 INSERT INTO crm.seen VALUES ('works: ' || command);
             EXCEPTION WHEN OTHERS THEN
                 INSERT INTO crm.seen VALUES ('as ' || current_user || ': ' || SQLSTATE || ' ' || command);
             END $$;
         CREATE FUNCTION crm.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO crm.seen VALUES ('called as ' || current_user); RETURN pg_catalog.now(); END $$;
         CREATE FUNCTION crm.hostile() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 PERFORM crm.try('ALTER ROLE crm SUPERUSER'), crm.try('SET ROLE postgres'), crm.try('RESET ROLE'),
                         crm.try('SET SESSION AUTHORIZATION postgres'), crm.try('TABLE consent_data.event'),
                         crm.try('SELECT consent._execute_as(10, ''pg_catalog'', ''ALTER ROLE crm SUPERUSER'', '''')'),
                         crm.try('CREATE TEMPORARY TABLE left_behind ()');
                 PERFORM pg_catalog.set_config('search_path', 'crm, pg_catalog', false);
                 RETURN NULL;
             END $$;
         CREATE TRIGGER hostile AFTER UPDATE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.hostile();
         CREATE TABLE crm.later (what text);
         CREATE FUNCTION crm.later() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO crm.later VALUES (current_user); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON crm.customer DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION crm.later()",
    );
    // The administrator configures it in good faith.
    client.batch_execute(ANONYMISE).unwrap();
    for _ in 0..2 {
        assert_eq!(batch(&cluster, APPLY), 0);
    }
    assert_eq!(
        text(&mut client, "SELECT string_agg(outcome, ',') FROM consent_data.retention_action"),
        "done,done,done"
    );
    assert_eq!(text(&mut client, "SELECT string_agg(DISTINCT what, ',') FROM crm.later"), "crm");
    let seen = "SELECT string_agg(DISTINCT what, E'\\n' ORDER BY what) FROM crm.seen";
    let seen = text(&mut client, seen);
    assert_eq!(seen.lines().count(), 7, "{seen}");
    assert!(seen.lines().all(|line| line.starts_with("as crm: 42501")), "{seen}");
    let super_users = "SELECT count(*) FROM pg_roles WHERE rolname IN ('crm', 'night') AND rolsuper";
    assert_eq!(shop::number(&mut client, super_users), 0);
}

#[test]
fn an_action_that_fails_leaves_everything_as_it_was() {
    let (cluster, mut client) = shop(2, 9);
    configure(
        &cluster,
        &format!(
            "CREATE TABLE crm.invoice (customer bigint REFERENCES crm.customer); INSERT INTO crm.invoice VALUES (1); {DELETE}"
        ),
    );
    for _ in 0..2 {
        assert_eq!(batch(&cluster, APPLY), 0);
    }
    let outcomes = "SELECT string_agg(concat_ws(' ', contact_id, outcome, reason, act_after > now() + interval '1 hour'), ', ' ORDER BY contact_id)
                      FROM consent_data.retention_action";
    assert_eq!(text(&mut client, outcomes), "1 failed 23503 t, 2 done f");
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.sale WHERE customer = 1"), 1);
    assert_eq!(
        shop::number(&mut client, "SELECT count(*) FROM consent_data.contact_address WHERE contact_id = 1"),
        1
    );
}
