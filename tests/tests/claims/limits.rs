//! Limits: the operator's, the law's and the person's own.

use super::{Answer, NEWSLETTER, calling_hour, claim, counted, limit, note, queue, recheck, start};
use crate::shop;
use chrono::{DateTime, Duration, Timelike, Utc};
use chrono_tz::Europe::Paris;
use postgres::Client;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

const SENDERS: u64 = 16;

#[test]
fn sixteen_senders_at_once_exceed_no_limit_and_leave_no_place_empty() {
    let (cluster, mut client) = start();
    limit(&mut client, 3, "month");
    let newsletters = "INSERT INTO consent_data.frequency_cap (message_kind, max_messages, per, reason) VALUES ('newsletter', 2, 'week', 'so')";
    client.batch_execute(newsletters).unwrap();
    let contacts: Vec<i64> = (1..=40).collect();
    let asked: Vec<Vec<(i64, bool, Answer)>> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|n| {
                let (contacts, cluster) = (&contacts, &cluster);
                scope.spawn(move || {
                    let mut client = queue(cluster);
                    let mut random = ChaCha8Rng::seed_from_u64(n);
                    let mut asked = Vec::new();
                    // Whoever was told to ask again does.
                    let mut open: Vec<(i64, bool)> =
                        contacts.iter().flat_map(|c| [(*c, true), (*c, false)]).collect();
                    while !open.is_empty() {
                        open.shuffle(&mut random);
                        open.retain(|(contact, newsletter)| {
                            let arguments = if *newsletter { NEWSLETTER } else { "'marketing', 'shoes'" };
                            let answer = claim(&mut client, *contact, arguments);
                            let again = answer.is_busy() || answer.allowed;
                            asked.push((*contact, *newsletter, answer));
                            again
                        });
                    }
                    asked
                })
            })
            .collect();
        senders.into_iter().map(|s| s.join().unwrap()).collect()
    });
    let asked: Vec<_> = asked.into_iter().flatten().collect();
    for contact in &contacts {
        let yes =
            |only: bool| asked.iter().filter(|(c, n, a)| c == contact && a.allowed && (*n || !only)).count();
        assert_eq!(yes(false), 3, "{contact}: the limit of three is met exactly");
        assert!(yes(true) <= 2, "{contact}: two newsletters at most");
        assert_eq!(counted(&mut client, *contact), 3);
    }
    let denied = asked.iter().filter(|(.., a)| !a.allowed);
    assert!(denied.clone().all(|(.., a)| a.reason() == "frequency_cap" && a.not_before.is_some()));
    assert!(
        denied.clone().any(|(_, n, a)| *n && a.cap() == "frequency_cap/2"),
        "the limit of the kind was never met"
    );
    println!(
        "{} claims, {} of them told to ask again",
        asked.len(),
        denied.filter(|(.., a)| a.is_busy()).count()
    );
    assert_eq!(
        shop::number(&mut client, "SELECT count(*) FROM consent_data.decision"),
        asked.len() as i64,
        "each is logged"
    );
    assert_eq!(
        shop::number(&mut client, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"),
        0
    );
}

#[test]
fn bulk_claims_in_opposite_orders_wait_for_nobody_in_a_circle() {
    let (cluster, mut client) = start();
    limit(&mut client, 2, "day");
    let yes: i64 = std::thread::scope(|scope| {
        let senders: Vec<_> = ["", " DESC", " * 7919 % 101", ""]
            .iter()
            .map(|order| {
                let cluster = &cluster;
                scope.spawn(move || {
                    let mut client = queue(cluster);
                    let sql = format!(
                        "SELECT count(*) FILTER (WHERE allowed), count(*) FROM consent.claim_sends(
                             ARRAY(SELECT n::text FROM generate_series(1, 100) n ORDER BY n{order}), 'newsletter', 'shoes')"
                    );
                    let r = client.query_one(&sql, &[]).unwrap();
                    assert_eq!(r.get::<_, i64>(1), 100, "one row a contact");
                    r.get::<_, i64>(0)
                })
            })
            .collect();
        senders.into_iter().map(|s| s.join().unwrap()).sum()
    });
    let most = shop::number(
        &mut client,
        "SELECT max(n) FROM (SELECT count(*) AS n FROM consent_data.counted_claim GROUP BY contact_id) c",
    );
    assert_eq!(shop::number(&mut client, "SELECT count(*) FROM consent_data.counted_claim"), yes);
    assert!(most <= 2 && yes >= 100, "{yes} claims, {most} of one contact");
    assert_eq!(
        shop::number(&mut client, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"),
        0
    );
}

