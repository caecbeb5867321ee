#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::explain::state_json;
use crate::fact::Expiry;
use crate::pack::builtin;
use crate::profile::AddressInUse;
use crate::question::{Form, Message, Question, Sender, Target};
use crate::{decide, retention};
use proptest::collection::vec;
use proptest::prelude::*;

// Test modules are private to their parents, so the two that draw random facts each load the file.
#[path = "../decide/tests/random.rs"]
#[allow(clippy::duplicate_mod)]
mod random;

const DAY: i64 = 86_400_000;
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: Instant = Instant(1_767_225_600_000);

fn day(n: i64) -> Instant {
    Instant(NEW_YEAR.0 + n * DAY)
}

fn fact(kind: EventKind, at: Instant) -> Fact {
    Fact { method: Some(Method::Active), opt_out_offered: Tri::Yes, ..Fact::new(kind, at, 1) }
}

fn state_of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> State {
    let mut state = State::default();
    facts.into_iter().for_each(|f| state.merge(&State::of_fact(f)));
    state
}

fn merged(a: &State, b: &State) -> State {
    let mut both = a.clone();
    both.merge(b);
    both
}

fn gb() -> State {
    let mut profile = Profile::new(NEW_YEAR, Some("GB"), None, None).unwrap();
    profile.addresses[0] = AddressInUse { tag: 0x1234_5678, since: None };
    State::of_profile(profile)
}

/// Purchases in categories 1..=n, some days apart.
fn purchases(n: u32) -> Vec<Fact> {
    let bought = |category| Fact { category, ..fact(EventKind::Purchase, day(i64::from(category) % 700)) };
    (1..=n).map(bought).collect()
}

fn newsletter(at: Instant) -> Question {
    let message = Message {
        kind: "newsletter".into(),
        nature: Nature::Newsletter,
        channel: Channel::Email,
        form: Form::default(),
    };
    let target = Target { category: 10, ancestors: vec![10], similar: vec![10], sector: None };
    Question::new(at, Sender { id: 1, ..Sender::default() }, message, target, builtin(), vec![])
}

