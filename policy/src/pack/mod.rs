//! Policy packs: one jurisdiction's rules as data, with effective dates and citations.
//!
//! The packs in `packs/*.toml` are compiled in; [`builtin`] parses and validates them once.

mod audience;
mod validate;

pub use audience::Audience;
pub use validate::Fault;

use crate::codes::*;
use crate::time::{Holiday, Period};
use chrono::{NaiveDate, NaiveTime};
use enumset::EnumSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The version of the compiled-in packs as a whole; it stands in every answer.
pub const POLICY_VERSION: &str = "2026.1";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    pub id: String,
    pub title: String,
    pub authority: String,
    /// Also used where no pack names the country: service messages only.
    #[serde(default)]
    pub fallback: bool,
    #[serde(default)]
    pub countries: Vec<Country>,
    /// The least advertising that turns a service message into a mixed one.
    pub mixed_from: Promotional,
    #[serde(default)]
    pub holidays: Vec<Holiday>,
    #[serde(default)]
    pub switches: Vec<Switch>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Country {
    pub code: String,
    /// The principal zone, for contacts whose own is not known.
    pub zone: String,
}

/// A contested point of law and what holds until the operator records another decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub id: String,
    /// Whether the permissive reading holds by default.
    pub default: bool,
    /// The arguments in one line.
    pub argument: String,
    pub citation: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Stable, with the version after the slash: `gb.soft_opt_in/1`.
    pub id: String,
    /// First day, from 00:00 in the contact's zone.
    pub from: NaiveDate,
    /// First day on which it no longer holds.
    #[serde(default)]
    pub until: Option<NaiveDate>,
    #[serde(default)]
    pub when: When,
    pub then: Requirement,
    pub citation: String,
    #[serde(default)]
    pub source: String,
    pub confidence: Confidence,
    /// What an allowed message must still carry or its sender still do.
    #[serde(default)]
    pub obligations: Vec<String>,
    #[serde(default)]
    pub note: String,
}

/// To which messages and contacts a rule applies; what is left out does not limit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Left out: every nature that is no service message.
    #[serde(default)]
    pub natures: Option<EnumSet<Nature>>,
    #[serde(default)]
    pub except_natures: EnumSet<Nature>,
    #[serde(default)]
    pub channels: Option<EnumSet<Channel>>,
    #[serde(default)]
    pub to: Audience,
    #[serde(default)]
    pub lines: Option<EnumSet<Line>>,
    /// Parts of ISO 3166-2 after the hyphen.
    #[serde(default)]
    pub regions: Vec<String>,
    #[serde(default)]
    pub sectors: Option<EnumSet<Sector>>,
    #[serde(default)]
    pub except_sectors: EnumSet<Sector>,
    #[serde(default)]
    pub promotional: Option<EnumSet<Promotional>>,
    #[serde(default)]
    pub sender: Option<SenderTrait>,
    /// Only for senders without this trait.
    #[serde(default)]
    pub sender_lacks: Option<SenderTrait>,
    /// Only while this contested point is decided permissively.
    #[serde(default)]
    pub switch: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SenderTrait {
    Charity,
    PoliticalParty,
    PensionAuthorised,
}

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
}

/// A prior opt-in that covers sender, channel, purpose and category, and can be proved.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// The law's own limit, counted from the opt-in.
    #[serde(default)]
    pub max_age: Option<Period>,
    /// Only a signed writing counts.
    #[serde(default)]
    pub written: bool,
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
    #[serde(default = "yes")]
    pub similar: bool,
    /// Only while the contract that the occasion began is running.
    #[serde(default)]
    pub running: bool,
    /// How long after the latest occasion.
    #[serde(default)]
    pub window: Option<Period>,
    /// The limb is law only for addresses collected from the rule's first day on.
    #[serde(default)]
    pub collected_in_force: bool,
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

/// At most so many attempts in so many calendar days, answered or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    pub attempts: u32,
    pub days: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormDuties {
    #[serde(default)]
    pub unsubscribe: bool,
    #[serde(default)]
    pub identity: bool,
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

impl Rule {
    /// The rule's calendar, in days of the contact's zone.
    pub fn in_force_on(&self, day: NaiveDate) -> bool {
        self.from <= day && self.until.is_none_or(|u| day < u)
    }
}

impl Pack {
    /// Parses and validates a pack.
    pub fn parse(text: &str) -> Result<Pack, Vec<Fault>> {
        let pack: Pack = toml::from_str(text)
            .map_err(|e| vec![Fault { path: "pack".into(), problem: e.message().to_owned() }])?;
        let faults = pack.faults();
        if faults.is_empty() { Ok(pack) } else { Err(faults) }
    }
}

const SOURCES: &[&str] = &[
    include_str!("../../packs/gb.toml"),
    include_str!("../../packs/fr.toml"),
    include_str!("../../packs/zz.toml"),
];

/// The compiled-in packs. Faulty ones are left out, so that their countries are denied; a test keeps that list
/// empty.
pub fn builtin() -> &'static [Pack] {
    static PACKS: OnceLock<Vec<Pack>> = OnceLock::new();
    PACKS.get_or_init(|| SOURCES.iter().filter_map(|s| Pack::parse(s).ok()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_compiled_in_pack_is_faulty() {
        for source in SOURCES {
            Pack::parse(source).unwrap();
        }
        assert_eq!(builtin().iter().filter(|p| p.fallback).count(), 1);
    }

    #[test]
    fn a_broken_pack_names_every_fault() {
        let broken = r#"
            id = "xx"
            title = "Nowhere"
            authority = "none"
            mixed_from = "substantial"
            countries = [{ code = "X", zone = "Mars/Olympus" }]
            [[rules]]
            id = "yy.rule"
            from = "2020-01-01"
            until = "2019-01-01"
            when = { switch = "xx.missing" }
            then = { consent = {} }
            citation = ""
            confidence = "high"
        "#;
        let faults = Pack::parse(broken).unwrap_err();
        let paths: Vec<_> = faults.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "countries[0].code",
                "countries[0].zone",
                "rules[0].id",
                "rules[0].until",
                "rules[0].citation",
                "rules[0].when.switch"
            ]
        );
        assert!(Pack::parse("id = 1").is_err());
        assert!(Pack::parse("nonsense").is_err());
    }
}
