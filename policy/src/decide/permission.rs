//! The permissions of a message are alternatives: the longest-lived that holds is the basis, and where none
//! does, the one that came nearest gives the reason.

use super::case::Case;
use super::{Allowed, Check, Denied, Support, consent, relationship};
use crate::codes::*;
use crate::pack::{OngoingContract, Regime, Requirement};
use crate::question::Phase;
use crate::state::Atom;
use crate::time::Instant;

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
}

impl<'q> Miss<'q> {
    pub const NOTHING: Miss<'static> =
        Miss { reason: Reason::NoBasis, progress: 0, support: None, switch: None };

    pub fn new(reason: Reason, progress: u8, atom: Atom) -> Miss<'q> {
        Miss { reason, progress, support: Some(atom), switch: None }
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
        let (basis, outcome) = match &rule.then {
            Requirement::Consent(c) => (Basis::Consent, consent::evaluate(case, c)?),
            Requirement::Relationship(r) => (r.basis, relationship::evaluate(case, rule, r)?),
            Requirement::Regime(r) => (r.basis, regime(case, r)?),
            Requirement::OngoingContract(o) => (o.basis, ongoing_contract(case, o)?),
            _ => continue,
        };
        match outcome {
            Outcome::Holds { until, support, switch } => {
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
                missed_rule = Some(rule);
            }
            Outcome::Misses(_) => {}
        }
    }
    if best.is_none() && case.exact {
        for rule in case.future_rules() {
            let Requirement::Relationship(r) = &rule.then else { continue };
            if let Some(atom) = relationship::comes_into_force_later(case, r)? {
                let later = Miss::new(Reason::NotYetInForce, 61, atom);
                if later.progress > nearest.progress {
                    nearest = later;
                    missed_rule = Some(rule);
                }
            }
        }
    }
    best.ok_or_else(|| {
        let denied =
            Denied { support: nearest.support, switch: nearest.switch, ..Denied::new(nearest.reason) };
        missed_rule.map_or(denied, |rule| denied.by(rule)).into()
    })
}

/// Legitimate interests and opt-out regimes: allowed unless refused, where the conditions are shown.
fn regime<'q>(case: &Case<'_, 'q>, regime: &Regime) -> Check<'q, Outcome<'q>> {
    let mut informed = None;
    let mut known = None;
    let mut bought = None;
    let mut from_person = false;
    for atom in case.view.relations() {
        let Atom::Relation(r) = atom? else { continue };
        if r.sender != case.sender() {
            continue;
        }
        let third_party = match r.kind {
            EventKind::BoughtList | EventKind::Scraped => true,
            EventKind::ImportedList => !r.from_person,
            _ => false,
        };
        if third_party {
            bought = Some(Atom::Relation(r));
            continue;
        }
        from_person |= r.from_person && r.kind != EventKind::ImportedList;
        if case.concerns_current_address(r.address, r.at) {
            known = Some(Atom::Relation(r));
            if r.opt_out_offered == Tri::Yes && r.relevant_to_role != Tri::No {
                informed = Some(Atom::Relation(r));
            }
        }
    }
    let miss = |reason, progress, atom: Option<Atom>| {
        Ok(Outcome::Misses(atom.map_or(Miss::NOTHING, |a| Miss::new(reason, progress, a))))
    };
    if regime.not_bought && bought.is_some() && !from_person {
        return miss(Reason::NoBasis, 1, bought);
    }
    if regime.profession_related && !case.question.message.form.profession_related {
        return miss(Reason::RelevanceUnproven, 30, known.or(bought));
    }
    if regime.informed && informed.is_none() {
        return miss(Reason::RelationshipNoOptOutOffered, 40, known);
    }
    Ok(Outcome::Holds { until: Instant::MAX, support: informed.or(known), switch: None })
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
