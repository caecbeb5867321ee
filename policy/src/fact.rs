//! A fact: one thing that happened between a contact and a sender, as the ledger or the CRM recorded it.

use crate::codes::*;
use crate::time::Instant;
use enumset::EnumSet;

/// A sender (legal entity) by its number in the `sender` table; 0 is reserved.
pub type SenderId = u32;
/// A product category by its number in the `category` table; 0 stands for "no category named".
pub type CategoryId = u32;

/// What an opt-in says about its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Expiry {
    /// Nothing was said: the law's own limit applies, where it has one.
    #[default]
    Unstated,
    At(Instant),
    /// Stated to have no end.
    Never,
}

/// One event of `scenarios/FORMAT.md`, with names resolved to numbers and addresses to tags.
///
/// `address` is the tag (see [`crate::address`]) of the address the fact is about, or 0 for "the one current at
/// the time". `other_contact` is 0 for the contact's own facts, else a tag of the other contact who uses the
/// same address.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub kind: EventKind,
    pub at: Instant,
    pub recorded_at: Instant,
    pub sender: SenderId,
    pub channels: EnumSet<Channel>,
    pub category: CategoryId,
    pub opt_out_offered: Tri,
    pub refused: bool,
    pub from_person: bool,
    pub address: u32,
    pub other_contact: u32,
    pub grade: Grade,
    pub purposes: EnumSet<Purpose>,
    pub method: Option<Method>,
    pub names_sender: bool,
    /// A double opt-in was asked for and counts only once confirmed.
    pub pending: bool,
    pub expires: Expiry,
    pub scope: Scope,
    pub via: Option<Via>,
    pub register: Option<Register>,
    pub funded_by_paid: bool,
    pub refusal_notice: Tri,
    pub relevant_to_role: Tri,
    /// A click made by a mail scanner, not by the person.
    pub machine: bool,
    /// Of a message sent: what it was, and whether it kept all the rules.
    pub nature: Option<Nature>,
    pub compliant: bool,
    /// Of a referral: the referrer is named and has a relationship with both sides.
    pub referred: bool,
    /// Of a transferred business: to whom; 0 where unknown.
    pub to: SenderId,
}

impl Fact {
    /// A fact with the defaults of the format: own, from the person, proof held, nothing offered or refused.
    pub fn new(kind: EventKind, at: Instant, sender: SenderId) -> Fact {
        Fact {
            kind,
            at,
            recorded_at: at,
            sender,
            channels: if kind == EventKind::Objection { EnumSet::all() } else { Channel::Email.into() },
            category: 0,
            opt_out_offered: Tri::Unknown,
            refused: false,
            from_person: true,
            address: 0,
            other_contact: 0,
            grade: Grade::Proof,
            purposes: EnumSet::all(),
            method: None,
            names_sender: false,
            pending: false,
            expires: Expiry::Unstated,
            scope: Scope::All,
            via: None,
            register: None,
            funded_by_paid: false,
            refusal_notice: Tri::Unknown,
            relevant_to_role: Tri::Unknown,
            machine: false,
            nature: None,
            compliant: false,
            referred: false,
            to: 0,
        }
    }
}
