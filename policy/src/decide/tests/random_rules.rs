//! Random rules of every kind, and random changes of rules, for the properties of own rules.
//!
//! Drawn from small pools like the facts, so that rules meet them and each other.

use crate::codes::*;
use crate::holiday::Holiday;
use crate::pack::*;
use crate::time::Period;
use chrono::{NaiveDate, NaiveTime};
use enumset::{EnumSet, EnumSetType};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

fn some_of<T: EnumSetType + std::fmt::Debug>(all: &'static [T]) -> impl Strategy<Value = EnumSet<T>> {
    let subset = |range| subsequence(all, range).prop_map(|items| items.into_iter().collect());
    prop_oneof![subset(0..=all.len()), subset(1..=all.len().min(3))]
}

fn day() -> impl Strategy<Value = NaiveDate> {
    let days =
        ["2003-12-11", "2020-01-01", "2021-01-01", "2022-06-01", "2023-06-01", "2026-01-01", "2028-01-01"];
    select(days.map(|d| d.parse().unwrap()).to_vec())
}

fn period() -> impl Strategy<Value = Period> {
    let period = |years, months, days| Period { years, months, days };
    let pool = [(0, 0, 0), (0, 0, 30), (0, 0, 400), (0, 6, 0), (1, 0, 0), (2, 0, 0), (2, 1, 3), (3, 0, 0)];
    select(pool.map(|(y, m, d)| period(y, m, d)).to_vec())
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let time = |h| NaiveTime::from_hms_opt(h, 0, 0).unwrap();
    let span = (0u32..22, 1u32..12)
        .prop_map(move |(from, long)| Span { from: time(from), to: time((from + long).min(23)) });
    vec(span, 0..3)
}

fn purpose() -> impl Strategy<Value = PurposeTold> {
    select(vec![PurposeTold::Any, PurposeTold::Disclosed, PurposeTold::Named])
}

fn basis() -> impl Strategy<Value = Basis> {
    select(vec![Basis::SoftOptIn, Basis::CharitySoftOptIn, Basis::BusinessRelationship])
}

/// Occasions that random facts have often.
const OCCASIONS: &[EventKind] = &[
    EventKind::Purchase,
    EventKind::ContractStart,
    EventKind::QuoteRequest,
    EventKind::Basket,
    EventKind::Donation,
    EventKind::FreeAccount,
    EventKind::BoughtList,
    EventKind::AddressPublished,
];

fn relationship(switches: Vec<String>) -> impl Strategy<Value = Relationship> {
    let contested = proptest::collection::btree_map(select(OCCASIONS), select(switches.clone()), 0..3);
    let days = (option::weighted(0.2, day()), option::weighted(0.1, day()));
    let windows = (option::of(period()), option::of(period()), option::weighted(0.3, select(switches)));
    let rare = || prop::bool::weighted(0.15);
    let flags = (any::<[bool; 4]>(), [rare(), rare(), rare(), rare(), rare(), rare()]);
    let how = (basis(), select(vec![Counting::Forward, Counting::BackFromSendDay]), purpose(), any::<bool>());
    (some_of(OCCASIONS), contested, days, windows, flags, how).prop_map(
        |(
            kinds,
            contested,
            (before, mailed_before),
            (window, after_end, ended_contested),
            (often, rare),
            how,
        )| {
            Relationship {
                basis: how.0,
                kinds,
                contested,
                refusal_offered: often[0],
                from_person: often[1],
                similar: often[2],
                same_category: rare[5],
                running: often[3],
                after_end: after_end.filter(|_| often[3]),
                ended_contested: ended_contested.filter(|_| often[3]),
                window,
                counting: how.1,
                renewed_by_sends: how.3 && window.is_some(),
                first_message: rare[0],
                before,
                mailed_before,
                collected_in_force: rare[1],
                role_related: rare[2],
                no_refusal_notice: rare[3],
                purpose: how.2,
                referred: rare[4],
                inherited: how.3,
            }
        },
    )
}

