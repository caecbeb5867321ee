#![allow(clippy::unwrap_used)]

use super::words;
use crate::codes::*;
use crate::pack::{Pack, Rule, SenderTrait, builtin, preface};
use crate::question::PolicyDecision;
use crate::time::{Instant, Period};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn rule(when: &Value, then: &Value) -> Rule {
    serde_json::from_value(json!({
        "id": "xx.rule/1", "from": "2020-01-01", "when": when, "then": then, "citation": "s.1", "confidence": "high",
    }))
    .unwrap()
}

fn with(base: &Value, field: &str, value: &Value) -> Value {
    let mut changed = base.clone();
    changed[field] = value.clone();
    changed
}

fn keys(of: &Value) -> BTreeSet<&str> {
    of.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Each value of each field must change the words, and no two of them may read alike; a field without a value here
/// fails, so a new one is noticed.
fn assert_told_apart(
    what: &str,
    fields: &Value,
    values: &[(&str, Value)],
    words_of: impl Fn(&Value) -> String,
) {
    assert_eq!(keys(fields), values.iter().map(|(field, _)| *field).collect(), "the fields of {what}");
    let mut seen = vec![words_of(fields)];
    for (field, value) in values {
        let words = words_of(&with(fields, field, value));
        assert!(!seen.contains(&words), "{what}: {field} = {value} reads like another: {words}");
        seen.push(words);
    }
}

#[test]
fn no_condition_of_a_rule_is_left_out_of_its_words() {
    let then = json!({ "consent": {} });
    let fields = serde_json::to_value(rule(&json!({}), &then).when).unwrap();
    let values = [
        ("natures", json!(["marketing"])),
        ("except_natures", json!(["marketing"])),
        ("registered_as", json!(["transactional", "mixed"])),
        ("channels", json!(["sms"])),
        ("to", json!(["corporate:*"])),
        ("to", json!(["corporate:role"])),
        ("lines", json!(["landline"])),
        ("countries", json!(["GB"])),
        ("except_countries", json!(["GB"])),
        ("regions", json!(["SCT"])),
        ("regions", json!(["unknown"])),
        ("except_regions", json!(["SCT", "unknown"])),
        ("sectors", json!(["press"])),
        ("except_sectors", json!(["press"])),
        ("promotional", json!(["none", "incidental"])),
        ("promotional_first", json!(true)),
        ("promotional_first", json!(false)),
        ("automated", json!(true)),
        ("automated", json!(false)),
        ("sender", json!("charity")),
        ("sender_lacks", json!(["charity"])),
        ("sender_lacks", json!(["charity", "political_party"])),
        ("switch", json!("xx.point")),
    ];
    assert_told_apart("when", &fields, &values, |when| rule(when, &then).sentence());
}

#[test]
fn no_field_of_a_requirement_is_left_out_of_its_words() {
    let yes = json!(true);
    let cases = [
        (
            json!({ "service": { "basis": "contract" } }),
            vec![
                ("basis", json!("solicited")),
                ("after_erasure", yes.clone()),
                ("never_refused", yes.clone()),
                ("minutes_after_refusal", json!(5)),
            ],
        ),
        (
            json!({ "consent": { "max_age": { "years": 1 } } }),
            vec![
                ("max_age", json!({ "years": 2 })),
                ("max_age", Value::Null),
                ("lapses", yes.clone()),
                ("unused", json!({ "years": 4 })),
                ("written", yes.clone()),
                ("named_purpose", yes.clone()),
                ("unlisted", json!(["US_DNC"])),
            ],
        ),
        (
            json!({ "relationship": { "basis": "soft_opt_in", "kinds": ["purchase"], "running": true,
                                      "window": { "years": 2 } } }),
            vec![
                ("basis", json!("inferred")),
                ("kinds", json!(["donation"])),
                ("kinds", json!(["purchase", "free_account"])),
                ("contested", json!({ "basket": "xx.point" })),
                ("refusal_offered", json!(false)),
                ("from_person", json!(false)),
                ("similar", json!(false)),
                ("same_category", yes.clone()),
                ("running", json!(false)),
                ("after_end", json!({ "years": 2 })),
                ("ended_contested", json!("xx.point")),
                ("window", json!({ "months": 6 })),
                ("window", Value::Null),
                ("counting", json!("back_from_send_day")),
                ("renewed_by_sends", yes.clone()),
                ("first_message", yes.clone()),
                ("before", json!("2014-07-01")),
                ("mailed_before", json!("2014-07-01")),
                ("collected_in_force", yes.clone()),
                ("role_related", yes.clone()),
                ("no_refusal_notice", yes.clone()),
                ("purpose", json!("disclosed")),
                ("purpose", json!("named")),
                ("referred", yes.clone()),
                ("inherited", yes.clone()),
            ],
        ),
        (
            json!({ "regime": { "basis": "opt_out_regime" } }),
            vec![
                ("basis", json!("exempt")),
                ("informed", yes.clone()),
                ("profession_related", yes.clone()),
                ("not_bought", yes.clone()),
                ("bought_with_proof", yes.clone()),
                ("from_person", yes.clone()),
                ("purpose", json!("disclosed")),
                ("purpose", json!("named")),
                ("whatever_purpose", yes.clone()),
                ("unlisted", json!(["DNCL"])),
            ],
        ),
        (json!({ "ongoing_contract": { "basis": "contract" } }), vec![("basis", json!("exempt"))]),
        (json!({ "prohibited": {} }), vec![("except_ongoing_contract", yes.clone())]),
        (
            json!({ "register": { "registers": ["TPS"] } }),
            vec![
                ("registers", json!(["TPS", "CTPS"])),
                ("grace_days", json!(28)),
                ("names_sender", yes.clone()),
                ("unless_consent", json!(false)),
            ],
        ),
        (
            json!({ "hours": {} }),
            vec![
                ("weekdays", json!([{ "from": "09:00:00", "to": "20:00:00" }])),
                ("weekdays", json!([{ "from": "10:00:00", "to": "20:00:00" }])),
                ("weekdays", json!([{ "from": "09:00:00", "to": "19:30:00" }])),
                ("saturday", json!([{ "from": "09:00:00", "to": "20:00:00" }])),
                ("sunday", json!([{ "from": "09:00:00", "to": "20:00:00" }])),
                ("on_holidays", yes.clone()),
            ],
        ),
        (
            json!({ "cap": { "attempts": 4, "days": 30 } }),
            vec![("attempts", json!(1)), ("days", json!(7)), ("hours", json!(24))],
        ),
        (
            json!({ "form": {} }),
            vec![
                ("unsubscribe", yes.clone()),
                ("identity", yes.clone()),
                ("postal_address", yes.clone()),
                ("subject", yes.clone()),
            ],
        ),
        (
            json!({ "retention": { "after": { "years": 3 }, "actions": ["click"], "warn_days": 90, "renewal_days": 60 } }),
            vec![
                ("after", json!({ "years": 2 })),
                ("actions", json!(["click", "login"])),
                ("warn_days", json!(91)),
                ("renewal_days", json!(61)),
            ],
        ),
        (
            json!({ "opt_out_reach": { "channels": ["sms"] } }),
            vec![("channels", json!(["email", "sms"])), ("only_from_everything", yes.clone())],
        ),
        (json!({ "collected_for": { "purpose": "disclosed" } }), vec![("purpose", json!("named"))]),
    ];
    let all = json!({});
    let mut kinds = BTreeSet::new();
    for (then, values) in &cases {
        let full = serde_json::to_value(rule(&all, then).then).unwrap();
        let (kind, fields) = full.as_object().unwrap().iter().next().unwrap();
        kinds.insert(kind.clone());
        assert_told_apart(kind, fields, values, |fields| rule(&all, &json!({ kind: fields })).sentence());
    }
    // Reading a pack names every kind there is in its complaint about one that there is not.
    let complaint = serde_json::from_value::<crate::pack::Requirement>(json!({ "nothing": {} })).unwrap_err();
    let complaint = complaint.to_string();
    let (_, known) = complaint.split_once("expected one of ").unwrap();
    let known: BTreeSet<String> = known.split(", ").map(|k| k.trim_matches('`').to_owned()).collect();
    assert_eq!(kinds, known, "the kinds of requirement");
}

#[test]
fn a_region_is_not_read_as_the_last_groups_only() {
    let to = json!(["individual:*", "corporate:role"]);
    let words =
        rule(&json!({ "to": to, "regions": ["QC"] }), &json!({ "consent": {} })).describe().recipients;
    assert_eq!(words, "individuals; companies at role addresses such as info@, all of them in region QC");
}

#[test]
fn consent_to_a_service_message_is_not_read_as_consent_to_its_purpose() {
    let then = json!({ "consent": {} });
    let any = "consent to any purpose will do";
    assert!(rule(&json!({ "natures": ["transactional"] }), &then).sentence().contains(any));
    assert!(!rule(&json!({ "natures": ["marketing"] }), &then).sentence().contains(any));
}

#[test]
fn a_contested_rule_is_not_read_as_certain() {
    for then in [json!({ "consent": {} }), json!({ "prohibited": {} })] {
        let certain = rule(&json!({}), &then);
        let contested = Rule { contested: Some("xx.point".into()), ..certain.clone() };
        assert_eq!(contested.describe().contested, ["xx.point"]);
        assert!(contested.sentence().starts_with(&certain.sentence()));
        assert!(contested.sentence().contains("`xx.point`"));
    }
    let with_duty = Rule {
        obligations: vec!["screen_register:TPS".into()],
        ..rule(&json!({}), &json!({ "consent": {} }))
    };
    assert!(with_duty.sentence().ends_with("Obligations: screen register: TPS."));
}

#[test]
fn no_two_codes_read_alike() {
    fn distinct<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) {
        let words: BTreeSet<&str> = all.iter().map(|c| word(*c)).collect();
        assert_eq!(words.len(), all.len(), "{words:?}");
        assert!(!words.contains(""));
    }
    distinct(Nature::ALL, words::nature);
    distinct(Channel::ALL, words::channel);
    distinct(Subscriber::ALL, words::subscriber);
    distinct(AddressKind::ALL, words::address_kind);
    distinct(Line::ALL, words::line);
    distinct(Sector::ALL, words::sector);
    distinct(Promotional::ALL, words::promotional);
    distinct(Register::ALL, words::register);
    distinct(Basis::ALL, words::basis);
    distinct(EventKind::ALL, words::event);
    distinct(
        &[SenderTrait::Charity, SenderTrait::PoliticalParty, SenderTrait::PensionAuthorised],
        words::sender,
    );
}

