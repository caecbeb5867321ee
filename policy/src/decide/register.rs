//! Do-not-contact registers, with their days of grace. PECR reg. 21(3)-(4): a number listed for 28 days or more
//! must not be called, unless its user told this very caller otherwise.

use super::case::Case;
use super::{Check, Denied, consent};
use crate::codes::Reason;
use crate::pack::{RegisterCheck, Rule};
use crate::state::{Atom, Listing};
use crate::time::{Instant, start_of_day};
use chrono::Days;

/// Until when no listing forbids.
pub(crate) fn check<'q>(case: &Case<'_, 'q>, rule: &'q Rule, wanted: &RegisterCheck) -> Check<'q, Instant> {
    let concerns = |l: &Listing| {
        wanted.registers.contains(l.register) && (!wanted.names_sender || l.sender == case.sender())
    };
    let (free_until, listing) = binding_listing(case, concerns, wanted.grace_days)?;
    let Some(listing) = listing else { return Ok(free_until) };
    let lifted = if wanted.unless_consent { consent::given_until(case)? } else { None };
    lifted
        .map(|until| free_until.min(until))
        .ok_or_else(|| Denied::new(Reason::Registered).by(rule).on(Atom::Listing(listing)).into())
}

/// The listing that binds now, where one does, and until when a day of grace keeps another from binding.
pub(super) fn binding_listing<'q>(
    case: &Case<'_, 'q>,
    concerns: impl Fn(&Listing) -> bool,
    grace_days: u32,
) -> Check<'q, (Instant, Option<Listing>)> {
    let mut free_until = Instant::MAX;
    for atom in case.view.restrictions() {
        let Atom::Listing(listing) = atom? else { continue };
        let this_channel = listing.channels.is_empty() || listing.channels.contains(case.channel());
        let since = listing.listed_since(case.at).filter(|_| this_channel && concerns(&listing));
        let Some(since) = since else { continue };
        let zone = case.zone();
        let first_day = since.local_date(zone).checked_add_days(Days::new(grace_days.into()));
        let binding = first_day.map_or(Instant::MIN, |day| start_of_day(day, zone));
        if case.at >= binding {
            return Ok((free_until, Some(listing)));
        }
        free_until = free_until.min(binding);
    }
    Ok((free_until, None))
}
