//! Do-not-contact registers, with their days of grace. PECR reg. 21(3)-(4): a number listed for 28 days or more
//! must not be called, unless its user told this very caller otherwise.

use super::case::Case;
use super::{Check, Denied, consent};
use crate::codes::Reason;
use crate::pack::{RegisterCheck, Rule};
use crate::state::Atom;
use crate::time::{Instant, start_of_day};

/// Until when no listing forbids.
pub(super) fn check<'q>(case: &Case<'_, 'q>, rule: &'q Rule, wanted: &RegisterCheck) -> Check<'q, Instant> {
    let mut free_until = Instant::MAX;
    for atom in case.view.restrictions() {
        let Atom::Listing(listing) = atom? else { continue };
        let concerned = wanted.registers.contains(listing.register)
            && (listing.channels.is_empty() || listing.channels.contains(case.channel()))
            && (!wanted.names_sender || listing.sender == case.sender());
        let Some(since) = listing.listed_since(case.at).filter(|_| concerned) else { continue };
        let zone = case.zone();
        let grace = chrono::Duration::days(i64::from(wanted.grace_days));
        let binding = start_of_day(since.local_date(zone) + grace, zone);
        if case.at < binding {
            free_until = free_until.min(binding);
        } else if let Some(until) = if wanted.unless_consent { consent::given_until(case)? } else { None } {
            free_until = free_until.min(until);
        } else {
            return Err(Denied::new(Reason::Registered).by(rule).on(Atom::Listing(listing)).into());
        }
    }
    Ok(free_until)
}
