//! Live calls in France: Bloctel until 10 August 2026, consent from the 11th, hours, holidays, attempts.

use super::*;

/// Monday before the change, at eleven in Paris.
const BEFORE: &str = "2026-08-10T11:00:00+02:00";
/// Tuesday, the first day of consent.
const AFTER: &str = "2026-08-11T11:00:00+02:00";

#[test]
fn before_august_2026_bloctel_decides() {
    assert_eq!(Contact::fr().answer(&call().at(BEFORE)), Ok(Basis::OptOutRegime));
    let on_bloctel = Contact::fr().fact(listed(Register::Bloctel, "2026-08-10T09:00:00+02:00"));
    assert_eq!(on_bloctel.answer(&call().at(BEFORE)), Err(Reason::Registered));
    assert!(on_bloctel.fact(opt_in("2026-08-01")).answer(&call().at(BEFORE)).is_ok());
}

#[test]
fn from_august_2026_silence_is_no_permission() {
    assert_eq!(Contact::fr().answer(&call().at(AFTER)), Err(Reason::NoBasis));
    let customer = Contact::fr().fact(purchase("2026-08-01"));
    assert_eq!(customer.answer(&call().at(AFTER)), Err(Reason::RelationshipChannelExcluded));
    let consenting = Contact::fr().fact(opt_in("2026-08-01"));
    assert_eq!(consenting.answer(&call().at(AFTER)), Ok(Basis::Consent));
}

#[test]
fn a_consent_to_calls_ends_after_a_year_on_the_same_instant() {
    let consenting = Contact::fr().fact(opt_in("2025-09-15T11:00:00+02:00"));
    assert_eq!(consenting.answer(&call().at("2026-09-15T10:59:59+02:00")), Ok(Basis::Consent));
    assert_eq!(consenting.answer(&call().at("2026-09-15T11:00:00+02:00")), Err(Reason::ConsentExpired));
    assert_eq!(consenting.until(&call().at(AFTER)), Some(t("2026-09-15T11:00:00+02:00")));
    let long = Contact::fr().fact(Fact { expires: Expiry::Never, ..opt_in("2025-09-15T11:00:00+02:00") });
    assert_eq!(long.answer(&call().at("2026-09-15T11:00:00+02:00")), Err(Reason::ConsentExpired));
}

#[test]
fn the_year_of_a_consent_to_calls_does_not_end_the_consent_to_email() {
    let consenting = Contact::fr().fact(opt_in("2025-01-15"));
    assert_eq!(consenting.answer(&marketing()), Ok(Basis::Consent));
}

#[test]
fn the_opt_out_regime_ends_for_everybody_without_consent_on_its_last_day() {
    assert_eq!(Contact::fr().until(&call().at(BEFORE)), Some(t("2026-08-11T00:00:00+02:00")));
}

#[test]
fn professionals_may_still_be_called() {
    let firm = Contact::fr().who(Subscriber::Corporate, AddressKind::NamedWork);
    assert_eq!(firm.answer(&call().at("2026-08-11T21:00:00+02:00")), Ok(Basis::LegitimateInterest));
}

#[test]
fn a_bought_number_is_not_called_under_any_regime() {
    for at in [BEFORE, AFTER] {
        let bought =
            Contact::fr().fact(Fact { from_person: false, ..fact(EventKind::BoughtList, "2026-03-01") });
        assert_eq!(bought.answer(&call().at(at)), Err(Reason::NoBasis));
    }
}

#[test]
fn a_call_about_a_running_contract_needs_no_consent_but_a_finished_one_does() {
    let related = call().at(AFTER).form(|f| f.ongoing_contract_related = true);
    let client = Contact::fr().fact(collected(EventKind::ContractStart, "2026-03-01"));
    assert_eq!(client.answer(&related), Ok(Basis::Contract));
    assert_eq!(client.answer(&call().at(AFTER)), Err(Reason::RelationshipChannelExcluded));
    let ended = client.fact(collected(EventKind::ContractEnd, "2026-05-01"));
    assert_eq!(ended.answer(&related), Err(Reason::RelationshipExpired));
    let renewed = ended.fact(collected(EventKind::ContractStart, "2026-06-01"));
    assert_eq!(renewed.answer(&related), Ok(Basis::Contract));
    assert_eq!(renewed.fact(opt_out("2026-07-01")).answer(&related), Err(Reason::OptedOut));
}

#[test]
fn a_contract_cancelled_for_the_end_of_the_year_runs_until_then() {
    let related = call().at(AFTER).form(|f| f.ongoing_contract_related = true);
    let client = Contact::fr().fact(collected(EventKind::ContractStart, "2026-03-01"));
    let notice = Fact { recorded_at: t("2026-08-01"), ..collected(EventKind::ContractEnd, "2026-12-31") };
    assert_eq!(client.fact(notice).answer(&related), Ok(Basis::Contract));
}

#[test]
fn a_banned_sector_does_not_call_even_with_consent() {
    let consenting = Contact::fr().fact(opt_in("2026-08-01"));
    for sector in [Sector::EnergyRenovation, Sector::CpfTraining] {
        for channel in [Channel::PhoneLive, Channel::Sms, Channel::Email] {
            let ask = marketing().on(channel).sector(sector).at(AFTER);
            assert_eq!(consenting.answer(&ask), Err(Reason::Prohibited), "{sector} on {channel}");
        }
    }
    let client = consenting.fact(collected(EventKind::ContractStart, "2026-03-01"));
    let related =
        call().sector(Sector::EnergyRenovation).at(AFTER).form(|f| f.ongoing_contract_related = true);
    assert!(client.answer(&related).is_ok());
}

// --- hours, holidays, attempts ---

