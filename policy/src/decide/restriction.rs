//! Refusals: opt-outs, objections, erasure requests. They beat every permission until a later affirmative opt-in
//! by the same person; ties deny. PECR reg. 22(3)(c), GDPR art. 21(3), CASL s. 11, and their like everywhere.

use super::case::Case;
use super::{Check, Denied, consent};
use crate::codes::*;
use crate::pack::Requirement;
use crate::question::Phase;
use crate::state::{Atom, OptIn, Restriction, RestrictionKind};
use crate::time::{Instant, start_of_day};

/// Until when no refusal forbids: for ever, or as long as the opt-ins hold that lift them.
pub(super) fn check<'q>(case: &Case<'_, 'q>) -> Check<'q, Instant> {
    let mut free_until = Instant::MAX;
    let mut worst: Option<Restriction> = None;
    visit(case, |r, lifted| {
        match lifted {
            Some(until) => free_until = free_until.min(until),
            None if worst.is_none_or(|w| outranks(&r, &w)) => worst = Some(r),
            None => {}
        }
        worst.is_some() && !case.exact
    })?;
    match worst {
        None => Ok(free_until),
        Some(r) => Err(Denied::new(reason(&r)).on(Atom::Restriction(r)).into()),
    }
}

/// Every refusal that reaches the message, with until when it is lifted, where it is; until `visitor` has seen enough.
pub(crate) fn visit<'q>(
    case: &Case<'_, 'q>,
    mut visitor: impl FnMut(Restriction, Option<Instant>) -> bool,
) -> Check<'q> {
    for atom in case.view.restrictions() {
        let Atom::Restriction(r) = atom? else { continue };
        if reaches(case, &r)? && visitor(r, consent::lifted_until(case, &r)?) {
            break;
        }
    }
    Ok(())
}

/// Whether the restriction speaks of this sender's message on this channel about this category. A message that
/// names no category may be about the refused one. Who takes over a business takes over what was refused to it.
fn reaches<'q>(case: &Case<'_, 'q>, r: &Restriction) -> Check<'q, bool> {
    let target = &case.question.target;
    if !case.answers_for(r.sender)? {
        return Ok(false);
    }
    let category = r.category == 0 || target.category == 0 || target.ancestors.contains(&r.category);
    Ok(category && r.channels.contains(case.channel()) || reaches_further(case, r))
}

/// Whether the law in force when it was given made the opt-out reach beyond its class of messages.
fn reaches_further(case: &Case<'_, '_>, r: &Restriction) -> bool {
    case.rules(Phase::Refusal).any(|rule| match &rule.then {
        Requirement::OptOutReach(reach) => {
            (r.everything || !reach.only_from_everything)
                && reach.channels.contains(case.channel())
                && !r.channels.is_disjoint(reach.channels)
                && r.lifted_after >= start_of_day(rule.from, case.zone())
        }
        _ => false,
    })
}

/// The person's own refusal is named before another's at the same address, then the stronger, then the later.
fn outranks(a: &Restriction, b: &Restriction) -> bool {
    let rank = |r: &Restriction| (r.other_contact == 0, r.kind, r.lifted_after);
    rank(a) > rank(b)
}

fn reason(r: &Restriction) -> Reason {
    match r.kind {
        _ if r.other_contact != 0 => Reason::SuppressedAddress,
        RestrictionKind::Refusal => Reason::RelationshipRefused,
        RestrictionKind::OptOut | RestrictionKind::PassiveOptOut => Reason::OptedOut,
        RestrictionKind::Objection => Reason::Objected,
        RestrictionKind::Erasure => Reason::Erased,
    }
}

/// Whether the person refused something of this sender on this channel no more than so many minutes ago, and when
/// these are over.
pub(super) fn refused_within<'q>(case: &Case<'_, 'q>, minutes: u32) -> Check<'q, Option<Instant>> {
    let span = i64::from(minutes) * 60_000;
    let mut until = None;
    for atom in case.view.restrictions() {
        if let Atom::Restriction(r) = atom?
            && r.sender == case.sender()
            && r.channels.contains(case.channel())
            && r.other_contact == 0
        {
            let age = case.at.0 - r.lifted_after.0;
            if (0..=span).contains(&age) {
                until = until.max(Some(Instant(r.lifted_after.0 + span + 1)));
            }
        }
    }
    Ok(until)
}

/// Whether the person ever refused anything of this sender, lifted or not.
pub(super) fn ever_refused<'q>(case: &Case<'_, 'q>) -> Check<'q, bool> {
    for atom in case.view.restrictions() {
        if let Atom::Restriction(r) = atom?
            && case.answers_for(r.sender)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// By another company, which named the sender.
fn collected_for_us(o: &OptIn) -> bool {
    o.method == Method::ThirdParty && o.names_sender
}

/// The last erasure request, if nothing came from the person since: then the data must not be used at all.
pub(super) fn erased<'q>(case: &Case<'_, 'q>) -> Check<'q, Option<Restriction>> {
    let mut last: Option<Restriction> = None;
    for atom in case.view.restrictions() {
        if let Atom::Restriction(r) = atom? {
            let own =
                r.kind == RestrictionKind::Erasure && case.answers_for(r.sender)? && r.other_contact == 0;
            if own && last.is_none_or(|l| r.lifted_after > l.lifted_after) {
                last = Some(r);
            }
        }
    }
    let Some(erasure) = last else { return Ok(None) };
    for atom in case.view.dealings().chain(case.view.activity()) {
        let (sender, at) = match atom? {
            Atom::Relation(r) if r.from_person && !r.kind.is_delivered_by_others() => (r.sender, r.at),
            // Whatever can lift the erasure for marketing lifts it for service messages too.
            Atom::OptIn(o) if o.other_contact == 0 && (o.from_person || collected_for_us(&o)) => {
                (o.sender, o.at)
            }
            Atom::Confirmation(c) => (c.sender, c.at),
            Atom::Action(a) => (a.sender, a.at),
            _ => continue,
        };
        if sender == case.sender() && at > erasure.lifted_after {
            return Ok(None);
        }
    }
    Ok(Some(erasure))
}
