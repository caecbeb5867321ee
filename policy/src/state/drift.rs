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
