//! What retention must not take away: a refusal given wherever and whenever, and whoever is there again.

use crate::retention::{ANONYMISE, APPLY, DELETE, batch, command, configure, figures, shop, text};
use crate::shop;
use pg_consent_tests::cluster::Cluster;
use postgres::Client;
use std::process::Child;
use std::time::Duration;

/// By contact: outcome and reason.
const OUTCOMES: &str =
    "SELECT string_agg(concat_ws(' ', contact_id, outcome, reason), ', ' ORDER BY contact_id)
                          FROM consent_data.retention_action WHERE stage = 'expired'";
const CUSTOMERS: &str = "SELECT string_agg(id::text, ',' ORDER BY id) FROM crm.customer";

/// Whether each may be sent a newsletter about shoes.
fn allowed(client: &mut Client, contacts: &str, sender: &str) -> String {
    text(
        client,
        &format!(
            "SELECT string_agg(n || ' ' || consent.can_send(n, 'newsletter', 'shoes', sender => '{sender}'), ', ' ORDER BY n)
               FROM unnest(ARRAY[{contacts}]::bigint[]) n"
        ),
    )
}

fn twice(cluster: &Cluster) {
    for _ in 0..2 {
        assert_eq!(batch(cluster, APPLY), 0);
    }
}

/// The second run, which acts; given back while a trigger of the customers' table keeps it busy for two seconds.
fn acting(cluster: &Cluster, client: &mut Client) -> Child {
    client
        .batch_execute(
            "CREATE FUNCTION crm.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(2); RETURN NULL; END';
             CREATE TRIGGER slow AFTER UPDATE OR DELETE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.slow()",
        )
        .unwrap();
    assert_eq!(batch(cluster, APPLY), 0);
    let child = command(cluster, APPLY).spawn().unwrap();
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    let seen = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        shop::number(client, asleep) > 0
    });
    assert!(seen, "nobody is acted on");
    child
}

#[test]
fn a_refusal_given_with_a_sale_outlives_the_sale() {
    let (cluster, mut client) = shop(2, 5);
    client
        .batch_execute(
            "ALTER TABLE crm.sale ADD refused boolean NOT NULL DEFAULT false;
             UPDATE crm.sale SET refused = true WHERE customer = 1;
             CREATE OR REPLACE VIEW crm.purchase AS SELECT customer AS contact_id, at, 'shoes'::text AS category,
                    'yes'::text AS opt_out_offered, refused FROM crm.sale;
             SELECT consent.bind_purchases('crm.purchase', sender => 'shop');",
        )
        .unwrap();
    shop::refold_all(&mut client);
    configure(&cluster, DELETE);
    twice(&cluster);
    assert_eq!(text(&mut client, OUTCOMES), "1 done, 2 done");
    let kept = "SELECT string_agg(concat_ws(' ', kind, contact_id, erased_as IS NOT NULL), ', ') FROM consent_data.event";
    assert_eq!(text(&mut client, kept), "opt_in_refused t");
    client
        .batch_execute(
            "INSERT INTO crm.customer VALUES (1, 'back', '1@example.org'), (2, 'back', '2@example.org');
             INSERT INTO crm.sale VALUES (1, now() - interval '1 day'), (2, now() - interval '1 day')",
        )
        .unwrap();
    shop::refold_all(&mut client);
    assert_eq!(allowed(&mut client, "1, 2", "shop"), "1 false, 2 true");
}

#[test]
fn a_refusal_given_while_the_action_runs_is_not_lost() {
    let (cluster, mut client) = shop(2, 5);
    client
        .batch_execute(
            "SET SESSION AUTHORIZATION crm;
             CREATE TABLE crm.opt_out (customer bigint, at timestamptz);
             CREATE INDEX ON crm.opt_out (customer);
             CREATE VIEW crm.refusal AS SELECT customer AS contact_id, 'opt_out'::text AS kind, at FROM crm.opt_out;
             RESET SESSION AUTHORIZATION;
             SELECT consent.bind_consents('crm.refusal');",
        )
        .unwrap();
    shop::refold_all(&mut client);
    configure(
        &cluster,
        &format!(
            "{DELETE}; SELECT consent.set_retention('crm.opt_out', key => 'customer', action => 'delete', grace => '0')"
        ),
    );
    let mut run = acting(&cluster, &mut client);
    let in_the_crm = std::thread::spawn({
        let mut other = cluster.connect("postgres", "postgres").unwrap();
        move || other.batch_execute("INSERT INTO crm.opt_out VALUES (1, now())").unwrap()
    });
    // Waits for the action, and binds the address that the contact had when it was given.
    client.batch_execute("SELECT consent.opt_out(2::bigint)").unwrap();
    in_the_crm.join().unwrap();
    assert!(run.wait().unwrap().success());
    let rows = "SELECT string_agg(customer::text, ',') FROM crm.opt_out";
    assert_eq!(text(&mut client, rows), "1", "whoever wrote it waited for the action");
    client
        .batch_execute(
            "INSERT INTO crm.customer VALUES (1, 'back', 'new@example.org'), (101, 'other key', '2@example.org'), (102, 'other', '102@example.org');
             INSERT INTO crm.sale SELECT n, now() - interval '1 day' FROM unnest(ARRAY[1, 101, 102]) n",
        )
        .unwrap();
    shop::refold_all(&mut client);
    assert_eq!(allowed(&mut client, "1, 2, 101, 102", "shop"), "1 false, 2 false, 101 false, 102 true");
}

