//! Contested points of law: a named default, another decision of the operator, and the record in the answer.

use super::*;
use EventKind::*;

fn free_account(contact: Contact) -> Contact {
    contact.fact(Fact { funded_by_paid: true, ..collected(FreeAccount, "2026-03-01") })
}

#[test]
fn a_free_account_opens_nothing_unless_the_operator_decided_so() {
    for (contact, switch) in
        [(Contact::gb(), "gb.free_account_is_sale"), (Contact::fr(), "fr.free_account_is_sale")]
    {
        let contact = free_account(contact);
        assert_eq!(contact.answer(&marketing()), Err(Reason::Contested));
        let no = contact.explain(&marketing());
        assert_eq!(no.contested_point.as_deref(), Some(switch));
        assert_eq!(no.policy_decision, None);

        let yes = contact.explain(&marketing().decided(switch, true));
        assert_eq!((yes.allowed, yes.basis), (true, Some(Basis::SoftOptIn)));
        let decision = yes.policy_decision.unwrap();
        assert_eq!((decision.switch.as_str(), decision.decided_by.as_str()), (switch, "counsel"));

        let other_limbs = Ask { target: target(WINE), ..marketing().decided(switch, true) };
        assert_eq!(contact.answer(&other_limbs), Err(Reason::RelationshipNotSimilar));
    }
}

#[test]
fn the_basket_can_be_switched_off() {
    let shopper = Contact::gb().fact(collected(Basket, "2026-03-01"));
    let cart = ask(Nature::AbandonedCart);
    let yes = shopper.explain(&cart);
    assert_eq!((yes.basis, yes.policy_decision), (Some(Basis::SoftOptIn), None));
    assert_eq!(yes.contested_point.as_deref(), Some("gb.basket_is_negotiation"));

    let no = shopper.explain(&cart.decided("gb.basket_is_negotiation", false));
    assert_eq!(no.reason, Some(Reason::Contested));
    assert!(!no.policy_decision.unwrap().permissive);
}

#[test]
fn a_trial_is_a_sale_in_gb_and_contested_in_france() {
    let trial = collected(TrialStart, "2026-03-01");
    assert_eq!(Contact::gb().fact(trial.clone()).answer(&marketing()), Ok(Basis::SoftOptIn));
    assert_eq!(Contact::fr().fact(trial.clone()).answer(&marketing()), Err(Reason::Contested));
    let decided = marketing().decided("fr.free_trial_is_sale", true);
    assert_eq!(Contact::fr().fact(trial).answer(&decided), Ok(Basis::SoftOptIn));
}

#[test]
fn one_countrys_decision_does_not_bind_another() {
    let decided = marketing().decided("gb.free_account_is_sale", true);
    assert_eq!(free_account(Contact::fr()).answer(&decided), Err(Reason::Contested));
}

#[test]
fn an_answer_that_does_not_rest_on_a_contested_point_does_not_cite_it() {
    let customer = free_account(Contact::gb()).fact(purchase("2026-03-01"));
    let yes = customer.explain(&marketing());
    assert_eq!((yes.basis, yes.contested_point), (Some(Basis::SoftOptIn), None));
}

#[test]
fn a_no_that_a_permissive_decision_would_turn_shows_the_strict_one() {
    let switch = "fr.opt_in_invitation_in_service_mail";
    let invitation = ask(Nature::OptInInvitation);
    let yes = Contact::fr().explain(&invitation);
    assert_eq!((yes.allowed, yes.contested_point.as_deref()), (true, Some(switch)));
    let no = Contact::fr().explain(&invitation.clone().decided(switch, false));
    assert_eq!(no.reason, Some(Reason::NoBasis));
    assert!(!no.policy_decision.unwrap().permissive);
    // Who refused gets none, whatever was decided.
    let refused = Contact::fr().fact(opt_out("2026-01-01")).explain(&invitation.decided(switch, false));
    assert_eq!((refused.allowed, refused.contested_point), (false, None));
}

#[test]
fn a_yes_past_a_contested_prohibition_shows_the_decision() {
    let pack = Pack::parse(
        r#"
        id = "qq"
        title = "Nowhere"
        authority = "none"
        mixed_from = "substantial"
        countries = [{ code = "QQ", zone = "Etc/UTC" }]
        switches = [{ id = "qq.ban", default = false, argument = "none", citation = "Act 1" }]
        [[rules]]
        id = "qq.ban/1"
        from = "2020-01-01"
        then = { prohibited = {} }
        contested = "qq.ban"
        citation = "Act 1"
        confidence = "low"
        [[rules]]
        id = "qq.regime/1"
        from = "2020-01-01"
        then = { regime = { basis = "legitimate_interest" } }
        citation = "Act 2"
        confidence = "low"
    "#,
    )
    .unwrap();
    let answer = |ask: Ask| {
        explain(Some(&Contact::of("QQ").bytes()), &ask.question_under(std::slice::from_ref(&pack)), None)
    };
    assert_eq!(answer(marketing()).reason, Some(Reason::Contested));
    let yes = answer(marketing().decided("qq.ban", true));
    assert!(yes.allowed && yes.policy_decision.unwrap().permissive);
}

#[test]
fn an_oral_consent_opens_no_registered_number_in_the_fifth_circuit() {
    let machine = marketing().on(Channel::PhoneAuto).at("2026-09-01T17:00:00Z");
    let machine = machine.decided("us.fifth_circuit_oral_consent", true);
    let oral = Fact { method: Some(Method::Oral), ..opt_in("2026-01-01") };
    let texan = Contact::of("US").with(|p| p.region = "TX".into()).zone("America/Chicago").fact(oral);
    assert_eq!(texan.answer(&machine), Ok(Basis::Consent));
    let registered = texan.fact(listed(Register::UsDnc, "2025-01-01"));
    assert_eq!(registered.answer(&machine), Err(Reason::Registered));
    let signed = Fact { method: Some(Method::WrittenSigned), ..opt_in("2026-02-01") };
    assert_eq!(registered.fact(signed).answer(&machine), Ok(Basis::Consent));
}
