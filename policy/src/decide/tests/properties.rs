//! What holds for every contact and every question.

use super::super::{decide_at, last_instant, last_instant_before};
use super::*;
use crate::pack::Requirement;
use crate::retention::assess;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestRunner};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn switches() -> impl Strategy<Value = Vec<(String, bool)>> {
    let all: Vec<String> = builtin().iter().flat_map(|p| p.switches.iter().map(|s| s.id.clone())).collect();
    vec((select(all), any::<bool>()), 0..4)
}

/// From 2021 to 2032: during the facts, or long after.
pub fn asked_at() -> impl Strategy<Value = Instant> {
    prop_oneof![
        random::instant(),
        random::instant().prop_map(|t| Instant(t.0 + 6 * 365 * 86_400_000)),
        Just(t("2026-12-31")),
    ]
}

fn form() -> impl Strategy<Value = Form> {
    let good = any::<(bool, bool)>().prop_map(|(ongoing_contract_related, profession_related)| Form {
        ongoing_contract_related,
        profession_related,
        ..Form::default()
    });
    let any_form = (select(Unsubscribe::ALL), option::of(select(Promotional::ALL)), any::<[bool; 7]>())
        .prop_map(|(unsubscribe, promotional, b)| Form {
            unsubscribe,
            promotional,
            identity: b[0],
            postal_address: b[1],
            misleading_subject: b[2],
            promotional_first: b[3],
            automated: b[4],
            ongoing_contract_related: b[5],
            profession_related: b[6],
        });
    prop_oneof![3 => good, 1 => any_form]
}

fn question_of(natures: &'static [Nature], channels: &'static [Channel]) -> impl Strategy<Value = Ask> {
    let what = (select(natures), select(channels), form());
    let about = (select(vec![0, SHOES, BOOTS, SOCKS, WINE]), option::weighted(0.3, select(Sector::ALL)));
    (asked_at(), what, about, any::<[bool; 3]>(), switches()).prop_map(
        |(at, what, about, sender, decisions)| {
            let mut ask = Ask { at, ..ask(what.0) }.on(what.1).about(about.0).form(|f| *f = what.2);
            ask.target.sector = about.1;
            (ask.sender.charity, ask.sender.political_party, ask.sender.pension_authorised) =
                (sender[0], sender[1], sender[2]);
            decisions.iter().fold(ask, |ask, (switch, permissive)| ask.decided(switch, *permissive))
        },
    )
}

/// The state of somebody who may well be written to.
pub fn customer() -> impl Strategy<Value = State> {
    let own = (vec(random::helpful(), 1..5), vec(random::deeds(), 0..3));
    let facts = (own, option::weighted(0.3, random::anything()));
    (facts, random::profile()).prop_map(|(((mut facts, deeds), other), profile)| {
        facts.extend(deeds);
        facts.extend(other);
        random::fold(Some(profile), &facts)
    })
}

/// Contacts of all sorts, half of them such as may be written to.
pub fn contact() -> impl Strategy<Value = State> {
    prop_oneof![random::state(), customer()]
}

pub fn question() -> impl Strategy<Value = Ask> {
    question_of(Nature::ALL, Channel::ALL)
}

/// Something that can only take permission away.
fn restriction() -> impl Strategy<Value = Fact> {
    use EventKind::*;
    let kinds = select(vec![OptOut, Objection, ErasureRequest, OptInRefused, RegisterListed]);
    (kinds, random::fact()).prop_map(|(kind, fact)| Fact { kind, ..fact })
}

