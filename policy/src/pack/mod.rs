//! Policy packs: one jurisdiction's rules as data, with effective dates and citations.
//!
//! The packs in `packs/*.toml` are compiled in; [`builtin`] parses and validates them once.

mod audience;
mod describe;
pub mod overlay;
mod requirement;
mod validate;

pub use audience::Audience;
pub use describe::{Description, InForce, Standing};
pub use requirement::*;
pub use validate::Fault;

use crate::codes::*;
use crate::holiday::Holiday;
use chrono::NaiveDate;
use enumset::{EnumSet, EnumSetType};
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
    /// Which of several permissions an answer names.
    #[serde(default)]
    pub grounds: Grounds,
    /// Where a channel is stricter than the others.
    #[serde(default)]
    pub mixed_from_on: BTreeMap<Channel, Promotional>,
    /// How soon an opt-out must have taken effect everywhere.
    #[serde(default)]
    pub opt_out_deadline: Option<Deadline>,
    /// How soon whoever refused must be told what was done.
    #[serde(default)]
    pub answer_deadline: Option<AnswerDeadline>,
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

/// Which of several permissions that hold is the basis of a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grounds {
    /// Any suffices: the one that lasts longest.
    #[default]
    LongestLived,
    /// Consent, else a relationship, else what the law leaves to the person to refuse.
    Ranked,
}

/// The outer limit for acting on an opt-out, for audits of batches under way: the gate itself denies at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadline {
    pub business_days: u32,
    /// The day of the request is the first of them (Spam Act s.18); otherwise the day after is (CASL s.11(3)).
    #[serde(default)]
    pub counts_the_day: bool,
    pub citation: String,
}

/// The time for telling a person what was done on a request. Service messages of that kind pass every refusal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerDeadline {
    pub months: u32,
    pub citation: String,
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
    /// The whole rule is contested: a permission that counts, or a prohibition that falls, only while this switch is
    /// decided permissively. Until then the answer is `contested`.
    #[serde(default)]
    pub contested: Option<String>,
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
    /// The nature that the message kind is registered with, before its content made the message `mixed`.
    #[serde(default)]
    pub registered_as: Option<EnumSet<Nature>>,
    #[serde(default)]
    pub channels: Option<EnumSet<Channel>>,
    #[serde(default)]
    pub to: Audience,
    #[serde(default)]
    pub lines: Option<EnumSet<Line>>,
    /// Of the pack's countries.
    #[serde(default)]
    pub countries: Vec<String>,
    #[serde(default)]
    pub except_countries: Vec<String>,
    /// Parts of ISO 3166-2 after the hyphen; `unknown` for contacts whose region is not known.
    #[serde(default)]
    pub regions: Vec<String>,
    #[serde(default)]
    pub except_regions: Vec<String>,
    #[serde(default)]
    pub sectors: Option<EnumSet<Sector>>,
    #[serde(default)]
    pub except_sectors: EnumSet<Sector>,
    #[serde(default)]
    pub promotional: Option<EnumSet<Promotional>>,
    /// Whether the advertising stands in the subject line or above the rest.
    #[serde(default)]
    pub promotional_first: Option<bool>,
    /// Whether an automatic dialler or a generated voice is used.
    #[serde(default)]
    pub automated: Option<bool>,
    #[serde(default)]
    pub sender: Option<SenderTrait>,
    /// Only for senders with none of these traits.
    #[serde(default)]
    pub sender_lacks: EnumSet<SenderTrait>,
    /// Only while this contested point is decided permissively.
    #[serde(default)]
    pub switch: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, EnumSetType)]
#[enumset(serialize_repr = "list")]
#[serde(rename_all = "snake_case")]
pub enum SenderTrait {
    Charity,
    PoliticalParty,
    PensionAuthorised,
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

/// In `when.regions`: contacts of whom no region is known.
pub const REGION_UNKNOWN: &str = "unknown";

const SOURCES: &[&str] = &[
    include_str!("../../packs/gb.toml"),
    include_str!("../../packs/fr.toml"),
    include_str!("../../packs/be.toml"),
    include_str!("../../packs/de.toml"),
    include_str!("../../packs/nl.toml"),
    include_str!("../../packs/ie.toml"),
    include_str!("../../packs/es.toml"),
    include_str!("../../packs/it.toml"),
    include_str!("../../packs/eu.toml"),
    include_str!("../../packs/ca.toml"),
    include_str!("../../packs/us.toml"),
    include_str!("../../packs/au.toml"),
    include_str!("../../packs/nz.toml"),
    include_str!("../../packs/ch.toml"),
    include_str!("../../packs/sg.toml"),
    include_str!("../../packs/br.toml"),
    include_str!("../../packs/in.toml"),
    include_str!("../../packs/jp.toml"),
    include_str!("../../packs/zz.toml"),
];

/// The compiled-in packs. Faulty ones are left out, so that their countries are denied; a test keeps that list
/// empty.
pub fn builtin() -> &'static [Pack] {
    static PACKS: OnceLock<Vec<Pack>> = OnceLock::new();
    PACKS.get_or_init(|| SOURCES.iter().filter_map(|s| Pack::parse(s).ok()).collect())
}

/// The comment at the head of a compiled-in pack: which instruments it holds, and as of which day.
pub fn preface(id: &str) -> Option<String> {
    let own = format!("id = \"{id}\"");
    let source = SOURCES.iter().find(|s| s.lines().any(|line| line == own))?;
    let comment: Vec<&str> =
        source.lines().map_while(|l| l.strip_prefix('#')).map(str::trim).filter(|l| !l.is_empty()).collect();
    Some(comment.join(" "))
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

    #[test]
    fn a_condition_that_nothing_would_look_at_is_refused() {
        let faults = |rule: &str| {
            let text = format!(
                r#"
                id = "xx"
                title = "Nowhere"
                authority = "none"
                mixed_from = "substantial"
                countries = [{{ code = "XX", zone = "Etc/UTC" }}]
                switches = [{{ id = "xx.point", default = false, argument = "both ways", citation = "s.1" }}]
                rules = [{{ id = "xx.rule/1", from = "2020-01-01", citation = "s.1", confidence = "high", {rule} }}]
                "#
            );
            Pack::parse(&text).err().unwrap_or_default().into_iter().map(|f| f.path).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        for then in ["consent = {}", "prohibited = {}", "regime = { basis = \"exempt\" }"] {
            assert_eq!(faults(&format!("contested = \"xx.point\", then = {{ {then} }}")), none);
        }
        let form = "form = { unsubscribe = true }";
        for then in [form, "service = { basis = \"contract\" }", "collected_for = { purpose = \"named\" }"] {
            assert_eq!(faults(&format!("then = {{ {then} }}")), none);
            assert_eq!(
                faults(&format!("contested = \"xx.point\", then = {{ {then} }}")),
                ["rules[0].contested"]
            );
        }
        let any = "then = { collected_for = { purpose = \"any\" } }";
        assert_eq!(faults(any), ["rules[0].then.purpose"]);
    }
}
