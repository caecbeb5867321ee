//! What one pass over the states counts for the audit views.

use crate::permission::Permission;
use chrono::{Datelike, NaiveDate};
use pg_consent_policy::codes::{EventKind, Grade};
use pg_consent_policy::profile::AddressGroup;
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
    records: Records,
}

/// What states know of how complete the contacts' records are.
#[derive(Default)]
struct Records {
    /// By [`AddressGroup`].
    with_valid_address: [u64; 3],
    without_clean_address: u64,
    of_unknown_origin: u64,
    unproven: u64,
}

impl Records {
    fn add(&mut self, view: &StateView<'_>, times: u64) {
        // Who is only in the ledger is nobody's record.
        if let Some(profile) = view.profile {
            let valid =
                profile.addresses.map(|a| a.tag != 0 && a.since.is_none_or(|since| since < Instant::MAX));
            self.with_valid_address
                .iter_mut()
                .zip(valid)
                .for_each(|(n, valid)| *n += u64::from(valid) * times);
            self.without_clean_address += u64::from(!valid.contains(&true)) * times;
        }
        match proven(view) {
            None => self.of_unknown_origin += times,
            Some(false) => self.unproven += times,
            Some(true) => {}
        }
    }

    fn join(&mut self, other: &Records) {
        self.with_valid_address.iter_mut().zip(other.with_valid_address).for_each(|(n, m)| *n += m);
        self.without_clean_address += other.without_clean_address;
        self.of_unknown_origin += other.of_unknown_origin;
        self.unproven += other.unproven;
    }
}

impl<'q> Tally<'q> {
    pub fn new(asked: &'q [&'q Question], horizon: Instant) -> Tally<'q> {
        let permission = asked.iter().map(|_| Permission::default()).collect();
        Tally { asked, horizon, contacts: 0, permission, records: Records::default() }
    }

    /// Takes in one contact's state, or the same state several `times` over.
    pub fn add(&mut self, state: &[u8], times: u64) {
        self.contacts += times;
        for (question, counts) in self.asked.iter().copied().zip(&mut self.permission) {
            counts.add(state, question, times, self.horizon, month);
        }
        if let Some(view) = StateView::new(state).ok().filter(|view| !view.dirty) {
            self.records.add(&view, times);
        }
    }

    pub fn join(mut self, other: Tally<'q>) -> Tally<'q> {
        self.contacts += other.contacts;
        self.records.join(&other.records);
        self.permission.iter_mut().zip(other.permission).for_each(|(a, b)| a.join(b));
        self
    }

    /// Of how many contacts the record is complete in what respect, as far as states know it.
    pub fn records(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let r = &self.records;
        let [email, phone, post] = [AddressGroup::Email, AddressGroup::Phone, AddressGroup::Post]
            .map(|g| r.with_valid_address[g as usize]);
        [
            ("with_valid_email", email),
            ("with_valid_phone", phone),
            ("with_valid_post", post),
            ("without_clean_address", r.without_clean_address),
            ("unknown_how_subscribed", r.of_unknown_origin),
            ("without_evidence", r.unproven),
        ]
        .into_iter()
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
        let by = view.relations().flatten().filter(|r| SUBSCRIBED_BY.contains(&r.kind));
        best(&mut by.map(|r| r.grade))
    })
}