#[test]
fn what_is_not_sent_frees_its_place_and_what_is_sent_never_does() {
    let (cluster, mut client) = start();
    limit(&mut client, 1, "day");
    let mut queue = queue(&cluster);
    for outcome in ["released", "failed"] {
        let first = claim(&mut queue, 1, NEWSLETTER);
        assert!(first.allowed, "{first:?}");
        let second = claim(&mut queue, 1, NEWSLETTER);
        assert_eq!((second.allowed, second.cap()), (false, "frequency_cap/1"), "before it is {outcome}");
        let wait = second.not_before.unwrap() - Utc::now();
        assert!(wait > Duration::hours(23) && wait <= Duration::hours(24), "{wait}");
        assert_eq!(note(&mut queue, first.id(), outcome), Ok(true));
        assert_eq!(note(&mut queue, first.id(), outcome), Ok(false), "said twice");
        assert_eq!(note(&mut queue, first.id(), "sent"), Err("55000".into()), "the first word stands");
        assert_eq!(note(&mut queue, second.id(), outcome), Err("42704".into()), "a no has no outcome");
    }
    let sent = claim(&mut queue, 1, NEWSLETTER);
    assert_eq!(note(&mut queue, sent.id(), "sent"), Ok(true));
    assert_eq!(claim(&mut queue, 1, NEWSLETTER).cap(), "frequency_cap/1");
    assert!(
        claim(&mut queue, 1, "'order_confirmation'").allowed,
        "service messages pass a limit that does not name them"
    );

    // Of many: all or none.
    let ids: Vec<i64> = (2..=6).map(|n| claim(&mut queue, n, NEWSLETTER).id()).collect();
    assert_eq!(note(&mut queue, ids[0], "sent"), Ok(true));
    let many = |queue: &mut Client, ids: &[i64]| {
        let noted = queue.query_one("SELECT consent.claim_outcomes($1, 'released')", &[&ids]);
        noted.map(|r| r.get::<_, i64>(0)).map_err(|e| e.code().unwrap().code().to_owned())
    };
    assert_eq!(many(&mut queue, &ids), Err("55000".into()));
    assert_eq!((2..=6).map(|n| counted(&mut client, n)).sum::<i64>(), 5);
    assert_eq!(many(&mut queue, &ids[1..]), Ok(4));
    assert_eq!(many(&mut queue, &ids[1..]), Ok(0));
    assert_eq!((2..=6).map(|n| counted(&mut client, n)).sum::<i64>(), 1);
}

#[test]
fn no_order_of_planning_makes_room_for_one_more() {
    let (cluster, mut client) = start();
    limit(&mut client, 2, "week");
    let mut queue = queue(&cluster);
    let mut at = |contact: i64, days: i32| {
        claim(&mut queue, contact, &format!("{NEWSLETTER}, at => now() + interval '{days} days'"))
    };
    assert!(at(1, 3).allowed && at(1, 9).allowed);
    // A third within a week of both, before, between and after; others stay free.
    assert!(at(1, 0).allowed, "the week of now has one only");
    for days in [1, 4, 8, 9] {
        assert_eq!(at(1, days).cap(), "frequency_cap/1", "in {days} days");
    }
    let told = at(1, 4).not_before.unwrap();
    let wait = told - Utc::now();
    assert!(
        wait > Duration::days(9) && wait < Duration::days(10),
        "the first instant that keeps to the limit: {told}"
    );
    assert!(at(1, 10).allowed && at(1, 17).allowed && at(1, 30).allowed);
    assert_eq!(at(1, 32).cap(), "ahead", "limits can't be foreseen so far");
    assert_eq!(
        at(1, -5).cap(),
        "frequency_cap/1",
        "nothing is sent in the past: that is now, and now is full"
    );
}