#[test]
fn lists_and_periods_read_as_english() {
    assert_eq!(words::joined(&["a", "b", "c"], "or"), "a, b or c");
    assert_eq!(words::period(Period { years: 1, months: 6, days: 0 }), "1 year and 6 months");
    assert_eq!(words::period(Period::default()), "no time");
}

fn pack(id: &str) -> &'static Pack {
    builtin().iter().find(|p| p.id == id).unwrap()
}

#[test]
fn the_soft_opt_in_reads_as_the_statute_does() {
    let rule = pack("gb").rules.iter().find(|r| r.id == "gb.soft_opt_in/1").unwrap();
    let words = rule.describe();
    assert_eq!(
        words.messages,
        "all messages that are no service messages, except charity fundraising and political messages"
    );
    assert_eq!(words.channels, "e-mail or text message");
    assert_eq!(words.recipients, "individuals, sole traders, partnerships and contacts of unknown kind");
    assert_eq!(
        words.requirement,
        "Soft opt-in after a purchase, the start of a contract, the start of a subscription, a request for a quote, an \
         enquiry about an offer or the start of a trial. Contested, and counted only under the permissive reading: a \
         filled basket (`gb.basket_is_negotiation`) and a free account (`gb.free_account_is_sale`). A free account \
         counts only where the paid ones bear its cost. The address came from the person. The person was offered a refusal \
         at collection and did not use it. The message is about the same products or similar ones. No limit of time."
    );
    assert_eq!(words.contested, ["gb.basket_is_negotiation", "gb.free_account_is_sale"]);
    assert_eq!(rule.name(), "gb.soft_opt_in");
}

