//! Retention as a gate: whose data has outlived its time gets no marketing. The stages a retention run works by
//! are in [`crate::retention`] and use the same clock.

use super::case::Case;
use super::{Check, Denied};
use crate::codes::*;
use crate::pack::{Counting, Retention, Rule};
use crate::state::Atom;
use crate::time::Instant;

/// Where a contact's clock stands.
pub(crate) enum Clock {
    /// Nothing is known that could start it.
    NotStarted,
    /// A contract runs, so it has not begun.
    ContractRuns,
    /// Since the last action of the person (or the end of the last contract).
    Since(Instant, Atom),
}

/// What an atom says the person did, and when.
fn action(atom: &Atom) -> Option<(EventKind, u32, Instant)> {
    match atom {
        Atom::Relation(r) => Some((r.kind, r.sender, r.at)),
        Atom::OptIn(o) if o.other_contact == 0 => Some((EventKind::OptIn, o.sender, o.at)),
        Atom::Confirmation(c) => Some((EventKind::OptInConfirmed, c.sender, c.at)),
        Atom::Action(a) => Some((a.kind, a.sender, a.at)),
        Atom::Contract(c) => c.ended.map(|ended| (c.kind, c.sender, ended)),
        _ => None,
    }
}

/// What others did: it starts the clock where the person did nothing, and never restarts it.
fn starts_only(kind: EventKind) -> bool {
    kind.is_delivered_by_others() || kind == EventKind::Referral
}

/// Whether any one action settles that the time is not over, without looking for the last.
fn acted_lately<'q>(case: &Case<'_, 'q>, rule: &Retention) -> Check<'q, bool> {
    for atom in case.view.dealings() {
        if let Some((kind, sender, at)) = action(&atom?)
            && sender == case.sender()
            && rule.actions.contains(kind)
            && !starts_only(kind)
            && case.surely_within(at, rule.after)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The last thing the person did that restarts the clock, for the asking sender.
pub(crate) fn clock<'q>(case: &Case<'_, 'q>, rule: &Retention) -> Check<'q, Clock> {
    if let Some(contract) = case.running_contract()? {
        // One whose end is known already starts the clock there.
        return Ok(match contract.runs_until(case.at) {
            Instant::MAX => Clock::ContractRuns,
            end => Clock::Since(end, Atom::Contract(contract)),
        });
    }
    let mut last: Option<(Instant, Atom)> = None;
    // An address that others delivered starts the clock where nothing else did; a list bought later is no sign of life.
    let mut collected: Option<(Instant, Atom)> = None;
    let atoms = case.view.dealings().chain(case.view.activity());
    for atom in atoms {
        let atom = atom?;
        let Some((kind, sender, at)) = action(&atom) else { continue };
        let counts = sender == case.sender() && rule.actions.contains(kind);
        if !counts {
            continue;
        }
        if starts_only(kind) {
            if collected.is_none_or(|(t, _)| at < t) {
                collected = Some((at, atom));
            }
        } else if last.is_none_or(|(t, _)| at > t) {
            last = Some((at, atom));
        }
    }
    Ok(last.or(collected).map_or(Clock::NotStarted, |(at, atom)| Clock::Since(at, atom)))
}

/// Until when the data may serve marketing.
pub(super) fn check<'q>(case: &Case<'_, 'q>, rule: &'q Rule, retention: &Retention) -> Check<'q, Instant> {
    if !case.exact && acted_lately(case, retention)? {
        return Ok(Instant::MAX);
    }
    match clock(case, retention)? {
        Clock::NotStarted | Clock::ContractRuns => Ok(Instant::MAX),
        Clock::Since(at, atom) => case
            .window_end(at, retention.after, Counting::Forward)
            .ok_or_else(|| Denied::new(Reason::RetentionExpired).by(rule).on(atom).into()),
    }
}
