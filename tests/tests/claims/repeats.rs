//! Asked again: a message that waited, one that is claimed twice, one whose person refused meanwhile.

use super::{NEWSLETTER, claim, counted, limit, note, queue, recheck, start};
use crate::shop;
use pg_consent_tests::cluster::Cluster;
use std::time::{Duration, Instant};

#[test]
fn a_refusal_between_claim_and_sending_stops_the_message() {
    let (cluster, mut client) = start();
    limit(&mut client, 1, "day");
    let mut queue = queue(&cluster);
    let first = claim(&mut queue, 1, NEWSLETTER);
    let (again, changed) = recheck(&mut queue, first.id());
    assert!(again.allowed && !changed, "the place it holds does not count against it: {again:?}");
    assert_ne!(again.id, first.id);
    client.batch_execute("SELECT consent.opt_out(1::bigint)").unwrap();
    let (after, changed) = recheck(&mut queue, first.id());
    assert_eq!((after.allowed, after.reason(), changed), (false, "opted_out", true));
    assert_eq!(counted(&mut client, 1), 0, "released");
    // Lifted: the claim is gone all the same.
    client.batch_execute("SELECT consent.opt_in(1::bigint, purposes => '{marketing,newsletter}', evidence => '{\"form\": 1}')").unwrap();
    assert!(!recheck(&mut queue, first.id()).0.allowed);
    let (of_recheck, _) = recheck(&mut queue, again.id());
    assert!(!of_recheck.allowed, "a recheck of a recheck is one of the claim");
    assert!(claim(&mut queue, 1, NEWSLETTER).allowed);
    let logged = "SELECT count(*) FROM consent_data.decision WHERE made_for = 'recheck' AND rechecks = ";
    assert_eq!(shop::number(&mut client, &format!("{logged}{}", first.id())), 4);

    // A denied claim is no permission, whatever has changed.
    let denied = claim(&mut queue, 1, NEWSLETTER);
    client.batch_execute("DELETE FROM consent_data.frequency_cap").unwrap();
    let (answer, changed) = recheck(&mut queue, denied.id());
    assert!(!answer.allowed && !changed, "{answer:?}");
    // What is nowhere in the log is a no, too; and so is a question that named something unknown.
    assert!(!recheck(&mut queue, 1_000_000).0.allowed);
    let unknown = claim(&mut queue, 1, "'newsletter', 'shoe'");
    assert_eq!(unknown.reason(), "unknown_category");
    assert_eq!(recheck(&mut queue, unknown.id()).0.reason(), "unknown_category");
}

/// Asks in a session of its own, and answers once that waits for a lock.
fn until_it_waits(cluster: &Cluster) {
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    let started = Instant::now();
    let waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while shop::number(&mut client, waits) == 0 && started.elapsed() < Duration::from_secs(5) {}
}

#[test]
fn a_refusal_committed_while_a_claim_waits_denies_it() {
    let (cluster, _client) = start();
    let mut holder = cluster.connect("postgres", "postgres").unwrap();
    let mut seen = 0;
    for contact in 1..=10 {
        let mut t = holder.transaction().unwrap();
        t.execute("SELECT pg_advisory_xact_lock(consent._claim_lock($1))", &[&contact.to_string()]).unwrap();
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| claim(&mut queue(&cluster), contact, NEWSLETTER));
            until_it_waits(&cluster);
            // In the transaction that holds the lock: both are seen, or neither.
            t.execute("SELECT consent.opt_out($1::bigint)", &[&contact]).unwrap();
            t.commit().unwrap();
            asked.join().unwrap()
        });
        assert!(!answer.allowed, "{contact}: {answer:?}");
        seen += usize::from(answer.reason() == "opted_out");
    }
    assert!(seen > 0, "no claim ever got the lock in time");
}

#[test]
fn whoever_must_wait_too_long_is_told_no_and_when_to_ask_again() {
    let (cluster, mut client) = start();
    let (mut one, mut other) = (queue(&cluster), queue(&cluster));
    let mut t = one.transaction().unwrap();
    assert!(claim(&mut t, 1, NEWSLETTER).allowed);
    let started = Instant::now();
    let answer = claim(&mut other, 1, NEWSLETTER);
    assert!(answer.is_busy() && answer.not_before.is_some(), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(claim(&mut other, 2, NEWSLETTER).allowed, "others are not concerned");
    // An erasure at work, which the claim must not write a name beside.
    t.rollback().unwrap();
    let mut erasing = client.transaction().unwrap();
    erasing.batch_execute("SELECT consent.erase(3::bigint, 'request')").unwrap();
    assert!(claim(&mut other, 3, NEWSLETTER).is_busy());
    erasing.commit().unwrap();
    assert_eq!(claim(&mut other, 3, NEWSLETTER).reason(), "erased");
    let before = "SELECT count(*) FROM consent_data.decision d WHERE contact_id = 3 AND rule = 'busy'";
    assert_eq!(shop::number(&mut client, before), 0);
}

#[test]
fn a_message_claimed_twice_is_one_message() {
    let (cluster, mut client) = start();
    limit(&mut client, 1, "day");
    let message = format!("{NEWSLETTER}, message_ref => 'issue 7'");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let (cluster, message) = (&cluster, &message);
                scope.spawn(move || {
                    let mut client = queue(cluster);
                    loop {
                        let answer = claim(&mut client, 1, message);
                        if !answer.is_busy() {
                            return answer;
                        }
                    }
                })
            })
            .collect();
        senders.into_iter().map(|s| s.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|a| a.allowed && a.id == answers[0].id), "{answers:?}");
    assert_eq!(counted(&mut client, 1), 1);
    let mut queue = queue(&cluster);
    // Another message under the same name is another message.
    for other in ["'marketing', 'shoes', message_ref => 'issue 7'", "'newsletter', message_ref => 'issue 7'"]
    {
        assert!(!claim(&mut queue, 1, other).allowed, "{other}");
    }
    assert!(claim(&mut queue, 2, &message).allowed, "another person");
    // Failed: it may be tried again. Sent: never.
    assert_eq!(note(&mut queue, answers[0].id(), "failed"), Ok(true));
    let second = claim(&mut queue, 1, &message);
    assert!(second.allowed && second.id != answers[0].id);
    assert_eq!(note(&mut queue, second.id(), "sent"), Ok(true));
    assert_eq!(claim(&mut queue, 1, &message).cap(), "message_ref");
    // Refused meanwhile.
    client.batch_execute("SELECT consent.opt_out(2::bigint)").unwrap();
    assert_eq!(claim(&mut queue, 2, &message).reason(), "opted_out");
    assert_eq!(counted(&mut client, 2), 0);
}
