//! What stands for what: the other values that a field of a pack can take.

use anyhow::{Result, bail};
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::pack::REGION_UNKNOWN;
use pg_consent_policy::state::{Atom, State};
use pg_consent_policy::time::Instant;
use serde_json::Value;
use std::collections::BTreeSet;

const SENDER_TRAITS: &[&str] = &["charity", "political_party", "pension_authorised"];

/// Lists of calling hours.
pub const SPANS: &[&str] = &["weekdays", "saturday", "sunday"];

/// Open sets: a rule is not tried with each sector of the world, but with those that its pack speaks of and one more.
#[derive(Debug, Default)]
pub struct Spoken {
    pub countries: BTreeSet<String>,
    pub regions: BTreeSet<String>,
    pub sectors: BTreeSet<String>,
    registers: BTreeSet<String>,
}

impl Spoken {
    pub fn of(pack: &Value) -> Spoken {
        let mut spoken = Spoken::default();
        for rule in pack["rules"].as_array().into_iter().flatten() {
            spoken.listen(rule);
        }
        let own = pack["countries"].as_array().into_iter().flatten().filter_map(|c| c["code"].as_str());
        let one_more = own.map(str::to_owned).find(|c| !spoken.countries.contains(c));
        spoken.countries.extend(one_more);
        let other_sector = Sector::CODES.iter().find(|s| !spoken.sectors.contains(**s));
        if !spoken.sectors.is_empty() {
            spoken.sectors.extend(other_sector.map(|s| (*s).to_owned()));
        }
        spoken.regions.insert(REGION_UNKNOWN.to_owned());
        spoken
    }

    fn listen(&mut self, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let words =
                || value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            match name.trim_start_matches("except_") {
                "countries" => self.countries.extend(words()),
                "regions" => self.regions.extend(words()),
                "sectors" => self.sectors.extend(words()),
                "registers" | "unlisted" => self.registers.extend(words()),
                _ => self.listen(value),
            }
        }
    }
}

/// The values that a set of this name can hold.
pub fn universe(name: &str, spoken: &Spoken) -> Result<Vec<String>> {
    let codes = |codes: &[&str]| codes.iter().map(|c| (*c).to_owned()).collect();
    Ok(match name {
        "channels" => codes(Channel::CODES),
        "sender_lacks" => codes(SENDER_TRAITS),
        // No other kind of message can become a mixed one.
        "registered_as" => natures(true).chain(["mixed"]).map(str::to_owned).collect(),
        "lines" => codes(Line::CODES),
        "promotional" => codes(Promotional::CODES),
        "countries" | "except_countries" => spoken.countries.iter().cloned().collect(),
        "regions" | "except_regions" => spoken.regions.iter().cloned().collect(),
        "sectors" | "except_sectors" => spoken.sectors.iter().cloned().collect(),
        "registers" | "unlisted" => spoken.registers.iter().cloned().collect(),
        "actions" => {
            codes(&leaving(|atom| !matches!(atom, Atom::Restriction(_) | Atom::Listing(_) | Atom::Hold(_))))
        }
        _ => bail!("it is not known which values the set `{name}` can hold"),
    })
}

/// The other values of a field that holds one word.
pub fn alternatives(name: &str, word: &str) -> Result<Vec<String>> {
    let next = |codes: &'static [&'static str]| {
        let i = codes.iter().position(|c| *c == word).map_or(0, |i| i + 1);
        vec![codes[i % codes.len()]]
    };
    let others = match name {
        // One other ground is as good as another.
        "basis" => next(Basis::CODES),
        "mixed_from" | "email" | "sms" | "phone_live" | "phone_auto" | "post" => Promotional::CODES.to_vec(),
        "grounds" => vec!["longest_lived", "ranked"],
        "counting" => vec!["forward", "back_from_send_day"],
        "purpose" => vec!["any", "disclosed", "named"],
        "sender" => next(SENDER_TRAITS),
        _ => bail!("it is not known which values `{name}` can have"),
    };
    Ok(others.into_iter().filter(|o| *o != word).map(str::to_owned).collect())
}

/// Fields that name a contested point: they can be dropped, not changed.
pub fn is_name(field: &str) -> bool {
    ["switch", "contested", "ended_contested"].contains(&field)
}

pub fn channels() -> &'static [&'static str] {
    Channel::CODES
}

/// The service natures, or the others.
pub fn natures(service: bool) -> impl Iterator<Item = &'static str> {
    Nature::ALL.iter().filter(move |n| n.is_service() == service).map(|n| n.code())
}

/// The natures for which a service rule always has the answer: one that has no other condition and always was law.
pub fn answered_by(rule: &Value) -> Vec<String> {
    let conditions = rule["when"].as_object().into_iter().flatten().filter(|(name, _)| *name != "natures");
    let unlimited = |(name, value): (&String, &Value)| match name.as_str() {
        "to" => value.as_array().is_some_and(|to| to.len() == Subscriber::ALL.len() * AddressKind::ALL.len()),
        _ => value.is_null() || value.as_array().is_some_and(Vec::is_empty),
    };
    let service = &rule["then"]["service"];
    let always = service["never_refused"] == Value::Bool(false) && service["minutes_after_refusal"].is_null();
    let stated = rule["when"]["natures"].as_array().filter(|_| {
        always && rule["until"].is_null() && rule["contested"].is_null() && conditions.clone().all(unlimited)
    });
    stated.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Each subscriber with its pairs.
pub fn audience() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let pairs = |s: &str| AddressKind::CODES.iter().map(|k| format!("{s}:{k}")).collect();
    Subscriber::CODES.iter().map(move |s| (*s, pairs(s)))
}

/// The kinds of event on which an address is collected.
pub fn occasions() -> Vec<&'static str> {
    leaving(|atom| matches!(atom, Atom::Relation(_)))
}

/// The kinds of event that leave such an atom in the state: no other can ever count.
fn leaving(wanted: impl Fn(&Atom) -> bool) -> Vec<&'static str> {
    let leaves = |kind: EventKind| {
        let fact = Fact { to: 2, nature: Some(Nature::Marketing), ..Fact::new(kind, Instant(0), 1) };
        State::of_fact(&fact).atoms().iter().any(&wanted)
    };
    EventKind::ALL.iter().filter(|k| leaves(**k)).map(|k| k.code()).collect()
}
