//! What is particular to the United Kingdom: registers and their days of grace, charities, companies, sectors.

use super::*;

fn fundraising() -> Ask {
    ask(Nature::CharityFundraising).by_charity()
}

// --- registers ---

#[test]
fn a_number_may_be_called_until_it_has_been_listed_for_28_days() {
    for register in [Register::Tps, Register::Ctps] {
        let contact = Contact::gb().fact(listed(register, "2026-06-01T17:00:00+01:00"));
        assert_eq!(contact.answer(&call().at("2026-06-28T23:59:59+01:00")), Ok(Basis::OptOutRegime));
        assert_eq!(contact.answer(&call().at("2026-06-29T00:00:00+01:00")), Err(Reason::Registered));
        assert_eq!(contact.until(&call().at("2026-06-10")), Some(t("2026-06-29T00:00:00+01:00")));
    }
}

#[test]
fn a_listing_on_the_tps_stops_no_email() {
    let customer = Contact::gb().fact(purchase("2026-01-05")).fact(listed(Register::Tps, "2026-02-01"));
    assert_eq!(customer.answer(&marketing()), Ok(Basis::SoftOptIn));
    assert_eq!(customer.answer(&call()), Err(Reason::Registered));
}

#[test]
fn a_number_taken_off_the_tps_may_be_called_again_until_it_is_listed_anew() {
    let contact =
        Contact::gb().fact(listed(Register::Tps, "2026-01-01")).fact(delisted(Register::Tps, "2026-03-01"));
    assert_eq!(contact.answer(&call()), Ok(Basis::OptOutRegime));
    assert_eq!(
        contact.clone().fact(delisted(Register::Ctps, "2026-04-01")).answer(&call()),
        Ok(Basis::OptOutRegime)
    );
    let again = contact.fact(listed(Register::Tps, "2026-08-25"));
    assert_eq!(again.answer(&call()), Err(Reason::Registered));
}

#[test]
fn a_removal_from_another_register_frees_nothing() {
    let contact =
        Contact::gb().fact(listed(Register::Tps, "2026-01-01")).fact(delisted(Register::Ctps, "2026-03-01"));
    assert_eq!(contact.answer(&call()), Err(Reason::Registered));
}

#[test]
fn a_removal_not_yet_known_or_not_yet_due_frees_nothing() {
    let contact = Contact::gb().fact(listed(Register::Tps, "2026-01-01"));
    let ahead = Fact { recorded_at: t("2026-06-01"), ..delisted(Register::Tps, "2026-12-01") };
    assert_eq!(contact.clone().fact(ahead).answer(&call()), Err(Reason::Registered));
    let late = Fact { recorded_at: t("2026-12-01"), ..delisted(Register::Tps, "2026-06-01") };
    assert_eq!(contact.fact(late).answer(&call()), Err(Reason::Registered));
}

#[test]
fn consent_given_to_this_very_caller_prevails_over_the_tps() {
    let contact = Contact::gb().fact(listed(Register::Tps, "2026-01-01"));
    let to_us = contact.clone().fact(opt_in("2026-02-01"));
    assert!(to_us.answer(&call()).is_ok());
    let to_another = contact.clone().fact(Fact { sender: ANOTHER_SENDER, ..opt_in("2026-02-01") });
    assert_eq!(to_another.answer(&call()), Err(Reason::Registered));
    let to_email = contact.clone().fact(Fact { channels: Channel::Email.into(), ..opt_in("2026-02-01") });
    assert_eq!(to_email.answer(&call()), Err(Reason::Registered));
    let unproven = contact.fact(Fact { grade: Grade::StateOnly, ..opt_in("2026-02-01") });
    assert_eq!(unproven.answer(&call()), Err(Reason::Registered));
    assert_eq!(to_us.fact(opt_out("2026-03-01")).answer(&call()), Err(Reason::OptedOut));
}

#[test]
fn a_customer_on_the_tps_is_not_called() {
    let customer = Contact::gb().fact(purchase("2026-02-01")).fact(listed(Register::Tps, "2026-01-01"));
    assert_eq!(customer.answer(&call()), Err(Reason::Registered));
}

#[test]
fn the_fundraising_preference_service_binds_the_named_charity_only() {
    let (ours, others) = (
        listed(Register::Fps, "2026-01-01"),
        Fact { sender: ANOTHER_SENDER, ..listed(Register::Fps, "2026-01-01") },
    );
    for channel in [Channel::PhoneLive, Channel::Post, Channel::Email] {
        let ask = fundraising().on(channel);
        let consenting = Contact::gb().fact(opt_in("2026-02-01"));
        assert_eq!(consenting.clone().fact(ours.clone()).answer(&ask), Err(Reason::Registered), "{channel}");
        assert!(consenting.fact(others.clone()).answer(&ask).is_ok(), "{channel}");
    }
    assert_eq!(Contact::gb().fact(ours).answer(&call()), Ok(Basis::OptOutRegime));
}

// --- charities ---

