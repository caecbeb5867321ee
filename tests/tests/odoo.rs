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
    crm::compare(&mut client, &reading, &crm::questions(["All / Clothes / Shoes", "All / Media / Books"]), at);
}