/// Packs under which an e-mail or a text may go to somebody who did nothing.
const OPT_OUT_LAWS: [&str; 4] = ["us", "sg", "in", "br"];

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_boolean_path_never_says_otherwise_than_the_explained_one(state in contact(), ask in question()) {
        let (bytes, question) = (state.encode(), ask.question());
        prop_assert_eq!(allows(&bytes, &question), decide(&bytes, &question, None).is_ok());
    }

    #[test]
    fn nothing_a_contact_did_makes_a_decision_panic(state in contact(), ask in question()) {
        let (bytes, question) = (state.encode(), ask.question());
        let log = ContactLog { call_attempts: vec![ask.at; 5], ..ContactLog::default() };
        let _ = decide(&bytes, &question, Some(&log)).is_ok();
        let _ = assess(&bytes, &question).is_ok();
        let answer = explain(Some(&bytes), &question, Some(&log));
        prop_assert_eq!(answer.allowed, answer.reason.is_none());
        prop_assert_eq!(answer.allowed, answer.basis.is_some());
        let is_there = |text: Option<String>| text.is_some_and(|t| !t.is_empty());
        prop_assert!(!answer.allowed || is_there(answer.rule) && is_there(answer.citation));
    }

    #[test]
    fn a_refusal_never_turns_a_no_into_a_yes(state in contact(), ask in question(), refusal in restriction()) {
        // But for its own confirmation.
        prop_assume!(ask.message.nature != Nature::OptOutConfirmation);
        let question = ask.question();
        let before = allows(&state.encode(), &question);
        let mut after = state;
        after.merge(&State::of_fact(&refusal));
        prop_assert!(before || !allows(&after.encode(), &question));
    }

    #[test]
    fn whoever_refused_last_is_never_advertised_to(state in contact(), ask in question(), objects in any::<bool>()) {
        let contact = Contact(state);
        let last = Fact { at: ask.at, recorded_at: ask.at, ..if objects { objection("2026-01-01") } else { opt_out("2026-01-01") } };
        let question = ask.question();
        if let Ok(allowed) = decide(&contact.fact(last).bytes(), &question, None) {
            prop_assert!(matches!(allowed.rule.then, Requirement::Service(_)), "{}", allowed.rule.id);
        }
    }

    #[test]
    fn without_a_fact_from_the_person_no_email_is_sent(profile in random::profile(), ask in question_of(Nature::ALL, &[Channel::Email, Channel::Sms])) {
        // At home, that is, and where the law covers the message and does not leave it to the person to opt out.
        let (subscriber, address_kind) = (Subscriber::Individual, AddressKind::Personal);
        let individual = Profile { subscriber, address_kind, ..profile };
        let question = ask.question();
        if let Ok(allowed) = decide(&State::of_profile(individual).encode(), &question, None) {
            let pack = allowed.rule.id.split('.').next();
            let free = matches!(allowed.basis, Basis::NotRegulated | Basis::Exempt);
            let silence = free || pack.is_some_and(|p| OPT_OUT_LAWS.contains(&p));
            let opt_out = silence && matches!(allowed.rule.then, Requirement::Regime(_));
            prop_assert!(opt_out || matches!(allowed.rule.then, Requirement::Service(_)), "{}", allowed.rule.id);
        }
    }

    #[test]
    fn facts_in_whatever_order_give_the_same_answers(
        (facts, shuffled) in vec(random::fact(), 0..10).prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle())),
        profile in random::profile(),
        split in any::<prop::sample::Index>(),
        ask in question(),
    ) {
        let question = ask.question();
        let in_order = random::fold(Some(profile.clone()), &facts).encode();
        // Two halves folded apart, as in two databases, and then merged.
        let (one, other) = shuffled.split_at(split.index(shuffled.len() + 1));
        let mut merged = random::fold(None, one);
        merged.merge(&random::fold(Some(profile), other));
        let merged = merged.encode();
        prop_assert_eq!(decide(&in_order, &question, None), decide(&merged, &question, None));
        prop_assert_eq!(valid_until(&in_order, &question), valid_until(&merged, &question));
    }

    #[test]
    fn an_end_that_is_near_is_not_taken_for_a_far_one(state in customer(), ask in question(), days in 1i64..2000) {
        let (bytes, question) = (state.encode(), ask.question());
        let horizon = Instant(question.at.0 + days * 86_400_000);
        if let Ok(allowed) = decide(&bytes, &question, None) {
            let sought = last_instant(&bytes, &question).filter(|end| *end < horizon);
            prop_assert_eq!(last_instant_before(&bytes, &question, &allowed, horizon), sought);
        }
    }

    #[test]
    fn a_question_survives_storage(ask in question()) {
        let question = ask.question();
        let bytes = question.encode();
        prop_assert_eq!(Question::digest_of(&bytes).map(|d| d.to_vec()), Some(bytes[..16].to_vec()));
        prop_assert_eq!(Question::decode(&bytes).unwrap(), question);
    }

    #[test]
    fn bytes_that_are_no_question_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(Question::decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_question_is_refused(ask in question(), place in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = ask.question().encode();
        let i = place.index(bytes.len());
        bytes[i] ^= 1 << bit;
        prop_assert!(Question::decode(&bytes).is_err());
        prop_assert!(Question::decode(&bytes[..i]).is_err());
    }
}

