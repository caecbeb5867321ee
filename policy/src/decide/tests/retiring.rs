//! Who may be retired: the time of one sender is over, and nothing of any other keeps the contact.

use super::*;
use crate::retention::{Kept, Outlook, Stage, assess_all, fingerprint};
use EventKind::*;

/// Three years from 2021 are over on the day of asking.
const LONG_AGO: &str = "2021-03-01T12:00:00+01:00";
const LATELY: &str = "2026-03-01T12:00:00+01:00";

/// The asking sender's question and the other's.
fn questions() -> Vec<Question> {
    let ours = marketing().question();
    let mut theirs = ours.clone();
    theirs.sender.id = ANOTHER_SENDER;
    vec![ours, theirs]
}

fn outlook(contact: &Contact) -> Outlook<'static> {
    let questions: &'static [Question] = Box::leak(questions().into_boxed_slice());
    assess_all(&contact.bytes(), questions).unwrap()
}

fn theirs(fact: Fact) -> Fact {
    Fact { sender: ANOTHER_SENDER, ..fact }
}

#[test]
fn a_contact_expired_for_everybody_is_retired() {
    let alone = outlook(&Contact::fr().fact(purchase(LONG_AGO)));
    assert_eq!((alone.kept, alone.senders.len()), (None, 1));
    let both = outlook(&Contact::fr().fact(purchase(LONG_AGO)).fact(theirs(purchase(LONG_AGO))));
    assert_eq!((both.kept, both.senders.len()), (None, 2));
    assert!(both.senders.iter().all(|(_, a)| a.stage == Stage::Expired && a.next.is_none()));
}

#[test]
fn another_entity_s_customer_is_kept_until_its_time_is_over() {
    let contact = Contact::fr().fact(purchase(LONG_AGO)).fact(theirs(purchase(LATELY)));
    let end = t("2029-03-01T12:00:00+01:00");
    assert_eq!(outlook(&contact).kept, Some(Kept::Active(ANOTHER_SENDER, end)));
    let contract = Contact::fr().fact(purchase(LONG_AGO)).fact(theirs(collected(ContractStart, LONG_AGO)));
    assert_eq!(outlook(&contract).kept, Some(Kept::Contract(ANOTHER_SENDER, None)));
}

#[test]
fn the_one_that_lasts_longest_says_when_to_look_again() {
    let active = Contact::fr().fact(purchase(LATELY));
    let contract = active.fact(theirs(collected(SubscriptionStart, LONG_AGO)));
    assert_eq!(outlook(&contract).kept, Some(Kept::Contract(ANOTHER_SENDER, None)));
}

#[test]
fn a_hold_of_either_keeps_and_its_release_does_not() {
    let expired = Contact::fr().fact(purchase(LONG_AGO));
    let held = expired.fact(theirs(fact(LegalHold, "2026-01-01")));
    assert_eq!(outlook(&held).kept, Some(Kept::LegalHold));
    let released = held.fact(theirs(fact(LegalHoldReleased, "2026-02-01")));
    assert_eq!(outlook(&released).kept, None);
}

#[test]
fn an_unconfirmed_request_and_a_refusal_keep_nobody() {
    let expired = Contact::fr().fact(purchase(LONG_AGO));
    assert_eq!(outlook(&expired.fact(theirs(opt_out(LATELY)))).kept, None);
    let nowhere = Contact::gb().fact(theirs(Fact { pending: true, ..opt_in(LATELY) }));
    assert_eq!(outlook(&nowhere).kept, Some(Kept::NotBegun));
}

#[test]
fn where_no_rule_limits_it_nobody_is_retired() {
    let british = Contact::gb().fact(purchase("2001-03-01"));
    assert_eq!(outlook(&british).kept, Some(Kept::Unlimited(US)));
    assert_eq!(outlook(&Contact::fr()).kept, Some(Kept::NotBegun));
}

#[test]
fn the_next_stage_begins_when_the_assessment_says() {
    let contact = Contact::fr().fact(purchase(LATELY));
    let state = contact.bytes();
    let mut question = marketing().question();
    let mut stages = Vec::new();
    loop {
        let question = std::slice::from_mut(&mut question);
        let outlook = assess_all(&state, question).unwrap();
        let (_, a) = outlook.senders[0];
        stages.push(a.stage);
        let Some(next) = a.next else { break };
        assert!(next > question[0].at);
        question[0].at = next;
    }
    assert_eq!(stages, [Stage::Active, Stage::Warning, Stage::Renewal, Stage::Expired]);
}

#[test]
fn the_fingerprint_knows_rules_senders_and_decisions_but_no_clock() {
    let now = questions();
    let mut later = now.clone();
    later.iter_mut().for_each(|q| q.at = t("2026-09-01T13:00:00Z"));
    assert_eq!(fingerprint(&now), fingerprint(&later));
    assert_ne!(fingerprint(&now), fingerprint(&now[..1]));
    let mut shorter = now.clone();
    let law = std::sync::Arc::make_mut(&mut shorter[0].law);
    for rule in law.jurisdictions.iter_mut().flat_map(|j| &mut j.rules) {
        if let crate::pack::Requirement::Retention(r) = &mut rule.then {
            r.after.years -= 1;
        }
    }
    assert_ne!(fingerprint(&now), fingerprint(&shorter));
}