#[test]
fn the_charity_soft_opt_in_is_for_details_collected_since_it_is_law() {
    let donor = |at| Contact::gb().fact(collected(EventKind::Donation, at));
    assert_eq!(donor("2026-02-04T23:59:59Z").answer(&fundraising()), Err(Reason::NotYetInForce));
    assert_eq!(donor("2026-02-05T00:00:00Z").answer(&fundraising()), Ok(Basis::CharitySoftOptIn));
    let early = fundraising().at("2026-02-04");
    assert_eq!(donor("2026-02-01").answer(&early), Err(Reason::NotYetInForce));
    let old_and_new = donor("2020-01-01").fact(collected(EventKind::Volunteering, "2026-03-01"));
    assert_eq!(old_and_new.answer(&fundraising()), Ok(Basis::CharitySoftOptIn));
}

#[test]
fn the_charity_soft_opt_in_is_for_charities_and_supporters() {
    use EventKind::*;
    for kind in [Donation, Volunteering, SupportExpressed, MembershipStart] {
        let supporter = Contact::gb().fact(collected(kind, "2026-03-01"));
        assert_eq!(supporter.answer(&fundraising()), Ok(Basis::CharitySoftOptIn), "{kind}");
        let no_charity = ask(Nature::CharityFundraising);
        assert_eq!(supporter.answer(&no_charity), Err(Reason::RelationshipKindExcluded), "{kind}");
        assert_eq!(supporter.answer(&marketing()), Err(Reason::RelationshipKindExcluded), "{kind}");
    }
    let shopper = Contact::gb().fact(purchase("2026-03-01"));
    assert_eq!(shopper.answer(&fundraising()), Err(Reason::RelationshipKindExcluded));
}

#[test]
fn a_donor_of_another_charity_or_without_a_way_to_refuse_is_not_written_to() {
    let donation = collected(EventKind::Donation, "2026-03-01");
    for (broken, reason) in [
        (Fact { sender: ANOTHER_SENDER, ..donation.clone() }, Reason::RelationshipOtherSender),
        (Fact { from_person: false, ..donation.clone() }, Reason::RelationshipThirdPartyData),
        (Fact { opt_out_offered: Tri::Unknown, ..donation.clone() }, Reason::RelationshipNoOptOutOffered),
        (Fact { refused: true, ..donation.clone() }, Reason::RelationshipRefused),
        (Fact { kind: EventKind::BoughtList, ..donation }, Reason::RelationshipThirdPartyData),
    ] {
        assert_eq!(Contact::gb().fact(broken).answer(&fundraising()), Err(reason));
    }
}

// --- companies and sectors ---

#[test]
fn only_companies_are_exempt_from_the_rules_for_email() {
    use Subscriber::*;
    for (subscriber, expected) in [
        (Corporate, Ok(Basis::LegitimateInterest)),
        (Individual, Err(Reason::NoBasis)),
        (SoleTrader, Err(Reason::NoBasis)),
        (Partnership, Err(Reason::NoBasis)),
        (Unknown, Err(Reason::NoBasis)),
    ] {
        let contact = Contact::gb().who(subscriber, AddressKind::NamedWork);
        assert_eq!(contact.answer(&marketing()), expected, "{subscriber}");
    }
    let scottish = Contact::gb().who(Partnership, AddressKind::Role).with(|p| p.region = "SCT".into());
    assert_eq!(scottish.answer(&marketing()), Ok(Basis::LegitimateInterest));
}

#[test]
fn a_companys_opt_out_binds_too() {
    let company = Contact::gb().who(Subscriber::Corporate, AddressKind::Role).fact(opt_out("2026-03-01"));
    assert_eq!(company.answer(&marketing()), Err(Reason::OptedOut));
}

#[test]
fn claims_and_pension_calls_need_more_than_silence() {
    let claims = call().sector(Sector::ClaimsManagement);
    assert_eq!(Contact::gb().answer(&claims), Err(Reason::NoBasis));
    assert_eq!(Contact::gb().fact(opt_in("2026-03-01")).answer(&claims), Ok(Basis::Consent));
    let pensions = call().sector(Sector::Pensions);
    assert_eq!(Contact::gb().fact(opt_in("2026-03-01")).answer(&pensions), Err(Reason::Prohibited));
    let mut authorised = pensions;
    authorised.sender.pension_authorised = true;
    assert_eq!(Contact::gb().answer(&authorised), Err(Reason::NoBasis));
    assert_eq!(Contact::gb().fact(opt_in("2026-03-01")).answer(&authorised), Ok(Basis::Consent));
    let client = Contact::gb().fact(collected(EventKind::ContractStart, "2026-03-01"));
    assert_eq!(client.answer(&authorised), Ok(Basis::BusinessRelationship));
    let ended = client.fact(collected(EventKind::ContractEnd, "2026-05-01"));
    assert!(ended.answer(&authorised).is_err());
}

#[test]
fn gb_sets_no_time_limit_of_its_own() {
    let customer = Contact::gb().fact(purchase("2005-01-01"));
    assert_eq!(customer.answer(&ask(Nature::WinBack)), Ok(Basis::SoftOptIn));
    assert_eq!(customer.until(&marketing()), None);
}
