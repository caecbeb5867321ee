//! The permissions of a message are alternatives: of those that hold the pack says which is the basis, and where
//! none does, the one that came nearest gives the reason.

use super::case::Case;
use super::{Allowed, Check, Denied, Support, consent, regime, register, relationship};
use crate::codes::*;
use crate::pack::{Consent, OngoingContract, Requirement, Rule};
use crate::question::Phase;
use crate::state::Atom;
use crate::time::{Instant, start_of_day};
use enumset::EnumSet;

/// How one permission rule came out.
pub(crate) enum Outcome<'q> {
    Holds { until: Instant, support: Support, switch: Option<&'q str> },
    Misses(Miss<'q>),
}

/// What a permission lacks. Higher `progress` is nearer to a yes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Miss<'q> {
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
                if best.is_none_or(|b| case.jurisdiction.prefers((rule, until), (b.rule, b.holds_until))) {
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
        Requirement::Regime(r) => (r.basis, regime::evaluate(case, r)?),
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
pub(super) fn unlisted<'q>(
    case: &Case<'_, 'q>,
    lists: EnumSet<Register>,
) -> Check<'q, Result<Instant, Miss<'q>>> {
    let (free_until, listing) = register::binding_listing(case, |l| lists.contains(l.register), 0)?;
    Ok(match listing {
        None => Ok(free_until),
        Some(listing) => Err(Miss::new(Reason::Registered, 130, Atom::Listing(listing))),
    })
}

/// A permission of which all holds but the law's own certainty.
pub(crate) fn contested<'q>(case: &Case<'_, 'q>, rule: &'q Rule, outcome: Outcome<'q>) -> Outcome<'q> {
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
    for relation in case.view.relations() {
        let r = relation?;
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
