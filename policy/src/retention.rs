//! The stages of retention: active, renewal window, expired. The batch acts on them; the gate stops marketing at
//! the same instant ([`crate::decide`]).

mod fingerprint;

pub use fingerprint::fingerprint;

use crate::codes::Reason;
use crate::decide::{Case, Clock, Stop, clock};
use crate::fact::SenderId;
use crate::pack::{Requirement, Rule};
use crate::question::{Phase, Question};
use crate::state::{Atom, StateView};
use crate::time::Instant;

const MS_PER_DAY: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Active,
    /// The end is near enough to warn whoever plans campaigns.
    Warning,
    /// One message may ask whether the person wants to stay.
    Renewal,
    /// No marketing any more; anonymise or delete, keeping suppression.
    Expired,
}

impl Stage {
    pub const fn code(self) -> &'static str {
        match self {
            Stage::Active => "active",
            Stage::Warning => "warning",
            Stage::Renewal => "renewal",
            Stage::Expired => "expired",
        }
    }
}

/// Where one contact stands with one sender.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment<'q> {
    pub stage: Stage,
    pub rule: &'q Rule,
    /// The person's last action.
    pub since: Instant,
    pub ends_at: Instant,
    /// When the next stage begins if nothing happens; `None` for the last.
    pub next: Option<Instant>,
    /// A legal hold stops every action.
    pub held: bool,
}

/// Why a contact can't be assessed; the run reports it and leaves the contact alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unassessable(pub Reason);

/// What speaks against retiring a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    LegalHold,
    /// A contract or subscription runs with this sender; until then, where an end is known.
    Contract(SenderId, Option<Instant>),
    /// This sender's time is not over; until then.
    Active(SenderId, Instant),
    /// This sender has something of the contact's that no rule limits, or whose clock has not started.
    Unlimited(SenderId),
    /// Nobody's time is over, since for nobody it has begun.
    NotBegun,
}

impl Kept {
    pub const fn code(self) -> &'static str {
        match self {
            Kept::LegalHold => "legal_hold",
            Kept::Contract(..) => "contract",
            Kept::Active(..) => "active",
            Kept::Unlimited(_) => "unlimited",
            Kept::NotBegun => "not_begun",
        }
    }

    /// When to look again; `None` where no day can be named.
    pub const fn until(self) -> Option<Instant> {
        match self {
            Kept::Active(_, until) | Kept::Contract(_, Some(until)) => Some(until),
            _ => None,
        }
    }
}

/// Where one contact stands with all senders.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook<'q> {
    /// Of each sender whose clock has started.
    pub senders: Vec<(SenderId, Assessment<'q>)>,
    /// `None`: the contact may be retired.
    pub kept: Option<Kept>,
}

/// How one sender's time stands.
enum Standing<'q> {
    Clock(Assessment<'q>),
    ContractRuns(Option<Instant>),
    /// Nothing ends it, and there is something to keep.
    Unlimited,
    Nothing,
}

/// Of several rules the one that ends first; `None` where no rule limits retention, or its clock has not started.
///
/// `question` gives the sender, the rules and the instant; any marketing message will do.
pub fn assess<'q>(state: &[u8], question: &'q Question) -> Result<Option<Assessment<'q>>, Unassessable> {
    Ok(match standing(state, question)? {
        Standing::Clock(assessment) => Some(assessment),
        _ => None,
    })
}

/// A contact may be retired when the time of at least one sender is over and nothing of any other sender keeps it. One
/// question a sender; a sender left out keeps nothing, so none may be. An opt-in that waits for its confirmation is
/// nobody's permission and keeps nothing by itself.
pub fn assess_all<'q>(state: &[u8], questions: &'q [Question]) -> Result<Outlook<'q>, Unassessable> {
    let mut senders = Vec::new();
    let mut kept = None;
    let mut expired = false;
    for question in questions {
        let sender = question.sender.id;
        let reason = match standing(state, question)? {
            Standing::Nothing => None,
            Standing::Unlimited => Some(Kept::Unlimited(sender)),
            Standing::ContractRuns(until) => Some(Kept::Contract(sender, until)),
            Standing::Clock(a) => {
                senders.push((sender, a));
                expired |= a.stage == Stage::Expired;
                match a.stage {
                    _ if a.held => Some(Kept::LegalHold),
                    Stage::Expired => None,
                    _ => Some(Kept::Active(sender, a.ends_at)),
                }
            }
        };
        // The one that lasts longest tells when to look again; a hold, which nobody can foresee the end of, first.
        let lasts = |k: &Kept| (*k == Kept::LegalHold, k.until().unwrap_or(Instant::MAX));
        kept = match (kept, reason) {
            (Some(old), Some(new)) if lasts(&new) > lasts(&old) => Some(new),
            (old, new) => old.or(new),
        };
    }
    Ok(Outlook { senders, kept: kept.or((!expired).then_some(Kept::NotBegun)) })
}

fn standing<'q>(state: &[u8], question: &'q Question) -> Result<Standing<'q>, Unassessable> {
    let dirty = Unassessable(Reason::Dirty);
    let why = |stop: Stop| match stop {
        Stop::Denied(d) => Unassessable(d.reason),
        Stop::Corrupt => dirty,
    };
    let view = StateView::new(state).map_err(|_| dirty)?;
    let case = Case::new(view, question, question.at, true).map_err(why)?;
    // What can't be read may be a hold.
    let mut held = false;
    for atom in view.activity() {
        if let Atom::Hold(h) = atom.map_err(|_| dirty)? {
            held |= h.is_held();
        }
    }
    let mut first: Option<Assessment<'q>> = None;
    for rule in case.rules(Phase::Last) {
        let Requirement::Retention(retention) = &rule.then else { continue };
        let Clock::Since(since, _) = clock(&case, retention).map_err(why)? else { continue };
        let ends_at = since.plus(retention.after, case.zone());
        let before = |days: u32| Instant(ends_at.0 - i64::from(days) * MS_PER_DAY);
        let (warns, renews) = (before(retention.warn_days), before(retention.renewal_days));
        let stage = match case.at {
            t if t >= ends_at => Stage::Expired,
            t if t >= renews => Stage::Renewal,
            t if t >= warns => Stage::Warning,
            _ => Stage::Active,
        };
        let next = [warns, renews, ends_at].into_iter().filter(|t| *t > case.at).min();
        // The gate obeys all of them: the one that ends first decides.
        if first.is_none_or(|f| ends_at < f.ends_at) {
            first = Some(Assessment { stage, rule, since, ends_at, next, held });
        }
    }
    if let Some(assessment) = first {
        return Ok(Standing::Clock(assessment));
    }
    if let Some(contract) = case.running_contract().map_err(why)? {
        let end = Some(contract.runs_until(case.at)).filter(|end| *end < Instant::MAX);
        return Ok(Standing::ContractRuns(end));
    }
    let own = case.sender();
    for atom in view.dealings() {
        let keeps = match atom.map_err(|_| dirty)? {
            Atom::Relation(r) => r.sender == own,
            Atom::OptIn(o) => o.sender == own && o.other_contact == 0 && !o.pending,
            Atom::Confirmation(c) => c.sender == own,
            _ => false,
        };
        if keeps {
            return Ok(Standing::Unlimited);
        }
    }
    Ok(Standing::Nothing)
}
