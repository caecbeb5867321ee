//! What a message is: service or marketing, whatever it calls itself; and what its form must carry.

use super::*;

const SERVICE: [Nature; 8] = [
    Nature::Transactional,
    Nature::Account,
    Nature::LegalNotice,
    Nature::SecurityAlert,
    Nature::Quote,
    Nature::SolicitedReply,
    Nature::OptInConfirmation,
    Nature::OptOutConfirmation,
];

fn refusing() -> impl Iterator<Item = Contact> {
    everywhere()
        .into_iter()
        .flat_map(|c| [opt_out("2026-03-01"), objection("2026-03-01")].map(|refusal| c.clone().fact(refusal)))
}

#[test]
fn an_opt_out_does_not_stop_an_order_confirmation_or_a_legal_notice() {
    for contact in refusing() {
        for channel in Channel::ALL {
            for nature in SERVICE {
                assert!(contact.answer(&ask(nature).on(*channel)).is_ok(), "{nature} on {channel}");
            }
        }
        assert_eq!(contact.answer(&ask(Nature::Transactional)), Ok(Basis::Contract));
        assert_eq!(contact.answer(&ask(Nature::LegalNotice)), Ok(Basis::LegalObligation));
    }
}

#[test]
fn a_service_message_needs_no_permission_and_no_category() {
    for contact in everywhere() {
        assert_eq!(contact.answer(&ask(Nature::Transactional).about(0)), Ok(Basis::Contract));
    }
}

#[test]
fn what_sells_is_not_called_service() {
    use Nature::*;
    for nature in [Newsletter, AbandonedCart, WinBack, EventInvitation, ConsentRequest, Mixed, Marketing] {
        for contact in refusing() {
            assert!(contact.answer(&ask(nature)).is_err(), "{nature}");
        }
        for contact in everywhere() {
            let nothing = match nature {
                ConsentRequest => Reason::ConsentRequestIsMarketing,
                _ => Reason::NoBasis,
            };
            assert_eq!(contact.answer(&ask(nature)), Err(nothing), "{nature}");
            let consenting = contact.fact(opt_in("2026-03-01"));
            assert_eq!(consenting.answer(&ask(nature)), Ok(Basis::Consent), "{nature}");
        }
    }
}

#[test]
fn an_advert_inside_an_order_confirmation_makes_it_marketing() {
    for nature in SERVICE {
        let with_advert = ask(nature).promotional(Promotional::Substantial);
        for contact in refusing() {
            assert!(contact.answer(&with_advert).is_err(), "{nature}");
        }
        for contact in everywhere() {
            assert_eq!(contact.answer(&with_advert), Err(Reason::MixedIsMarketing), "{nature}");
            let customer = contact.fact(purchase("2026-03-01"));
            assert_eq!(customer.answer(&with_advert), Ok(Basis::SoftOptIn), "{nature}");
        }
    }
}

#[test]
fn a_logo_does_not_make_an_order_confirmation_marketing() {
    for contact in refusing() {
        let with_logo = ask(Nature::Transactional).promotional(Promotional::Incidental);
        assert_eq!(contact.answer(&with_logo), Ok(Basis::Contract));
    }
}

#[test]
fn in_gb_a_review_request_is_service_until_it_promotes() {
    let contact = Contact::gb().fact(purchase("2026-03-01")).fact(opt_out("2026-04-01"));
    for nature in [Nature::ReviewRequest, Nature::Survey] {
        assert_eq!(contact.answer(&ask(nature)), Ok(Basis::LegitimateInterest));
        for promotional in [Promotional::Incidental, Promotional::Substantial] {
            assert_eq!(contact.answer(&ask(nature).promotional(promotional)), Err(Reason::OptedOut));
        }
    }
}

