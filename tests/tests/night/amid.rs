//! Refusals in the midst of nights: 1,000 at random moments of whichever step, in transactions that span others, while
//! the CRM works.

use crate::refusing::{self, UNTOUCHED, may, scripts, way};
use crate::{batch, shop};
use pg_consent_tests::cluster::{Cluster, Options};
use postgres::error::SqlState;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Sessions that refuse at the same time.
const SESSIONS: usize = 4;
/// Small chunks make many moments between transactions.
const NIGHT: &[&str] = &["nightly", "--apply", "--force", "--chunk", "100"];

/// Whoever waits longer is logged; as long as the batch waits by default.
const LOCK_TIMEOUT: &str = "2s";

#[test]
fn no_refusal_is_lost_and_no_writer_waits_long_whatever_the_night_is_at() {
    let options = Options::default()
        .set("log_lock_waits", "on")
        .set("deadlock_timeout", LOCK_TIMEOUT)
        .set("log_line_prefix", "%a: ");
    let cluster = Cluster::start(options).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    refusing::set_up(&mut client);
    see_a_wait(&cluster);
    let crm = work(&cluster);
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
    assert!(nights >= 5, "only {nights} nights were disturbed");
    let worked = crm.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&worked.stdout) + String::from_utf8_lossy(&worked.stderr);
    assert!(worked.status.success() && !said.contains("ERROR"), "{said}");
    let log = std::fs::read_to_string(cluster.log()).unwrap();
    let waits: Vec<_> =
        log.lines().filter(|l| l.contains("still waiting for") && !l.starts_with("consent-batch")).collect();
    assert!(matches!(waits[..], [one] if one.starts_with(PROBE)), "{waits:#?}");
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

/// Who waits on purpose.
const PROBE: &str = "probe";

/// A session that waits longer than it may: the log must tell, or it would tell of nobody else.
fn see_a_wait(cluster: &Cluster) {
    let mut holder = cluster.connect("postgres", "postgres").unwrap();
    let mut t = holder.transaction().unwrap();
    t.batch_execute("LOCK TABLE crm.blacklist").unwrap();
    let mut probe = cluster.connect("postgres", "postgres").unwrap();
    probe.batch_execute(&format!("SET application_name = '{PROBE}'; SET lock_timeout = '2500ms'")).unwrap();
    let given_up = probe.batch_execute("BEGIN; LOCK TABLE crm.blacklist").unwrap_err();
    assert_eq!(given_up.code(), Some(&SqlState::LOCK_NOT_AVAILABLE), "{given_up}");
    t.rollback().unwrap();
}

/// Sales, changes of address and imports, for less time than the refusals take.
fn work(cluster: &Cluster) -> Child {
    let mut pgbench = Command::new(cluster.bin("pgbench"));
    pgbench.envs(cluster.env()).args(["-n", "-c", "4", "-T", "20", "--rate", "100"]);
    for script in ["order", "address", "import", "opt_in"] {
        pgbench.arg("-f").arg(scripts().join(format!("{script}.sql")));
    }
    pgbench.arg("postgres").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
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
