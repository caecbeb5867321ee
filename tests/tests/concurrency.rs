//! Imports, sales, merges, changes of address and refusals, all at once: the CRM must never meet a deadlock of ours, every
//! committed refusal denies from its commit on, and in the end each state is what a whole fold gives.

use crate::refusing::{self, UNTOUCHED, may, scripts, way, why};
use crate::shop;
use pg_consent_tests::cluster::{Cluster, Options};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Script and weight.
const LOAD: &[(&str, u32)] =
    &[("import", 2), ("order", 5), ("address", 3), ("merge", 1), ("opt_out", 3), ("opt_in", 2)];
const CLIENTS: usize = 16;

fn seconds() -> u64 {
    std::env::var("CONCURRENCY_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60)
}

#[test]
fn no_refusal_is_lost_and_no_deadlock_reaches_the_crm_under_load() {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut client = shop::set_up(&cluster, "bigint");
    refusing::set_up(&mut client);

    let over = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let drains = scope.spawn(|| fold_until(&cluster, &over));
        let checker = scope.spawn(|| refuse_until(&cluster, &over));
        let mut pgbench = Command::new(cluster.bin("pgbench"));
        pgbench.envs(cluster.env()).args([
            "-n",
            "-c",
            &CLIENTS.to_string(),
            "-j",
            "4",
            "-T",
            &seconds().to_string(),
        ]);
        for (script, weight) in LOAD {
            pgbench.arg("-f").arg(format!("{}@{weight}", scripts().join(format!("{script}.sql")).display()));
        }
        let output = pgbench.arg("postgres").output().unwrap();
        over.store(true, Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("ERROR"), "{said}");
        drains.join().unwrap();
        println!("{}", said.lines().filter(|l| l.contains("transactions")).collect::<Vec<_>>().join("\n"));
        checker.join().unwrap()
    });
    assert!(refused > 20, "only {refused} refusals were tried");
    let deadlocks = shop::number(
        &mut client,
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    );
    assert_eq!(deadlocks, 0, "{}", cluster.log_tail());
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.watch_failure"), 0);

    while shop::number(&mut client, "SELECT consent.refold_pending(100000)") > 0 {}
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.pending"), 0);
    client.batch_execute("SELECT consent._refold_addresses(), consent._refold_fold()").unwrap();
    let row = client
        .query_one("SELECT added, drifted, removed, lost FROM consent._refold_apply(1, 1000000)", &[])
        .unwrap();
    let differences: Vec<i64> = (0..4).map(|i| row.get(i)).collect();
    assert_eq!(differences, [0, 0, 0, 0], "the maintained states against a whole fold");
}

/// What runs each minute elsewhere, here without a pause.
fn fold_until(cluster: &Cluster, over: &AtomicBool) {
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    while !over.load(Ordering::Relaxed) {
        client.execute("SELECT consent.refold_pending(200)", &[]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Refuses in each way in turn, and asks as soon as it is committed and until the end.
fn refuse_until(cluster: &Cluster, over: &AtomicBool) -> usize {
    let mut crm = cluster.connect("postgres", "postgres").unwrap();
    let mut asker = cluster.connect("postgres", "postgres").unwrap();
    let mut refused: Vec<i64> = Vec::new();
    let start = Instant::now();
    while !over.load(Ordering::Relaxed) && refused.len() < 1000 {
        let contact = UNTOUCHED.start() + refused.len() as i64;
        let way = way(refused.len(), contact);
        let before = may(&mut asker, contact);
        assert_eq!(before, [true, true], "{contact} before `{way}`: {}", why(&mut asker, contact));
        let mut t = crm.transaction().unwrap();
        t.batch_execute(&way).unwrap();
        t.commit().unwrap();
        assert_eq!(
            may(&mut asker, contact),
            [false, false],
            "{contact} right after `{way}`, {:?}",
            start.elapsed()
        );
        refused.push(contact);
        let earlier = refused[refused.len() / 2];
        assert_eq!(may(&mut asker, earlier), [false, false], "{earlier} later");
        std::thread::sleep(Duration::from_millis(30));
    }
    for contact in &refused {
        assert_eq!(may(&mut asker, *contact), [false, false], "{contact} at the end");
    }
    refused.len()
}
