//! The soft opt-in: details given in a sale, refusal offered and not used, same legal entity, similar products.

use super::*;

fn customers() -> [Contact; 2] {
    everywhere().map(|c| c.fact(purchase("2026-03-01")))
}

fn after(collected: Fact) -> [Result<Basis, Reason>; 2] {
    everywhere().map(|c| c.fact(collected.clone()).answer(&marketing()))
}

#[test]
fn a_sale_opens_the_soft_opt_in() {
    use EventKind::*;
    for kind in [Purchase, ContractStart, SubscriptionStart] {
        assert_eq!(after(collected(kind, "2026-03-01")), [Ok(Basis::SoftOptIn); 2], "{kind}");
    }
}

#[test]
fn negotiations_count_in_gb_but_a_basket_is_no_sale_in_france() {
    use EventKind::*;
    for kind in [QuoteRequest, Enquiry, Basket] {
        let expected = [Ok(Basis::SoftOptIn), Err(Reason::RelationshipNoSale)];
        assert_eq!(after(collected(kind, "2026-03-01")), expected, "{kind}");
    }
    let cart = ask(Nature::AbandonedCart);
    let shopper = Contact::fr().fact(collected(Basket, "2026-03-01"));
    assert_eq!(shopper.answer(&cart), Err(Reason::RelationshipNoSale));
    assert_eq!(shopper.fact(purchase("2026-02-01")).answer(&cart), Ok(Basis::SoftOptIn));
}

#[test]
fn looking_around_is_no_negotiation() {
    use EventKind::*;
    for kind in [Browse, GeneralQuestion, AccountCreated] {
        assert_eq!(after(collected(kind, "2026-03-01")), [Err(Reason::RelationshipNoSale); 2], "{kind}");
    }
    assert_eq!(after(collected(CompetitionEntry, "2026-03-01")), [Err(Reason::NoBasis); 2]);
}

#[test]
fn bought_imported_or_scraped_addresses_open_nothing() {
    use EventKind::*;
    for kind in [BoughtList, ImportedList, Scraped, AddressPublished, AddressDisclosed, Referral] {
        for answer in after(collected(kind, "2026-03-01")) {
            assert!(matches!(answer, Err(Reason::NoBasis | Reason::RelationshipThirdPartyData)), "{kind}");
        }
    }
}

#[test]
fn a_refusal_must_have_been_offered_when_the_address_was_collected() {
    for offered in [Tri::No, Tri::Unknown] {
        let sale = Fact { opt_out_offered: offered, ..purchase("2026-03-01") };
        assert_eq!(after(sale), [Err(Reason::RelationshipNoOptOutOffered); 2], "{offered}");
    }
}

#[test]
fn a_refusal_at_the_till_is_not_undone_by_the_next_purchase() {
    for contact in everywhere() {
        let refusing = contact.fact(Fact { refused: true, ..purchase("2026-03-01") });
        assert_eq!(refusing.answer(&marketing()), Err(Reason::RelationshipRefused));
        let again = refusing.fact(purchase("2026-04-01"));
        assert_eq!(again.answer(&marketing()), Err(Reason::RelationshipRefused));
        assert_eq!(again.fact(opt_in("2026-05-01")).answer(&marketing()), Ok(Basis::Consent));
    }
}

#[test]
fn another_companys_customers_are_not_ours() {
    let sale = Fact { sender: ANOTHER_SENDER, ..purchase("2026-03-01") };
    assert_eq!(after(sale), [Err(Reason::RelationshipOtherSender); 2]);
}

#[test]
fn only_similar_products_may_be_advertised() {
    for customer in customers() {
        for (category, expected) in [
            (SHOES, Ok(Basis::SoftOptIn)),
            (BOOTS, Ok(Basis::SoftOptIn)),
            (WINE, Err(Reason::RelationshipNotSimilar)),
            (0, Err(Reason::RelationshipNotSimilar)),
        ] {
            assert_eq!(customer.answer(&marketing().about(category)), expected, "{category}");
        }
    }
    let of_nothing = Fact { category: 0, ..purchase("2026-03-01") };
    assert_eq!(after(of_nothing), [Err(Reason::RelationshipNotSimilar); 2]);
    let of_socks = Fact { category: SOCKS, ..purchase("2026-03-01") };
    assert_eq!(after(of_socks), [Ok(Basis::SoftOptIn); 2]);
}

#[test]
fn an_address_that_a_third_party_gave_does_not_count() {
    let sale = Fact { from_person: false, ..purchase("2026-03-01") };
    assert_eq!(after(sale), [Err(Reason::RelationshipThirdPartyData); 2]);
}

#[test]
fn a_sale_that_nothing_proves_does_not_count() {
    let sale = Fact { grade: Grade::None, ..purchase("2026-03-01") };
    assert_eq!(after(sale), [Err(Reason::ConsentUnproven); 2]);
}

#[test]
fn a_number_that_was_not_collected_gets_no_texts() {
    let sale = Fact { channels: Channel::Email.into(), ..purchase("2026-03-01") };
    for contact in everywhere().map(|c| c.fact(sale.clone())) {
        let text = marketing().on(Channel::Sms);
        assert_eq!(contact.answer(&marketing()), Ok(Basis::SoftOptIn));
        assert_eq!(contact.answer(&text), Err(Reason::RelationshipChannelExcluded));
    }
}

#[test]
fn a_new_address_starts_from_nothing() {
    for customer in customers() {
        let moved = customer.with(|p| p.addresses[0].since = Some(t("2026-04-01")));
        assert_eq!(moved.answer(&marketing()), Err(Reason::NoBasis));
        assert_eq!(moved.fact(purchase("2026-05-01")).answer(&marketing()), Ok(Basis::SoftOptIn));
    }
    for contact in everywhere().map(|c| c.with(|p| p.addresses[0].tag = 7)) {
        let old = contact.clone().fact(Fact { address: 8, ..purchase("2026-03-01") });
        assert_eq!(old.answer(&marketing()), Err(Reason::NoBasis));
        let current = contact.fact(Fact { address: 7, ..purchase("2026-03-01") });
        assert_eq!(current.answer(&marketing()), Ok(Basis::SoftOptIn));
    }
}

#[test]
fn the_soft_opt_in_never_serves_politics_or_fundraising() {
    for customer in customers() {
        assert_eq!(customer.answer(&ask(Nature::Political)), Err(Reason::RelationshipKindExcluded));
        assert!(customer.answer(&ask(Nature::CharityFundraising)).is_err());
    }
}

#[test]
fn the_soft_opt_in_never_serves_robot_calls() {
    for customer in customers() {
        let robot = marketing().on(Channel::PhoneAuto);
        assert_eq!(customer.answer(&robot), Err(Reason::RelationshipChannelExcluded));
    }
}

#[test]
fn marketing_channels_without_sale_or_consent_stay_closed() {
    for contact in everywhere() {
        for channel in [Channel::Email, Channel::Sms, Channel::PhoneAuto] {
            assert_eq!(contact.answer(&marketing().on(channel)), Err(Reason::NoBasis), "{channel}");
        }
    }
}
