//! Own rules: what holds for every tightening, and that all paths see them.

use super::properties::{asked_at, contact, customer, question};
use super::*;
use crate::pack::{Pack, overlay};
use crate::retention::{Stage, assess};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestError, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;

fn under(document: Value) -> Vec<Pack> {
    let applied = overlay::apply(builtin(), &[("own".into(), document)]);
    assert_eq!(applied.refused, []);
    applied.packs
}

fn allowed_under(packs: &[Pack], contact: &Contact, ask: &Ask) -> bool {
    allows(&contact.bytes(), &ask.question_under(packs))
}

/// Any yes under the tightened rules is a yes without them, and lasts no longer: over random rules, random changes of
/// them that are found valid, random contacts and random messages. TIGHTENINGS=5000 looks longer.
#[test]
fn tightening_never_turns_a_no_into_a_yes() {
    let cases = std::env::var("TIGHTENINGS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let config =
        ProptestConfig { cases, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let packs =
        select(builtin().iter().filter(|p| !p.fallback && !p.switches.is_empty()).collect::<Vec<_>>());
    let tightening = packs.prop_flat_map(random_rules::pack).prop_flat_map(random_rules::tightening);
    let asked = vec((prop_oneof![contact(), customer()], question(), asked_at()), 40);
    let (stayed, fell) = (Cell::new(0), Cell::new(0));
    let outcome = TestRunner::new(config).run(&(tightening, asked), |((pack, document), asked)| {
        let country = pack.countries[0].code.clone();
        let original = vec![pack];
        let nothing = ["tighten", "rules"]
            .iter()
            .all(|part| document[part] == json!({}) || document[part] == json!([]));
        let documents: Vec<_> =
            Some(("own".to_owned(), document.clone())).filter(|_| !nothing).into_iter().collect();
        let applied = overlay::apply(&original, &documents);
        prop_assert_eq!(&applied.refused, &[]);
        for (mut state, mut ask, at) in asked {
            if let Some(profile) = state.profile.as_mut() {
                profile.country.copy_from_slice(country.as_bytes());
            }
            ask.at = at.max(state.horizon);
            let (bytes, own) = (state.encode(), ask.question_under(&original));
            let tightened = ask.question_under(&applied.packs);
            let log = ContactLog {
                call_attempts: vec![Instant(ask.at.0 - 90_000_000); 2],
                ..ContactLog::default()
            };
            let (before, after) = (allows(&bytes, &own), allows(&bytes, &tightened));
            let what = || {
                let by: Vec<_> = original[0].rules.iter().map(|r| json!(r).to_string()).collect();
                let answer = explain(Some(&bytes), &tightened, None);
                format!("{document}\n{answer:?}\n{:?}\n{ask:?}\n{}", state.atoms(), by.join("\n"))
            };
            prop_assert!(before || !after, "a no became a yes: {}", what());
            let (decided, now) = (decide(&bytes, &own, Some(&log)), decide(&bytes, &tightened, Some(&log)));
            prop_assert!(decided.is_ok() || now.is_err(), "{}", what());
            if after {
                let end = |q| valid_until(&bytes, q).unwrap_or(Instant::MAX);
                prop_assert!(end(&tightened) <= end(&own), "it lasts longer: {}", what());
            }
            let counter = if after { &stayed } else { &fell };
            counter.set(counter.get() + u32::from(before));
        }
        Ok(())
    });
    // The contacts and rules of a failure fill screens; its own words name the one that matters.
    if let Err(TestError::Fail(why, _)) = outcome {
        panic!("{why}");
    }
    // True for want of cases would be worth nothing.
    assert!(stayed.get() >= cases && fell.get() >= cases / 4, "{} stayed, {} fell", stayed.get(), fell.get());
}

#[test]
fn a_shorter_window_ends_a_soft_opt_in() {
    let packs = under(json!({"extends": "gb", "tighten": {
        "gb.soft_opt_in/1": {"then": {"relationship": {"window": {"years": 2}}}}}}));
    let customer = |at| Contact::gb().fact(purchase(at));
    assert!(allowed_under(&packs, &customer("2025-01-01"), &marketing()));
    assert!(!allowed_under(&packs, &customer("2024-01-01"), &marketing()));
    assert!(allowed_under(builtin(), &customer("2024-01-01"), &marketing()));
}

#[test]
fn surveys_can_be_treated_as_marketing() {
    let packs = under(
        json!({"extends": "gb", "tighten": {"gb.research/1": {"when": {"natures": ["review_request"]}}}}),
    );
    let survey = ask(Nature::Survey);
    assert!(allowed_under(builtin(), &Contact::gb(), &survey));
    assert!(!allowed_under(&packs, &Contact::gb(), &survey));
    assert!(allowed_under(&packs, &Contact::gb(), &ask(Nature::ReviewRequest)));
    assert!(allowed_under(&packs, &Contact::gb().fact(opt_in("2026-01-01")), &survey));
}

#[test]
fn an_own_prohibition_begins_on_its_day() {
    let packs = under(json!({"extends": "fr", "rules": [{
        "id": "fr.own_no_texts/1", "from": "2026-10-01", "when": {"channels": ["sms"]}, "then": {"prohibited": {}},
        "citation": "board decision 12", "confidence": "high"}]}));
    let customer = Contact::fr().fact(purchase("2026-01-01"));
    let text = marketing().on(Channel::Sms);
    assert!(allowed_under(&packs, &customer, &text));
    assert!(!allowed_under(&packs, &customer, &text.at("2026-10-01")));
    assert!(allowed_under(&packs, &customer, &marketing().at("2026-10-01")));
}

#[test]
fn a_retention_run_sees_the_shorter_of_two_times() {
    let packs = under(json!({"extends": "fr", "rules": [{
        "id": "fr.own_retention/1", "from": "2020-01-01", "then": {"retention": {
            "after": {"years": 1}, "actions": ["purchase"], "warn_days": 30, "renewal_days": 30}},
        "citation": "house rule 2", "confidence": "high"}]}));
    let stage = |packs: &[Pack]| {
        let bytes = Contact::fr().fact(purchase("2025-01-01")).bytes();
        let question = marketing().question_under(packs);
        assess(&bytes, &question).unwrap().map(|a| (a.stage, a.rule.id.clone()))
    };
    assert_eq!(stage(builtin()), Some((Stage::Active, "fr.retention/1".into())));
    assert_eq!(stage(&packs), Some((Stage::Expired, "fr.own_retention/1".into())));
}

#[test]
fn a_faulty_document_denies_marketing_in_its_country_and_nowhere_else() {
    let gone = json!({"extends": "gb", "tighten": {"gb.gone/9": {"until": "2027-01-01"}}});
    let packs = overlay::apply(builtin(), &[("old".into(), gone)]).packs;
    let reason = |contact: Contact, ask: &Ask| {
        let question = ask.question_under(&packs);
        decide(&contact.bytes(), &question, None).map(|a| a.basis).map_err(|d| d.reason)
    };
    let bought = purchase("2026-01-01");
    assert_eq!(reason(Contact::gb().fact(bought.clone()), &marketing()), Err(Reason::UnknownJurisdiction));
    assert_eq!(reason(Contact::gb(), &ask(Nature::Transactional)), Ok(Basis::Contract));
    assert_eq!(reason(Contact::fr().fact(bought), &marketing()), Ok(Basis::SoftOptIn));
    assert_eq!(reason(Contact::of("JP"), &ask(Nature::Transactional)), Ok(Basis::Contract));
}

#[test]
fn a_jurisdiction_of_its_own_decides_for_its_countries() {
    let packs = under(json!({
        "id": "qq", "title": "Nowhere", "authority": "none", "mixed_from": "incidental",
        "countries": [{"code": "QQ", "zone": "Etc/UTC"}],
        "rules": [{"id": "qq.consent/1", "from": "2020-01-01", "then": {"consent": {}}, "citation": "Act 2", "confidence": "low"}],
    }));
    let contact = Contact::of("QQ").fact(opt_in("2026-01-01"));
    assert!(!allowed_under(builtin(), &contact, &marketing()));
    assert!(allowed_under(&packs, &contact, &marketing()));
    assert!(!allowed_under(&packs, &Contact::of("QR").fact(opt_in("2026-01-01")), &marketing()));
}

#[test]
fn an_organisation_can_ask_what_an_address_was_collected_for() {
    let rule = json!({"id": "gb.own_purposes/1", "from": "2020-01-01", "citation": "house rule 1", "confidence": "high",
                      "then": {"collected_for": {"purpose": "disclosed"}}});
    let packs = under(json!({"extends": "gb", "rules": [rule]}));
    let told = Contact::gb().fact(purchase("2026-03-01"));
    let untold = Contact::gb().fact(Fact { purposes: Purpose::Survey.into(), ..purchase("2026-03-01") });
    for ask in [marketing(), call()] {
        assert!(allowed_under(&packs, &told, &ask));
        assert!(untold.answer(&ask).is_ok() && !allowed_under(&packs, &untold, &ask));
        let no = explain(Some(&untold.bytes()), &ask.question_under(&packs), None);
        assert_eq!(
            (no.reason, no.rule.as_deref()),
            (Some(Reason::ConsentOtherPurpose), Some("gb.own_purposes/1"))
        );
    }
    // Whoever gave nothing was told nothing.
    assert!(Contact::gb().answer(&call()).is_ok() && !allowed_under(&packs, &Contact::gb(), &call()));
    // Consent states its own purposes.
    assert!(allowed_under(&packs, &Contact::gb().fact(opt_in("2026-03-01")), &marketing()));
}
