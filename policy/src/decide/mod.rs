//! The decision: a function of a state and a question.
//!
//! Deny is the default. The order is that of the law: what is the message, is it a service message, is it
//! forbidden outright, did the person refuse, is there a permission, is its time over, may it go out now, is its
//! form right. Each requirement of a pack is one file here.

mod case;
pub(crate) mod consent;
mod form;
pub(crate) mod permission;
mod prohibition;
mod regime;
pub(crate) mod register;
pub(crate) mod relationship;
pub(crate) mod restriction;
mod retain;
mod service;
mod timing;

pub(crate) use case::Case;
pub use case::ContactLog;
pub(crate) use retain::{Clock, clock};

use crate::codes::*;
use crate::pack::{Requirement, Rule};
use crate::question::{Phase, Question};
use crate::state::{Atom, Corrupt, StateView};
use crate::time::{Instant, start_of_day};

/// What an answer rests on: the atom that allowed or denied, where there is one.
pub type Support = Option<Atom>;

/// The answer. `Ok` holds the grounds of a yes, `Err` those of a no.
pub type Decision<'q> = Result<Allowed<'q>, Denied<'q>>;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowed<'q> {
    pub basis: Basis,
    pub rule: &'q Rule,
    pub support: Support,
    /// The grounds hold before this instant; [`valid_until`] says whether others follow.
    pub holds_until: Instant,
    /// The contested point the answer rests on, where it does.
    pub switch: Option<&'q str>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Denied<'q> {
    pub reason: Reason,
    pub rule: Option<&'q Rule>,
    pub support: Support,
    /// For calling hours: the next lawful instant.
    pub not_before: Option<Instant>,
    pub switch: Option<&'q str>,
}

impl<'q> Denied<'q> {
    pub(crate) fn new(reason: Reason) -> Denied<'q> {
        Denied { reason, rule: None, support: None, not_before: None, switch: None }
    }

    fn by(self, rule: &'q Rule) -> Denied<'q> {
        Denied { rule: Some(rule), ..self }
    }

    fn on(self, atom: Atom) -> Denied<'q> {
        Denied { support: Some(atom), ..self }
    }
}

/// Why a decision stops: a denial, or bytes that are no state.
pub(crate) enum Stop<'q> {
    Denied(Denied<'q>),
    Corrupt,
}

impl From<Corrupt> for Stop<'_> {
    fn from(_: Corrupt) -> Self {
        Stop::Corrupt
    }
}

impl<'q> From<Denied<'q>> for Stop<'q> {
    fn from(d: Denied<'q>) -> Self {
        Stop::Denied(d)
    }
}

pub(crate) type Check<'q, T = ()> = Result<T, Stop<'q>>;

/// The boolean: no allocation, and no calendar arithmetic where an estimate settles it. Never panics.
pub fn allows(state: &[u8], question: &Question) -> bool {
    decide_at(state, question, question.at, None, false, true).is_ok()
}

/// The answer with its grounds. `log` holds the attempts that frequency limits count; without it they are not
/// judged (they belong to the moment of sending).
pub fn decide<'q>(state: &[u8], question: &'q Question, log: Option<&ContactLog>) -> Decision<'q> {
    decide_at(state, question, question.at, log, true, true)
}

/// When a yes ends with no new event, calling hours and caps aside; `None` where no end is in sight.
///
/// Each answer says until when its grounds hold. At that instant, and wherever a rule begins or ends, the
/// question is asked again: grounds may pass into one another.
pub fn valid_until(state: &[u8], question: &Question) -> Option<Instant> {
    let mut t = question.at;
    loop {
        let Ok(allowed) = decide_at(state, question, t, None, true, false) else {
            return Some(t);
        };
        let next = allowed.holds_until.min(next_rule_change(state, question, t));
        if next >= Instant::MAX {
            return None;
        }
        if next <= t {
            return Some(t);
        }
        t = next;
    }
}

/// [`valid_until`] as people read it: where a day ends the yes (a rule's last day, a window of whole days), the end of
/// the last day on which it holds; otherwise the instant from which it no longer does.
pub fn last_instant(state: &[u8], question: &Question) -> Option<Instant> {
    let end = valid_until(state, question)?;
    let zone =
        StateView::new(state).ok().and_then(|v| Case::new(v, question, end, true).ok()).map(|c| c.zone());
    let ends_a_day = zone.is_some_and(|z| end > question.at && end == start_of_day(end.local_date(z), z));
    Some(if ends_a_day { Instant(end.0 - 1) } else { end })
}

/// [`last_instant`] of a yes, where it comes before `horizon`; cheap for the many whose grounds last longer.
pub fn last_instant_before(
    state: &[u8],
    question: &Question,
    allowed: &Allowed<'_>,
    horizon: Instant,
) -> Option<Instant> {
    if allowed.holds_until > horizon && !may_change(state, question, horizon) {
        return None;
    }
    last_instant(state, question).filter(|end| *end < horizon)
}

