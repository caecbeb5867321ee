//! All ways of asking give one answer, and a state merged event by event is the one that a fold of everything gives.

use crate::shop::{self, QUESTIONS};

#[test]
fn no_two_ways_of_asking_disagree_and_no_refold_changes_an_answer() {
    let (_cluster, mut client) = shop::start();
    shop::fill(&mut client, 2000, 20_260_101);
    let at = shop::now(&mut client);
    let (mut yes, mut no) = (0, 0);
    for (kind, category, channel, sender) in QUESTIONS {
        let counts = client
            .query_one(
                "WITH asked AS MATERIALIZED (
                     SELECT d.contact_id, d.state OPERATOR(consent.@@) (SELECT consent.question($1, $2, $3, $4, $5)) AS gate,
                            consent.can_send(d.contact_id, $1, $2, $3, $4, $5) AS by_key,
                            consent.can_send(d.contact_id::text, $1, $2, $3, $4, $5) AS by_text,
                            to_jsonb(e) AS now, to_jsonb(p) - 'exactness' AS from_facts
                       FROM consent_data.contact_state d,
                            consent.explain_send(d.contact_id, $1, $2, $3, $4, $5) e,
                            consent.explain_send_as_of(d.contact_id::text, $1, $2, $5, 'infinity', $3, $4) p)
                 SELECT count(*) FILTER (WHERE gate), count(*) FILTER (WHERE NOT gate),
                        array_agg(contact_id || ': ' || concat_ws(' ', gate, by_key, by_text, now, from_facts))
                            FILTER (WHERE gate IS DISTINCT FROM by_key OR gate IS DISTINCT FROM by_text
                                       OR gate IS DISTINCT FROM (now->>'allowed')::boolean OR now <> from_facts),
                        (SELECT count(*) FROM consent.audience($1, $2, $3, $4, $5))
                   FROM asked",
                &[kind, category, channel, sender, &at],
            )
            .unwrap();
        let faults: Option<Vec<String>> = counts.get(2);
        let faults = faults.unwrap_or_default();
        let some = faults.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
        assert!(faults.is_empty(), "{kind} {category:?} {channel:?}: {} disagree, as\n{some}", faults.len());
        assert_eq!(counts.get::<_, i64>(0), counts.get::<_, i64>(3), "the audience of {kind} {category:?}");
        yes += counts.get::<_, i64>(0);
        no += counts.get::<_, i64>(1);
    }
    assert!(yes > 4000 && no > 4000, "a lopsided sample proves little: {yes} yes, {no} no");

    client
        .batch_execute(
            "CREATE TABLE before AS SELECT contact_id, consent._state_bytes(state) AS state FROM consent_data.contact_state",
        )
        .unwrap();
    let changed = "SELECT count(*) FROM before b FULL JOIN consent_data.contact_state s USING (contact_id)
                    WHERE b.state IS DISTINCT FROM consent._state_bytes(s.state)";
    client.batch_execute("SELECT consent._refold_addresses(); SELECT consent._refold_fold()").unwrap();
    let row = client
        .query_one("SELECT added, drifted, removed, lost FROM consent._refold_apply(1, 1000000)", &[])
        .unwrap();
    assert_eq!([0, 1, 2, 3].map(|i| row.get::<_, i64>(i)), [0; 4], "added, drifted, removed, lost");
    assert_eq!(shop::number(&mut client, changed), 0, "the batch");
    client
        .batch_execute(
            "SELECT consent.refold(ARRAY(SELECT contact_id::text FROM consent_data.contact_state))",
        )
        .unwrap();
    assert_eq!(shop::number(&mut client, changed), 0, "by key");
}
