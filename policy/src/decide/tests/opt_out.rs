//! Opt-outs and objections: how far they reach, and that nothing but a later opt-in of the person lifts them.

use super::*;

/// Somebody with both a sale and a consent, who then refused.
fn refusing(refusal: Fact) -> [Contact; 2] {
    everywhere().map(|c| c.fact(purchase("2026-01-05")).fact(opt_in("2026-01-06")).fact(refusal.clone()))
}

fn still(expected: Reason, refusal: Fact, later: Fact) {
    for contact in refusing(refusal) {
        assert_eq!(contact.fact(later.clone()).answer(&marketing()), Err(expected), "{}", later.kind);
    }
}

#[test]
fn an_opt_out_beats_sale_and_consent() {
    for contact in refusing(opt_out("2026-03-01")) {
        for category in [SHOES, BOOTS, SOCKS, WINE, 0] {
            assert_eq!(contact.answer(&marketing().about(category)), Err(Reason::OptedOut));
        }
        for channel in [Channel::Email, Channel::Sms, Channel::PhoneAuto, Channel::Post] {
            assert_eq!(contact.answer(&marketing().on(channel)), Err(Reason::OptedOut), "{channel}");
        }
    }
}

#[test]
fn an_opt_out_by_the_system_denies_like_one_by_the_person() {
    for via in Via::ALL {
        for contact in refusing(Fact { via: Some(*via), ..opt_out("2026-03-01") }) {
            assert_eq!(contact.answer(&marketing()), Err(Reason::OptedOut), "{via}");
        }
    }
}

#[test]
fn an_opt_out_of_any_scope_but_category_covers_everything() {
    for scope in [Scope::Marketing, Scope::All] {
        for contact in refusing(Fact { scope, category: WINE, ..opt_out("2026-03-01") }) {
            assert_eq!(contact.answer(&marketing()), Err(Reason::OptedOut), "{scope}");
        }
    }
}

#[test]
fn an_opt_out_from_one_company_does_not_bind_another() {
    for contact in refusing(Fact { sender: ANOTHER_SENDER, ..opt_out("2026-03-01") }) {
        assert!(contact.answer(&marketing()).is_ok());
    }
}

#[test]
fn an_opt_out_from_email_leaves_texts() {
    for contact in refusing(Fact { channels: Channel::Email.into(), ..opt_out("2026-03-01") }) {
        assert_eq!(contact.answer(&marketing()), Err(Reason::OptedOut));
        assert!(contact.answer(&marketing().on(Channel::Sms)).is_ok());
    }
}

#[test]
fn an_objection_covers_every_channel_whatever_was_named() {
    for contact in refusing(Fact { channels: Channel::Email.into(), ..objection("2026-03-01") }) {
        for channel in Channel::ALL {
            let ask = marketing().on(*channel);
            assert_eq!(contact.answer(&ask), Err(Reason::Objected), "{channel}");
        }
    }
}

#[test]
fn a_category_opt_out_covers_what_is_below_it_and_leaves_the_rest() {
    let refusal = Fact { scope: Scope::Category, category: SHOES, ..opt_out("2026-03-01") };
    for contact in refusing(refusal) {
        for category in [SHOES, BOOTS] {
            assert_eq!(contact.answer(&marketing().about(category)), Err(Reason::OptedOut));
        }
        for category in [SOCKS, WINE] {
            assert!(contact.answer(&marketing().about(category)).is_ok());
        }
    }
}

#[test]
fn a_message_without_category_may_be_about_the_refused_one() {
    let refusal = Fact { scope: Scope::Category, category: WINE, ..opt_out("2026-03-01") };
    for contact in refusing(refusal) {
        assert_eq!(contact.answer(&marketing().about(0)), Err(Reason::OptedOut));
        assert!(contact.answer(&marketing().about(SHOES)).is_ok());
    }
}

#[test]
fn an_opt_out_from_a_sub_category_leaves_the_category() {
    let refusal = Fact { scope: Scope::Category, category: BOOTS, ..opt_out("2026-03-01") };
    for contact in refusing(refusal) {
        assert!(contact.answer(&marketing().about(SHOES)).is_ok());
        assert_eq!(contact.answer(&marketing().about(BOOTS)), Err(Reason::OptedOut));
    }
}

#[test]
fn a_category_opt_out_that_names_none_covers_everything() {
    let refusal = Fact { scope: Scope::Category, category: 0, ..opt_out("2026-03-01") };
    for contact in refusing(refusal) {
        assert_eq!(contact.answer(&marketing()), Err(Reason::OptedOut));
    }
}

