//! An opt-in counts in its context only: who, how, to what, where, until when, and what proves it.

use super::*;

fn after(given: Fact, ask: &Ask) -> [Result<Basis, Reason>; 2] {
    everywhere().map(|c| c.fact(given.clone()).answer(ask))
}

#[test]
fn an_active_opt_in_allows() {
    for method in [Method::Active, Method::Oral, Method::WrittenSigned] {
        let given = Fact { method: Some(method), ..opt_in("2026-03-01") };
        for channel in [Channel::Email, Channel::Sms] {
            assert_eq!(after(given.clone(), &marketing().on(channel)), [Ok(Basis::Consent); 2]);
        }
    }
}

#[test]
fn an_opt_in_to_one_sender_does_not_serve_another() {
    let given = Fact { sender: ANOTHER_SENDER, ..opt_in("2026-03-01") };
    assert_eq!(after(given, &marketing()), [Err(Reason::ConsentOtherSender); 2]);
}

#[test]
fn an_opt_in_to_email_does_not_cover_texts_or_robot_calls() {
    let given = Fact { channels: Channel::Email.into(), ..opt_in("2026-03-01") };
    assert_eq!(after(given.clone(), &marketing()), [Ok(Basis::Consent); 2]);
    for channel in [Channel::Sms, Channel::PhoneAuto] {
        assert_eq!(after(given.clone(), &marketing().on(channel)), [Err(Reason::ConsentOtherChannel); 2]);
    }
}

#[test]
fn an_opt_in_to_the_newsletter_does_not_cover_marketing() {
    let given = Fact { purposes: Purpose::Newsletter.into(), ..opt_in("2026-03-01") };
    assert_eq!(after(given.clone(), &ask(Nature::Newsletter)), [Ok(Basis::Consent); 2]);
    for nature in [Nature::Marketing, Nature::AbandonedCart, Nature::WinBack, Nature::Political] {
        assert_eq!(after(given.clone(), &ask(nature)), [Err(Reason::ConsentOtherPurpose); 2], "{nature}");
    }
}

#[test]
fn an_opt_in_to_marketing_covers_the_newsletter_but_no_party_or_charity() {
    let given = Fact { purposes: Purpose::Marketing.into(), ..opt_in("2026-03-01") };
    assert_eq!(after(given.clone(), &ask(Nature::Newsletter)), [Ok(Basis::Consent); 2]);
    for nature in [Nature::Political, Nature::CharityFundraising] {
        assert_eq!(after(given.clone(), &ask(nature)), [Err(Reason::ConsentOtherPurpose); 2], "{nature}");
    }
}

#[test]
fn an_opt_in_to_a_category_covers_what_is_below_it_only() {
    let given = Fact { category: SHOES, ..opt_in("2026-03-01") };
    for (category, expected) in [
        (SHOES, Ok(Basis::Consent)),
        (BOOTS, Ok(Basis::Consent)),
        (SOCKS, Err(Reason::ConsentOtherPurpose)),
        (WINE, Err(Reason::ConsentOtherPurpose)),
        (0, Err(Reason::ConsentOtherPurpose)),
    ] {
        assert_eq!(after(given.clone(), &marketing().about(category)), [expected; 2], "{category}");
    }
    let given = Fact { category: BOOTS, ..given };
    assert_eq!(after(given, &marketing().about(SHOES)), [Err(Reason::ConsentOtherPurpose); 2]);
}

#[test]
fn a_pre_ticked_bundled_implied_or_forced_opt_in_is_none() {
    use Method::*;
    for method in [Some(PreTicked), Some(Bundled), Some(Implied), Some(ConditionOfSale), None] {
        let given = Fact { method, ..opt_in("2026-03-01") };
        assert_eq!(after(given, &marketing()), [Err(Reason::ConsentInvalid); 2], "{method:?}");
    }
}

#[test]
fn an_opt_in_collected_by_others_must_name_the_sender() {
    let given = Fact { method: Some(Method::ThirdParty), ..opt_in("2026-03-01") };
    assert_eq!(after(given.clone(), &marketing()), [Err(Reason::ConsentInvalid); 2]);
    assert_eq!(after(Fact { names_sender: true, ..given }, &marketing()), [Ok(Basis::Consent); 2]);
}

#[test]
fn an_opt_in_that_did_not_come_from_the_person_is_none() {
    let given = Fact { from_person: false, ..opt_in("2026-03-01") };
    assert_eq!(after(given, &marketing()), [Err(Reason::ConsentInvalid); 2]);
}

#[test]
fn a_refused_or_unanswered_question_is_no_opt_in() {
    let refused = Fact { kind: EventKind::OptInRefused, ..opt_in("2026-03-01") };
    assert_eq!(after(refused, &marketing()), [Err(Reason::RelationshipRefused); 2]);
    let unanswered = Fact { kind: EventKind::OptInUnanswered, ..opt_in("2026-03-01") };
    assert_eq!(after(unanswered, &marketing()), [Err(Reason::NoBasis); 2]);
}

