//! Dolibarr bound by its script.

use crate::crm;
use crate::shop;
use chrono::{DateTime, Utc};
use pg_consent_policy::time::Instant;
use pg_consent_tests::cluster::{Cluster, Options};
use pg_consent_tests::crm::dolibarr::{self, Dolibarr, TIMEZONE};

#[test]
fn the_bound_dolibarr_answers_as_a_person_who_reads_it_would() {
    if !crm::is_there("dolibarr") {
        return;
    }
    let cluster = Cluster::start(Options::default().set("max_wal_size", "4GB")).unwrap();
    let mut client = crm::set_up(&cluster, "postgres", "dolibarr");
    let contacts = std::env::var("CRM_CONTACTS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_000);
    let all = Dolibarr::random(contacts, 20_260_102, crm::now(&mut client));
    dolibarr::load(&all, &mut client).unwrap();
    let report =
        crm::bind(&cluster, "postgres", "dolibarr", &[("sender", "Shop Ltd"), ("timezone", TIMEZONE)])
            .unwrap();
    println!("{report}");
    client.batch_execute(dolibarr::STATED).unwrap();
    crm::refold_all(&mut client);
    let at: DateTime<Utc> = shop::now(&mut client);
    let reading = all.read(Instant::from_utc(at));
    crm::compare(
        &mut client,
        &reading,
        &crm::questions(["Vêtements / Chaussures / Bottes", "Livres / Jeux"]),
        at,
    );
}

#[test]
fn no_time_zone_is_guessed() {
    if !crm::is_there("dolibarr") {
        return;
    }
    let cluster = Cluster::start(Options::default()).unwrap();
    crm::set_up(&cluster, "postgres", "dolibarr");
    for zone in ["", "Paris", "Europe/Pariss"] {
        let error =
            crm::bind(&cluster, "postgres", "dolibarr", &[("sender", "Shop Ltd"), ("timezone", zone)])
                .unwrap_err();
        assert!(error.contains("time zone"), "{zone}: {error}");
    }
}
