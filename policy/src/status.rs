//! How a person stands with a sender on a channel, in the words that CRMs show. Derived from the state by the decision's
//! own logic and never stored: whether a message may go out, [`crate::decide`] says.
//!
//! Only the person's own act confirms. What others did (the operator's clean-up, somebody else at the same address, a
//! register), and what the law merely infers (a sale, a ticked box), is soft.

use crate::codes::{Method, Reason};
use crate::decide::permission::{Outcome, contested};
use crate::decide::{Case, Check, Stop, consent, register, relationship, restriction};
use crate::explain::{atom_json, time};
use crate::fact::{CategoryId, Expiry};
use crate::pack::Requirement;
use crate::question::{Phase, Question, Target};
use crate::state::{Atom, OptIn, Restriction, RestrictionKind, StateView};
use crate::time::Instant;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    ConfirmedOptIn,
    SoftOptIn,
    SoftOptOut,
    ConfirmedOptOut,
    Unknown,
}

impl Standing {
    pub const fn code(self) -> &'static str {
        match self {
            Standing::ConfirmedOptIn => "confirmed_opt_in",
            Standing::SoftOptIn => "soft_opt_in",
            Standing::SoftOptOut => "soft_opt_out",
            Standing::ConfirmedOptOut => "confirmed_opt_out",
            Standing::Unknown => "unknown",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    pub standing: Standing,
    pub since: Option<Instant>,
    /// When it ends with no new event.
    pub until: Option<Instant>,
    /// What it rests on. None of an opt-in that only a system set.
    pub support: Option<Atom>,
    /// Why an opt-in is not confirmed, or why nothing is known.
    pub lacks: Option<Reason>,
    /// Opted out of, of what is otherwise opted in to.
    pub except: Vec<CategoryId>,
}

impl Status {
    const UNKNOWN: Status = Status {
        standing: Standing::Unknown,
        since: None,
        until: None,
        support: None,
        lacks: None,
        except: Vec::new(),
    };

    fn new(standing: Standing, since: Instant, support: Atom) -> Status {
        Status { standing, since: Some(since), support: Some(support), ..Status::UNKNOWN }
    }