/// Whether a rule of the contact's jurisdiction may begin or end before `horizon`, whatever the zone: no midnight is more
/// than a day from that of UTC.
fn may_change(state: &[u8], question: &Question, horizon: Instant) -> bool {
    const DAY_MS: i64 = 86_400_000;
    let country = StateView::new(state).ok().and_then(|v| v.profile).map(|p| p.country);
    let Some((jurisdiction, _)) = country.and_then(|c| question.jurisdiction(c)) else { return true };
    let near = |day: chrono::NaiveDate| {
        let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        midnight > question.at.0 - DAY_MS && midnight < horizon.0 + DAY_MS
    };
    jurisdiction.rules.iter().any(|r| near(r.from) || r.until.is_some_and(near))
}

/// The next start or end of any rule of the contact's jurisdiction, in the contact's zone.
fn next_rule_change(state: &[u8], question: &Question, after: Instant) -> Instant {
    let Some(case) = StateView::new(state).ok().and_then(|v| Case::new(v, question, after, true).ok()) else {
        return Instant::MAX;
    };
    let days = case.jurisdiction.rules.iter().flat_map(|r| [Some(r.from), r.until]).flatten();
    let changes = days.map(|d| start_of_day(d, case.zone())).filter(|t| *t > after);
    changes.min().unwrap_or(Instant::MAX)
}

fn decide_at<'q>(
    state: &[u8],
    question: &'q Question,
    at: Instant,
    log: Option<&ContactLog>,
    exact: bool,
    timing: bool,
) -> Decision<'q> {
    let outcome = StateView::new(state)
        .map_err(Stop::from)
        .and_then(|view| Case::new(view, question, at, exact))
        .and_then(|case| {
            judge(&case, log, timing).map_err(|stop| if exact { withheld(&case, stop) } else { stop })
        });
    outcome.map_err(|stop| match stop {
        Stop::Denied(d) => d,
        Stop::Corrupt => Denied::new(Reason::Dirty),
    })
}

/// A no to what would be a service message if a contested point were decided otherwise, with that point.
fn withheld<'q>(case: &Case<'_, 'q>, stop: Stop<'q>) -> Stop<'q> {
    let Stop::Denied(denied @ Denied { switch: None, .. }) = stop else { return stop };
    let passes = |rule: &&'q Rule| match &rule.then {
        Requirement::Service(s) => {
            matches!(service::evaluate(case, rule, s), Ok(Some(_))) && check_form(case).is_ok()
        }
        _ => false,
    };
    let switch = case.withheld_rules().find(passes).and_then(|rule| rule.when.switch.as_deref());
    Denied { switch, ..denied }.into()
}

fn judge<'q>(case: &Case<'_, 'q>, log: Option<&ContactLog>, timing: bool) -> Check<'q, Allowed<'q>> {
    for rule in case.rules(Phase::Service) {
        if let Requirement::Service(service) = &rule.then
            && let Some(allowed) = service::evaluate(case, rule, service)?
        {
            // Only rules that name the service nature are left here: it may owe a way out all the same (CASL s.6(6)).
            return check_form(case).map(|()| allowed);
        }
    }
    if case.jurisdiction.fallback {
        return Err(Denied::new(Reason::UnknownJurisdiction).into());
    }
    if let Some(reason) = case.question.marketing_blocked.filter(|_| !case.nature().is_service()) {
        return Err(Denied::new(reason).into());
    }
    let prohibition = prohibition::check(case)?;
    let mut holds_until = prohibition.until.min(restriction::check(case)?);
    if let Some(denied) = prohibition.contested {
        return Err(denied.into());
    }
    for rule in case.rules(Phase::Register) {
        if let Requirement::Register(r) = &rule.then {
            holds_until = holds_until.min(register::check(case, rule, r)?);
        }
    }
    let mut allowed = permission::find(case)?;
    for rule in case.rules(Phase::Last) {
        match &rule.then {
            Requirement::Retention(r) => holds_until = holds_until.min(retain::check(case, rule, r)?),
            Requirement::Cap(c) if timing => timing::check_cap(case, rule, c, log)?,
            _ => {}
        }
    }
    if timing {
        timing::check_hours(case)?;
    }
    check_form(case)?;
    allowed.holds_until = allowed.holds_until.min(holds_until);
    allowed.switch = allowed.switch.or(prohibition.fallen);
    Ok(allowed)
}

fn check_form<'q>(case: &Case<'_, 'q>) -> Check<'q> {
    for rule in case.rules(Phase::Last) {
        if let Requirement::Form(duties) = &rule.then {
            form::check(case, rule, duties)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