#[test]
fn an_opt_out_through_another_contact_suppresses_the_address() {
    for contact in refusing(Fact { other_contact: 9, ..opt_out("2026-03-01") }) {
        assert_eq!(contact.answer(&marketing()), Err(Reason::SuppressedAddress));
        // Our contact's opt-in does not speak for the other.
        let own = contact.clone().fact(opt_in("2026-04-01"));
        assert_eq!(own.answer(&marketing()), Err(Reason::SuppressedAddress));
        let others = contact.fact(Fact { other_contact: 9, ..opt_in("2026-04-01") });
        assert_eq!(others.answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn the_persons_own_refusal_is_named_before_anothers() {
    for contact in refusing(Fact { other_contact: 9, ..opt_out("2026-04-01") }) {
        let both = contact.fact(opt_out("2026-03-01"));
        assert_eq!(both.answer(&marketing()), Err(Reason::OptedOut));
    }
}

// --- what lifts it ---

#[test]
fn a_later_affirmative_opt_in_lifts_an_opt_out_or_objection() {
    for refusal in [opt_out("2026-03-01"), objection("2026-03-01")] {
        for contact in refusing(refusal) {
            let back = contact.fact(opt_in("2026-03-02"));
            assert_eq!(back.answer(&marketing()), Ok(Basis::Consent));
            assert_eq!(back.fact(opt_out("2026-03-03")).answer(&marketing()), Err(Reason::OptedOut));
        }
    }
}

#[test]
fn no_purchase_login_click_or_import_lifts_an_opt_out() {
    use EventKind::*;
    for kind in EventKind::ALL {
        let refuses = matches!(kind, Objection | ErasureRequest | OptIn);
        if !refuses {
            let later = Fact { kind: *kind, ..collected(Purchase, "2026-04-01") };
            still(Reason::OptedOut, opt_out("2026-03-01"), later.clone());
            still(Reason::Objected, objection("2026-03-01"), later);
        }
    }
}

#[test]
fn an_opt_in_at_the_same_instant_does_not_lift() {
    let refusal = opt_out("2026-03-01T12:00:00.000Z");
    still(Reason::OptedOut, refusal.clone(), opt_in("2026-03-01T12:00:00.000Z"));
    for contact in refusing(refusal) {
        let after = contact.fact(opt_in("2026-03-01T12:00:00.001Z"));
        assert_eq!(after.answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn an_opt_in_dated_after_but_recorded_before_does_not_lift() {
    let predated = Fact { recorded_at: t("2026-02-01"), ..opt_in("2026-04-01") };
    still(Reason::OptedOut, opt_out("2026-03-01"), predated);
}

#[test]
fn an_opt_in_dated_before_but_recorded_after_does_not_lift() {
    let late = Fact { recorded_at: t("2026-04-01"), ..opt_in("2026-02-01") };
    still(Reason::OptedOut, opt_out("2026-03-01"), late);
}

#[test]
fn an_opt_out_recorded_late_counts_from_when_it_was_made_and_until_after_it_was_known() {
    let late = Fact { recorded_at: t("2026-05-01"), ..opt_out("2026-03-01") };
    for contact in refusing(late.clone()) {
        assert_eq!(contact.answer(&marketing().at("2026-03-02")), Err(Reason::OptedOut));
    }
    still(Reason::OptedOut, late.clone(), opt_in("2026-04-01"));
    for contact in refusing(late) {
        assert_eq!(contact.fact(opt_in("2026-05-02")).answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn an_opt_out_dated_ahead_counts_at_once() {
    let ahead = Fact { recorded_at: t("2026-03-01"), ..opt_out("2027-03-01") };
    for contact in refusing(ahead.clone()) {
        assert_eq!(contact.answer(&marketing().at("2026-03-02")), Err(Reason::OptedOut));
        assert_eq!(contact.explain(&marketing()).evidence.unwrap()["at"], "2026-03-01T12:00:00.000Z");
    }
    still(Reason::OptedOut, ahead, opt_in("2026-04-01"));
}

#[test]
fn an_opt_in_lifts_for_its_own_sender_channel_purpose_and_category_only() {
    let refusal = opt_out("2026-03-01");
    let later = opt_in("2026-04-01");
    still(Reason::OptedOut, refusal.clone(), Fact { sender: ANOTHER_SENDER, ..later.clone() });
    still(Reason::OptedOut, refusal.clone(), Fact { channels: Channel::Sms.into(), ..later.clone() });
    still(Reason::OptedOut, refusal.clone(), Fact { purposes: Purpose::Newsletter.into(), ..later.clone() });
    still(Reason::OptedOut, refusal.clone(), Fact { category: WINE, ..later.clone() });
    for contact in refusing(refusal) {
        let back = contact.fact(Fact { category: SHOES, ..later.clone() });
        assert_eq!(back.answer(&marketing()), Ok(Basis::Consent));
        assert_eq!(back.answer(&marketing().about(WINE)), Err(Reason::OptedOut));
    }
}

#[test]
fn an_opt_in_that_is_none_does_not_lift() {
    let later = opt_in("2026-04-01");
    for weak in [
        Fact { method: Some(Method::PreTicked), ..later.clone() },
        Fact { method: None, ..later.clone() },
        Fact { grade: Grade::StateOnly, ..later.clone() },
        Fact { grade: Grade::None, ..later.clone() },
        Fact { pending: true, ..later.clone() },
        Fact { from_person: false, ..later.clone() },
        Fact { address: 8, ..later.clone() },
        Fact { expires: Expiry::At(t("2026-05-01")), ..later.clone() },
        Fact { other_contact: 9, ..later },
    ] {
        still(Reason::OptedOut, opt_out("2026-03-01"), weak);
    }
}

#[test]
fn the_facts_may_come_in_any_order() {
    for contact in everywhere() {
        let late = contact.fact(opt_in("2026-02-01")).fact(opt_out("2026-03-01")).fact(opt_in("2026-01-01"));
        assert_eq!(late.answer(&marketing()), Err(Reason::OptedOut));
    }
}

#[test]
fn the_answer_names_the_refusal_it_rests_on() {
    for contact in refusing(opt_out("2026-03-01")) {
        let evidence = contact.explain(&marketing()).evidence.unwrap();
        assert_eq!(evidence["kind"], "opt_out");
        assert_eq!(evidence["at"], "2026-03-01T12:00:00.000Z");
    }
}
