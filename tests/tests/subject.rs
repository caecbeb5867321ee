//! Erasing and merging at random: nobody may be written to because of it, and no refold brings anything back.

use crate::shop;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

#[test]
fn no_erasure_or_merge_allows_a_message_and_no_refold_brings_the_erased_back() {
    let (_cluster, mut client) = shop::start();
    shop::fill(&mut client, 400, 20_260_202);
    // Twice: what was erased and merged before is there when it happens again.
    for round in 0..2 {
        let at = shop::now(&mut client);
        let before = shop::answers(&mut client, at);
        let mut random = ChaCha8Rng::seed_from_u64(round);
        let mut erased = Vec::new();
        for _ in 0..120 {
            let [a, b] = [0; 2].map(|_| random.random_range(1..=410_i64));
            let merge = random.random_bool(0.6);
            let outcome = if merge {
                client.execute("SELECT consent.merge_contacts($1::bigint, $2)", &[&a, &b])
            } else {
                client.execute("SELECT consent.erase($1::bigint, 'request')", &[&a])
            };
            match outcome {
                Ok(_) if !merge => erased.push(a),
                Ok(_) => {}
                Err(e) => {
                    let message = e.as_db_error().unwrap().message().to_owned();
                    let expected = ["legal hold", "circle", "into itself"];
                    assert!(expected.iter().any(|x| message.contains(x)), "{message}");
                }
            }
            // Erased people come back with a sale that is not theirs, and others refuse by old links.
            let other = random.random_range(1..=400_i64);
            let kind = *["imported_list", "opt_out", "open"].choose(&mut random).unwrap();
            client
                .execute(
                    "SELECT consent.record_event($1::bigint, $2, evidence => '{\"x\": 1}')",
                    &[&other, &kind],
                )
                .unwrap();
        }
        let later = shop::now(&mut client);
        let after = shop::answers(&mut client, later);
        let yes = |answer: &str| answer.starts_with("true");
        let mut denied = 0;
        for (asked, answer) in &after {
            let was = before.get(asked).map_or("", String::as_str);
            assert!(yes(was) || !yes(answer), "{asked:?} was {was}\nis {answer}");
            denied += usize::from(yes(was) && !yes(answer));
        }
        assert!(denied > 100 && erased.len() > 20, "too tame: {denied} denied, {} erased", erased.len());

        shop::refold_all(&mut client);
        client
            .batch_execute(
                "SELECT consent.refold(ARRAY(SELECT contact_id::text FROM consent_data.contact_state))",
            )
            .unwrap();
        let refolded = shop::answers(&mut client, later);
        for (asked, answer) in &refolded {
            let was = after.get(asked).map_or("", String::as_str);
            assert_eq!(yes(was), yes(answer), "{asked:?} was {was}\nis {answer}");
        }
    }
    let named = "SELECT count(*) FROM consent_data.event e JOIN consent_data.erasure x ON x.key_hash = consent._key_hash(e.contact_id::text)
                  WHERE e.recorded_at < x.erased_at";
    assert_eq!(shop::number(&mut client, named), 0, "rows of the ledger that still name somebody erased");
}
