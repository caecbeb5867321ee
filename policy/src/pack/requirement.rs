//! What a rule can require. Permissions are alternatives: any one suffices. The others each can deny.

use crate::codes::*;
use crate::time::Period;
use chrono::{NaiveDate, NaiveTime};
use enumset::EnumSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a rule does. Permissions are alternatives: any one suffices. The others each can deny.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    Service(Service),
    Consent(Consent),
    Relationship(Relationship),
    Regime(Regime),
    OngoingContract(OngoingContract),
    Prohibited(Prohibited),
    Register(RegisterCheck),
    Hours(Hours),
    Cap(Cap),
    Form(FormDuties),
    Retention(Retention),
    OptOutReach(OptOutReach),
    CollectedFor(CollectedFor),
}

/// No permission is needed, and an opt-out does not stop it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub basis: Basis,
    /// May still be sent after an erasure request (the acknowledgement itself).
    #[serde(default)]
    pub after_erasure: bool,
    /// Only to people who never refused or objected.
    #[serde(default)]
    pub never_refused: bool,
    /// Only so many minutes after a refusal: one confirmation of it.
    #[serde(default)]
    pub minutes_after_refusal: Option<u32>,
}

/// A prior opt-in that covers sender, channel, purpose and category, and can be proved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The law's own limit, counted from the opt-in.
    #[serde(default)]
    pub max_age: Option<Period>,
    /// The limit begins on the day of the opt-in, whatever the hour, and yields to a period that the opt-in states.
    #[serde(default)]
    pub lapses: bool,
    /// Dies of disuse: so long after the later of the opt-in, the sender's last message and the person's last click.
    #[serde(default)]
    pub unused: Option<Period>,
    /// Only a signed writing counts.
    #[serde(default)]
    pub written: bool,
    /// The opt-in must be for the message's purpose alone: neither one for any purpose nor one of several at once does.
    #[serde(default)]
    pub named_purpose: bool,
    /// Opens no number that one of these lists.
    #[serde(default)]
    pub unlisted: EnumSet<Register>,
}

/// The soft opt-in and its relatives: the address came from the person on such an occasion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relationship {
    pub basis: Basis,
    pub kinds: EnumSet<EventKind>,
    /// Occasions that count only if a contested point is decided permissively: kind to switch.
    #[serde(default)]
    pub contested: BTreeMap<EventKind, String>,
    /// Refusal offered when the address was collected.
    #[serde(default = "yes")]
    pub refusal_offered: bool,
    /// The address came from the person, not from somebody else.
    #[serde(default = "yes")]
    pub from_person: bool,
    #[serde(default = "yes")]
    pub similar: bool,
    /// The very category of the message; a similar one does not do.
    #[serde(default)]
    pub same_category: bool,
    /// Of occasions that begin a contract, only while it runs; others are not affected.
    #[serde(default)]
    pub running: bool,
    /// With `running`: also so long after the contract's end.
    #[serde(default)]
    pub after_end: Option<Period>,
    /// With `running`: whether an ended contract still counts is this contested point.
    #[serde(default)]
    pub ended_contested: Option<String>,
    /// How long after the latest occasion.
    #[serde(default)]
    pub window: Option<Period>,
    /// How `window` and `after_end` are counted.
    #[serde(default)]
    pub counting: Counting,
    /// Each lawful message within the window begins it anew.
    #[serde(default)]
    pub renewed_by_sends: bool,
    /// Only the first message after the occasion.
    #[serde(default)]
    pub first_message: bool,
    /// Only occasions before this day...
    #[serde(default)]
    pub before: Option<NaiveDate>,
    /// ...and only of people who were written to before this one.
    #[serde(default)]
    pub mailed_before: Option<NaiveDate>,
    /// The limb is law only for addresses collected from the rule's first day on.
    #[serde(default)]
    pub collected_in_force: bool,
    /// The message must concern the person's role, and the address have been given or published in it.
    #[serde(default)]
    pub role_related: bool,
    /// Published without a notice that refuses advertising.
    #[serde(default)]
    pub no_refusal_notice: bool,
    /// Whether marketing was among the purposes told at collection.
    #[serde(default)]
    pub purpose: PurposeTold,
    /// The referrer is named and has a relationship with both sides.
    #[serde(default)]
    pub referred: bool,
    /// Whoever takes over the business takes over the relationship.
    #[serde(default)]
    pub inherited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// From the occasion's instant to the same time of day at the end, which is outside.
    #[default]
    Forward,
    /// Back from the day of sending, whole days (CASL s.10(10), Interpretation Act s.28).
    BackFromSendDay,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurposeTold {
    #[default]
    Any,
    /// Marketing was not left out of the purposes told (Quebec P-39.1 s.12).
    Disclosed,
    /// Marketing was named expressly (Tw 11.7(2): addresses designated for it).
    Named,
}

