//! Refusals in the midst of nights: 1,000 at random moments of whichever step, in transactions that span others.

use crate::refusing::{self, UNTOUCHED, may, way};
use crate::{batch, shop};
use pg_consent_tests::cluster::{Cluster, Options};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Sessions that refuse at the same time.
const SESSIONS: usize = 4;
/// Small chunks make many moments between transactions.
const NIGHT: &[&str] = &["nightly", "--apply", "--force", "--chunk", "100"];

#[test]
fn no_refusal_is_lost_whatever_the_night_is_at() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    refusing::set_up(&mut client);
    let refusing_sessions = AtomicUsize::new(SESSIONS);
    let nights = std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            let (cluster, left) = (&cluster, &refusing_sessions);
            scope.spawn(move || {
                refuse(cluster, session);
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut nights = 0;
        while refusing_sessions.load(Ordering::Relaxed) > 0 {
            let (code, said) = batch::run(&cluster, "postgres", NIGHT);
            assert_eq!(code, 0, "{said}");
            nights += 1;
        }
        nights
    });
    assert!(nights >= 10, "only {nights} nights were disturbed");
    let (code, said) = batch::run(&cluster, "postgres", NIGHT);
    assert_eq!(code, 0, "{said}");
    let refused = format!(
        "SELECT count(*) FROM generate_series({}, {}) n WHERE consent.can_send(n::bigint, 'newsletter', 'shoes')
             OR n IN (SELECT contact_id FROM consent.audience('newsletter', 'shoes'))",
        UNTOUCHED.start(),
        UNTOUCHED.end()
    );
    assert_eq!(shop::number(&mut client, &refused), 0, "of a thousand, after {nights} nights");
}

/// Every fourth contact refuses; the transaction stays open for up to a tenth of a second.
fn refuse(cluster: &Cluster, session: usize) {
    let mut random = ChaCha8Rng::seed_from_u64(session as u64);
    let mut crm = cluster.connect("postgres", "postgres").unwrap();
    let mut asker = cluster.connect("postgres", "postgres").unwrap();
    let mut pause = |up_to| std::thread::sleep(Duration::from_millis(random.random_range(0..up_to)));
    for (n, contact) in UNTOUCHED.enumerate().skip(session).step_by(SESSIONS) {
        let way = way(n / SESSIONS, contact);
        pause(20);
        let mut t = crm.transaction().unwrap();
        t.batch_execute(&way).unwrap();
        pause(100);
        t.commit().unwrap();
        assert_eq!(may(&mut asker, contact), [false, false], "{contact} right after `{way}`");
    }
}
