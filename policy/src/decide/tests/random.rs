//! Random facts, profiles and states, for the properties of states and of decisions alike.
//!
//! Everything is drawn from small pools, so that facts meet: the same sender, category, address, even instant.

use crate::codes::*;
use crate::fact::{Expiry, Fact};
use crate::pack::{REGION_UNKNOWN, builtin};
use crate::profile::{AddressInUse, Profile};
use crate::state::State;
use crate::time::Instant;
use enumset::EnumSet;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

/// 2021-01-01T00:00:00Z.
const FIRST: i64 = 1_609_459_200_000;
const DAY: i64 = 86_400_000;

/// 2021 to 2026, often on the same instant as another, now and then between two seconds.
pub fn instant() -> impl Strategy<Value = Instant> {
    (0..6 * 365i64, 0..3i64, select(vec![0, 0, 0, 1, 999]))
        .prop_map(|(day, part, ms)| Instant(FIRST + day * DAY + part * DAY / 3 + ms))
}

pub fn channels() -> impl Strategy<Value = EnumSet<Channel>> {
    prop_oneof![
        Just(EnumSet::all()),
        Just(Channel::Email.into()),
        (0u8..32).prop_map(EnumSet::from_u8_truncated)
    ]
}

fn purposes() -> impl Strategy<Value = EnumSet<Purpose>> {
    prop_oneof![Just(EnumSet::all()), (0u8..64).prop_map(EnumSet::from_u8_truncated)]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![Just(Expiry::Unstated), Just(Expiry::Never), instant().prop_map(Expiry::At)]
}

/// Any fact at all.
pub fn anything() -> impl Strategy<Value = Fact> {
    let what = (select(EventKind::ALL), instant(), option::of(instant()), select(vec![1, 1, 1, 2, u32::MAX]));
    let about = (channels(), select(vec![0, 10, 11, 12, 20, 70_000]), purposes());
    let collected = (select(Tri::ALL), any::<bool>(), any::<bool>(), select(Grade::ALL), any::<bool>());
    let whose = (select(vec![0, 0, 7, 8, u32::MAX]), select(vec![0, 0, 0, 9]));
    let opt_in = (option::of(select(Method::ALL)), any::<bool>(), any::<bool>(), expiry());
    let other = (
        select(Scope::ALL),
        option::of(select(Via::ALL)),
        option::of(select(Register::ALL)),
        select(Tri::ALL),
        select(Tri::ALL),
        any::<bool>(),
    );
    let new = (option::of(select(Nature::ALL)), any::<bool>(), any::<bool>(), select(vec![0, 1, 2, 3]));
    (what, about, collected, whose, opt_in, other, new).prop_map(
        |(what, about, collected, whose, opt_in, other, new)| Fact {
            recorded_at: what.2.unwrap_or(what.1),
            channels: about.0,
            category: about.1,
            purposes: about.2,
            opt_out_offered: collected.0,
            refused: collected.1,
            from_person: collected.2,
            grade: collected.3,
            funded_by_paid: collected.4,
            address: whose.0,
            other_contact: whose.1,
            method: opt_in.0,
            names_sender: opt_in.1,
            pending: opt_in.2,
            expires: opt_in.3,
            scope: other.0,
            via: other.1,
            register: other.2,
            refusal_notice: other.3,
            relevant_to_role: other.4,
            machine: other.5,
            nature: new.0,
            compliant: new.1,
            referred: new.2,
            to: new.3,
            ..Fact::new(what.0, what.1, what.3)
        },
    )
}