#[test]
fn no_builtin_rule_rests_on_a_point_that_nobody_can_look_up() {
    for pack in builtin() {
        assert!(preface(&pack.id).is_some_and(|p| !p.is_empty()), "{}: no preface", pack.id);
        for rule in &pack.rules {
            let points = rule.describe().contested;
            assert!(points.iter().all(|p| pack.switches.iter().any(|s| s.id == *p)), "{}", rule.id);
        }
    }
    assert_eq!(preface("nowhere"), None);
}

fn at(text: &str) -> Instant {
    Instant::from_utc(text.parse::<chrono::DateTime<chrono::FixedOffset>>().unwrap().to_utc())
}

#[test]
fn a_rule_is_listed_from_its_first_day_and_no_longer_than_its_last() {
    let lists =
        |id: &str, rule: &str, t: &str| pack(id).in_force(None, at(t), &[]).iter().any(|r| r.rule == rule);
    let charity = "gb.charity_soft_opt_in/1";
    assert!(!lists("gb", charity, "2026-02-04T23:59:59Z"));
    assert!(lists("gb", charity, "2026-02-05T00:00:00Z"));
    // In Paris the day begins before it does in Greenwich.
    assert!(lists("fr", "fr.bloctel/1", "2026-08-10T21:59:59Z"));
    assert!(!lists("fr", "fr.bloctel/1", "2026-08-10T22:00:00Z"));
}

