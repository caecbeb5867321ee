//! In what a stored state differs from the one that all facts give.

use super::{Atom, State};
use crate::codes::EventKind;
use std::collections::BTreeSet;

/// The kinds of difference, each a code: `missing opt_out`, `extra relation`, `changed action`, `profile`, `address`,
/// `dirty`, `horizon`, `overflow`, `unreadable`. Missing is what the facts give and the stored state lacks. Empty: the two
/// say the same.
pub fn differences(stored: &[u8], facts: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (Ok(stored), Ok(facts)) = (State::decode(stored), State::decode(facts)) else {
        return BTreeSet::from(["unreadable".to_owned()]);
    };
    let mut note = |differs: bool, what: &str| {
        if differs {
            found.insert(what.to_owned());
        }
    };
    note(stored.dirty != facts.dirty, "dirty");
    note(stored.overflow != facts.overflow, "overflow");
    let addresses = |s: &State| s.profile.as_ref().map(|p| p.addresses);
    let others = |s: &State| {
        s.profile.clone().map(|mut p| {
            p.addresses = Default::default();
            p
        })
    };
    note(others(&stored) != others(&facts), "profile");
    note(addresses(&stored).unwrap_or_default() != addresses(&facts).unwrap_or_default(), "address");
    let lacks = |a: &State, b: &State| {
        let there = |atom: &&Atom| !b.atoms.contains(atom);
        a.atoms.iter().filter(there).copied().collect::<Vec<_>>()
    };
    let (extra, missing) = (lacks(&stored, &facts), lacks(&facts, &stored));
    let keys = |atoms: &[Atom]| atoms.iter().map(Atom::key).collect::<BTreeSet<_>>();
    let (extra_keys, missing_keys) = (keys(&extra), keys(&missing));
    for atom in &missing {
        let how = if extra_keys.contains(&atom.key()) { "changed" } else { "missing" };
        note(true, &format!("{how} {}", name(atom)));
    }
    for atom in extra.iter().filter(|a| !missing_keys.contains(&a.key())) {
        note(true, &format!("extra {}", name(atom)));
    }
    // It follows from the facts, and says something only alone.
    if found.is_empty() && stored.horizon != facts.horizon {
        found.insert("horizon".to_owned());
    }
    found
}

fn name(atom: &Atom) -> &'static str {
    match atom {
        Atom::Restriction(r) if r.other_contact != 0 => "refusal_of_another",
        Atom::Restriction(r) => r.kind.code(),
        Atom::Listing(_) => "register_entry",
        Atom::OptIn(_) => "opt_in",
        Atom::Confirmation(_) => "confirmation",
        Atom::Relation(r) if r.kind == EventKind::InboundContact => "inbound_contact",
        Atom::Relation(_) => "relationship",
        Atom::Contract(_) => "contract",
        Atom::Action(_) => "action",
        Atom::Hold(_) => "legal_hold",
        Atom::Sends(_) => "messages_sent",
        Atom::Transfer(_) => "business_transfer",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::codes::Method;
    use crate::fact::Fact;
    use crate::profile::Profile;
    use crate::time::Instant;

    const DAY: i64 = 86_400_000;

    fn fact(kind: EventKind, day: i64) -> Fact {
        Fact { method: Some(Method::Active), ..Fact::new(kind, Instant((20_000 + day) * DAY), 1) }
    }

    fn state(facts: &[&Fact]) -> State {
        let mut state = State::default();
        facts.iter().for_each(|f| state.merge(&State::of_fact(f)));
        state
    }

    #[test]
    fn a_difference_is_named_by_what_it_concerns() {
        let bought = fact(EventKind::Purchase, 0);
        let refused = fact(EventKind::OptOut, 1);
        let names = |a: &State, b: &State| {
            differences(&a.encode(), &b.encode()).into_iter().collect::<Vec<_>>().join(", ")
        };
        let (both, one) = (state(&[&bought, &refused]), state(&[&bought]));
        assert_eq!(names(&one, &both), "missing opt_out");
        assert_eq!(names(&both, &one), "extra opt_out");
        assert_eq!(names(&both, &both), "");
        assert_eq!(names(&one, &state(&[&fact(EventKind::Purchase, 3)])), "changed relationship");
        let holder = Fact { other_contact: 7, ..refused };
        assert_eq!(names(&one, &state(&[&bought, &holder])), "missing refusal_of_another");
        assert_eq!(names(&State { dirty: true, ..one.clone() }, &one), "dirty");

        let mut profile = Profile::new(Instant(0), Some("GB"), None, None).unwrap();
        let of = |p: &Profile| State { profile: Some(p.clone()), ..one.clone() };
        let before = of(&profile);
        assert_eq!(names(&before, &one), "profile");
        profile.addresses[0].tag = 5;
        assert_eq!(names(&before, &of(&profile)), "address");
        assert_eq!(differences(&[9], &one.encode()).into_iter().collect::<Vec<_>>(), ["unreadable"]);
    }
}
