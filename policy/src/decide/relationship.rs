//! The soft opt-in and its relatives: marketing of similar products to people who gave their details in a sale
//! (or as the pack says) and could refuse. Directive 2002/58/EC art. 13(2); PECR reg. 22(3).

use super::Check;
use super::case::Case;
use super::permission::{Miss, Outcome};
use crate::codes::*;
use crate::pack::{Relationship, Rule};
use crate::state::{Atom, Relation};
use crate::time::{Instant, start_of_day};

pub(super) fn evaluate<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
) -> Check<'q, Outcome<'q>> {
    let mut nearest = Miss::NOTHING;
    let mut best: Option<(Instant, Relation, Option<&'q str>)> = None;
    for atom in case.view.relations() {
        let Atom::Relation(relation) = atom? else { continue };
        // Most purchases fall here; only an explanation wants to know which other limb they lack.
        if !case.exact && wanted.similar && !case.is_similar(&relation) {
            continue;
        }
        let mut runs_until = Instant::MAX;
        if wanted.running {
            let Some(end) = case.runs_until(relation.kind, relation.category)? else { continue };
            runs_until = end;
        }
        match judge(case, rule, wanted, &relation).map(|(until, switch)| (until.min(runs_until), switch)) {
            Ok((until, switch)) if best.is_none_or(|(b, ..)| until > b) => {
                best = Some((until, relation, switch))
            }
            Ok(_) => {}
            Err(miss) => nearest = nearest.nearer(miss),
        }
        if !case.exact && best.is_some() {
            break;
        }
    }
    Ok(match best {
        Some((until, r, switch)) => Outcome::Holds { until, support: Some(Atom::Relation(r)), switch },
        None => Outcome::Misses(nearest),
    })
}

/// Whether such an occasion would count for a limb that is not yet law.
pub(super) fn comes_into_force_later<'q>(
    case: &Case<'_, 'q>,
    wanted: &Relationship,
) -> Check<'q, Option<Atom>> {
    for atom in case.view.relations() {
        if let Atom::Relation(r) = atom? {
            let counts = r.sender == case.sender() && r.from_person && wanted.kinds.contains(r.kind);
            if counts && r.channels.contains(case.channel()) {
                return Ok(Some(Atom::Relation(r)));
            }
        }
    }
    Ok(None)
}

/// Occasions on which something was agreed, asked for or at least tried out; that they don't suffice here is
/// worth saying. The others (a published address, a scraped one) come near no relationship.
fn is_dealing(kind: EventKind) -> bool {
    use EventKind::*;
    matches!(
        kind,
        Purchase
            | ContractStart
            | SubscriptionStart
            | QuoteRequest
            | Enquiry
            | Basket
            | TrialStart
            | FreeAccount
            | AccountCreated
            | GeneralQuestion
            | Browse
    )
}

fn is_support(kind: EventKind) -> bool {
    use EventKind::*;
    matches!(kind, Donation | Volunteering | SupportExpressed | MembershipStart)
}

/// One occasion against the rule: until when it carries, or which limb it lacks and how near it came.
fn judge<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    wanted: &'q Relationship,
    r: &Relation,
) -> Result<(Instant, Option<&'q str>), Miss<'q>> {
    let lacks = |reason, progress| Err(Miss::new(reason, progress, Atom::Relation(*r)));
    if r.kind == EventKind::BoughtList {
        return lacks(Reason::RelationshipThirdPartyData, 10);
    }
    let counts = wanted.kinds.contains(r.kind);
    let switch = wanted.contested.get(&r.kind).map(String::as_str);
    if !counts && switch.is_none() && !is_dealing(r.kind) && !is_support(r.kind) {
        return Err(Miss::NOTHING);
    }
    if r.sender != case.sender() {
        return lacks(Reason::RelationshipOtherSender, 24);
    }
    if !case.concerns_current_address(r.address, r.at) {
        return lacks(Reason::NoBasis, 5);
    }
    if !r.from_person {
        return lacks(Reason::RelationshipThirdPartyData, 26);
    }
    if !counts && switch.is_none() {
        let wants_support = wanted.kinds.iter().any(is_support);
        let reason = if wants_support || is_support(r.kind) {
            Reason::RelationshipKindExcluded
        } else {
            Reason::RelationshipNoSale
        };
        return lacks(reason, 35);
    }
    if !r.channels.contains(case.channel()) {
        return lacks(Reason::RelationshipChannelExcluded, 45);
    }
    if wanted.collected_in_force && r.at < start_of_day(rule.from, case.zone()) {
        return lacks(Reason::NotYetInForce, 61);
    }
    if switch.is_some_and(|s| !case.switch(s)) {
        return Err(Miss { switch, ..Miss::new(Reason::Contested, 62, Atom::Relation(*r)) });
    }
    if r.grade == Grade::None {
        return lacks(Reason::ConsentUnproven, 70);
    }
    if wanted.refusal_offered && r.opt_out_offered != Tri::Yes {
        return lacks(Reason::RelationshipNoOptOutOffered, 80);
    }
    if wanted.similar && !case.is_similar(r) {
        return lacks(Reason::RelationshipNotSimilar, 100);
    }
    let until = match wanted.window {
        Some(window) => case.window_end(r.at, window),
        None => Some(Instant::MAX),
    };
    until.map(|u| (u, switch)).ok_or(Miss::new(Reason::RelationshipExpired, 110, Atom::Relation(*r)))
}