#[test]
fn a_purchase_that_commits_while_the_action_runs_is_not_deleted() {
    let (cluster, mut client) = shop(1, 5);
    configure(
        &cluster,
        &format!(
            "{ANONYMISE}; SELECT consent.set_retention('crm.sale', key => 'customer', action => 'delete', grace => '0')"
        ),
    );
    let mut run = acting(&cluster, &mut client);
    client.batch_execute("INSERT INTO crm.sale VALUES (1, now())").unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.sale WHERE customer = 1"), 1);
}

#[test]
fn while_the_crm_writes_nobody_is_acted_on() {
    let (cluster, mut client) = shop(2, 5);
    configure(&cluster, DELETE);
    assert_eq!(batch(&cluster, APPLY), 0);
    let mut open = client.transaction().unwrap();
    open.batch_execute("INSERT INTO crm.sale VALUES (1, now())").unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    open.commit().unwrap();
    assert_eq!(figures(&mut client)["outcomes"]["busy"], 2);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.customer"), 5);
    client.batch_execute("UPDATE consent_data.retention_action SET act_after = now()").unwrap();
    // A refusal that has not committed is waited for as little.
    let mut open = client.transaction().unwrap();
    open.batch_execute("SELECT consent.opt_out(4::bigint)").unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    open.commit().unwrap();
    assert_eq!(figures(&mut client)["outcomes"]["busy"], 2);
    client.batch_execute("UPDATE consent_data.retention_action SET act_after = now()").unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(text(&mut client, OUTCOMES), "1 saved active, 2 done");
}

#[test]
fn whoever_is_active_under_another_key_or_in_the_days_to_come_is_kept() {
    let (cluster, mut client) = shop(4, 9);
    configure(&cluster, DELETE);
    client.batch_execute("SELECT consent.merge_contacts(1::bigint, 2::bigint)").unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    // Nothing watches them, and no fold has seen them.
    client
        .batch_execute(
            "INSERT INTO crm.sale VALUES (2, now() - interval '1 day'), (3, now() + interval '1 hour')",
        )
        .unwrap();
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(
        text(&mut client, OUTCOMES),
        "1 kept merged_contact, 2 saved active, 3 kept future_activity, 4 done"
    );
    assert_eq!(text(&mut client, CUSTOMERS), "1,2,3,5,6,7,8,9");
}

#[test]
fn engagement_that_only_a_whole_refold_reads_is_read_first() {
    let (cluster, mut client) = shop(2, 9);
    client
        .batch_execute(
            "SET SESSION AUTHORIZATION crm;
             CREATE TABLE crm.login (customer bigint, at timestamptz);
             CREATE VIEW crm.engagement AS SELECT customer AS contact_id, at, 'login'::text AS kind FROM crm.login;
             RESET SESSION AUTHORIZATION",
        )
        .unwrap();
    configure(&cluster, DELETE);
    assert_eq!(batch(&cluster, APPLY), 0);
    client
        .batch_execute(
            "INSERT INTO crm.login VALUES (1, now() - interval '1 month');
             SELECT consent.bind_engagement('crm.engagement', sender => 'shop')",
        )
        .unwrap();
    let again = "UPDATE consent_data.retention_action SET act_after = now() WHERE acted_at IS NULL";
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(
        text(&mut client, OUTCOMES),
        "1 kept unread_engagement, 2 kept unread_engagement",
        "bound, not read"
    );
    client.batch_execute(again).unwrap();
    shop::refold_all(&mut client);
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(text(&mut client, OUTCOMES), "1 saved active, 2 done");
}

