//! The permissions of a message are alternatives: the longest-lived that holds is the basis, and where none
//! does, the one that came nearest gives the reason.

use super::case::Case;
use super::{Allowed, Check, Denied, Support, consent, register, relationship};
use crate::codes::*;
use crate::pack::{Consent, OngoingContract, PurposeTold, Regime, Requirement, Rule};
use crate::question::Phase;
use crate::state::Atom;
use crate::time::{Instant, start_of_day};
use enumset::EnumSet;

/// How one permission rule came out.
pub(super) enum Outcome<'q> {
    Holds { until: Instant, support: Support, switch: Option<&'q str> },
    Misses(Miss<'q>),
}

/// What a permission lacks. Higher `progress` is nearer to a yes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Miss<'q> {
    pub reason: Reason,
    pub progress: u8,
    pub support: Support,
    pub switch: Option<&'q str>,
    /// The rule that says so, where it is not the permission itself.
    pub rule: Option<&'q Rule>,
}

impl<'q> Miss<'q> {
    pub const NOTHING: Miss<'static> =
        Miss { reason: Reason::NoBasis, progress: 0, support: None, switch: None, rule: None };

    pub fn new(reason: Reason, progress: u8, atom: Atom) -> Miss<'q> {
        Miss { reason, progress, support: Some(atom), ..Miss::NOTHING }
    }

    /// The nearer of two; the first where they are alike.
    pub fn nearer(self, other: Miss<'q>) -> Miss<'q> {
        if other.progress > self.progress { other } else { self }
    }
}

pub(super) fn find<'q>(case: &Case<'_, 'q>) -> Check<'q, Allowed<'q>> {
    let mut best: Option<Allowed<'q>> = None;
    let mut nearest = Miss::NOTHING;
    let mut missed_rule = None;
    for rule in case.rules(Phase::Permission) {
        let Some((basis, outcome)) = evaluate(case, rule)? else { continue };
        match contested(case, rule, outcome) {
            Outcome::Holds { until, support, switch } => {
                let until = until.min(end_of_rule(case, rule));
                if best.is_none_or(|b| until > b.holds_until) {
                    let switch = switch.or(rule.when.switch.as_deref());
                    best = Some(Allowed { basis, rule, support, holds_until: until, switch });
                }
                if !case.exact {
                    break;
                }
            }
            Outcome::Misses(miss) if missed_rule.is_none() || miss.progress > nearest.progress => {
                nearest = miss;
                missed_rule = miss.rule.or(Some(rule));
            }
            Outcome::Misses(_) => {}
        }
    }
    if best.is_none() && case.exact {
        for rule in case.future_rules() {
            let Requirement::Relationship(r) = &rule.then else { continue };
            if let Some(atom) = relationship::comes_into_force_later(case, rule, r)? {
                let later = Miss::new(Reason::NotYetInForce, 61, atom);
                if later.progress > nearest.progress {
                    nearest = later;
                    missed_rule = Some(rule);
                }
            }
        }
    }
    if best.is_none() && case.exact {
        nearest = nearest.nearer(unreachable_customer(case)?);
        for rule in case.withheld_rules() {
            if nearest.switch.is_none()
                && let Some((_, Outcome::Holds { .. })) = evaluate(case, rule)?
            {
                nearest.switch = rule.when.switch.as_deref();
            }
        }
    }
    best.ok_or_else(|| {
        let nearest = Miss { reason: of_content(case, nearest.reason), ..nearest };
        let denied =
            Denied { support: nearest.support, switch: nearest.switch, ..Denied::new(nearest.reason) };
        missed_rule.map_or(denied, |rule| denied.by(rule)).into()
    })
}

/// `None` for a rule that is no permission.
fn evaluate<'q>(case: &Case<'_, 'q>, rule: &'q Rule) -> Check<'q, Option<(Basis, Outcome<'q>)>> {
    Ok(Some(match &rule.then {
        Requirement::Consent(c) => (Basis::Consent, consent(case, c)?),
        Requirement::Relationship(r) => (r.basis, relationship::evaluate(case, rule, r)?),
        Requirement::Regime(r) => (r.basis, regime(case, r)?),
        Requirement::OngoingContract(o) => (o.basis, ongoing_contract(case, o)?),
        _ => return Ok(None),
    }))
}

/// Where a rule's last day ends; an estimate needs no ends.
fn end_of_rule(case: &Case<'_, '_>, rule: &Rule) -> Instant {
    rule.until.filter(|_| case.exact).map_or(Instant::MAX, |day| start_of_day(day, case.zone()))
}

/// An opt-in, where it opens this number.
fn consent<'q>(case: &Case<'_, 'q>, rule: &'q Consent) -> Check<'q, Outcome<'q>> {
    Ok(match consent::evaluate(case, rule)? {
        Outcome::Holds { until, support, switch } => match unlisted(case, rule.unlisted)? {
            Ok(free_until) => Outcome::Holds { until: until.min(free_until), support, switch },
            Err(listed) => Outcome::Misses(listed),
        },
        misses => misses,
    })
}

