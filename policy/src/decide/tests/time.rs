//! Calendar and zones: years across summer time and leap days, and rules that begin at the contact's midnight.

use super::*;

fn until(bought: &str) -> Option<Instant> {
    Contact::fr().fact(purchase(bought)).until(&marketing().at(bought))
}

#[test]
fn three_years_are_counted_on_the_wall_clock() {
    assert_eq!(until("2023-03-28T00:30:00+02:00"), Some(t("2026-03-28T00:30:00+01:00")));
    assert_eq!(until("2023-10-27T12:00:00+02:00"), Some(t("2026-10-27T12:00:00+01:00")));
}

#[test]
fn three_years_from_a_leap_day_end_on_the_28th() {
    assert_eq!(until("2024-02-29T10:00:00+01:00"), Some(t("2027-02-28T10:00:00+01:00")));
}

#[test]
fn an_end_that_summer_time_skips_is_the_first_moment_after() {
    // On 29 March 2026 clocks go from two to three.
    assert_eq!(until("2023-03-29T02:30:00+02:00"), Some(t("2026-03-29T03:30:00+02:00")));
}

#[test]
fn an_end_that_comes_twice_is_the_earlier() {
    // On 25 October 2026 half past two comes twice.
    assert_eq!(until("2023-10-25T02:30:00+02:00"), Some(t("2026-10-25T02:30:00+02:00")));
}

#[test]
fn the_years_are_those_of_the_contacts_own_zone() {
    // Already 29 February in Reunion, still the 28th in Paris.
    let bought = "2024-02-28T22:00:00Z";
    let islander = Contact::fr().zone("Indian/Reunion").fact(purchase(bought));
    assert_eq!(islander.until(&marketing()), Some(t("2027-02-28T02:00:00+04:00")));
    assert_eq!(until(bought), Some(t("2027-02-28T23:00:00+01:00")));
}

#[test]
fn a_rule_begins_at_midnight_of_the_contacts_own_zone() {
    // From 11 August 2026 a review call is service; the day before it is solicitation, in quiet hours.
    let review = |at: &str| ask(Nature::ReviewRequest).on(Channel::PhoneLive).at(at);
    for (zone, offset) in
        [("Europe/Paris", "+02:00"), ("Indian/Reunion", "+04:00"), ("America/Martinique", "-04:00")]
    {
        let contact = Contact::fr().zone(zone);
        let before = review(&format!("2026-08-10T23:59:59{offset}"));
        assert_eq!(contact.answer(&before), Err(Reason::QuietHours), "{zone}");
        let after = review(&format!("2026-08-11T00:00:00{offset}"));
        assert_eq!(contact.answer(&after), Ok(Basis::LegitimateInterest), "{zone}");
    }
}

#[test]
fn a_regime_ends_at_midnight_of_the_contacts_own_zone() {
    for (zone, offset) in
        [("Europe/Paris", "+02:00"), ("Indian/Reunion", "+04:00"), ("America/Martinique", "-04:00")]
    {
        let contact = Contact::fr().zone(zone);
        let monday = call().at(&format!("2026-08-10T15:00:00{offset}"));
        assert_eq!(contact.until(&monday), Some(t(&format!("2026-08-11T00:00:00{offset}"))), "{zone}");
    }
}

#[test]
fn details_are_judged_by_the_law_of_the_day_they_were_collected_there() {
    // Midnight of 5 February in London; contacts abroad keep their own.
    let ask = ask(Nature::CharityFundraising).by_charity();
    let donation = collected(EventKind::Donation, "2026-02-05T00:30:00Z");
    assert_eq!(Contact::gb().fact(donation.clone()).answer(&ask), Ok(Basis::CharitySoftOptIn));
    let abroad = Contact::gb().zone("America/New_York");
    assert_eq!(abroad.fact(donation).answer(&ask), Err(Reason::NotYetInForce));
}

#[test]
fn a_yes_passes_from_one_ground_to_the_next() {
    // The consent ends in June; the sale carries on until its three years are over.
    let contact = Contact::fr()
        .fact(purchase("2026-01-05T12:00:00+01:00"))
        .fact(Fact { expires: Expiry::At(t("2026-06-01")), ..opt_in("2026-01-05T12:00:00+01:00") });
    assert_eq!(contact.until(&marketing().at("2026-02-01")), Some(t("2029-01-05T12:00:00+01:00")));
}
