//! What a state is made of: the part of each fact that a decision can still depend on.
//!
//! Atoms with the same [`Atom::key`] are joined; the join keeps, of two atoms, whatever could matter later. Every
//! join is a maximum in some order, so merging states is commutative, associative and idempotent.

use crate::codes::*;
use crate::fact::{CategoryId, Expiry, SenderId};
use crate::time::Instant;
use enumset::EnumSet;

/// Something that denies until the person opts in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restriction {
    pub kind: RestrictionKind,
    pub sender: SenderId,
    pub channels: EnumSet<Channel>,
    /// The opted-out category (with its subtree); 0 for all.
    pub category: CategoryId,
    /// An opt-out from everything, or of unclear scope, rather than from marketing.
    pub everything: bool,
    /// Not 0: came from another contact (this tag) who uses the same address.
    pub other_contact: u32,
    /// In force from here: the earlier of happened and recorded.
    pub from: Instant,
    /// Only an opt-in later than this lifts it: the later of happened and recorded.
    pub lifted_after: Instant,
}

/// Ordered by how much is refused; the reason of the strongest is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RestrictionKind {
    /// Refused when asked at collection: ends what rests on the relationship, and opt-out regimes.
    Refusal,
    OptOut,
    /// An opt-out done by the operator's own system (clean-up, list hygiene): passive, but it denies alike.
    PassiveOptOut,
    Objection,
    Erasure,
}

impl RestrictionKind {
    pub const ALL: [RestrictionKind; 5] = [
        RestrictionKind::Refusal,
        RestrictionKind::OptOut,
        RestrictionKind::PassiveOptOut,
        RestrictionKind::Objection,
        RestrictionKind::Erasure,
    ];

    pub const fn code(self) -> &'static str {
        match self {
            RestrictionKind::Refusal => "refusal_at_collection",
            RestrictionKind::OptOut => "opt_out",
            RestrictionKind::PassiveOptOut => "opt_out_by_system",
            RestrictionKind::Objection => "objection",
            RestrictionKind::Erasure => "erasure_request",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OptIn {
    pub sender: SenderId,
    pub channels: EnumSet<Channel>,
    pub purposes: EnumSet<Purpose>,
    /// Limits the opt-in to this category and its subtree; 0 for all.
    pub category: CategoryId,
    pub address: u32,
    pub other_contact: u32,
    pub method: Method,
    pub grade: Grade,
    pub names_sender: bool,
    pub from_person: bool,
    /// Counts only once confirmed (double opt-in).
    pub pending: bool,
    pub expires: Expiry,
    /// The earlier of happened and recorded. Of a pending one the permission dates from its confirmation.
    pub at: Instant,
}

/// The confirmation of a double opt-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    pub sender: SenderId,
    pub channels: EnumSet<Channel>,
    /// What was confirmed; it must cover what the request asked for.
    pub purposes: EnumSet<Purpose>,
    pub address: u32,
    pub at: Instant,
}

/// How the address came to the sender: one class of collection in one category, with its latest time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    pub kind: EventKind,
    pub sender: SenderId,
    pub category: CategoryId,
    pub channels: EnumSet<Channel>,
    pub address: u32,
    pub opt_out_offered: Tri,
    pub from_person: bool,
    pub grade: Grade,
    pub funded_by_paid: bool,
    pub refusal_notice: Tri,
    pub relevant_to_role: Tri,
    /// What the person was told the address would serve; all where nothing was said.
    pub purposes: EnumSet<Purpose>,
    pub referred: bool,
    /// To the second, rounded down.
    pub at: Instant,
}

/// A running or ended contract, subscription or membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// The kind that started it.
    pub kind: EventKind,
    pub sender: SenderId,
    pub category: CategoryId,
    pub started: Option<Instant>,
    pub ended: Option<Instant>,
}

impl Contract {
    /// Running at `at`; a start and an end in the same second count as ended.
    pub fn runs(&self, at: Instant) -> bool {
        self.started.is_some_and(|s| s <= at && self.ended.is_none_or(|e| e < s || at < e))
    }

