//! Dropping the extension, by mistake or on the way to a new version, must not take the ledger with it.

use crate::shop;

const KEPT: &[&str] = &[
    "event",
    "address",
    "address_event",
    "contact_address",
    "outbox",
    "setting",
    "sender",
    "message_kind",
    "category",
    "category_parent",
    "similarity_override",
    "policy_decision",
    "policy_override",
    "key_generation",
    "binding",
    "contact_state",
];

#[test]
fn dropping_the_extension_loses_no_event_and_no_configuration() {
    let (_cluster, mut client) = shop::start();
    shop::fill(&mut client, 150, 8);
    let decision = "INSERT INTO consent_data.policy_decision (switch, permissive, decided_by, reason, document)
                    VALUES ('gb.free_account_is_sale', true, 'officer', 'decided', 'memo 1'); UPDATE consent_data.setting SET similarity_threshold = 0.6";
    client.batch_execute(decision).unwrap();
    let at = shop::now(&mut client);
    let before = shop::answers(&mut client, at);
    // Without the state column, which is derived and of the extension's type.
    let count = |client: &mut postgres::Client| -> Vec<String> {
        let contents = |t: &&str| {
            let rows = format!(
                "SELECT coalesce(md5(string_agg(r, ',' ORDER BY r)), '') || count(*) FROM (SELECT (to_jsonb(t) - 'state')::text AS r FROM consent_data.{t} t) x"
            );
            format!("{t} {}", client.query_one(&rows, &[]).unwrap().get::<_, String>(0))
        };
        KEPT.iter().map(contents).collect()
    };
    let rows = count(&mut client);

    let refused = client.batch_execute("DROP EXTENSION pg_consent").unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "2BP01", "a plain DROP EXTENSION: {refused}");
    client.batch_execute("DROP EXTENSION pg_consent CASCADE").unwrap();
    assert_eq!(count(&mut client), rows, "after DROP EXTENSION ... CASCADE");

    client.batch_execute("CREATE EXTENSION pg_consent; CALL consent.setup()").unwrap();
    assert_eq!(count(&mut client), rows, "after setup()");
    // Until the refold nothing is known of anybody, which denies.
    assert!(shop::answers(&mut client, at).values().all(|a| a.starts_with("false")));
    let fresh = "SELECT count(*) FROM consent.audience('order_confirmation')";
    assert_eq!(shop::number(&mut client, fresh), 0);
    shop::refold_all(&mut client);
    assert_eq!(shop::answers(&mut client, at), before, "after the refold");
    client.batch_execute("SELECT consent.opt_out(1::bigint)").unwrap();
    let code = client.batch_execute("DELETE FROM consent_data.event").unwrap_err();
    assert_eq!(code.code().unwrap().code(), "42501", "the triggers are back");
}
