//! Service messages: order confirmations, tracking, what the law requires, changed terms. They need no permission
//! and pass an opt-out; what advertises is no service message (it was made `mixed` before the rules were chosen).

use super::case::Case;
use super::{Allowed, Check, Denied, restriction};
use crate::codes::Reason;
use crate::pack::{Rule, Service};
use crate::state::Atom;
use crate::time::Instant;

/// `None` where the rule does not make this a service message.
pub(super) fn evaluate<'q>(
    case: &Case<'_, 'q>,
    rule: &'q Rule,
    service: &Service,
) -> Check<'q, Option<Allowed<'q>>> {
    if service.never_refused && restriction::ever_refused(case)? {
        return Ok(None);
    }
    let mut holds_until = Instant::MAX;
    if let Some(minutes) = service.minutes_after_refusal {
        let Some(end) = restriction::refused_within(case, minutes)? else { return Ok(None) };
        holds_until = end;
    }
    if !service.after_erasure
        && let Some(erasure) = restriction::erased(case)?
    {
        return Err(Denied::new(Reason::Erased).by(rule).on(Atom::Restriction(erasure)).into());
    }
    Ok(Some(Allowed {
        basis: service.basis,
        rule,
        support: None,
        holds_until,
        switch: rule.when.switch.as_deref(),
    }))
}
