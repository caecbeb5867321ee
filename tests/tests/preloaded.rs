//! The library loaded by the postmaster: sessions share the packs it read, and nothing else.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};

#[test]
fn a_preloaded_library_takes_in_changed_configuration_like_any_other() {
    let options = Options::default().set("shared_preload_libraries", "pg_consent");
    let cluster = Cluster::start(options).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    shop::fill(&mut admin, 50, 1);
    let mut asker = cluster.connect("postgres", "postgres").unwrap();
    let mut audience = || -> i64 {
        asker.query_one("SELECT count(*) FROM consent.audience('newsletter', 'shoes')", &[]).unwrap().get(0)
    };
    let reachable = audience();
    assert!(reachable > 0);
    admin.batch_execute("UPDATE consent_data.setting SET marketing_off = true").unwrap();
    assert_eq!(audience(), 0);
    admin.batch_execute("UPDATE consent_data.setting SET marketing_off = false").unwrap();
    assert_eq!(audience(), reachable);
}