/// Until when the number is on none of these lists, or the listing that closes it.
fn unlisted<'q>(case: &Case<'_, 'q>, lists: EnumSet<Register>) -> Check<'q, Result<Instant, Miss<'q>>> {
    let (free_until, listing) = register::binding_listing(case, |l| lists.contains(l.register), 0)?;
    Ok(match listing {
        None => Ok(free_until),
        Some(listing) => Err(Miss::new(Reason::Registered, 130, Atom::Listing(listing))),
    })
}

/// A permission of which all holds but the law's own certainty.
fn contested<'q>(case: &Case<'_, 'q>, rule: &'q Rule, outcome: Outcome<'q>) -> Outcome<'q> {
    match (rule.contested.as_deref(), outcome) {
        (Some(point), Outcome::Holds { until, support, .. }) if case.switch(point) => {
            Outcome::Holds { until, support, switch: Some(point) }
        }
        (Some(point), Outcome::Holds { support, .. }) => {
            let miss = Miss { reason: Reason::Contested, progress: 120, support, ..Miss::NOTHING };
            Outcome::Misses(Miss { switch: Some(point), ..miss })
        }
        (_, outcome) => outcome,
    }
}

/// A customer whom no rule lets the sender reach this way: more than a stranger, and not expired or unproven.
fn unreachable_customer<'q>(case: &Case<'_, 'q>) -> Check<'q, Miss<'q>> {
    let relationships = &case.jurisdiction.relationships;
    let on_this_channel = relationships
        .reach
        .iter()
        .any(|(to, channels)| channels.contains(case.channel()) && case.is_among(*to));
    let reason =
        if on_this_channel { Reason::RelationshipKindExcluded } else { Reason::RelationshipChannelExcluded };
    for atom in case.view.relations() {
        if let Atom::Relation(r) = atom? {
            let customer = r.sender == case.sender()
                && r.from_person
                && r.grade != Grade::None
                && relationships.kinds.contains(r.kind)
                && !r.kind.is_delivered_by_others()
                && case.concerns_current_address(r.address, r.at);
            if customer {
                return Ok(Miss::new(reason, 6, Atom::Relation(r)));
            }
        }
    }
    Ok(Miss::NOTHING)
}

/// What only its content made marketing is told so: that is what the sender can change.
fn of_content(case: &Case<'_, '_>, reason: Reason) -> Reason {
    let registered_as = case.question.message.nature;
    match case.nature() {
        Nature::Mixed if registered_as.is_service() && reason != Reason::Registered => {
            Reason::MixedIsMarketing
        }
        Nature::ConsentRequest if reason == Reason::NoBasis => Reason::ConsentRequestIsMarketing,
        _ => reason,
    }
}

/// Legitimate interests and opt-out regimes: allowed unless refused, where the conditions are shown.
fn regime<'q>(case: &Case<'_, 'q>, regime: &Regime) -> Check<'q, Outcome<'q>> {
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
    if regime.not_bought && origin.bought.is_some() && !origin.given {
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
        let reason = Reason::RelevanceUnproven;
        return Ok(Outcome::Misses(Miss { reason, progress: 30, support, ..Miss::NOTHING }));
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
    /// The person gave something of theirs, whatever the address.
    given: bool,
    informed: Option<Atom>,
    /// The person gave this very address for the channel...
    collected: Option<Atom>,
    /// ...and was told that it would serve marketing.
    told: Option<Atom>,
}

impl Origin {
    fn of<'q>(case: &Case<'_, 'q>, regime: &Regime, purpose: PurposeTold) -> Check<'q, Origin> {
        let mut origin = Origin::default();
        for atom in case.view.relations() {
            let Atom::Relation(r) = atom? else { continue };
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
            let by_person =
                r.from_person && !matches!(r.kind, EventKind::ImportedList | EventKind::BoughtList);
            origin.given |= by_person;
            if !case.concerns_current_address(r.address, r.at) {
                continue;
            }
            origin.known = Some(Atom::Relation(r));
            if r.opt_out_offered == Tri::Yes && r.relevant_to_role != Tri::No {
                origin.informed = Some(Atom::Relation(r));
            }
            let proven = r.grade != Grade::None && r.channels.contains(case.channel());
            if by_person && proven && r.kind != EventKind::AddressPublished {
                origin.collected = Some(Atom::Relation(r));
                if relationship::told(case, purpose, r.purposes) {
                    origin.told = Some(Atom::Relation(r));
                }
            }
        }
        Ok(origin)
    }
}

fn ongoing_contract<'q>(case: &Case<'_, 'q>, _: &OngoingContract) -> Check<'q, Outcome<'q>> {
    if let Some(contract) = case.ongoing_contract()? {
        let support = Some(Atom::Contract(contract));
        return Ok(Outcome::Holds { until: contract.runs_until(case.at), support, switch: None });
    }
    let mut miss = Miss::NOTHING;
    for atom in case.view.activity() {
        match atom? {
            Atom::Contract(c) if c.sender == case.sender() && !c.runs(case.at) => {
                miss = Miss::new(Reason::RelationshipExpired, 20, Atom::Contract(c));
            }
            _ => {}
        }
    }
    Ok(Outcome::Misses(miss))
}
