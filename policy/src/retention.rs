//! The stages of retention: active, renewal window, expired. The batch acts on them; the gate stops marketing at
//! the same instant ([`crate::decide`]).

use crate::codes::Reason;
use crate::decide::{Case, clock};
use crate::pack::{Requirement, Rule};
use crate::question::{Phase, Question};
use crate::state::{Atom, StateView};
use crate::time::Instant;

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

/// Where one contact stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment<'q> {
    pub stage: Stage,
    pub rule: &'q Rule,
    /// The person's last action.
    pub since: Instant,
    pub ends_at: Instant,
    /// A legal hold stops every action.
    pub held: bool,
}

/// Why a contact can't be assessed; the run reports it and leaves the contact alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unassessable(pub Reason);

/// Of several rules the one that ends first; `None` where no rule limits retention, or its clock has not started.
///
/// `question` gives the sender, the rules and the instant; any marketing message will do.
pub fn assess<'q>(state: &[u8], question: &'q Question) -> Result<Option<Assessment<'q>>, Unassessable> {
    let dirty = Unassessable(Reason::Dirty);
    let view = StateView::new(state).map_err(|_| dirty)?;
    let case = Case::new(view, question, question.at, true).map_err(|stop| match stop {
        crate::decide::Stop::Denied(d) => Unassessable(d.reason),
        crate::decide::Stop::Corrupt => dirty,
    })?;
    let held = view.activity().any(|a| match a {
        Ok(Atom::Hold(h)) => h.is_held(),
        _ => false,
    });
    let mut first: Option<Assessment<'q>> = None;
    for rule in case.rules(Phase::Last) {
        let Requirement::Retention(retention) = &rule.then else { continue };
        let Ok(crate::decide::Clock::Since(since, _)) = clock(&case, retention) else { continue };
        let ends_at = since.plus(retention.after, case.zone());
        let before = |days: u32| {
            let days = i64::from(days) * 86_400_000;
            Instant(ends_at.0 - days)
        };
        let stage = match case.at {
            t if t >= ends_at => Stage::Expired,
            t if t >= before(retention.renewal_days) => Stage::Renewal,
            t if t >= before(retention.warn_days) => Stage::Warning,
            _ => Stage::Active,
        };
        // The gate obeys all of them: the one that ends first decides.
        if first.is_none_or(|f| ends_at < f.ends_at) {
            first = Some(Assessment { stage, rule, since, ends_at, held });
        }
    }
    Ok(first)
}