/// Allowed unless the person refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    pub basis: Basis,
    /// The person was told at collection and could refuse.
    #[serde(default)]
    pub informed: bool,
    #[serde(default)]
    pub profession_related: bool,
    /// Not for data whose origin is a broker or a harvest.
    #[serde(default)]
    pub not_bought: bool,
    /// With `not_bought`: a bought list will do where proof of its origin is held.
    #[serde(default)]
    pub bought_with_proof: bool,
    /// Only for data that came from the person.
    #[serde(default)]
    pub from_person: bool,
    /// Whether marketing was among the purposes told at collection.
    #[serde(default)]
    pub purpose: PurposeTold,
    /// No `collected_for` rule limits it.
    #[serde(default)]
    pub whatever_purpose: bool,
    /// Only for numbers that none of these lists.
    #[serde(default)]
    pub unlisted: EnumSet<Register>,
}

/// The message concerns a contract that is running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OngoingContract {
    pub basis: Basis,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prohibited {
    #[serde(default)]
    pub except_ongoing_contract: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterCheck {
    pub registers: EnumSet<Register>,
    /// Days from the listing during which a call is still lawful.
    #[serde(default)]
    pub grace_days: u32,
    /// The entry names one sender (Fundraising Preference Service).
    #[serde(default)]
    pub names_sender: bool,
    /// A valid opt-in to this very sender prevails.
    #[serde(default = "yes")]
    pub unless_consent: bool,
}

/// When a call may be made, in the contact's zone. A day left out has no lawful hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    #[serde(default)]
    pub weekdays: Vec<Span>,
    #[serde(default)]
    pub saturday: Vec<Span>,
    #[serde(default)]
    pub sunday: Vec<Span>,
    #[serde(default)]
    pub on_holidays: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    pub from: NaiveTime,
    pub to: NaiveTime,
}

/// At most so many attempts in so many calendar days (or hours), answered or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    pub attempts: u32,
    #[serde(default)]
    pub days: u32,
    #[serde(default)]
    pub hours: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormDuties {
    #[serde(default)]
    pub unsubscribe: bool,
    #[serde(default)]
    pub identity: bool,
    /// A postal address of the sender is part of the identity.
    #[serde(default)]
    pub postal_address: bool,
    #[serde(default)]
    pub subject: bool,
}

/// How long the data may serve marketing after the last action of the person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    pub after: Period,
    /// What restarts the clock. Never an open, a bounce or our own send.
    pub actions: EnumSet<EventKind>,
    /// Days before the end at which to warn.
    pub warn_days: u32,
    /// Days before the end from which one renewal message may go out.
    pub renewal_days: u32,
}

const fn yes() -> bool {
    true
}

/// An opt-out given while this rule is in force reaches further than its scope: from one class of messages on these
/// channels to all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptOutReach {
    pub channels: EnumSet<Channel>,
    /// Only of opt-outs from everything, not from marketing or a class of messages.
    #[serde(default)]
    pub only_from_everything: bool,
}

/// A condition of all relationships and opt-out regimes: the address was collected for such messages. Relationships
/// count only with that purpose told; regimes allow only what came from the person with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectedFor {
    pub purpose: PurposeTold,
}