    /// Until when a running contract runs, as far as is known.
    pub fn runs_until(&self, at: Instant) -> Instant {
        self.ended.filter(|e| at < *e).unwrap_or(Instant::MAX)
    }
}

/// A do-not-contact register's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listing {
    pub register: Register,
    pub sender: SenderId,
    /// Empty: the register's own channels.
    pub channels: EnumSet<Channel>,
    pub first_listed: Option<Instant>,
    pub last_listed: Option<Instant>,
    pub delisted: Option<Instant>,
}

impl Listing {
    /// Since when the number is listed at `at`, as far back as the entries allow; `None` where it is not.
    pub fn listed_since(&self, at: Instant) -> Option<Instant> {
        match (self.first_listed, self.last_listed, self.delisted.filter(|gone| *gone <= at)) {
            (Some(first), _, None) => Some(first),
            (Some(first), _, Some(gone)) if first >= gone => Some(first),
            // Listed again after a removal: the exact day is not kept, so the removal's day stands for it.
            (_, Some(last), Some(gone)) if last >= gone => Some(gone),
            _ => None,
        }
    }
}

/// The last time the person did something of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    pub kind: EventKind,
    pub sender: SenderId,
    pub at: Instant,
}

/// Advertising sent to the contact on these channels: a run of messages with no gap of more than
/// [`Sends::GAP_SECONDS`]. Whether a right still lives that each message renews (Ireland) shows from the runs alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sends {
    pub sender: SenderId,
    pub channels: EnumSet<Channel>,
    /// Whether all of them kept the rules.
    pub compliant: bool,
    pub first: Instant,
    pub last: Instant,
}

impl Sends {
    /// 364 days: no year is shorter on any wall clock, so each message of a run is within a year of the one before.
    pub const GAP_SECONDS: i64 = 364 * 86_400;

    fn adjoins(&self, other: &Sends) -> bool {
        let gap =
            (self.first.seconds() - other.last.seconds()).max(other.first.seconds() - self.last.seconds());
        gap <= Sends::GAP_SECONDS
    }
}

/// One legal entity took over a business from another, with its relationships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    pub from: SenderId,
    pub to: SenderId,
    pub at: Instant,
}

/// A litigation or audit hold: retention must not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    pub held: Option<Instant>,
    pub released: Option<Instant>,
}

