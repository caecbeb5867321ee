//! An erasure request: no marketing, and no message at all until something new comes from the person.

use super::*;

fn erased() -> [Contact; 2] {
    everywhere()
        .map(|c| c.fact(purchase("2026-01-05")).fact(opt_in("2026-01-06")).fact(erasure("2026-03-01")))
}

#[test]
fn an_erased_contact_gets_no_marketing_on_any_channel() {
    for contact in erased() {
        for channel in Channel::ALL {
            assert_eq!(contact.answer(&marketing().on(*channel)), Err(Reason::Erased), "{channel}");
        }
    }
}

#[test]
fn an_erased_contact_gets_the_acknowledgement_but_no_order_mail() {
    for contact in erased() {
        assert_eq!(contact.answer(&ask(Nature::OptOutConfirmation)), Ok(Basis::LegalObligation));
        for nature in [Nature::Transactional, Nature::Account, Nature::LegalNotice, Nature::Quote] {
            assert_eq!(contact.answer(&ask(nature)), Err(Reason::Erased), "{nature}");
        }
    }
}

#[test]
fn a_new_order_after_erasure_is_confirmed_but_not_advertised_to() {
    for contact in erased() {
        let back = contact.fact(purchase("2026-04-01"));
        assert_eq!(back.answer(&ask(Nature::Transactional)), Ok(Basis::Contract));
        assert_eq!(back.answer(&marketing()), Err(Reason::Erased));
        assert_eq!(back.fact(opt_in("2026-04-02")).answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn an_old_order_imported_after_erasure_revives_nothing() {
    let order = ask(Nature::Transactional);
    for contact in erased() {
        let late = Fact { recorded_at: t("2026-04-01"), ..purchase("2026-02-01") };
        assert_eq!(contact.clone().fact(late).answer(&order), Err(Reason::Erased));
        let by_another = Fact { from_person: false, ..purchase("2026-04-01") };
        assert_eq!(contact.clone().fact(by_another).answer(&order), Err(Reason::Erased));
        let elsewhere = Fact { sender: ANOTHER_SENDER, ..purchase("2026-04-01") };
        assert_eq!(contact.fact(elsewhere).answer(&order), Err(Reason::Erased));
    }
}

#[test]
fn an_erasure_at_one_company_does_not_bind_another() {
    for contact in everywhere() {
        let elsewhere = Fact { sender: ANOTHER_SENDER, ..erasure("2026-03-01") };
        let contact = contact.fact(purchase("2026-01-05")).fact(elsewhere);
        assert_eq!(contact.answer(&marketing()), Ok(Basis::SoftOptIn));
        assert_eq!(contact.answer(&ask(Nature::Transactional)), Ok(Basis::Contract));
    }
}

#[test]
fn a_list_import_does_not_undo_an_erasure() {
    use EventKind::*;
    for contact in erased() {
        for kind in [ImportedList, BoughtList, Scraped] {
            let imported = contact.clone().fact(fact(kind, "2026-04-01"));
            assert_eq!(imported.answer(&ask(Nature::Account)), Err(Reason::Erased), "{kind}");
        }
    }
}

#[test]
fn a_sign_up_after_erasure_gets_its_confirmation_mail() {
    for contact in erased() {
        let back = contact.fact(Fact { pending: true, ..opt_in("2026-04-01") });
        assert_eq!(back.answer(&ask(Nature::OptInConfirmation)), Ok(Basis::Solicited));
    }
}

#[test]
fn what_lifts_an_erasure_for_marketing_lifts_it_for_service_messages() {
    use EventKind::*;
    for contact in everywhere() {
        let asked = contact.fact(Fact { pending: true, ..opt_in("2026-01-06") }).fact(erasure("2026-03-01"));
        assert_eq!(asked.answer(&ask(Nature::Transactional)), Err(Reason::Erased));
        let confirmed = Fact { channels: EnumSet::all(), ..fact(OptInConfirmed, "2026-03-02") };
        let back = asked.clone().fact(confirmed);
        assert_eq!(back.answer(&marketing()), Ok(Basis::Consent));
        assert_eq!(back.answer(&ask(Nature::Transactional)), Ok(Basis::Contract));
        let by_partner =
            Fact { method: Some(Method::ThirdParty), from_person: false, ..opt_in("2026-03-02") };
        let unnamed = asked.clone().fact(by_partner.clone());
        assert_eq!(unnamed.answer(&ask(Nature::Transactional)), Err(Reason::Erased));
        let named = asked.fact(Fact { names_sender: true, ..by_partner });
        assert_eq!(named.answer(&marketing()), Ok(Basis::Consent));
        assert_eq!(named.answer(&ask(Nature::Transactional)), Ok(Basis::Contract));
    }
}