/// Whether it is allowed at another time, calling hours aside: those end no permission.
fn at_any_hour(bytes: &[u8], ask: &Ask, at: Instant) -> bool {
    let question = Ask { at, ..ask.clone() }.question();
    decide_at(bytes, &question, at, None, true, false).is_ok()
}

/// Asks many random contacts and checks what `check` says of those allowed until some instant; at least
/// `enough` of them, so that the property is not true for want of cases.
fn for_each_end(enough: u32, check: impl Fn(&[u8], &Ask, Instant) -> Result<(), TestCaseError>) {
    let seen = Cell::new(0);
    let written = question_of(&Nature::ALL[Nature::Marketing as usize..], Channel::ALL);
    let config = ProptestConfig { cases: 6000, ..config() };
    let outcome = TestRunner::new(config).run(&(customer(), written), |(state, ask)| {
        // Too early a question has no end to check; nor has a service message.
        let ask = Ask { at: ask.at.max(state.horizon), ..ask };
        let bytes = state.encode();
        match valid_until(&bytes, &ask.question()) {
            Some(end) if at_any_hour(&bytes, &ask, ask.at) => {
                seen.set(seen.get() + 1);
                check(&bytes, &ask, end)
            }
            _ => Ok(()),
        }
    });
    outcome.unwrap();
    assert!(seen.get() >= enough, "only {} cases", seen.get());
}

#[test]
fn a_yes_lasts_until_it_said_and_not_a_millisecond_longer() {
    for_each_end(100, |bytes, ask, end| {
        let at = |t| at_any_hour(bytes, ask, t);
        let last = last_instant(bytes, &ask.question()).unwrap();
        prop_assert!(end > ask.at && last <= end && last >= Instant(end.0 - 1));
        prop_assert!(!at(end));
        prop_assert!(!at(Instant(last.0 + 1)));
        prop_assert!(!at(Instant(end.0 + 1000)));
        prop_assert!(at(Instant(end.0 - 1)));
        prop_assert!(at(Instant(last.0 - 1000).max(ask.at)));
        prop_assert!(at(Instant(ask.at.0 + (end.0 - ask.at.0) / 2)));
        Ok(())
    });
}

#[test]
fn every_country_that_has_a_pack_lets_some_customer_be_written_to() {
    // Otherwise the properties above would be true of it for want of cases.
    let seen = RefCell::new(BTreeSet::new());
    let ask = question_of(&[Nature::Marketing], &[Channel::Email, Channel::Post]);
    let outcome = TestRunner::new(ProptestConfig { cases: 3000, ..config() }).run(
        &(customer(), ask),
        |(state, ask)| {
            let ask = Ask { at: ask.at.max(state.horizon), ..ask };
            if allows(&state.encode(), &ask.question()) {
                seen.borrow_mut().extend(state.profile.map(|p| p.country));
            }
            Ok(())
        },
    );
    outcome.unwrap();
    for pack in builtin().iter().filter(|p| !p.fallback) {
        let some = pack.countries.iter().any(|c| seen.borrow().iter().any(|s| c.code.as_bytes() == s));
        assert!(some, "{}", pack.id);
    }
}

#[test]
fn a_question_asked_later_needs_no_new_rules() {
    // A prepared question carries the rules of the days to come: asked again, it answers as a fresh one.
    for_each_end(100, |bytes, ask, end| {
        let prepared = ask.question();
        for t in [end, Instant(end.0 - 1000).max(ask.at), Instant(end.0 + 400 * 86_400_000)] {
            let fresh = Ask { at: t, ..ask.clone() }.question();
            prop_assert_eq!(allows(bytes, &Question { at: t, ..prepared.clone() }), allows(bytes, &fresh));
        }
        Ok(())
    });
}
