//! Rows written while a seal is made are in it or in the next one.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const TAKEN: &str = "SELECT max(row_id) FROM consent_data.seal_leaf WHERE log = 1";

#[test]
fn a_number_taken_before_a_seal_is_waited_for() {
    let (cluster, mut client) = start();
    seal(&cluster, "postgres");
    let mut slow = cluster.connect("postgres", "postgres").unwrap();
    slow.batch_execute("BEGIN; SELECT consent.opt_in('50')").unwrap();
    client.batch_execute("SELECT consent.opt_in('51')").unwrap();
    // 35 is open, 36 committed: nothing may be sealed yet.
    let (code, said) = batch(&cluster, "postgres", &["seal", "--patience", "1"]);
    assert_eq!(code, 2, "{said:?}");
    assert!(figures(&said)["open_since"].is_string() && figures(&said)["seals"] == 0, "{said:?}");
    assert!(findings(&said).iter().any(|f| f.0 == "open_transaction"), "{said:?}");
    let sealed = thread::scope(|scope| {
        let waiting = scope.spawn(|| seal(&cluster, "postgres"));
        thread::sleep(Duration::from_millis(700));
        // Who comes meanwhile is not waited for, and not held up.
        let mut late = cluster.connect("postgres", "postgres").unwrap();
        late.batch_execute("BEGIN; SELECT consent.opt_in('52')").unwrap();
        slow.batch_execute("COMMIT").unwrap();
        let sealed = waiting.join().unwrap();
        late.batch_execute("COMMIT").unwrap();
        sealed
    });
    assert_eq!((sealed, shop::number(&mut client, TAKEN)), (2, 36));
    assert_eq!(seal(&cluster, "postgres"), 1);
    assert_eq!(verify(&cluster, "postgres", None), []);
}

#[test]
fn a_prepared_transaction_is_waited_for_also_if_prepared_meanwhile() {
    let (cluster, mut client) = start();
    seal(&cluster, "postgres");
    let mut slow = cluster.connect("postgres", "postgres").unwrap();
    slow.batch_execute("BEGIN; SELECT consent.opt_in('50'); PREPARE TRANSACTION 'p'").unwrap();
    client.batch_execute("SELECT consent.opt_in('51')").unwrap();
    assert_eq!(batch(&cluster, "postgres", &["seal", "--patience", "1"]).0, 2);
    slow.batch_execute("COMMIT PREPARED 'p'").unwrap();
    assert_eq!(seal(&cluster, "postgres"), 2);

    slow.batch_execute("BEGIN; SELECT consent.opt_in('53')").unwrap();
    client.batch_execute("SELECT consent.opt_in('54')").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| batch(&cluster, "postgres", &["seal", "--patience", "3"]));
        thread::sleep(Duration::from_millis(1_000));
        slow.batch_execute("PREPARE TRANSACTION 'q'").unwrap();
        let (code, said) = waiting.join().unwrap();
        assert_eq!(code, 2, "{said:?}");
    });
    slow.batch_execute("ROLLBACK PREPARED 'q'").unwrap();
    assert_eq!(seal(&cluster, "postgres"), 1, "its number is nobody's");
    assert_eq!(verify(&cluster, "postgres", None), []);
}

#[test]
fn no_number_is_skipped_under_load() {
    let (cluster, mut client) = start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (cluster, over) = (&cluster, &over);
            scope.spawn(move || {
                let mut client = cluster.connect("postgres", "postgres").unwrap();
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // Some commit late, some never.
                    let end = if n % 3 == 2 { "ROLLBACK" } else { "COMMIT" };
                    let nap = f64::from((n * 7 + worker * 3) % 11) / 40.0;
                    let contact = 1000 + worker * 10_000 + n;
                    client
                        .batch_execute(&format!(
                            "BEGIN; SELECT consent.opt_in('{contact}'); SELECT pg_sleep({nap}); {end}"
                        ))
                        .unwrap();
                }
            });
        }
        let mut seals = 0;
        while seals < 12 {
            seals += i32::from(seal(&cluster, "postgres") > 0);
        }
        over.store(true, Ordering::Relaxed);
    });
    seal(&cluster, "postgres");
    // A number that was skipped would be one put in later.
    assert_eq!(verify(&cluster, "postgres", None), []);
    let unsealed = "SELECT count(*) FROM consent_data.event e WHERE NOT EXISTS (SELECT FROM consent_data.seal_leaf l WHERE l.log = 1 AND l.row_id = e.event_id)";
    assert_eq!(shop::number(&mut client, unsealed), 0);
    assert!(shop::number(&mut client, "SELECT count(*) FROM consent_data.event") > 34 + 24);
}