#[test]
fn a_call_outside_hours_waits_and_goes_through_when_it_was_told_to() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    let call = |t: DateTime<Utc>| format!("'marketing', channel => 'phone_live', at => '{}'", t.to_rfc3339());
    let hour = calling_hour(&mut client);
    let early = claim(&mut queue, 201, &call(hour - Duration::hours(2)));
    assert_eq!((early.allowed, early.reason(), early.not_before), (false, "quiet_hours", Some(hour)));
    assert_eq!(hour.with_timezone(&Paris).hour(), 10);
    let then = claim(&mut queue, 201, &call(hour));
    assert!(then.allowed && then.not_before == Some(hour), "{then:?}");
    assert_eq!(
        shop::number(&mut client, "SELECT count(*) FROM consent_data.counted_claim WHERE counts_at > now()"),
        1
    );

    // The law's own limit: four calls in 30 days, for whoever only asks, too.
    let mut more = (0..3).map(|n| claim(&mut queue, 201, &call(hour + Duration::minutes(10 * n))));
    let [_, _, fourth] = [more.next().unwrap(), more.next().unwrap(), more.next().unwrap()];
    assert!(fourth.allowed);
    let fifth = claim(&mut queue, 201, &call(hour + Duration::hours(2)));
    assert_eq!((fifth.reason(), fifth.cap()), ("frequency_cap", "fr.call_attempts/2"));
    let mut explained = |at: DateTime<Utc>| -> Option<String> {
        let sql = "SELECT rule FROM consent.explain_send(201::bigint, 'marketing', channel => 'phone_live', at => $1) WHERE reason = 'frequency_cap'";
        client.query_opt(sql, &[&at]).unwrap().map(|r| r.get(0))
    };
    assert_eq!(explained(hour + Duration::hours(2)).as_deref(), Some("fr.call_attempts/2"));
    // The first holds its place when it is asked again, and when nobody answers; one that is released no longer counts.
    assert!(recheck(&mut queue, then.id()).0.allowed);
    assert_eq!(note(&mut queue, then.id(), "failed"), Ok(true));
    assert_eq!(explained(hour + Duration::hours(2)).as_deref(), Some("fr.call_attempts/2"));
    assert_eq!(note(&mut queue, fourth.id(), "released"), Ok(true));
    assert_eq!(explained(hour + Duration::hours(2)), None);
    assert!(claim(&mut queue, 201, &call(hour + Duration::hours(2))).allowed);
}

#[test]
fn the_persons_own_wish_is_kept() {
    let (cluster, mut client) = start();
    let mut queue = queue(&cluster);
    // As recorded from the preference page.
    client
        .batch_execute("ALTER TABLE consent_data.event DROP CONSTRAINT IF EXISTS event_kind_check")
        .unwrap();
    let mut wish = |contact: i64, channels: Option<Vec<&str>>, most: &str| {
        let detail: serde_json::Value =
            serde_json::from_str(&format!("{{\"max_per_month\": {most}}}")).unwrap();
        let sql = "INSERT INTO consent_data.event (contact_id, kind, at, sender_id, channels, detail) VALUES ($1, 'preference', clock_timestamp(), 1, $2, $3)";
        client.execute(sql, &[&contact, &channels, &detail]).unwrap();
    };
    wish(1, None, "1");
    assert!(claim(&mut queue, 1, NEWSLETTER).allowed);
    let second = claim(&mut queue, 1, NEWSLETTER);
    assert_eq!((second.reason(), second.cap()), ("frequency_cap", "preference"));
    assert!(second.not_before.unwrap() - Utc::now() > Duration::days(30));
    assert!(claim(&mut queue, 1, "'order_confirmation'").allowed);
    // The latest counts; for one channel it counts beside the one for all.
    wish(1, None, "3");
    assert!(claim(&mut queue, 1, NEWSLETTER).allowed);
    wish(1, Some(vec!["email"]), "2");
    assert_eq!(claim(&mut queue, 1, NEWSLETTER).cap(), "preference");
    wish(1, Some(vec!["sms"]), "0");
    wish(1, Some(vec!["email"]), "null");
    assert!(
        claim(&mut queue, 1, NEWSLETTER).allowed,
        "the third, after the wish for this channel was taken back"
    );
    assert_eq!(claim(&mut queue, 1, NEWSLETTER).cap(), "preference", "and the one for all still stands");
    // None at all, and what can't be read, is none.
    for (contact, most) in [(2, "0"), (3, "-1"), (4, "\"few\""), (5, "0.9")] {
        wish(contact, None, most);
        let none = claim(&mut queue, contact, NEWSLETTER);
        assert_eq!((none.cap(), none.not_before), ("preference", None), "{most}");
    }
}

#[test]
fn two_records_of_one_person_have_one_limit() {
    let (cluster, mut client) = start();
    limit(&mut client, 2, "month");
    let mut queue = queue(&cluster);
    assert!(claim(&mut queue, 1, NEWSLETTER).allowed && claim(&mut queue, 2, NEWSLETTER).allowed);
    client.batch_execute("SELECT consent.merge_contacts(1::bigint, 2)").unwrap();
    for contact in [1, 2] {
        let answer = claim(&mut queue, contact, NEWSLETTER);
        assert_eq!(answer.cap(), "frequency_cap/1", "{contact}: {answer:?}");
    }
    let hour = calling_hour(&mut client);
    let call = format!("'marketing', channel => 'phone_live', at => '{}'", hour.to_rfc3339());
    client
        .batch_execute(
            "DELETE FROM consent_data.frequency_cap; SELECT consent.merge_contacts(202::bigint, 203)",
        )
        .unwrap();
    let yes = (0..6).filter(|n| claim(&mut queue, 202 + n % 2, &call).allowed).count();
    assert_eq!(yes, 4, "calls that the law limits, to both records together");
}
