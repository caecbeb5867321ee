//! The word on a screen must not promise more than the person did.

use super::*;
use crate::status::{Standing, Status, status};

fn of(contact: &Contact, channel: Channel, at: &str) -> Status {
    use Nature::*;
    let asked = |nature| {
        let ask = Ask { at: t(at), target: target(0), ..ask(nature) };
        ask.on(channel).question()
    };
    let questions = [Marketing, Newsletter, Survey, CharityFundraising, Political].map(asked);
    status(&contact.bytes(), &questions, None)
}

fn stands(contact: &Contact) -> (Standing, Option<Instant>) {
    let status = of(contact, Channel::Email, "2026-09-01");
    (status.standing, status.since)
}

fn since(standing: Standing, at: &str) -> (Standing, Option<Instant>) {
    (standing, Some(t(at)))
}

#[test]
fn nothing_known_is_unknown() {
    assert_eq!(stands(&Contact::gb()), (Standing::Unknown, None));
    assert_eq!(stands(&Contact::of("ZZ")), (Standing::Unknown, None));
    assert_eq!(stands(&Contact::gb().fact(fact(EventKind::Click, "2026-01-01"))), (Standing::Unknown, None));
}

#[test]
fn the_person_s_own_opt_in_confirms_until_it_ends() {
    let contact = Contact::gb().fact(opt_in("2026-02-01"));
    assert_eq!(stands(&contact), since(Standing::ConfirmedOptIn, "2026-02-01"));
    let ends = Fact { expires: Expiry::At(t("2026-03-01")), ..opt_in("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(ends)), (Standing::Unknown, None));
    // Also where only a newsletter, or one category, was wanted, and where no law of ours is.
    let newsletter = Fact { purposes: Purpose::Newsletter.into(), ..opt_in("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(newsletter)).0, Standing::ConfirmedOptIn);
    let shoes = Fact { category: SHOES, ..opt_in("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(shoes)).0, Standing::ConfirmedOptIn);
    assert_eq!(stands(&Contact::of("ZZ").fact(opt_in("2026-02-01"))).0, Standing::ConfirmedOptIn);
    // Not for another sender or channel.
    let other = Fact { sender: ANOTHER_SENDER, ..opt_in("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(other)).0, Standing::Unknown);
    let texts = Fact { channels: Channel::Sms.into(), ..opt_in("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(texts)).0, Standing::Unknown);
}

#[test]
fn what_others_did_never_confirms() {
    let soft = [
        Fact { method: Some(Method::PreTicked), ..opt_in("2026-02-01") },
        Fact { method: Some(Method::Implied), ..opt_in("2026-02-01") },
        Fact { method: Some(Method::ThirdParty), ..opt_in("2026-02-01") },
        Fact { method: Some(Method::ThirdParty), names_sender: true, ..opt_in("2026-02-01") },
        Fact { from_person: false, ..opt_in("2026-02-01") },
        Fact { grade: Grade::None, ..opt_in("2026-02-01") },
        Fact { pending: true, ..opt_in("2026-02-01") },
    ];
    for opt_in in soft {
        assert_eq!(stands(&Contact::gb().fact(opt_in.clone())).0, Standing::SoftOptIn, "{opt_in:?}");
    }
    let passive = Fact { via: Some(Via::System), ..opt_out("2026-03-01") };
    let of_another = Fact { other_contact: 77, ..opt_out("2026-03-01") };
    for opt_out in [passive, of_another] {
        let contact = Contact::gb().fact(opt_in("2026-02-01")).fact(opt_out);
        assert_eq!(stands(&contact), since(Standing::SoftOptOut, "2026-03-01"));
        // The person's own word over it.
        let own = contact.clone().fact(super::opt_out("2026-02-02"));
        assert_eq!(stands(&own), since(Standing::ConfirmedOptOut, "2026-02-02"));
    }
    // A flag without a date: only as certain as whoever set it, and nothing lifts it.
    let flag = Fact { recorded_at: Instant::MAX, ..opt_out("2026-03-01") };
    let contact = Contact::gb().fact(flag).fact(opt_in("2026-04-01"));
    assert_eq!(stands(&contact), since(Standing::SoftOptOut, "2026-03-01"));
}

#[test]
fn a_double_opt_in_is_confirmed_from_its_confirmation() {
    let asked = Fact { pending: true, ..opt_in("2026-02-01") };
    let confirmed = Fact { channels: EnumSet::all(), ..fact(EventKind::OptInConfirmed, "2026-02-03") };
    let contact = Contact::gb().fact(asked).fact(confirmed);
    assert_eq!(stands(&contact), since(Standing::ConfirmedOptIn, "2026-02-03"));
}

#[test]
fn a_refusal_outlasts_everything_but_a_later_opt_in() {
    for refusal in [opt_out("2026-03-01"), objection("2026-03-01"), erasure("2026-03-01")] {
        let contact = Contact::gb().fact(opt_in("2026-02-01")).fact(refusal).fact(purchase("2026-04-01"));
        assert_eq!(stands(&contact), since(Standing::ConfirmedOptOut, "2026-03-01"));
        let again = contact.clone().fact(opt_in("2026-05-01"));
        assert_eq!(stands(&again), since(Standing::ConfirmedOptIn, "2026-05-01"));
        let newsletter = Fact { purposes: Purpose::Newsletter.into(), ..opt_in("2026-05-01") };
        assert_eq!(stands(&contact.clone().fact(newsletter)).0, Standing::ConfirmedOptIn);
        let ticked = Fact { method: Some(Method::PreTicked), ..opt_in("2026-05-01") };
        assert_eq!(stands(&contact.fact(ticked)).0, Standing::ConfirmedOptOut);
    }
    let refused = Fact { refused: true, ..purchase("2026-03-01") };
    assert_eq!(stands(&Contact::gb().fact(refused)).0, Standing::ConfirmedOptOut);
}

#[test]
fn an_opt_out_of_one_category_is_not_one_of_all() {
    let shoes = Fact { category: SHOES, scope: Scope::Category, ..opt_out("2026-03-01") };
    let contact = Contact::gb().fact(opt_in("2026-02-01")).fact(shoes.clone());
    let status = of(&contact, Channel::Email, "2026-09-01");
    assert_eq!((status.standing, status.except), (Standing::ConfirmedOptIn, vec![SHOES]));
    // But it is all that is known of somebody who never opted in.
    let status = of(&Contact::gb().fact(purchase("2026-02-01")).fact(shoes), Channel::Email, "2026-09-01");
    assert_eq!((status.standing, status.except), (Standing::ConfirmedOptOut, vec![SHOES]));
}

#[test]
fn a_sale_is_soft_as_long_as_the_law_lets_it_count() {
    let contact = Contact::gb().fact(purchase("2026-02-01"));
    assert_eq!(stands(&contact), since(Standing::SoftOptIn, "2026-02-01"));
    let unoffered = Fact { opt_out_offered: Tri::No, ..purchase("2026-02-01") };
    assert_eq!(stands(&Contact::gb().fact(unoffered)).0, Standing::Unknown);
    // Nobody knows the law of a country that is not known.
    assert_eq!(stands(&Contact::of("ZZ").fact(purchase("2026-02-01"))).0, Standing::Unknown);
    let both = contact.fact(opt_in("2026-03-01"));
    assert_eq!(stands(&both), since(Standing::ConfirmedOptIn, "2026-03-01"));
}

#[test]
fn a_register_s_entry_is_soft() {
    let contact = Contact::gb().fact(listed(Register::Tps, "2026-01-01"));
    let on_the_phone = of(&contact, Channel::PhoneLive, "2026-09-01");
    assert_eq!((on_the_phone.standing, on_the_phone.since), since(Standing::SoftOptOut, "2026-01-01"));
    assert_eq!(stands(&contact).0, Standing::Unknown);
    let unless = contact.fact(opt_in("2026-02-01"));
    assert_eq!(of(&unless, Channel::PhoneLive, "2026-09-01").standing, Standing::ConfirmedOptIn);
}

#[test]
fn a_state_that_can_t_be_read_does_not_look_like_an_opt_in() {
    let mut state = Contact::gb().fact(opt_in("2026-02-01")).0;
    state.dirty = true;
    let status = of(&Contact(state), Channel::Email, "2026-09-01");
    assert_eq!((status.standing, status.lacks), (Standing::Unknown, Some(Reason::Dirty)));
}
