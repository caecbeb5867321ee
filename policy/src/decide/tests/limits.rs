//! Where the data does not suffice: unknown country, broken or large states, too early a question, a stop switch.

use super::*;
use crate::state::VERSION;

fn refused_but_served(contact: &Contact, reason: Reason, ask_marketing: &Ask) {
    assert_eq!(contact.answer(ask_marketing), Err(reason));
    let service = Ask { message: ask(Nature::Transactional).message, ..ask_marketing.clone() };
    assert_eq!(contact.answer(&service), Ok(Basis::Contract));
}

fn consenting(contact: Contact) -> Contact {
    contact.fact(opt_in("2026-03-01")).fact(purchase("2026-03-01"))
}

#[test]
fn where_no_law_is_known_nothing_is_advertised() {
    for country in ["ZZ", "ZA", "XX"] {
        refused_but_served(&consenting(Contact::of(country)), Reason::UnknownJurisdiction, &marketing());
    }
}

#[test]
fn where_no_law_is_known_a_strapline_is_already_advertising() {
    let with_logo = ask(Nature::Transactional).promotional(Promotional::Incidental);
    assert_eq!(consenting(Contact::of("ZZ")).answer(&with_logo), Err(Reason::UnknownJurisdiction));
}

#[test]
fn a_contact_without_profile_is_not_advertised_to() {
    let contact = consenting(Contact(State::default()));
    refused_but_served(&contact, Reason::UnknownJurisdiction, &marketing());
}

#[test]
fn an_unknown_contact_is_not_advertised_to() {
    let answer = explain(None, &marketing().question(), None);
    assert_eq!((answer.allowed, answer.reason), (false, Some(Reason::UnknownContact)));
}

#[test]
fn a_dirty_state_denies_everything() {
    for contact in everywhere() {
        let mut contact = consenting(contact);
        contact.0.dirty = true;
        for nature in Nature::ALL {
            assert_eq!(contact.answer(&ask(*nature)), Err(Reason::Dirty), "{nature}");
        }
    }
}

#[test]
fn bytes_that_are_no_state_deny_everything() {
    let bytes = consenting(Contact::gb()).bytes();
    let other_version = [&[VERSION + 1], &bytes[1..]].concat();
    for broken in [&[][..], &[0], b"hello", &bytes[..bytes.len() - 1], &other_version] {
        for nature in Nature::ALL {
            let question = ask(*nature).question();
            assert!(!allows(broken, &question), "{nature}");
            assert_eq!(decide(broken, &question, None).unwrap_err().reason, Reason::Dirty, "{nature}");
        }
    }
}

#[test]
fn a_question_about_the_time_before_the_last_fact_needs_history() {
    for contact in everywhere() {
        let contact = contact.fact(opt_in("2026-03-01")).fact(fact(EventKind::Click, "2026-05-01"));
        let at = |at| contact.answer(&marketing().at(at));
        assert_eq!(at("2026-05-01T11:59:59Z"), Err(Reason::HistoryNeeded));
        assert_eq!(at("2026-05-01T12:00:00Z"), Ok(Basis::Consent));
    }
}

#[test]
fn a_state_too_large_for_its_row_is_not_decided_by_half() {
    for contact in everywhere() {
        let capped = Contact(consenting(contact).0.capped());
        for nature in Nature::ALL {
            assert_eq!(capped.answer(&ask(*nature)), Err(Reason::StateOverflow), "{nature}");
        }
    }
}

#[test]
fn the_stop_switch_stops_marketing_only() {
    for contact in everywhere().map(consenting) {
        for reason in [Reason::SwitchedOff, Reason::KeyMissing, Reason::StaleSource] {
            refused_but_served(&contact, reason, &marketing().blocked(reason));
        }
    }
}

#[test]
fn a_zone_that_no_longer_exists_does_not_break_the_decision() {
    for contact in everywhere() {
        let contact = consenting(contact.zone("Mars/Olympus"));
        assert_eq!(contact.answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn an_answer_says_its_rule_its_law_and_its_version() {
    let answer = consenting(Contact::gb()).explain(&marketing());
    assert_eq!(answer.rule.as_deref(), Some("gb.consent/1"));
    assert_eq!(answer.jurisdiction.as_deref(), Some("gb"));
    assert!(answer.citation.unwrap().contains("PECR"));
    assert!(answer.obligations.contains(&"refusal_in_every_message".to_owned()));
    assert_eq!(answer.policy_version, crate::pack::POLICY_VERSION);
    assert_eq!(answer.evidence.unwrap()["kind"], "opt_in");
}
