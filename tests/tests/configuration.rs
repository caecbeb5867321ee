//! What a session knows of the configuration when reading it fails.

use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};

#[test]
fn a_failed_read_of_the_configuration_does_not_bring_the_old_one_back() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut admin = shop::set_up(&cluster, "bigint");
    shop::fill(&mut admin, 50, 1);
    let audience = "SELECT count(*) FROM consent.audience('newsletter', 'shoes')";
    let mut asker = cluster.connect("postgres", "postgres").unwrap();
    assert!(shop::number(&mut asker, audience) > 0);

    let mut locker = cluster.connect("postgres", "postgres").unwrap();
    let mut lock = locker.transaction().unwrap();
    lock.batch_execute("LOCK TABLE consent_data.sender IN ACCESS EXCLUSIVE MODE").unwrap();
    admin.batch_execute("UPDATE consent_data.setting SET marketing_off = true").unwrap();
    asker.batch_execute("SET lock_timeout = '100ms'").unwrap();
    assert!(asker.query_one(audience, &[]).is_err(), "the lock is in the way");
    lock.rollback().unwrap();
    assert_eq!(shop::number(&mut asker, audience), 0, "the kill switch counts");
}