#[test]
fn the_operators_own_flag_is_no_opt_in() {
    let flag = Fact { kind: EventKind::SystemOptIn, ..opt_in("2026-03-01") };
    assert_eq!(after(flag, &marketing()), [Err(Reason::NoBasis); 2]);
}

#[test]
fn an_opt_in_that_cannot_be_proved_does_not_count() {
    for grade in [Grade::None, Grade::StateOnly] {
        let given = Fact { grade, ..opt_in("2026-03-01") };
        assert_eq!(after(given.clone(), &marketing()), [Err(Reason::ConsentUnproven); 2], "{grade}");
        for contact in everywhere().map(|c| c.fact(opt_in("2026-02-01")).fact(given.clone())) {
            assert_eq!(contact.answer(&marketing()), Ok(Basis::Consent), "{grade}");
        }
    }
}

#[test]
fn a_double_opt_in_does_not_count_until_confirmed() {
    let pending = Fact { pending: true, address: 7, ..opt_in("2026-03-01T12:00:00Z") };
    let confirmed = Fact { kind: EventKind::OptInConfirmed, address: 7, ..opt_in("2026-03-01T12:05:00Z") };
    for contact in everywhere().map(|c| c.with(|p| p.addresses[0].tag = 7).fact(pending.clone())) {
        assert_eq!(contact.answer(&marketing()), Err(Reason::ConsentUnproven));
        for other in [
            Fact { address: 8, ..confirmed.clone() },
            Fact { sender: ANOTHER_SENDER, ..confirmed.clone() },
            Fact { channels: Channel::Sms.into(), ..confirmed.clone() },
            Fact { at: t("2026-02-01"), recorded_at: t("2026-02-01"), ..confirmed.clone() },
            Fact { other_contact: 9, ..confirmed.clone() },
        ] {
            assert_eq!(contact.clone().fact(other).answer(&marketing()), Err(Reason::ConsentUnproven));
        }
        assert_eq!(contact.fact(confirmed.clone()).answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn a_form_filled_in_again_does_not_undo_a_confirmed_double_opt_in() {
    let confirmed = Fact { kind: EventKind::OptInConfirmed, ..opt_in("2026-03-02") };
    for contact in everywhere() {
        let contact = contact.fact(Fact { pending: true, ..opt_in("2026-03-01") }).fact(confirmed.clone());
        assert_eq!(contact.answer(&marketing()), Ok(Basis::Consent));
        // Anybody can type an address into the form again.
        let again = contact.fact(Fact { pending: true, ..opt_in("2026-04-01") });
        assert_eq!(again.answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn an_opt_in_ends_when_it_said_it_would() {
    let given = Fact { expires: Expiry::At(t("2026-06-01")), ..opt_in("2026-03-01") };
    for contact in everywhere().map(|c| c.fact(given.clone())) {
        let ask = |at| marketing().at(at);
        assert_eq!(contact.answer(&ask("2026-06-01T11:59:59Z")), Ok(Basis::Consent));
        assert_eq!(contact.answer(&ask("2026-06-01T12:00:00Z")), Err(Reason::ConsentExpired));
        assert_eq!(contact.until(&ask("2026-04-01")), Some(t("2026-06-01")));
        let endless = contact.fact(Fact { expires: Expiry::Never, ..opt_in("2026-02-01") });
        assert_eq!(endless.answer(&ask("2026-07-01")), Ok(Basis::Consent));
    }
}

#[test]
fn an_opt_in_for_an_old_address_does_not_serve_a_new_one() {
    for contact in everywhere().map(|c| c.with(|p| p.addresses[0].tag = 7)) {
        let moved = contact.clone().with(|p| p.addresses[0].since = Some(t("2026-04-01")));
        assert_eq!(contact.clone().fact(opt_in("2026-03-01")).answer(&marketing()), Ok(Basis::Consent));
        assert_eq!(moved.clone().fact(opt_in("2026-03-01")).answer(&marketing()), Err(Reason::NoBasis));
        assert_eq!(moved.fact(opt_in("2026-05-01")).answer(&marketing()), Ok(Basis::Consent));
        let for_another = contact.clone().fact(Fact { address: 8, ..opt_in("2026-03-01") });
        assert_eq!(for_another.answer(&marketing()), Err(Reason::NoBasis));
        let for_this = contact.fact(Fact { address: 7, ..opt_in("2026-03-01") });
        assert_eq!(for_this.answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn a_new_email_address_does_not_void_the_consent_to_texts() {
    for contact in everywhere().map(|c| c.fact(opt_in("2026-03-01"))) {
        let moved = contact.with(|p| p.addresses[0].since = Some(t("2026-04-01")));
        assert_eq!(moved.answer(&marketing().on(Channel::Sms)), Ok(Basis::Consent));
    }
}

#[test]
fn somebody_elses_opt_in_at_the_same_address_does_not_count() {
    let given = Fact { other_contact: 9, ..opt_in("2026-03-01") };
    assert_eq!(after(given, &marketing()), [Err(Reason::NoBasis); 2]);
}