    /// Times as RFC 3339; `support` in the words of the facts, with categories and senders as numbers.
    pub fn to_json(&self) -> Value {
        json!({
            "status": self.standing.code(),
            "since": self.since.map(time),
            "until": self.until.filter(|t| *t < Instant::MAX).map(time),
            "standing_flag": matches!(self.support, Some(Atom::Restriction(r)) if is_flag(&r)),
            "support": self.support.as_ref().map(atom_json),
            "lacks": self.lacks.map(|r| r.code()),
            "except_category_ids": self.except,
        })
    }
}

/// The status under one question for each nature of marketing; the same sender, channel and instant in all, and no
/// category. `set_by_system`: when a system set an opt-in that nobody gave, which leaves nothing in a state.
pub fn status(state: &[u8], questions: &[Question], set_by_system: Option<Instant>) -> Status {
    let mut best = Status::UNKNOWN;
    for question in questions {
        let found = StateView::new(state).map_err(Stop::from).and_then(|view| one(view, question));
        let found = found.unwrap_or_else(|stop| Status {
            lacks: Some(match stop {
                Stop::Denied(denied) => denied.reason,
                Stop::Corrupt => Reason::Dirty,
            }),
            ..Status::UNKNOWN
        });
        if rank(&found) > rank(&best) {
            best = found;
        }
    }
    match set_by_system {
        Some(at) if best.standing == Standing::Unknown && best.lacks.is_none() => Status {
            standing: Standing::SoftOptIn,
            since: Some(at),
            lacks: Some(Reason::ConsentInvalid),
            ..best
        },
        _ => best,
    }
}

/// A confirmed opt-in stands only where no refusal does, so it came later than what is refused of other natures. Anything
/// else yields to a refusal.
fn rank(status: &Status) -> u8 {
    match status.standing {
        Standing::ConfirmedOptIn => 5,
        Standing::ConfirmedOptOut => 4,
        Standing::SoftOptOut => 3,
        // A state that can't be read must not look as if there were nothing.
        Standing::Unknown if status.lacks.is_some() => 2,
        Standing::SoftOptIn => 1,
        Standing::Unknown => 0,
    }
}

/// A refusal that the CRM states without a date: nothing ever came later.
fn is_flag(r: &Restriction) -> bool {
    r.lifted_after >= Instant::MAX
}

fn one<'q>(view: StateView<'_>, question: &'q Question) -> Check<'q, Status> {
    let case = Case::new(view, question, question.at, true)?;
    let (mut refused, mut except, mut lifted) = (None::<Restriction>, Vec::new(), Instant::MIN);
    let mut excepted = None::<Restriction>;
    restriction::visit(&case, |r, until| {
        match until {
            Some(_) => lifted = lifted.max(r.lifted_after),
            None if r.category != 0 && is_own_act(&r) => {
                except.push(r.category);
                excepted = Some(excepted.filter(|e| outranks(e, &r)).unwrap_or(r));
            }
            None => refused = Some(refused.filter(|w| outranks(w, &r)).unwrap_or(r)),
        }
        false
    })?;
    let opted_out = |r: Restriction| {
        let standing = if is_own_act(&r) { Standing::ConfirmedOptOut } else { Standing::SoftOptOut };
        Status::new(standing, r.from, Atom::Restriction(r))
    };
    if let Some(r) = refused {
        return Ok(opted_out(r));
    }
    if let Some(listed) = listed(&case)? {
        return Ok(listed);
    }
    let opted_in = opted_in(&view, question, lifted)?;
    // Who left one category and never opted in has refused, as far as anybody can tell.
    match excepted {
        Some(r) if opted_in.as_ref().is_none_or(|s| s.standing != Standing::ConfirmedOptIn) => {
            return Ok(Status { except, ..opted_out(r) });
        }
        _ => {}
    }
    let status = match opted_in {
        Some(found) => found,
        None => related(&view, question)?.unwrap_or(Status::UNKNOWN),
    };
    Ok(Status { except, ..status })
}

fn is_own_act(r: &Restriction) -> bool {
    r.other_contact == 0 && r.kind != RestrictionKind::PassiveOptOut && !is_flag(r)
}

/// The person's own act before anybody else's, then the stronger, then the earlier: it has held since.
fn outranks(a: &Restriction, b: &Restriction) -> bool {
    (is_own_act(a), a.kind, b.from) >= (is_own_act(b), b.kind, a.from)
}

fn listed<'q>(case: &Case<'_, 'q>) -> Check<'q, Option<Status>> {
    for rule in case.rules(Phase::Register) {
        let Requirement::Register(wanted) = &rule.then else { continue };
        match register::check(case, rule, wanted) {
            Ok(_) => {}
            Err(Stop::Denied(denied)) => {
                let Some(atom @ Atom::Listing(listing)) = denied.support else { continue };
                let since = listing.listed_since(case.at);
                let status = Status::new(Standing::SoftOptOut, case.at, atom);
                return Ok(Some(Status { since, ..status }));
            }
            Err(stop) => return Err(stop),
        }
    }
    Ok(None)
}

/// The question about one category, as if nothing else were similar to it.
fn about(question: &Question, category: CategoryId) -> Question {
    let named = (category != 0).then_some(category);
    let target = Target {
        category,
        ancestors: named.into_iter().collect(),
        similar: named.into_iter().collect(),
        sector: question.target.sector,
    };
    Question { target, ..question.clone() }
}

/// The best opt-in in force since the last refusal: the confirmed one that began first, otherwise a soft one.
fn opted_in<'q>(view: &StateView<'_>, question: &'q Question, since: Instant) -> Check<'q, Option<Status>> {
    let mut best: Option<Status> = None;
    for atom in view.opt_ins() {
        let Atom::OptIn(opt_in) = atom? else { continue };
        let Some(found) = judge(view, question, &opt_in, since) else { continue };
        let better = |old: &Status| match (found.standing, old.standing) {
            (a, b) if a == b => found.since < old.since,
            (a, _) => a == Standing::ConfirmedOptIn,
        };
        if best.as_ref().is_none_or(better) {
            best = Some(found);
        }
    }
    Ok(best)
}

fn judge(view: &StateView<'_>, question: &Question, opt_in: &OptIn, after: Instant) -> Option<Status> {
    let question = about(question, opt_in.category);
    let case = Case::new(*view, &question, question.at, true).ok()?;
    let over = matches!(opt_in.expires, Expiry::At(end) if case.at >= end);
    if opt_in.other_contact != 0 || over || opt_in.at > case.at {
        return None;
    }
    let usual = Default::default();
    let rule = consent::rule_of(&case).unwrap_or(&usual);
    let given_at = consent::given_at(&case, opt_in).ok()?;
    let began = given_at.unwrap_or(opt_in.at);
    if began <= after {
        return None;
    }
    let status = |standing| Status::new(standing, began, Atom::OptIn(*opt_in));
    match consent::judge(&case, rule, opt_in).ok()? {
        Ok(until) if opt_in.method == Method::ThirdParty => {
            Some(Status { until: Some(until), ..status(Standing::SoftOptIn) })
        }
        Ok(until) => Some(Status { until: Some(until), ..status(Standing::ConfirmedOptIn) }),
        Err((
            lacks @ (Reason::ConsentInvalid | Reason::ConsentUnproven | Reason::WrittenConsentRequired),
            _,
        )) => Some(Status { lacks: Some(lacks), ..status(Standing::SoftOptIn) }),
        Err(_) => None,
    }
}

/// What the law infers from a sale and its like; the one that holds longest.
fn related<'q>(view: &StateView<'_>, question: &'q Question) -> Check<'q, Option<Status>> {
    let mut categories: Vec<CategoryId> = Vec::new();
    for relation in view.relations() {
        let r = relation?;
        if r.sender == question.sender.id && !categories.contains(&r.category) {
            categories.push(r.category);
        }
    }
    let mut best: Option<Status> = None;
    for category in categories {
        let question = about(question, category);
        let Ok(case) = Case::new(*view, &question, question.at, true) else { continue };
        for rule in case.rules(Phase::Permission) {
            let Requirement::Relationship(wanted) = &rule.then else { continue };
            let Ok(outcome) = relationship::evaluate(&case, rule, wanted) else { continue };
            let Outcome::Holds { until, support: Some(atom @ Atom::Relation(r)), .. } =
                contested(&case, rule, outcome)
            else {
                continue;
            };
            if best.as_ref().is_none_or(|old| Some(until) > old.until) {
                best = Some(Status { until: Some(until), ..Status::new(Standing::SoftOptIn, r.at, atom) });
            }
        }
    }
    Ok(best)
}
