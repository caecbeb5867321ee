//! Where an address came from, for what the law leaves to the person to refuse.

use super::*;

fn call() -> Ask {
    marketing().on(Channel::PhoneLive).at("2026-03-03T10:30:00Z")
}

fn bought() -> Fact {
    Fact { from_person: false, grade: Grade::None, ..collected(EventKind::BoughtList, "2026-01-05") }
}

#[test]
fn a_bought_number_is_not_excused_by_dealings_that_did_not_give_it() {
    let contact = Contact::fr().fact(bought());
    assert_eq!(contact.answer(&call()), Err(Reason::NoBasis));
    let given = |fact: Fact| contact.clone().fact(fact).answer(&call());
    assert_eq!(given(purchase("2026-02-01")), Ok(Basis::OptOutRegime));
    let by_email = Fact { channels: Channel::Email.into(), ..purchase("2026-02-01") };
    assert!(given(by_email).is_err(), "another channel");
    assert!(given(Fact { address: 77, ..purchase("2026-02-01") }).is_err(), "another number");
    assert!(given(Fact { grade: Grade::None, ..purchase("2026-02-01") }).is_err(), "not proved");
    assert!(given(collected(EventKind::Browse, "2026-02-01")).is_err(), "nothing was given");
}

#[test]
fn a_brokers_void_consent_is_not_replaced_by_an_opt_out_regime() {
    let broker = |names_sender, grade| {
        let opt_in = Fact { method: Some(Method::ThirdParty), names_sender, grade, ..opt_in("2026-01-05") };
        Contact::fr().fact(opt_in).answer(&call())
    };
    assert_eq!(broker(true, Grade::Proof), Ok(Basis::Consent));
    assert_eq!(broker(false, Grade::Proof), Err(Reason::ConsentInvalid));
    assert_eq!(broker(true, Grade::None), Err(Reason::ConsentUnproven));
}
