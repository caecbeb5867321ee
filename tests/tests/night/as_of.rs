//! What was answered then must be what is answered of then: asked as of now with everything known, the facts give the answer
//! that the stored state gives.

use crate::batch;
use pg_consent_tests::cluster::{Cluster, Options};
use pg_consent_tests::night;
use std::thread;

const CONTACTS: u32 = 100_000;

/// Each contact is asked about by one of them, so that all are asked about by somebody.
const QUESTIONS: &str = "(VALUES (0, 'newsletter', NULL, NULL, NULL), (1, 'newsletter', 'type 1000', NULL, NULL), (2, 'marketing', 'type 7', 'email', 'garden'),
    (3, 'marketing', NULL, 'sms', NULL), (4, 'order_confirmation', NULL, NULL, NULL), (5, 'survey', 'type 400', NULL, 'garden'), (6, 'mixed', 'type 2000', NULL, NULL))
    q (n, kind, category, channel, sender)";

#[test]
fn no_live_answer_differs_from_the_one_as_of_now_with_everything_known() {
    let cluster = Cluster::start(Options::default()).unwrap();
    night::populate(&cluster, "postgres", CONTACTS, 20_261_122).unwrap();
    assert_eq!(batch::run(&cluster, "postgres", &["refold"]).0, 0);
    let mut client = cluster.connect("postgres", "postgres").unwrap();
    // Some of it by way of the ledger, and late.
    client
        .batch_execute(
            "SELECT count(consent.opt_in(id, method => 'active', evidence => '{\"form\": \"t/1\"}')) FROM crm.customer WHERE id % 97 = 0;
             SELECT count(consent.opt_out(id, channel => 'email')) FROM crm.customer WHERE id % 89 = 0;
             SELECT count(consent.record_event(id, 'objection', at => now() - interval '9 days')) FROM crm.customer WHERE id % 101 = 0;",
        )
        .unwrap();
    let half = |part: i64| {
        let mut client = cluster.connect("postgres", "postgres").unwrap();
        let row = client
            .query_one(
                &format!(
                    "WITH asked AS MATERIALIZED (
                         SELECT c.id, q.n, a.at, consent.can_send(c.id, q.kind, q.category, q.channel, q.sender, a.at) AS live,
                                consent.can_send_as_of(c.id, q.kind, q.category, a.at, 'infinity', q.channel, q.sender) AS as_of
                           FROM crm.customer c JOIN {QUESTIONS} ON q.n = c.id % 7, (SELECT statement_timestamp() AS at) a WHERE c.id % 2 = $1)
                     SELECT count(*), count(*) FILTER (WHERE live), array_agg(id || ' asked ' || n ORDER BY id) FILTER (WHERE live IS DISTINCT FROM as_of) FROM asked"
                ),
                &[&part],
            )
            .unwrap();
        (row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, Option<Vec<String>>>(2).unwrap_or_default())
    };
    let halves =
        thread::scope(|scope| [0, 1].map(|part| scope.spawn(move || half(part))).map(|t| t.join().unwrap()));
    let (asked, yes) = halves.iter().fold((0, 0), |sum, (n, yes, _)| (sum.0 + n, sum.1 + yes));
    let differ: Vec<_> = halves.into_iter().flat_map(|h| h.2).collect();
    assert!(differ.is_empty(), "{} differ, as {:?}", differ.len(), &differ[..differ.len().min(10)]);
    assert_eq!(asked, i64::from(CONTACTS));
    assert!(yes > 20_000 && yes < 80_000, "a lopsided sample proves little: {yes} yes");
}