/// A fact as a careful sender collects it, so that random contacts are not all refused.
pub fn helpful() -> impl Strategy<Value = Fact> {
    use EventKind::*;
    let customer = [Purchase, ContractStart, QuoteRequest, Enquiry, Donation, MembershipStart, OptIn, OptIn];
    let other = [Click, Login, InboundContact, Referral, AddressPublished, AddressDisclosed];
    let kind = select([customer.as_slice(), &other].concat());
    let told = prop_oneof![Just(EnumSet::all()), Just(Purpose::Marketing | Purpose::Newsletter)];
    let method = select(vec![Method::Active, Method::Active, Method::WrittenSigned]);
    let what = (kind, instant(), select(vec![0, 10, 11]), expiry(), told, method);
    // Now and then from the predecessor in business.
    (what, select(vec![1, 1, 1, 2])).prop_map(|((kind, at, category, expires, purposes, method), sender)| {
        Fact {
            channels: EnumSet::all(),
            category: if kind == OptIn { 0 } else { category },
            opt_out_offered: Tri::Yes,
            refusal_notice: Tri::No,
            relevant_to_role: Tri::Yes,
            referred: true,
            method: Some(method),
            purposes,
            expires,
            ..Fact::new(kind, at, sender)
        }
    })
}

/// What the sender itself did: its messages, and the business it took over.
pub fn deeds() -> impl Strategy<Value = Fact> {
    let sent = (instant(), channels(), prop::bool::weighted(0.8)).prop_map(|(at, channels, compliant)| {
        Fact { channels, compliant, nature: Some(Nature::Marketing), ..Fact::new(EventKind::Sent, at, 1) }
    });
    let taken_over =
        instant().prop_map(|at| Fact { to: 1, ..Fact::new(EventKind::BusinessTransferred, at, 2) });
    prop_oneof![2 => sent, 1 => taken_over]
}

pub fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![4 => anything(), 4 => helpful(), 1 => deeds()]
}

/// Country, region and zone: every country and region that a pack names, and some oddities.
fn places() -> Vec<(String, String, String)> {
    let mut all: Vec<[&str; 3]> = vec![
        ["GB", "SCT", "Europe/London"],
        ["FR", "974", "Indian/Reunion"],
        ["FR", "", "America/Martinique"],
        ["FR", "", "No/Such_Zone"],
        ["ZZ", "", ""],
        ["XX", "", "Asia/Tokyo"],
    ];
    for pack in builtin() {
        all.extend(pack.countries.iter().map(|c| [c.code.as_str(), "", ""]));
        let regions = pack.rules.iter().flat_map(|r| r.when.regions.iter().chain(&r.when.except_regions));
        let regions: BTreeSet<&str> = regions.map(String::as_str).filter(|r| *r != REGION_UNKNOWN).collect();
        let first = pack.countries.first().map_or("ZZ", |c| c.code.as_str());
        all.extend(regions.into_iter().map(|r| [first, r, ""]));
    }
    all.into_iter().map(|place| place.map(str::to_owned).into()).collect()
}

pub fn profile() -> impl Strategy<Value = Profile> {
    let place = select(places());
    let who = (select(Subscriber::ALL), select(AddressKind::ALL), select(Line::ALL));
    let address = || {
        (select(vec![0, 7, 7, u32::MAX]), option::weighted(0.3, instant()))
            .prop_map(|(tag, since)| AddressInUse { tag, since })
    };
    (instant(), place, who, [address(), address(), address()]).prop_map(
        |(as_of, (country, region, zone), (subscriber, address_kind, line), addresses)| Profile {
            as_of,
            country: [country.as_bytes()[0], country.as_bytes()[1]],
            region,
            zone,
            subscriber,
            address_kind,
            line,
            addresses,
        },
    )
}

/// The state of some facts, mostly with a profile, now and then broken.
pub fn state() -> impl Strategy<Value = State> {
    let broken = (prop::bool::weighted(0.03), prop::bool::weighted(0.03));
    (vec(fact(), 0..12), option::weighted(0.9, profile()), broken).prop_map(|(facts, profile, broken)| {
        let mut state = fold(profile, &facts);
        (state.dirty, state.overflow) = broken;
        state
    })
}

pub fn fold(profile: Option<Profile>, facts: &[Fact]) -> State {
    let mut state = profile.map_or_else(State::default, State::of_profile);
    facts.iter().for_each(|f| state.merge(&State::of_fact(f)));
    state
}