/// A requirement of each kind.
fn requirements(switches: Vec<String>) -> impl Strategy<Value = Vec<Requirement>> {
    let flags = any::<[bool; 20]>();
    let sets = (some_of(Register::ALL), some_of(Register::ALL), some_of(Channel::ALL));
    let periods = (option::of(period()), option::of(period()), period());
    let numbers = (option::of(0u32..1_000_000), 0u32..60, 1u32..4, 1u32..40);
    let hours = (spans(), spans(), spans());
    let actions = some_of(OCCASIONS);
    (relationship(switches), flags, sets, periods, numbers, hours, (purpose(), actions)).prop_map(
        |(relationship, f, (registers, unlisted, channels), periods, n, hours, (purpose, actions))| {
            vec![
                Requirement::Service(Service {
                    basis: Basis::Contract,
                    after_erasure: f[0],
                    never_refused: f[1],
                    minutes_after_refusal: n.0.filter(|_| f[2]),
                }),
                Requirement::Consent(Consent {
                    max_age: periods.0,
                    lapses: f[3] && periods.0.is_some(),
                    unused: periods.1,
                    written: f[4] && f[5],
                    named_purpose: f[6] && f[5],
                    unlisted: if f[15] { unlisted } else { EnumSet::empty() },
                }),
                Requirement::Relationship(relationship),
                Requirement::Regime(Regime {
                    basis: Basis::LegitimateInterest,
                    informed: f[7],
                    profession_related: f[8],
                    not_bought: f[9],
                    bought_with_proof: f[10],
                    from_person: f[11],
                    purpose,
                    whatever_purpose: f[16],
                    unlisted,
                }),
                Requirement::OngoingContract(OngoingContract { basis: Basis::Contract }),
                Requirement::Prohibited(Prohibited { except_ongoing_contract: f[12] }),
                Requirement::Register(RegisterCheck {
                    registers,
                    grace_days: n.1 * 20,
                    names_sender: f[13],
                    unless_consent: f[14],
                }),
                Requirement::Hours(Hours {
                    weekdays: hours.0,
                    saturday: hours.1,
                    sunday: hours.2,
                    on_holidays: f[15],
                }),
                Requirement::Cap(Cap {
                    attempts: n.2,
                    days: if f[16] { n.3 } else { 0 },
                    hours: if f[16] { 0 } else { n.3 },
                }),
                Requirement::Form(FormDuties {
                    unsubscribe: f[16],
                    identity: f[17],
                    postal_address: f[18],
                    subject: f[19],
                }),
                Requirement::Retention(Retention {
                    after: periods.2,
                    actions,
                    warn_days: 90,
                    renewal_days: n.1,
                }),
                Requirement::OptOutReach(OptOutReach { channels, only_from_everything: f[16] }),
                Requirement::CollectedFor(CollectedFor {
                    purpose: if f[17] { PurposeTold::Named } else { PurposeTold::Disclosed },
                }),
            ]
        },
    )
}

