//! Sector bans and the like: what no consent can allow. FR C. conso L223-8, L6323-8-1; PECR reg. 21B.

use super::case::Case;
use super::{Check, Denied};
use crate::codes::Reason;
use crate::pack::Requirement;
use crate::question::Phase;
use crate::time::Instant;

/// What the prohibitions leave.
pub(super) struct Cleared<'q> {
    /// No prohibition holds before this instant.
    pub until: Instant,
    /// A prohibition that is contested and not decided away: it denies where nothing else does.
    pub contested: Option<Denied<'q>>,
    /// The decision by which a contested prohibition fell.
    pub fallen: Option<&'q str>,
}

pub(super) fn check<'q>(case: &Case<'_, 'q>) -> Check<'q, Cleared<'q>> {
    let mut cleared = Cleared { until: Instant::MAX, contested: None, fallen: None };
    for rule in case.rules(Phase::Prohibition) {
        let Requirement::Prohibited(p) = &rule.then else { continue };
        match rule.contested.as_deref() {
            Some(switch) if case.switch(switch) => cleared.fallen = Some(switch),
            Some(switch) => {
                let denied = Denied::new(Reason::Contested).by(rule);
                cleared.contested = Some(Denied { switch: Some(switch), ..denied });
            }
            None => {
                let exempt = if p.except_ongoing_contract { case.ongoing_contract()? } else { None };
                let contract = exempt.ok_or_else(|| Denied::new(Reason::Prohibited).by(rule))?;
                cleared.until = cleared.until.min(contract.runs_until(case.at));
            }
        }
    }
    Ok(cleared)
}
