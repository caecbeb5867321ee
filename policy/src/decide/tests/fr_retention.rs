//! Three years from the person's last action (CNIL): as a gate, and as the stages a retention run works by.

use super::*;
use crate::retention::{Stage, Unassessable, assess};
use EventKind::*;

/// A customer whose only purchase was on 1 March 2024, at noon in Paris.
fn customer() -> Contact {
    Contact::fr().fact(purchase(BOUGHT))
}

const BOUGHT: &str = "2024-03-01T12:00:00+01:00";
const END: &str = "2027-03-01T12:00:00+01:00";

#[test]
fn marketing_ends_three_years_after_the_last_action() {
    assert_eq!(customer().answer(&marketing().at("2027-03-01T11:59:59+01:00")), Ok(Basis::SoftOptIn));
    assert_eq!(customer().until(&marketing()), Some(t(END)));
    for nature in [Nature::Marketing, Nature::WinBack, Nature::ConsentRequest, Nature::Newsletter] {
        assert_eq!(customer().answer(&ask(nature).at(END)), Err(Reason::RetentionExpired), "{nature}");
    }
}

#[test]
fn consent_and_opt_out_regimes_do_not_outlive_retention() {
    let consenting = Contact::fr().fact(opt_in(BOUGHT));
    assert_eq!(consenting.answer(&marketing().at(END)), Err(Reason::RetentionExpired));
    assert_eq!(customer().answer(&marketing().on(Channel::Post).at(END)), Err(Reason::RetentionExpired));
}

#[test]
fn an_expired_contact_still_gets_service_messages() {
    assert_eq!(customer().answer(&ask(Nature::Transactional).at(END)), Ok(Basis::Contract));
}

#[test]
fn a_click_a_login_or_a_call_restarts_the_clock() {
    for kind in [Click, Login, InboundContact, Purchase, OptIn, QuoteRequest] {
        let active = customer().fact(fact(kind, "2025-06-01T12:00:00+02:00"));
        let until = active.until(&marketing());
        assert_eq!(until, Some(t("2028-06-01T12:00:00+02:00")), "{kind}");
    }
}

#[test]
fn opens_bounces_our_own_sends_and_scanners_do_not_restart_the_clock() {
    let scanner = Fact { machine: true, ..fact(Click, "2025-06-01") };
    let ours = [Open, Bounce, Sent, CallAttempt, SystemOptIn, OptInUnanswered].map(|k| fact(k, "2025-06-01"));
    for later in ours.into_iter().chain([scanner]) {
        let kind = later.kind;
        assert_eq!(customer().fact(later).until(&marketing()), Some(t(END)), "{kind}");
    }
}

#[test]
fn what_the_person_did_with_another_company_does_not_restart_the_clock() {
    let elsewhere = Fact { sender: ANOTHER_SENDER, ..fact(Login, "2025-06-01") };
    assert_eq!(customer().fact(elsewhere).until(&marketing()), Some(t(END)));
}

#[test]
fn an_action_recorded_late_does_not_extend_the_clock() {
    let late = Fact { recorded_at: t("2026-06-01"), ..fact(Click, "2024-02-01") };
    assert_eq!(customer().fact(late).until(&marketing()), Some(t(END)));
}

#[test]
fn a_running_contract_holds_the_clock_and_its_end_starts_it() {
    let client = Contact::fr().fact(collected(ContractStart, "2020-03-01"));
    assert_eq!(client.until(&marketing()), None);
    let ended = client.fact(collected(ContractEnd, "2026-05-01T12:00:00+02:00"));
    assert_eq!(ended.until(&marketing()), Some(t("2029-05-01T12:00:00+02:00")));
}

#[test]
fn an_end_without_category_ends_every_contract() {
    let client = Contact::fr().fact(collected(ContractStart, "2020-03-01"));
    let ended = client.fact(Fact { category: 0, ..collected(ContractEnd, "2022-05-01") });
    assert_eq!(ended.answer(&marketing()), Err(Reason::RetentionExpired));
}

// --- stages ---

fn stage(contact: &Contact, at: &str) -> Option<(Stage, bool)> {
    let question = marketing().at(at).question();
    assess(&contact.bytes(), &question).unwrap().map(|a| (a.stage, a.held))
}

#[test]
fn a_contact_is_warned_of_before_renewal_and_renewed_before_expiry() {
    let at = |at| stage(&customer(), at).unwrap().0;
    assert_eq!(at("2026-09-01"), Stage::Active);
    assert_eq!(at("2026-12-01T11:59:59+01:00"), Stage::Active);
    assert_eq!(at("2026-12-01T12:00:00+01:00"), Stage::Warning);
    assert_eq!(at("2026-12-31T11:59:59+01:00"), Stage::Warning);
    assert_eq!(at("2026-12-31T12:00:00+01:00"), Stage::Renewal);
    assert_eq!(at("2027-03-01T11:59:59+01:00"), Stage::Renewal);
    assert_eq!(at(END), Stage::Expired);
}

#[test]
fn the_stages_end_when_the_gate_closes() {
    let question = marketing().question();
    let bytes = customer().bytes();
    let assessment = assess(&bytes, &question).unwrap().unwrap();
    assert_eq!(Some(assessment.ends_at), customer().until(&marketing()));
    assert_eq!((assessment.since, assessment.rule.id.as_str()), (t(BOUGHT), "fr.retention/1"));
}

#[test]
fn a_legal_hold_stops_a_retention_run_until_released() {
    let held = customer().fact(fact(LegalHold, "2026-01-01"));
    assert_eq!(stage(&held, END), Some((Stage::Expired, true)));
    let released = held.fact(fact(LegalHoldReleased, "2026-02-01"));
    assert_eq!(stage(&released, END), Some((Stage::Expired, false)));
    let again = released.fact(fact(LegalHold, "2026-03-01"));
    assert_eq!(stage(&again, END), Some((Stage::Expired, true)));
    // A hold keeps the data; it does not keep the permission.
    assert_eq!(again.answer(&marketing().at(END)), Err(Reason::RetentionExpired));
}

#[test]
fn nobody_is_retired_whose_clock_has_not_started_or_does_not_run() {
    assert_eq!(stage(&Contact::fr(), END), None);
    assert_eq!(stage(&Contact::fr().fact(collected(SubscriptionStart, "2010-01-01")), END), None);
    assert_eq!(stage(&Contact::gb().fact(purchase("2010-01-01")), END), None);
}

#[test]
fn a_state_that_cannot_be_judged_is_left_alone() {
    let question = marketing().question();
    let mut broken = customer();
    broken.0.dirty = true;
    assert_eq!(assess(&broken.bytes(), &question), Err(Unassessable(Reason::Dirty)));
    assert_eq!(assess(&[9, 9, 9], &question), Err(Unassessable(Reason::Dirty)));
    let mut large = customer();
    large.0.overflow = true;
    assert_eq!(assess(&large.bytes(), &question), Err(Unassessable(Reason::StateOverflow)));
    let early = marketing().at("2024-01-01").question();
    assert_eq!(assess(&customer().bytes(), &early), Err(Unassessable(Reason::HistoryNeeded)));
}