#[test]
fn a_country_is_not_shown_the_law_of_its_neighbours() {
    let pack = Pack::parse(
        r#"
        id = "xx"
        title = "Two countries"
        authority = "none"
        mixed_from = "substantial"
        countries = [{ code = "XA", zone = "Australia/Sydney" }, { code = "XC", zone = "America/Toronto" }]
        rules = [
            { id = "xx.both/1", from = "2020-01-01", then = { consent = {} }, citation = "s.1", confidence = "high" },
            { id = "xx.one/1", from = "2020-01-01", when = { countries = ["XA"] }, then = { consent = {} }, citation = "s.2", confidence = "high" },
            { id = "xx.other/1", from = "2020-01-01", when = { except_countries = ["XA"] }, then = { consent = {} }, citation = "s.3", confidence = "high" },
            { id = "xx.new/1", from = "2026-05-11", then = { consent = {} }, citation = "s.4", confidence = "high" },
        ]
        "#,
    )
    .unwrap();
    let rules = |jurisdiction: Option<&str>| {
        let rules = pack.in_force(jurisdiction, at("2026-05-11T00:00:00+10:00"), &[]);
        rules.iter().map(|r| r.rule.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(rules(None), ["xx.both/1", "xx.one/1", "xx.other/1", "xx.new/1"]);
    assert_eq!(rules(Some("xx")), rules(None));
    assert_eq!(rules(Some("XA")), ["xx.both/1", "xx.one/1", "xx.new/1"]);
    // Where it is still the day before.
    assert_eq!(rules(Some("xc")), ["xx.both/1", "xx.other/1"]);
    assert!(pack.is_of("XX") && pack.is_of("xc") && !pack.is_of("XB"));
}

#[test]
fn a_decision_is_shown_instead_of_the_default() {
    let standing = |decisions: &[PolicyDecision]| {
        let rules = pack("gb").in_force(Some("GB"), at("2026-06-01T00:00:00Z"), decisions);
        rules.iter().find(|r| r.rule == "gb.soft_opt_in/1").unwrap().contested.clone()
    };
    assert_eq!(
        standing(&[]),
        ["gb.basket_is_negotiation: permissive by default", "gb.free_account_is_sale: strict by default"]
    );
    let decision = PolicyDecision {
        switch: "gb.basket_is_negotiation".into(),
        permissive: false,
        decided_by: "the privacy officer".into(),
        decided_on: "2026-05-01".into(),
        reason: "no ruling yet".into(),
        document: String::new(),
    };
    assert_eq!(
        standing(&[decision])[0],
        "gb.basket_is_negotiation: strict as decided by the privacy officer on 2026-05-01"
    );
}

#[test]
fn an_opt_out_is_not_given_more_days_than_the_law_gives() {
    let with_deadline = |counts_the_day: bool| {
        Pack::parse(&format!(
            r#"
            id = "xx"
            title = "Somewhere"
            authority = "none"
            mixed_from = "substantial"
            countries = [{{ code = "XA", zone = "Australia/Sydney" }}, {{ code = "XC", zone = "America/Toronto" }}]
            holidays = ["05-18"]
            opt_out_deadline = {{ business_days = 5, counts_the_day = {counts_the_day}, citation = "s.18" }}
            rules = []
            "#
        ))
        .unwrap()
    };
    let day = |text: &str| text.parse::<chrono::NaiveDate>().ok();
    // Noon of Monday 11 May 2026 in Sydney; in Toronto it is still Sunday, and the 18th is a holiday.
    let request = at("2026-05-11T12:00:00+10:00");
    assert_eq!(with_deadline(true).last_day_to_act("XA", request), day("2026-05-15"));
    assert_eq!(with_deadline(false).last_day_to_act("XA", request), day("2026-05-19"));
    assert_eq!(with_deadline(false).last_day_to_act("xc", request), day("2026-05-15"));
    assert_eq!(pack("gb").last_day_to_act("GB", request), None);
}

#[test]
fn nobody_who_refused_waits_longer_for_an_answer_than_the_law_allows() {
    let day = |text: &str| text.parse::<chrono::NaiveDate>().ok();
    // A month from 30 or 31 January ends with February. In London it is still the day before.
    let request = at("2027-01-31T00:15:00+01:00");
    assert_eq!(pack("fr").last_day_to_answer("FR", request), day("2027-02-28"));
    assert_eq!(pack("gb").last_day_to_answer("GB", request), day("2027-02-28"));
    assert_eq!(pack("gb").last_day_to_answer("GB", at("2027-02-01T00:15:00+01:00")), day("2027-02-28"));
    assert_eq!(pack("eu").last_day_to_answer("AT", request), day("2027-02-28"));
    assert_eq!(pack("us").last_day_to_answer("US", request), None);
}