/// When somebody who consented may next be called; `None` for now.
fn not_before(zone: &str, at: &str) -> Option<Instant> {
    let contact = Contact::fr().zone(zone).fact(opt_in("2026-01-02"));
    let answer = contact.explain(&call().at(at));
    assert_eq!(answer.allowed, answer.not_before.is_none());
    assert_eq!(answer.reason, answer.not_before.map(|_| Reason::QuietHours));
    answer.not_before
}

#[test]
fn nobody_is_called_outside_the_lawful_hours() {
    let paris = |at: &str| not_before("Europe/Paris", at);
    assert_eq!(paris("2026-09-01T09:59:59+02:00"), Some(t("2026-09-01T10:00:00+02:00")));
    assert_eq!(paris("2026-09-01T10:00:00+02:00"), None);
    assert_eq!(paris("2026-09-01T12:59:59+02:00"), None);
    assert_eq!(paris("2026-09-01T13:00:00+02:00"), Some(t("2026-09-01T14:00:00+02:00")));
    assert_eq!(paris("2026-09-01T14:00:00+02:00"), None);
    assert_eq!(paris("2026-09-01T20:00:00+02:00"), Some(t("2026-09-02T10:00:00+02:00")));
}

#[test]
fn nobody_is_called_on_weekends_or_public_holidays() {
    let paris = |at: &str| not_before("Europe/Paris", at);
    assert_eq!(paris("2026-09-05T11:00:00+02:00"), Some(t("2026-09-07T10:00:00+02:00")));
    assert_eq!(paris("2026-09-06T11:00:00+02:00"), Some(t("2026-09-07T10:00:00+02:00")));
    assert_eq!(paris("2026-11-11T11:00:00+01:00"), Some(t("2026-11-12T10:00:00+01:00")));
    // Easter Monday follows the weekend; Ascension is a Thursday.
    assert_eq!(paris("2026-04-04T11:00:00+02:00"), Some(t("2026-04-07T10:00:00+02:00")));
    assert_eq!(paris("2026-05-14T11:00:00+02:00"), Some(t("2026-05-15T10:00:00+02:00")));
    // Clocks go back on the Sunday.
    assert_eq!(paris("2026-10-24T11:00:00+02:00"), Some(t("2026-10-26T10:00:00+01:00")));
}

#[test]
fn the_hours_are_those_of_the_person_called() {
    assert_eq!(not_before("Indian/Reunion", "2026-09-01T10:00:00+04:00"), None);
    assert_eq!(
        not_before("Indian/Reunion", "2026-09-01T20:00:00+04:00"),
        Some(t("2026-09-02T10:00:00+04:00"))
    );
    assert_eq!(
        not_before("America/Martinique", "2026-09-01T10:00:00+02:00"),
        Some(t("2026-09-01T10:00:00-04:00"))
    );
}

#[test]
fn hours_do_not_bound_the_validity_of_a_permission() {
    let consenting = Contact::fr().fact(opt_in("2026-08-01T12:00:00Z"));
    assert_eq!(consenting.until(&call().at(AFTER)), Some(t("2027-08-01T12:00:00Z")));
}

#[test]
fn a_fifth_attempt_in_thirty_days_waits_until_the_first_has_left_the_period() {
    let consenting = Contact::fr().fact(opt_in("2026-08-01")).bytes();
    let question = call().at("2026-09-15T11:00:00+02:00").question();
    let after = |days: &[&str]| {
        let call_attempts = days.iter().map(|d| t(&format!("{d}T15:00:00+02:00"))).collect();
        let log = ContactLog { call_attempts, ..ContactLog::default() };
        decide(&consenting, &question, Some(&log)).map(|a| a.basis).map_err(|d| (d.reason, d.not_before))
    };
    // 17 August is the thirtieth day, today included; the 16th is over.
    assert_eq!(after(&["2026-08-17", "2026-08-20", "2026-09-01"]), Ok(Basis::Consent));
    assert_eq!(after(&["2026-08-16", "2026-08-17", "2026-08-20", "2026-09-01"]), Ok(Basis::Consent));
    let capped = |until| Err((Reason::FrequencyCap, Some(t(until))));
    let four = ["2026-08-17", "2026-08-20", "2026-09-01", "2026-09-02"];
    assert_eq!(after(&four), capped("2026-09-16T00:00:00+02:00"));
    let five = ["2026-08-17", "2026-08-20", "2026-09-01", "2026-09-02", "2026-09-03"];
    assert_eq!(after(&five), capped("2026-09-19T00:00:00+02:00"));
    assert!(allows(&consenting, &question));
}

#[test]
fn texts_count_where_the_limit_names_them_and_nowhere_else() {
    let log = |at: &str| ContactLog { texts: vec![t(at); 4], ..ContactLog::default() };
    let french = Contact::fr().fact(opt_in("2026-08-01")).bytes();
    let question = call().at("2026-09-15T11:00:00+02:00").question();
    assert!(decide(&french, &question, Some(&log("2026-09-15T10:30:00+02:00"))).is_ok());
    // Florida: three calls or texts a day.
    let signed = Fact { method: Some(Method::WrittenSigned), ..opt_in("2026-08-01") };
    let floridian =
        Contact::of("US").with(|p| p.region = "FL".into()).zone("America/New_York").fact(signed).bytes();
    for channel in [Channel::Sms, Channel::PhoneLive] {
        let question = marketing().on(channel).at("2026-09-15T11:00:00-04:00").question();
        assert!(decide(&floridian, &question, Some(&ContactLog::default())).is_ok(), "{channel}");
        let denied = decide(&floridian, &question, Some(&log("2026-09-15T10:30:00-04:00")));
        assert_eq!(denied.map(|a| a.basis).map_err(|d| d.reason), Err(Reason::FrequencyCap), "{channel}");
    }
}
