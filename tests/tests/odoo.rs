//! Odoo bound by its script.

use crate::crm;
use crate::shop;
use chrono::{DateTime, Utc};
use pg_consent_policy::time::Instant;
use pg_consent_tests::cluster::{Cluster, Options};
use pg_consent_tests::crm::odoo::{self, Odoo};

#[test]
fn the_bound_odoo_answers_as_a_person_who_reads_it_would() {
    if !crm::is_there("odoo") {
        return;
    }
    let cluster = Cluster::start(Options::default().set("max_wal_size", "4GB")).unwrap();
    let mut client = crm::set_up(&cluster, "postgres", "odoo");
    let contacts = std::env::var("CRM_CONTACTS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let all = Odoo::random(contacts, 20_260_101, crm::now(&mut client));
    odoo::load(&all, &mut client).unwrap();
    let report = crm::bind(&cluster, "postgres", "odoo", &[("sender", "Shop Ltd")]).unwrap();
    println!("{report}");
    client.batch_execute(odoo::STATED).unwrap();
    crm::refold_all(&mut client);
    let at: DateTime<Utc> = shop::now(&mut client);
    let reading = all.read(Instant::from_utc(at));
    crm::compare(
        &mut client,
        &reading,
        &crm::questions(["All / Clothes / Shoes", "All / Media / Books"]),
        at,
    );
}

/// A million partners. One contact's decision reads rows by indexes only, whatever is bound.
#[test]
fn no_contacts_answer_reads_a_whole_table() {
    if !crm::is_there("odoo") {
        return;
    }
    let cluster = Cluster::start(Options::default().set("max_wal_size", "4GB")).unwrap();
    let mut client = crm::set_up(&cluster, "postgres", "odoo");
    client
        .batch_execute(
            "INSERT INTO res_company (name) VALUES ('Shop Ltd');
             INSERT INTO res_country (name, code) VALUES ('{}', 'GB');
             INSERT INTO product_category (name) VALUES ('Shoes');
             INSERT INTO product_template (name, categ_id) VALUES ('{}', 1);
             INSERT INTO product_product (product_tmpl_id) VALUES (1);
             INSERT INTO mailing_list (name) VALUES ('a');",
        )
        .unwrap();
    let report = crm::bind(&cluster, "postgres", "odoo", &[("sender", "Shop Ltd")]).unwrap();
    assert!(!report.contains("broken"), "{report}");
    client
        .batch_execute(
            "SET session_replication_role = replica;
             SELECT consent.unwatch(w.relation::regclass) FROM (SELECT DISTINCT relation FROM consent_data.watch) w;
             INSERT INTO res_partner (id, name, active, country_id, commercial_partner_id, email, email_normalized)
             SELECT n, 'Person', true, 1, n, 'p' || n || '@example.org', 'p' || n || '@example.org' FROM generate_series(1, 1000000) n;
             INSERT INTO sale_order (id, name, company_id, partner_id, partner_invoice_id, partner_shipping_id, website_id, state, date_order, amount_total)
             SELECT n, 'S', 1, n * 3, n * 3, n * 3, 1, 'sale', now(), 20 FROM generate_series(1, 300000) n;
             INSERT INTO sale_order_line (order_id, product_id, name, product_uom_qty, price_total) SELECT n, 1, 'x', 1, 20 FROM generate_series(1, 300000) n;
             INSERT INTO mail_blacklist (email, active, create_date) SELECT 'p' || n * 9 || '@example.org', true, now() FROM generate_series(1, 50000) n;
             INSERT INTO mailing_contact (id, email, email_normalized) SELECT n, 'p' || n || '@example.org', 'p' || n || '@example.org' FROM generate_series(1, 100000) n;
             INSERT INTO mailing_subscription (contact_id, list_id, opt_out) SELECT n, 1, n % 10 = 0 FROM generate_series(1, 100000) n;
             INSERT INTO mailing_trace (trace_type, model, res_id, sent_datetime, links_click_datetime)
             SELECT 'mail', 'res.partner', n, now() - interval '1 day', now() FROM generate_series(1, 100000) n;
             ANALYZE",
        )
        .unwrap();
    for function in ["crm_contact_of", "crm_event_of", "crm_consent_of"] {
        for key in ["res.partner:777", "mailing.contact:777"] {
            let plan: Vec<String> = client
                .query(&format!("EXPLAIN SELECT * FROM consent_data.{function}('{key}')"), &[])
                .unwrap()
                .iter()
                .map(|r| r.get(0))
                .collect();
            let plan = plan.join("\n");
            assert!(!plan.contains("Function Scan on crm_"), "not inlined, so nothing is seen:\n{plan}");
            for table in [
                "res_partner",
                "sale_order",
                "sale_order_line",
                "mail_blacklist",
                "mailing_contact",
                "mailing_subscription",
                "mailing_trace",
            ] {
                assert!(
                    !plan.contains(&format!("Seq Scan on {table} ")),
                    "{function}({key}) reads all of {table}:\n{plan}"
                );
            }
        }
    }
    // What the plans promise: statements by key touch a handful of rows of a million.
    let read = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_xact_user_tables
                 WHERE relname IN ('res_partner', 'sale_order', 'sale_order_line', 'mail_blacklist', 'mailing_contact', 'mailing_subscription', 'mailing_trace')";
    let mut t = client.transaction().unwrap();
    t.batch_execute("SELECT consent.refold('{res.partner:9,res.partner:777,mailing.contact:10}')").unwrap();
    let asked = t
        .query_one("SELECT consent.can_send('res.partner:9'::text, 'newsletter', 'Shoes'), consent.can_send('res.partner:777'::text, 'order_confirmation')", &[])
        .unwrap();
    assert_eq!([0, 1].map(|i| asked.get::<_, bool>(i)), [false, true]);
    assert_eq!(t.query_one(read, &[]).unwrap().get::<_, i64>(0), 0, "rows read by whole scans");
}