/// Everything that reads stored bytes, as a scan, an auditor and the batch do.
fn read_everything(bytes: &[u8]) {
    let question = newsletter(day(300));
    let _ = decide::allows(bytes, &question);
    let _ = decide::decide(bytes, &question, None).is_ok();
    let _ = decide::valid_until(bytes, &question);
    let _ = retention::assess(bytes, &question).is_ok();
    let _ = state_json(bytes);
    if let Ok(view) = StateView::new(bytes) {
        let atoms = view.atoms();
        assert!(atoms.count() <= bytes.len());
    }
    if let Ok(state) = State::decode(bytes) {
        let _ = state.encode();
        let _ = state.capped().encode();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_two_states_does_not_matter(a in random::state(), b in random::state()) {
        let (one, other) = (merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(one.encode(), other.encode());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_grouping_of_states_does_not_matter(a in random::state(), b in random::state(), c in random::state()) {
        let (left, right) = (merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(left.encode(), right.encode());
        prop_assert_eq!(left, right);
    }

    #[test]
    fn taking_in_what_is_stored_is_merging_it(a in random::state(), b in random::state()) {
        let mut taken_in = a.clone();
        taken_in.merge_stored(&b.encode()).unwrap();
        prop_assert_eq!(taken_in.encode(), merged(&a, &b).encode());
    }

    #[test]
    fn a_fact_taken_in_twice_changes_nothing(a in random::state(), b in random::state()) {
        let once = merged(&a, &b);
        for twice in [merged(&once, &b), merged(&once, &a), merged(&once, &once)] {
            prop_assert_eq!(twice.encode(), once.encode());
            prop_assert_eq!(twice, once.clone());
        }
    }

    #[test]
    fn facts_in_any_order_make_one_state(
        (facts, shuffled) in vec(random::fact(), 0..20).prop_flat_map(|f| (Just(f.clone()), Just(f).prop_shuffle()))
    ) {
        prop_assert_eq!(state_of(&facts).encode(), state_of(&shuffled).encode());
        prop_assert_eq!(state_of(&facts), state_of(&shuffled));
    }

    #[test]
    fn storing_a_state_between_two_facts_changes_nothing(a in random::state(), b in random::state()) {
        let stored = State::decode(&a.encode()).unwrap();
        prop_assert_eq!(stored.encode(), a.encode());
        prop_assert_eq!(merged(&stored, &b).encode(), merged(&a, &b).encode());
    }

    #[test]
    fn a_stored_state_is_read_back_as_it_was(facts in vec(random::fact(), 0..20), profile in random::profile()) {
        // Register entries and holds are stored to the second: see the ignored test below.
        let whole = |f: &Fact| Fact { at: Instant::from_seconds(f.at.seconds()),
            recorded_at: Instant::from_seconds(f.recorded_at.seconds()), ..f.clone() };
        let facts: Vec<_> = facts.iter().map(whole).collect();
        let state = merged(&State::of_profile(profile), &state_of(&facts));
        prop_assert_eq!(State::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_valid_head_never_panic(bytes in vec(any::<u8>(), 0..200), head in 0u8..8) {
        read_everything(&[&[VERSION, head][..], &bytes].concat());
    }

    #[test]
    fn random_sections_never_panic(sections in [vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..60),
                                                 vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..60)]) {
        let mut bytes = gb().encode();
        bytes.truncate(bytes.len() - 4);
        bytes.extend(sections.iter().map(|s| s.len() as u8));
        sections.iter().for_each(|s| bytes.extend_from_slice(s));
        prop_assert!(StateView::new(&bytes).is_ok());
        read_everything(&bytes);
    }

    #[test]
    fn a_truncated_state_is_never_read(state in random::state(), cut in any::<prop::sample::Index>()) {
        let bytes = state.encode();
        let part = &bytes[..cut.index(bytes.len())];
        prop_assert_eq!(State::decode(part), Err(Corrupt));
        prop_assert!(StateView::new(part).is_err());
        read_everything(part);
    }

    #[test]
    fn flipped_bits_never_panic(
        state in random::state(), flips in vec((any::<prop::sample::Index>(), 0u8..8), 1..6)
    ) {
        let mut bytes = state.encode();
        for (place, bit) in flips {
            let i = place.index(bytes.len());
            bytes[i] ^= 1 << bit;
        }
        read_everything(&bytes);
    }

    #[test]
    fn a_capped_state_allows_nothing(state in random::state()) {
        let capped = State::decode(&state.capped().encode()).unwrap();
        prop_assert!(capped.overflow);
        prop_assert!(!decide::allows(&capped.encode(), &newsletter(day(9000))));
    }
}

#[test]
fn the_milliseconds_of_a_listing_are_not_lost_in_storage() {
    for kind in [EventKind::RegisterListed, EventKind::RegisterDelisted, EventKind::LegalHold] {
        let listed = Fact { register: Some(Register::Tps), ..fact(kind, Instant(NEW_YEAR.0 + 1)) };
        let state = State::of_fact(&listed);
        assert_eq!(State::decode(&state.encode()).unwrap(), state, "{kind}");
    }
}

#[test]
fn a_usual_contact_stays_small() {
    let opt_in = fact(EventKind::OptIn, day(3));
    let facts: Vec<_> = purchases(5).into_iter().map(|p| Fact { category: p.category * 37, ..p }).collect();
    let bytes = merged(&merged(&gb(), &State::of_fact(&opt_in)), &state_of(&facts)).encode();
    println!("a usual contact takes {} bytes", bytes.len());
    assert!(bytes.len() <= 130, "{} bytes", bytes.len());
}

#[test]
fn three_hundred_categories_stay_in_the_row() {
    let bytes = merged(&gb(), &state_of(&purchases(300))).encode();
    println!("300 categories take {} bytes", bytes.len());
    assert!(bytes.len() < MAX_STATE_BYTES, "{} bytes", bytes.len());
}

#[test]
fn a_capped_state_fits_and_still_refuses() {
    let mut facts = purchases(2000);
    facts.extend((1..=50).map(|category| Fact {
        category,
        scope: Scope::Category,
        ..fact(EventKind::OptOut, day(i64::from(category)))
    }));
    let full = merged(&gb(), &state_of(&facts));
    let capped = full.capped();
    assert!(full.encode().len() > MAX_STATE_BYTES);
    assert!(capped.encode().len() <= MAX_STATE_BYTES, "{} bytes", capped.encode().len());
    assert!(!decide::allows(&capped.encode(), &newsletter(day(900))));
}

#[test]
fn a_contact_of_many_contracts_fits_once_capped() {
    let contracts: Vec<_> =
        purchases(300).into_iter().map(|p| Fact { kind: EventKind::SubscriptionStart, ..p }).collect();
    let capped = merged(&gb(), &state_of(&contracts)).capped().encode();
    assert!(capped.len() <= MAX_STATE_BYTES, "{} bytes", capped.len());
}

#[test]
fn a_state_of_another_version_is_not_guessed_at() {
    let mut bytes = gb().encode();
    bytes[0] = VERSION + 1;
    assert_eq!(State::decode(&bytes), Err(Corrupt));
    assert_eq!(decide::decide(&bytes, &newsletter(day(900)), None).unwrap_err().reason, Reason::Dirty);
}

#[test]
fn bytes_behind_the_last_section_are_refused() {
    let mut bytes = gb().encode();
    bytes.push(0);
    assert_eq!(State::decode(&bytes), Err(Corrupt));
}

#[test]
fn a_state_whose_facts_are_out_of_order_is_refused() {
    // Merging searches by key: an unsorted state could hide an atom.
    let (a, b) = (day(1), day(2));
    let one = |category, at| Fact { scope: Scope::Category, category, ..fact(EventKind::OptOut, at) };
    let sorted = state_of(&[one(1, a), one(2, b)]);
    let unsorted = State { atoms: sorted.atoms.iter().rev().copied().collect(), ..sorted };
    assert_eq!(State::decode(&unsorted.encode()), Err(Corrupt));
}

fn opt_ins(state: &State) -> Vec<OptIn> {
    let opt_in = |a: &Atom| if let Atom::OptIn(o) = a { Some(*o) } else { None };
    state.atoms().iter().filter_map(opt_in).collect()
}

#[test]
fn an_unproven_later_opt_in_does_not_hide_a_proven_earlier_one() {
    let proven = fact(EventKind::OptIn, day(1));
    for grade in [Grade::None, Grade::StateOnly] {
        let unproven = Fact { grade, ..fact(EventKind::OptIn, day(2)) };
        let kept = opt_ins(&state_of(&[proven.clone(), unproven]));
        assert!(kept.iter().any(|o| o.grade == Grade::Proof && o.at == day(1)), "{kept:?}");
    }
}

#[test]
fn an_opt_in_for_three_months_does_not_hide_an_endless_one() {
    for endless in [Expiry::Never, Expiry::Unstated] {
        let first = Fact { expires: endless, ..fact(EventKind::OptIn, day(1)) };
        let short = Fact { expires: Expiry::At(day(92)), ..fact(EventKind::OptIn, day(2)) };
        let kept = opt_ins(&state_of(&[first, short]));
        assert!(kept.iter().any(|o| o.expires == endless), "{kept:?}");
    }
}

#[test]
fn a_weaker_later_opt_in_does_not_hide_a_stronger_earlier_one() {
    let strong = Fact { names_sender: true, ..fact(EventKind::OptIn, day(1)) };
    let later = Fact { at: day(2), recorded_at: day(2), ..strong.clone() };
    for weak in [
        Fact { method: Some(Method::PreTicked), ..later.clone() },
        Fact { method: None, ..later.clone() },
        Fact { names_sender: false, ..later.clone() },
        Fact { from_person: false, ..later.clone() },
        Fact { pending: true, ..later.clone() },
        Fact { channels: Channel::Post.into(), ..later.clone() },
        Fact { purposes: Purpose::Survey.into(), ..later.clone() },
        Fact { category: 5, ..later.clone() },
        Fact { address: 5, ..later.clone() },
        Fact { other_contact: 5, ..later },
    ] {
        let kept = opt_ins(&state_of(&[strong.clone(), weak]));
        assert_eq!(kept.len(), 2, "{kept:?}");
    }
}

#[test]
fn the_same_opt_in_given_again_takes_no_more_room() {
    let daily: Vec<_> = (0..100).map(|n| fact(EventKind::OptIn, day(n))).collect();
    let kept = opt_ins(&state_of(&daily));
    assert_eq!(kept.iter().map(|o| o.at).collect::<Vec<_>>(), [day(99)]);
}

fn tps(kind: EventKind, at: Instant) -> Fact {
    Fact { register: Some(Register::Tps), channels: EnumSet::empty(), ..Fact::new(kind, at, 0) }
}

fn listed_since(facts: &[Fact]) -> Option<Instant> {
    match state_of(facts).atoms() {
        [Atom::Listing(l)] => l.listed_since(Instant::MAX),
        other => panic!("{other:?}"),
    }
}

#[test]
fn relisting_on_a_register_after_a_removal_is_not_treated_as_fresh() {
    use EventKind::{RegisterDelisted as Off, RegisterListed as On};
    assert_eq!(listed_since(&[tps(On, day(1)), tps(On, day(9))]), Some(day(1)));
    assert_eq!(listed_since(&[tps(On, day(1)), tps(Off, day(5))]), None);
    assert_eq!(listed_since(&[tps(On, day(1)), tps(Off, day(5)), tps(On, day(9))]), Some(day(5)));
    assert_eq!(listed_since(&[tps(Off, day(5)), tps(On, day(5))]), Some(day(5)));
    assert_eq!(listed_since(&[tps(Off, day(5)), tps(On, day(9))]), Some(day(9)));
    assert_eq!(listed_since(&[tps(Off, day(5))]), None);
}

#[test]
fn what_the_operator_or_a_machine_did_leaves_no_trace() {
    use EventKind::*;
    for kind in [SystemOptIn, OptInUnanswered, Open, Bounce, CallAttempt, Preference] {
        assert_eq!(State::of_fact(&fact(kind, day(1))), State::default(), "{kind}");
    }
    for kind in [Click, Login, InboundContact] {
        let scanner = Fact { machine: true, ..fact(kind, day(1)) };
        assert_eq!(State::of_fact(&scanner), State::default(), "{kind}");
    }
    let service = Fact { nature: Some(Nature::Transactional), ..fact(Sent, day(1)) };
    assert_eq!(State::of_fact(&service), State::default());
}

fn sent(at: Instant) -> State {
    let mail = Fact { nature: Some(Nature::Marketing), compliant: true, ..fact(EventKind::Sent, at) };
    State::of_fact(&mail)
}

#[test]
fn years_of_newsletters_take_the_space_of_one_and_a_gap_stays_visible() {
    let days = |n: i64| Instant(day(1).0 + n * 86_400_000);
    let weekly = |from: i64| (0..200).map(|week| sent(days(from + week * 7))).collect::<Vec<_>>();
    let fold = |parts: &[State]| parts.iter().fold(State::default(), |all, part| merged(&all, part));
    let early = fold(&weekly(0));
    assert_eq!(early.atoms().len(), 1);
    let after_a_year_and_a_day = fold(&[weekly(199 * 7 + 366), weekly(0)].concat());
    assert_eq!(after_a_year_and_a_day.atoms().len(), 2);
    let bridge = merged(&after_a_year_and_a_day, &sent(days(199 * 7 + 180)));
    assert_eq!(bridge.atoms().len(), 1);
    assert_eq!(State::decode(&bridge.encode()).unwrap(), bridge);
}

#[test]
fn a_state_with_a_fact_knows_nothing_of_the_time_before_it() {
    let late = Fact { recorded_at: day(9), ..fact(EventKind::OptOut, day(5)) };
    assert_eq!(State::of_fact(&late).horizon, day(5));
    assert_eq!(
        merged(&State::of_fact(&late), &State::of_fact(&fact(EventKind::OptIn, day(7)))).horizon,
        day(7)
    );
}

#[test]
fn the_newest_profile_wins_as_a_whole() {
    let old = Profile { zone: "Europe/London".into(), ..gb().profile.unwrap() };
    let new = Profile::new(day(1), Some("FR"), None, None).unwrap();
    let both = merged(&State::of_profile(new.clone()), &State::of_profile(old));
    assert_eq!(both.profile, Some(new));
}

#[test]
fn a_broken_source_is_never_merged_away() {
    let broken = State { dirty: true, overflow: true, ..State::default() };
    let both = merged(&broken, &state_of(&purchases(1)));
    assert!(both.dirty && both.overflow);
}