fn when(pack: &Pack) -> impl Strategy<Value = When> + use<> {
    let switches: Vec<String> = pack.switches.iter().map(|s| s.id.clone()).collect();
    let own: Vec<String> = pack.countries.iter().map(|c| c.code.clone()).collect();
    let places = ["SCT", "974", REGION_UNKNOWN].map(str::to_owned).to_vec();
    let regions = || prop_oneof![4 => Just(Vec::new()), 1 => subsequence(places.clone(), 1..=2)];
    let people = ["individual:*", "unknown:*", "corporate:*", "sole_trader:personal", "partnership:role"];
    let to = prop_oneof![3 => Just(Audience::default()), 1 => subsequence(people.to_vec(), 1..=4).prop_map(|patterns| {
        Audience::try_from(patterns.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap()
    })];
    const TRAITS: &[SenderTrait] =
        &[SenderTrait::Charity, SenderTrait::PoliticalParty, SenderTrait::PensionAuthorised];
    let sender = option::weighted(0.2, select(TRAITS.to_vec()));
    let lacks = prop_oneof![4 => Just(EnumSet::empty()), 1 => some_of(TRAITS)];
    let registered_as = option::weighted(0.2, some_of(Nature::ALL));
    let what = (
        option::of(some_of(Nature::ALL)),
        prop_oneof![3 => Just(EnumSet::empty()), 1 => some_of(Nature::ALL)],
        option::of(some_of(Channel::ALL)),
        option::weighted(0.2, some_of(Line::ALL)),
    );
    let whose = (to, regions(), regions(), subsequence(own.clone(), 0..=own.len()), subsequence(own, 0..=1));
    let about = (
        option::weighted(0.2, some_of(Sector::ALL)),
        prop_oneof![4 => Just(EnumSet::empty()), 1 => some_of(Sector::ALL)],
        option::weighted(0.2, some_of(Promotional::ALL)),
        option::weighted(0.2, any::<bool>()),
        option::weighted(0.2, any::<bool>()),
    );
    (what, whose, about, (sender, lacks, registered_as), option::weighted(0.2, select(switches))).prop_map(
        |(what, whose, about, sender, switch)| When {
            natures: what.0,
            except_natures: what.1,
            registered_as: sender.2,
            channels: what.2,
            lines: what.3,
            to: whose.0,
            regions: whose.1,
            except_regions: whose.2,
            countries: whose.3,
            except_countries: whose.4,
            sectors: about.0,
            except_sectors: about.1,
            promotional: about.2,
            promotional_first: about.3,
            automated: about.4,
            sender: sender.0,
            sender_lacks: sender.1,
            switch,
        },
    )
}

/// A rule of each kind.
fn one_of_each(pack: &Pack) -> impl Strategy<Value = Vec<Rule>> + use<> {
    let switches: Vec<String> = pack.switches.iter().map(|s| s.id.clone()).collect();
    let dates = (day(), option::weighted(0.3, day()), option::weighted(0.2, select(switches.clone())));
    let id = pack.id.clone();
    // Mostly for everything, so that rules get in each other's way.
    let when = prop_oneof![1 => Just(When::default()), 1 => when(pack)];
    (requirements(switches), when, dates).prop_map(move |(requirements, when, (from, until, contested))| {
        let can_be_contested = |then: &Requirement| {
            use Requirement::*;
            matches!(then, Consent(_) | Relationship(_) | Regime(_) | OngoingContract(_) | Prohibited(_))
        };
        let rule = |(n, then): (usize, Requirement)| Rule {
            id: format!("{id}.random_{n}/1"),
            from,
            until: until.filter(|u| *u > from),
            when: when.clone(),
            contested: contested.clone().filter(|_| can_be_contested(&then)),
            then,
            citation: "chance".into(),
            source: String::new(),
            confidence: Confidence::Low,
            obligations: Vec::new(),
            note: String::new(),
        };
        requirements.into_iter().enumerate().map(rule).collect()
    })
}

/// A pack with some random rules beside, instead of or before its own.
pub fn pack(of: &'static Pack) -> impl Strategy<Value = Pack> {
    let random = vec((one_of_each(of), 0usize..13), 0..5);
    (random, any::<u64>(), any::<bool>()).prop_map(|(random, kept, first)| {
        let own = of.rules.iter().enumerate().filter(|(i, _)| kept >> (i % 64) & 1 == 1 || kept % 3 == 0);
        let own: Vec<Rule> = own.map(|(_, r)| r.clone()).collect();
        let random = random.into_iter().enumerate().map(|(n, (mut each, kind))| {
            let rule = each.swap_remove(kind);
            Rule { id: format!("{}{n}/1", rule.id.trim_end_matches("/1")), ..rule }
        });
        let random: Vec<Rule> = random.collect();
        let holidays = vec![Holiday::try_from("12-31".to_owned()).unwrap()];
        let rules = if first { [random, own].concat() } else { [own, random].concat() };
        Pack { rules, holidays, ..of.clone() }
    })
}

/// A document that tightens some rules of a pack at random, as far as it is valid, and adds some.
pub fn tightening(pack: Pack) -> impl Strategy<Value = (Pack, Value)> {
    let change = (any::<prop::sample::Index>(), one_of_each(&pack), vec(any::<prop::sample::Index>(), 1..12));
    let own = (one_of_each(&pack), 5usize..13);
    (vec(change, 1..8), vec(own, 0..2), option::weighted(0.3, day())).prop_map(move |(changes, own, from)| {
        let mut document = json!({"extends": pack.id, "tighten": {}, "rules": []});
        if let Some(from) = from {
            document["from"] = json!(from);
        }
        let packs = std::slice::from_ref(&pack);
        for (which, each, fields) in changes.iter().filter(|_| !pack.rules.is_empty()) {
            let rule = &pack.rules[which.index(pack.rules.len())];
            let like =
                each.iter().find(|r| std::mem::discriminant(&r.then) == std::mem::discriminant(&rule.then));
            let all = leaves(&serde_json::to_value(like).unwrap());
            for field in fields {
                let (path, value) = &all[field.index(all.len())];
                let mut tried = document.clone();
                set(&mut tried["tighten"][&rule.id], path, value.clone());
                if overlay::validate(&tried, packs).is_empty() {
                    document = tried;
                }
            }
        }
        for (n, (mut each, kind)) in own.into_iter().enumerate() {
            let rule = Rule { id: format!("{}.own_{n}/1", pack.id), ..each.swap_remove(kind) };
            let mut tried = document.clone();
            tried["rules"].as_array_mut().unwrap().push(json!(rule));
            if overlay::validate(&tried, packs).is_empty() {
                document = tried;
            }
        }
        (pack.clone(), document)
    })
}

/// The fields of a rule that a patch can change, with a value for each.
fn leaves(rule: &Value) -> Vec<(Vec<String>, Value)> {
    let mut found = Vec::new();
    for (name, value) in rule.as_object().unwrap() {
        match name.as_str() {
            "from" | "until" | "contested" => found.push((vec![name.clone()], value.clone())),
            "when" => {
                let fields = value.as_object().unwrap().iter();
                found.extend(fields.map(|(f, v)| (vec![name.clone(), f.clone()], v.clone())));
            }
            "then" => {
                // Twice, as often as all of `when`.
                for (kind, fields) in value.as_object().unwrap() {
                    let path = |f: &String| vec![name.clone(), kind.clone(), f.clone()];
                    let all: Vec<_> =
                        fields.as_object().unwrap().iter().map(|(f, v)| (path(f), v.clone())).collect();
                    found.extend([all.clone(), all].concat());
                }
            }
            _ => {}
        }
    }
    found
}

fn set(target: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *target = value;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    set(&mut target[first], rest, value);
}
