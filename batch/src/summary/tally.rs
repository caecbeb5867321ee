//! What one pass over the states counts for the audit views.

use crate::permission::Permission;
use chrono::{Datelike, NaiveDate};
use pg_consent_policy::codes::{EventKind, Grade};
use pg_consent_policy::question::Question;
use pg_consent_policy::state::{Atom, StateView};
use pg_consent_policy::time::Instant;

/// How a contact may have come to be written to, but for opt-ins: as `consent.audit_contact_record` has it.
const SUBSCRIBED_BY: &[EventKind] = &[
    EventKind::Purchase,
    EventKind::ContractStart,
    EventKind::SubscriptionStart,
    EventKind::QuoteRequest,
    EventKind::Enquiry,
    EventKind::TrialStart,
    EventKind::FreeAccount,
    EventKind::Donation,
    EventKind::Volunteering,
    EventKind::SupportExpressed,
    EventKind::MembershipStart,
    EventKind::Referral,
    EventKind::AddressPublished,
    EventKind::AddressDisclosed,
];

pub struct Tally<'q> {
    asked: &'q [&'q Question],
    horizon: Instant,
    pub contacts: u64,
    /// One a question; ends by the first day of their month, in UTC.
    pub permission: Vec<Permission<'q, NaiveDate>>,
    of_unknown_origin: u64,
    unproven: u64,
}

impl<'q> Tally<'q> {
    pub fn new(asked: &'q [&'q Question], horizon: Instant) -> Tally<'q> {
        let permission = asked.iter().map(|_| Permission::default()).collect();
        Tally { asked, horizon, contacts: 0, permission, of_unknown_origin: 0, unproven: 0 }
    }

    /// Takes in one contact's state, or the same state several `times` over.
    pub fn add(&mut self, state: &[u8], times: u64) {
        self.contacts += times;
        for (question, counts) in self.asked.iter().copied().zip(&mut self.permission) {
            counts.add(state, question, times, self.horizon, month);
        }
        match StateView::new(state).ok().filter(|view| !view.dirty).map(|view| proven(&view)) {
            Some(None) => self.of_unknown_origin += times,
            Some(Some(false)) => self.unproven += times,
            Some(Some(true)) | None => {}
        }
    }

    pub fn join(mut self, other: Tally<'q>) -> Tally<'q> {
        self.contacts += other.contacts;
        self.of_unknown_origin += other.of_unknown_origin;
        self.unproven += other.unproven;
        self.permission.iter_mut().zip(other.permission).for_each(|(a, b)| a.join(b));
        self
    }

    /// What the records of how many contacts lack, as far as states know it.
    pub fn record_gaps(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [("unknown_how_subscribed", self.of_unknown_origin), ("without_evidence", self.unproven)].into_iter()
    }
}

fn month(end: Instant) -> NaiveDate {
    let day = end.to_utc().date_naive();
    day.with_day(1).unwrap_or(day)
}

/// Whether the contact's own opt-in, or else another way it came to be written to, has evidence; `None`: nothing says how
/// it came.
fn proven(view: &StateView<'_>) -> Option<bool> {
    let best = |grades: &mut dyn Iterator<Item = Grade>| grades.map(|g| g == Grade::Proof).max();
    let opt_in = best(&mut view.opt_ins().filter_map(|atom| match atom {
        Ok(Atom::OptIn(o)) if o.other_contact == 0 => Some(o.grade),
        _ => None,
    }));
    opt_in.or_else(|| {
        best(&mut view.relations().filter_map(|atom| match atom {
            Ok(Atom::Relation(r)) if SUBSCRIBED_BY.contains(&r.kind) => Some(r.grade),
            _ => None,
        }))
    })
}