impl Hold {
    /// Held and not released since; a hold and a release in the same second leave it held.
    pub fn is_held(&self) -> bool {
        self.held.is_some_and(|held| self.released.is_none_or(|released| released <= held))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atom {
    Restriction(Restriction),
    Listing(Listing),
    OptIn(OptIn),
    Confirmation(Confirmation),
    Relation(Relation),
    Contract(Contract),
    Action(Action),
    Hold(Hold),
    Sends(Sends),
    Transfer(Transfer),
}

/// Atoms sort by section, class and category, which is also the order they are stored in.
pub type Key = [u32; 6];

impl Relation {
    /// All that distinguishes two collections, but the category and the time.
    pub(crate) fn class(&self) -> u32 {
        self.kind as u32
            | u32::from(self.channels.as_u8()) << 8
            | (self.opt_out_offered as u32) << 13
            | u32::from(self.from_person) << 15
            | (self.grade as u32) << 16
            | u32::from(self.funded_by_paid) << 18
            | (self.refusal_notice as u32) << 19
            | (self.relevant_to_role as u32) << 21
            | u32::from(self.purposes.as_u8()) << 23
            | u32::from(self.referred) << 29
    }
}

impl Atom {
    pub fn key(&self) -> Key {
        match self {
            Atom::Restriction(r) => [
                0,
                r.kind as u32 | u32::from(r.everything) << 8,
                r.sender,
                r.channels.as_u32(),
                r.other_contact,
                r.category,
            ],
            Atom::Listing(l) => [1, l.register as u32, l.sender, l.channels.as_u32(), 0, 0],
            Atom::OptIn(o) => {
                let scope = o.channels.as_u32() | (o.purposes.as_u32()) << 8;
                [2, o.sender, scope, o.address, o.other_contact, o.category]
            }
            Atom::Confirmation(c) => {
                [3, c.sender, c.channels.as_u32() | c.purposes.as_u32() << 8, c.address, 0, 0]
            }
            Atom::Relation(r) => [4, r.sender, r.class(), r.address, 0, r.category],
            Atom::Contract(c) => [5, c.kind as u32, c.sender, 0, 0, c.category],
            Atom::Action(a) => [6, a.kind as u32, a.sender, 0, 0, 0],
            Atom::Hold(_) => [7, 0, 0, 0, 0, 0],
            Atom::Sends(s) => [8, s.sender, s.channels.as_u32(), u32::from(s.compliant), 0, 0],
            Atom::Transfer(t) => [9, t.from, t.to, 0, 0, 0],
        }
    }

    /// Joins two atoms of one key; `None` where both must be kept (opt-ins that have different strengths, runs of
    /// messages that lie apart).
    pub fn join(self, other: Atom) -> Option<Atom> {
        Some(match (self, other) {
            (Atom::Restriction(a), Atom::Restriction(b)) => {
                let later = (a.lifted_after, a.from) >= (b.lifted_after, b.from);
                Atom::Restriction(if later { a } else { b })
            }
            (Atom::Listing(a), Atom::Listing(b)) => Atom::Listing(Listing {
                first_listed: match (a.first_listed, b.first_listed) {
                    (Some(x), Some(y)) => Some(x.min(y)),
                    (x, y) => x.or(y),
                },
                last_listed: a.last_listed.max(b.last_listed),
                delisted: a.delisted.max(b.delisted),
                ..a
            }),
            (Atom::OptIn(a), Atom::OptIn(b)) if a.at_least_as_strong_as(&b) => Atom::OptIn(a),
            (Atom::OptIn(a), Atom::OptIn(b)) if b.at_least_as_strong_as(&a) => Atom::OptIn(b),
            (Atom::Confirmation(a), Atom::Confirmation(b)) => {
                Atom::Confirmation(Confirmation { at: a.at.max(b.at), ..a })
            }
            // An address that others delivered was collected when it first came: loading the list again is no news.
            (Atom::Relation(a), Atom::Relation(b)) if a.kind.is_delivered_by_others() => {
                Atom::Relation(Relation { at: a.at.min(b.at), ..a })
            }
            (Atom::Relation(a), Atom::Relation(b)) => Atom::Relation(Relation { at: a.at.max(b.at), ..a }),
            (Atom::Contract(a), Atom::Contract(b)) => Atom::Contract(Contract {
                started: a.started.max(b.started),
                ended: a.ended.max(b.ended),
                ..a
            }),
            (Atom::Action(a), Atom::Action(b)) => Atom::Action(Action { at: a.at.max(b.at), ..a }),
            (Atom::Hold(a), Atom::Hold(b)) => {
                Atom::Hold(Hold { held: a.held.max(b.held), released: a.released.max(b.released) })
            }
            (Atom::Sends(a), Atom::Sends(b)) if a.adjoins(&b) => {
                Atom::Sends(Sends { first: a.first.min(b.first), last: a.last.max(b.last), ..a })
            }
            (Atom::Transfer(a), Atom::Transfer(b)) => Atom::Transfer(Transfer { at: a.at.max(b.at), ..a }),
            _ => return None,
        })
    }
}

impl OptIn {
    /// No decision can prefer `other`: later or as late, and no weaker in any respect. An unproven later opt-in
    /// must not hide a proven earlier one, nor one for three months an endless one.
    fn at_least_as_strong_as(&self, other: &OptIn) -> bool {
        let lasts = match (self.expires, other.expires) {
            (a, b) if a == b => true,
            (Expiry::Never, _) => true,
            (Expiry::At(a), Expiry::At(b)) => a >= b,
            _ => false,
        };
        // A double opt-in dates from its confirmation, so of the requests the first is kept: asking once more must
        // not undo what was confirmed.
        let as_good_a_date = if self.pending { self.at <= other.at } else { self.at >= other.at };
        lasts
            && as_good_a_date
            && self.pending == other.pending
            && self.method == other.method
            && self.grade >= other.grade
            && self.names_sender >= other.names_sender
            && self.from_person >= other.from_person
    }
}
