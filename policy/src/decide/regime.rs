//! Legitimate interests and opt-out regimes: what the law leaves to the person to refuse, and the conditions about where
//! the address came from. GDPR art. 6(1)(f); the do-not-call laws.

use super::Check;
use super::case::Case;
use super::permission::{Miss, Outcome, unlisted};
use super::relationship;
use crate::codes::*;
use crate::pack::{PurposeTold, Regime};
use crate::state::{Atom, Relation};

/// Allowed unless refused, where the conditions are shown.
pub(super) fn evaluate<'q>(case: &Case<'_, 'q>, regime: &Regime) -> Check<'q, Outcome<'q>> {
    let free_until = match unlisted(case, regime.unlisted)? {
        Ok(free_until) => free_until,
        Err(listed) => return Ok(Outcome::Misses(listed)),
    };
    let asked = case.purpose_asked().filter(|_| !regime.whatever_purpose);
    let purpose = asked.map_or(regime.purpose, |(purpose, _)| purpose.max(regime.purpose));
    let origin = Origin::of(case, regime, purpose)?;
    let miss = |reason, progress, atom: Option<Atom>| {
        Ok(Outcome::Misses(atom.map_or(Miss::NOTHING, |a| Miss::new(reason, progress, a))))
    };
    if regime.not_bought && origin.bought.is_some() && origin.collected.is_none() {
        return miss(Reason::NoBasis, 1, origin.bought);
    }
    if (regime.from_person || asked.is_some()) && origin.told.is_none() {
        let (reason, progress, atom) = match origin.collected {
            Some(_) => (Reason::ConsentOtherPurpose, 54, origin.collected),
            None => (Reason::NoBasis, 1, origin.bought.or(origin.known)),
        };
        let rule = asked.map(|(_, rule)| rule).filter(|_| !regime.from_person);
        let miss = atom.map_or(Miss::NOTHING, |a| Miss::new(reason, progress, a));
        return Ok(Outcome::Misses(Miss { rule, ..miss }));
    }
    if regime.profession_related && !case.question.message.form.profession_related {
        let support = origin.known.or(origin.bought);
        return Ok(Outcome::Misses(Miss {
            reason: Reason::RelevanceUnproven,
            progress: 30,
            support,
            ..Miss::NOTHING
        }));
    }
    if regime.informed && origin.informed.is_none() {
        return miss(Reason::RelationshipNoOptOutOffered, 40, origin.known);
    }
    let support = origin.informed.or(origin.told).or(origin.known);
    Ok(Outcome::Holds { until: free_until, support, switch: None })
}

/// Where the sender has the address from.
#[derive(Default)]
struct Origin {
    bought: Option<Atom>,
    /// Any dealing of the address's owner with the sender.
    known: Option<Atom>,
    informed: Option<Atom>,
    /// The person gave this very address for the channel, and there is proof of it...
    collected: Option<Atom>,
    /// ...and was told that it would serve marketing.
    told: Option<Atom>,
}

impl Origin {
    fn of<'q>(case: &Case<'_, 'q>, regime: &Regime, purpose: PurposeTold) -> Check<'q, Origin> {
        let mut origin = Origin::default();
        for relation in case.view.relations() {
            let r = relation?;
            // Who calls in has given no address.
            if r.sender != case.sender() || r.kind == EventKind::InboundContact {
                continue;
            }
            let third_party = match r.kind {
                EventKind::BoughtList => !(regime.bought_with_proof && r.grade == Grade::Proof),
                EventKind::Scraped => true,
                EventKind::ImportedList => !r.from_person,
                _ => false,
            };
            if third_party {
                origin.bought = Some(Atom::Relation(r));
                continue;
            }
            if !case.concerns_current_address(r.address, r.at) {
                continue;
            }
            origin.known = Some(Atom::Relation(r));
            if r.opt_out_offered == Tri::Yes && r.relevant_to_role != Tri::No {
                origin.informed = Some(Atom::Relation(r));
            }
            if gives_the_address(&r) && r.grade != Grade::None && r.channels.contains(case.channel()) {
                origin.collected = Some(Atom::Relation(r));
                if relationship::told(case, purpose, r.purposes) {
                    origin.told = Some(Atom::Relation(r));
                }
            }
        }
        if origin.bought.is_none() {
            origin.bought = brokered(case)?;
        }
        Ok(origin)
    }
}

/// Whether on such an occasion the person hands over the address that is used for it.
fn gives_the_address(r: &Relation) -> bool {
    use EventKind::*;
    r.from_person
        && !matches!(r.kind, ImportedList | BoughtList | Scraped | AddressPublished | Browse | Referral)
}

/// A consent for this address that a broker collected and that is void or not proved: no other ground makes up for it
/// (CNIL, Foriou, Hubside, Solocal).
fn brokered<'q>(case: &Case<'_, 'q>) -> Check<'q, Option<Atom>> {
    for atom in case.view.opt_ins() {
        if let Atom::OptIn(o) = atom? {
            let good = o.sender == case.sender() && o.names_sender && o.grade == Grade::Proof;
            let of_this_address =
                o.channels.contains(case.channel()) && case.concerns_current_address(o.address, o.at);
            if o.method == Method::ThirdParty && o.other_contact == 0 && !good && of_this_address {
                return Ok(Some(Atom::OptIn(o)));
            }
        }
    }
    Ok(None)
}