#[test]
fn in_france_a_review_request_does_not_pass_an_opt_out() {
    let review = ask(Nature::ReviewRequest);
    let customer = Contact::fr().fact(purchase("2026-03-01"));
    assert_eq!(Contact::fr().answer(&review), Err(Reason::NoBasis));
    assert_eq!(customer.answer(&review), Ok(Basis::SoftOptIn));
    let opted_out = customer.fact(opt_out("2026-04-01"));
    assert_eq!(opted_out.answer(&review), Err(Reason::OptedOut));
    let decided = review.decided("fr.review_request_is_service", true);
    assert_eq!(opted_out.answer(&decided), Ok(Basis::LegitimateInterest));
    assert_eq!(opted_out.answer(&decided.promotional(Promotional::Substantial)), Err(Reason::OptedOut));
}

#[test]
fn an_invitation_to_opt_in_never_reaches_somebody_who_refused() {
    let invitation = ask(Nature::OptInInvitation);
    assert_eq!(Contact::fr().answer(&invitation), Ok(Basis::Contract));
    assert_eq!(Contact::gb().answer(&invitation), Err(Reason::NoBasis));
    for contact in refusing() {
        assert!(contact.answer(&invitation).is_err());
    }
    let refused = Contact::fr().fact(Fact { refused: true, ..purchase("2026-03-01") });
    assert_eq!(refused.answer(&invitation), Err(Reason::RelationshipRefused));
    let opted_out_by_system = Contact::fr().fact(Fact { via: Some(Via::System), ..opt_out("2026-03-01") });
    assert_eq!(opted_out_by_system.answer(&invitation), Err(Reason::OptedOut));
    let decided = invitation.decided("fr.opt_in_invitation_in_service_mail", false);
    assert_eq!(Contact::fr().answer(&decided), Err(Reason::NoBasis));
}

#[test]
fn a_request_for_consent_is_not_sent_without_consent_or_sale() {
    let request = ask(Nature::ConsentRequest);
    for contact in everywhere() {
        assert_eq!(contact.answer(&request), Err(Reason::ConsentRequestIsMarketing));
        let prospect = contact.fact(collected(EventKind::AccountCreated, "2026-03-01"));
        assert_eq!(prospect.answer(&request), Err(Reason::RelationshipNoSale));
    }
}

// --- form ---

#[test]
fn an_advert_without_a_working_way_out_is_denied() {
    for contact in everywhere().map(|c| c.fact(purchase("2026-03-01"))) {
        let with = |u| marketing().form(|f| f.unsubscribe = u);
        use Unsubscribe::*;
        for way_out in [OneClick, Link, Reply] {
            assert_eq!(contact.answer(&with(way_out)), Ok(Basis::SoftOptIn), "{way_out}");
        }
        for none in [Obstructed, LoginRequired, Broken, None] {
            assert_eq!(contact.answer(&with(none)), Err(Reason::FormUnsubscribe), "{none}");
        }
    }
}

#[test]
fn consent_does_not_excuse_a_hidden_sender_or_a_misleading_subject() {
    for contact in everywhere().map(|c| c.fact(opt_in("2026-03-01"))) {
        for channel in [Channel::Email, Channel::Sms] {
            let anonymous = marketing().on(channel).form(|f| f.identity = false);
            let misleading = marketing().on(channel).form(|f| f.misleading_subject = true);
            assert_eq!(contact.answer(&anonymous), Err(Reason::FormIdentity));
            assert_eq!(contact.answer(&misleading), Err(Reason::FormMisleading));
        }
    }
}

#[test]
fn an_order_confirmation_needs_no_unsubscribe_link() {
    for contact in everywhere() {
        let bare = ask(Nature::Transactional).form(|f| f.unsubscribe = Unsubscribe::None);
        assert_eq!(contact.answer(&bare), Ok(Basis::Contract));
        let with_advert = bare.promotional(Promotional::Substantial);
        let consenting = contact.fact(opt_in("2026-03-01"));
        assert_eq!(consenting.answer(&with_advert), Err(Reason::FormUnsubscribe));
    }
}

#[test]
fn a_letter_needs_no_unsubscribe_link() {
    for contact in everywhere() {
        let letter = marketing().on(Channel::Post).form(|f| f.unsubscribe = Unsubscribe::None);
        assert_eq!(contact.answer(&letter), Ok(Basis::LegitimateInterest));
    }
}
