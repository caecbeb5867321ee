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
