//! What an advertising message must carry: a working way out, an honest sender, an honest subject.
//! Directive 2002/58/EC art. 13(4); PECR reg. 23; CPCE L34-5.

use super::case::Case;
use super::{Check, Denied};
use crate::codes::{Reason, Unsubscribe};
use crate::pack::{FormDuties, Rule};

pub(super) fn check<'q>(case: &Case<'_, 'q>, rule: &'q Rule, duties: &FormDuties) -> Check<'q> {
    let form = &case.question.message.form;
    let way_out = matches!(form.unsubscribe, Unsubscribe::OneClick | Unsubscribe::Link | Unsubscribe::Reply);
    let fault = if duties.unsubscribe && !way_out {
        Some(Reason::FormUnsubscribe)
    } else if duties.identity && !form.identity || duties.postal_address && !form.postal_address {
        Some(Reason::FormIdentity)
    } else if duties.subject && form.misleading_subject {
        Some(Reason::FormMisleading)
    } else {
        None
    };
    fault.map_or(Ok(()), |reason| Err(Denied::new(reason).by(rule).into()))
}