#[test]
fn nobody_is_acted_on_by_the_run_that_announces_them() {
    let (cluster, mut client) = shop(6, 9);
    assert_eq!(batch(&cluster, &["retention", "--apply", "--force"]), 0);
    configure(&cluster, DELETE);
    assert_eq!(batch(&cluster, &["retention", "--apply"]), 2, "six of nine would be announced");
    assert_eq!(figures(&mut client)["to_announce"], 6);
    assert_eq!(batch(&cluster, APPLY), 0);
    assert_eq!(figures(&mut client)["announced"], 6);
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.customer"), 9);
    // Another grace: what was announced is announced anew.
    configure(&cluster, &DELETE.replace("'0'", "'30 days'"));
    assert_eq!(batch(&cluster, APPLY), 0);
    let ready =
        "SELECT count(*) FROM consent_data.retention_action WHERE act_after < now() + interval '29 days'";
    assert_eq!((figures(&mut client)["announced"].as_i64(), shop::number(&mut client, ready)), (Some(6), 0));
    configure(&cluster, DELETE);
    twice(&cluster);
    assert_eq!(text(&mut client, CUSTOMERS), "7,8,9");
}

#[test]
fn what_is_known_of_a_refusal_s_reach_is_kept_with_it() {
    let (cluster, mut client) = shop(4, 9);
    configure(
        &cluster,
        &format!(
            "CREATE TABLE crm.invoice (customer bigint REFERENCES crm.customer); INSERT INTO crm.invoice VALUES (3); {DELETE}"
        ),
    );
    client
        .batch_execute(
            r#"SELECT consent.opt_out(1::bigint, sender => 'shop');
               SELECT consent.record_event(1::bigint, 'business_transferred', now() - interval '4 years', sender => 'shop', detail => '{"to": "sister"}');
               SELECT consent.merge_contacts(3::bigint, 4::bigint)"#,
        )
        .unwrap();
    twice(&cluster);
    assert_eq!(text(&mut client, CUSTOMERS), "3,5,6,7,8,9", "an invoice keeps 3");
    // What 3 refuses now was 4's, too.
    client
        .batch_execute(
            "SELECT consent.opt_out(3::bigint);
             INSERT INTO crm.customer SELECT n, 'back', n || '@example.com' FROM unnest(ARRAY[1, 2, 4]) n;
             INSERT INTO crm.sale SELECT n, now() - interval '1 day' FROM unnest(ARRAY[2, 4]) n;
             SELECT consent.record_event(n, 'purchase', category => 'shoes', sender => 'sister', opt_out_offered => 'yes', evidence => '{\"order\": 17}')
               FROM unnest(ARRAY[1, 2]::bigint[]) n",
        )
        .unwrap();
    shop::refold_all(&mut client);
    assert_eq!(allowed(&mut client, "1, 2", "sister"), "1 false, 2 true");
    assert_eq!(allowed(&mut client, "2, 4", "shop"), "2 true, 4 false");
}

#[test]
fn nobody_is_taken_for_done_who_is_still_shown() {
    let (cluster, mut client) = shop(2, 9);
    configure(
        &cluster,
        "CREATE FUNCTION crm.stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN old.id <> 1 THEN old END; END';
         CREATE TRIGGER stays BEFORE DELETE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.stays()",
    );
    configure(&cluster, DELETE);
    twice(&cluster);
    assert_eq!(text(&mut client, OUTCOMES), "1 failed P0002, 2 done");
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM crm.sale WHERE customer = 1"), 1);
}

#[test]
fn an_action_that_lets_go_of_all_locks_lets_no_other_run_in() {
    let (cluster, mut client) = shop(2, 9);
    configure(
        &cluster,
        &format!(
            "CREATE FUNCTION crm.let_go() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_unlock_all(); RETURN NULL; END';
             CREATE TRIGGER let_go AFTER UPDATE ON crm.customer FOR EACH ROW EXECUTE FUNCTION crm.let_go();
             {ANONYMISE}"
        ),
    );
    let mut run = acting(&cluster, &mut client);
    assert_eq!(batch(&cluster, &["refold"]), 3);
    assert!(run.wait().unwrap().success());
    assert_eq!(text(&mut client, OUTCOMES), "1 done, 2 done");
}

#[test]
fn nobody_is_asked_to_stay_who_has_said_no() {
    let (cluster, mut client) = shop(0, 5);
    client
        .batch_execute(
            "UPDATE crm.sale SET at = now() - interval '35 months' WHERE customer <= 3;
             SELECT consent.opt_out(1::bigint), consent.object(2::bigint)",
        )
        .unwrap();
    shop::refold_all(&mut client);
    assert_eq!(batch(&cluster, APPLY), 0);
    let shown = "SELECT string_agg(contact_id || ' ' || stage, ', ') FROM consent.retention_due";
    assert_eq!(text(&mut client, shown), "3 renewal");
}
