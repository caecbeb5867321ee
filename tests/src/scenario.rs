//! Scenarios: decided cases, regulators' examples and statutory boundaries as facts, a question and the answer
//! the law gives. The format is described in the scenarios' own `FORMAT.md`.

mod prepared;

pub use prepared::Prepared;

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use pg_consent_policy::address;
use pg_consent_policy::codes::*;
use pg_consent_policy::explain::Explanation;
use pg_consent_policy::fact::{Expiry, Fact};
use pg_consent_policy::pack::{self, Pack};
use pg_consent_policy::profile::{AddressInUse, Profile};
use pg_consent_policy::question::Form;
use pg_consent_policy::time::{Instant, from_local};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

#[derive(Debug, Clone, Deserialize)]
pub struct Scenario {
    pub id: String,
    pub title: String,
    pub sender: SenderSpec,
    pub categories: Vec<CategorySpec>,
    pub similar: Vec<SimilarSpec>,
    pub contact: ContactSpec,
    pub events: Vec<Event>,
    pub ask: Ask,
    pub expect: Expect,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderSpec {
    pub name: String,
    pub country: String,
    #[serde(default)]
    pub charity: bool,
    #[serde(default)]
    pub political_party: bool,
    #[serde(default)]
    pub pension_authorised: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategorySpec {
    pub name: String,
    pub parent: Option<String>,
    pub sector: Option<Sector>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarSpec {
    pub from: String,
    pub to: String,
    pub score: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactSpec {
    pub country: String,
    pub region: Option<String>,
    pub timezone: Option<String>,
    pub subscriber: Subscriber,
    pub address_kind: AddressKind,
    pub line: Option<Line>,
}

/// One event, its fields as the file has them; `rest` is what only some kinds have.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub kind: EventKind,
    pub at: String,
    pub recorded_at: Option<String>,
    pub sender: Option<String>,
    pub channel: Option<String>,
    pub channels: Option<Vec<String>>,
    pub category: Option<String>,
    pub opt_out_offered: Option<Tri>,
    #[serde(default)]
    pub refused: bool,
    pub from_person: Option<bool>,
    pub address: Option<String>,
    #[serde(default)]
    pub other_contact: bool,
    /// Absent: proof held. Null: none held.
    #[serde(default, deserialize_with = "present")]
    pub evidence: Option<Value>,
    pub purposes: Option<Vec<String>>,
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub kind: Nature,
    pub channel: Channel,
    pub category: Option<String>,
    pub at: String,
    pub known_at: Option<String>,
    #[serde(default)]
    pub form: serde_json::Map<String, Value>,
    #[serde(default)]
    pub ongoing_contract_related: bool,
    #[serde(default)]
    pub profession_related: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    pub allowed: bool,
    pub basis: Option<Vec<String>>,
    pub reason: Option<Vec<String>>,
    pub valid_until: Option<String>,
}

/// What one of the three ways answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub allowed: bool,
    pub basis: Option<String>,
    pub reason: Option<String>,
    pub rule: Option<String>,
    pub valid_until: Option<DateTime<Utc>>,
}

impl From<Explanation> for Answer {
    fn from(e: Explanation) -> Answer {
        Answer {
            allowed: e.allowed,
            basis: e.basis.map(|b| b.to_string()),
            reason: e.reason.map(|r| r.to_string()),
            rule: e.rule,
            valid_until: e.valid_until.map(Instant::to_utc),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.basis.as_deref().or(self.reason.as_deref()).unwrap_or("?");
        write!(f, "{} {code}", if self.allowed { "yes" } else { "no" })?;
        if let Some(rule) = &self.rule {
            write!(f, " [{rule}]")?;
        }
        if let Some(until) = self.valid_until {
            write!(f, " until {}", until.format("%Y-%m-%dT%H:%M:%SZ"))?;
        }
        Ok(())
    }
}

static PACKS: OnceLock<Vec<Pack>> = OnceLock::new();

/// The packs that the core is asked with: those of [`use_packs`], else the compiled-in ones.
pub fn packs() -> &'static [Pack] {
    PACKS.get().map_or_else(pack::builtin, Vec::as_slice)
}

/// Reads the packs of a folder instead of the compiled-in ones: for trying out a draft.
pub fn use_packs(dir: &Path) -> Result<()> {
    let mut drafts = Vec::new();
    for file in files(dir, "toml")? {
        let text = std::fs::read_to_string(&file)?;
        let parsed = Pack::parse(&text).map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            anyhow!("{}: {}", file.display(), faults.join("; "))
        });
        drafts.push(parsed?);
    }
    PACKS.set(drafts).map_err(|_| anyhow!("packs were read already"))
}

fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .with_context(|| format!("reading {}", dir.display()))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == extension))
        .collect();
    files.sort();
    Ok(files)
}

/// Reads every `*.json` of a folder, in the files' and the cases' order.
pub fn load(dir: &Path) -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for file in files(dir, "json")? {
        let text = std::fs::read_to_string(&file)?;
        let cases: Vec<Scenario> =
            serde_json::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        all.extend(cases);
    }
    Ok(all)
}

impl Scenario {
    pub fn zone(&self) -> Result<Tz> {
        let own = self.contact.timezone.as_deref();
        let principal = || {
            let countries = packs().iter().flat_map(|p| &p.countries);
            countries.into_iter().find(|c| c.code == self.contact.country).map(|c| c.zone.as_str())
        };
        own.or_else(principal).unwrap_or("Etc/UTC").parse().map_err(|_| anyhow!("unknown time zone"))
    }

    /// A bare date is noon in the contact's zone.
    pub fn instant(&self, text: &str) -> Result<Instant> {
        if let Ok(date) = text.parse::<NaiveDate>() {
            let noon = NaiveTime::from_hms_opt(12, 0, 0).context("noon")?;
            return Ok(from_local(date.and_time(noon), self.zone()?));
        }
        let t: DateTime<FixedOffset> = text.parse().with_context(|| format!("time `{text}`"))?;
        Ok(Instant::from_utc(t.to_utc()))
    }

    /// All senders, the asking one first.
    pub fn senders(&self) -> Vec<String> {
        let mut names = vec![self.sender.name.clone()];
        let mut seen = BTreeSet::from([self.sender.name.clone()]);
        for event in &self.events {
            let to = event.rest.get("to").and_then(Value::as_str).map(str::to_owned);
            for name in event.sender.iter().cloned().chain(to) {
                if seen.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        names
    }

    fn number(names: &[String], name: &str) -> Result<u32> {
        let position =
            names.iter().position(|n| n == name).with_context(|| format!("`{name}` not declared"))?;
        Ok(position as u32 + 1)
    }

    fn category(&self, name: &str) -> Result<u32> {
        let names: Vec<_> = self.categories.iter().map(|c| c.name.clone()).collect();
        Self::number(&names, name)
    }

    /// Whether the event had happened and was known when the question was asked.
    pub fn counts(&self, event: &Event) -> Result<bool> {
        let at = self.instant(&event.at)?;
        let recorded = event.recorded_at.as_deref().map_or(Ok(at), |r| self.instant(r))?;
        let known = self.ask.known_at.as_deref().map(|k| self.instant(k)).transpose()?;
        Ok(at <= self.instant(&self.ask.at)? && known.is_none_or(|k| recorded <= k))
    }

    pub fn channels(&self, event: &Event) -> Result<enumset::EnumSet<Channel>> {
        let one = event.channel.clone().map(|c| vec![c]);
        let Some(codes) = event.channels.clone().or(one) else {
            return Ok(match event.kind {
                EventKind::Objection => enumset::EnumSet::all(),
                EventKind::RegisterListed | EventKind::RegisterDelisted => enumset::EnumSet::empty(),
                _ => Channel::Email.into(),
            });
        };
        let mut set = enumset::EnumSet::empty();
        for code in codes {
            if code == "any" {
                return Ok(enumset::EnumSet::all());
            }
            set |= code.parse::<Channel>()?;
        }
        Ok(set)
    }

    fn fact(&self, event: &Event) -> Result<Fact> {
        let at = self.instant(&event.at)?;
        let sender = event.sender.as_deref().unwrap_or(&self.sender.name);
        let mut fact = Fact::new(event.kind, at, Self::number(&self.senders(), sender)?);
        if let Some(recorded) = &event.recorded_at {
            fact.recorded_at = self.instant(recorded)?;
        }
        fact.channels = self.channels(event)?;
        fact.category = event.category.as_deref().map_or(Ok(0), |c| self.category(c))?;
        fact.opt_out_offered = event.opt_out_offered.unwrap_or(Tri::Unknown);
        fact.refused = event.refused;
        fact.from_person = event.from_person.unwrap_or(true);
        fact.address = event.address.as_deref().map_or(0, |a| address::tag(a.as_bytes()));
        fact.other_contact = u32::from(event.other_contact);
        fact.grade = match &event.evidence {
            Some(Value::Null) => Grade::None,
            _ => Grade::Proof,
        };
        if let Some(purposes) = &event.purposes {
            fact.purposes = enumset::EnumSet::empty();
            for p in purposes {
                fact.purposes |=
                    if p == "any" { enumset::EnumSet::all() } else { p.parse::<Purpose>()?.into() };
            }
        }
        let text = |field: &str| event.rest.get(field).and_then(Value::as_str);
        let flag = |field: &str| event.rest.get(field).and_then(Value::as_bool).unwrap_or(false);
        fact.method = text("method").map(str::parse).transpose()?;
        fact.names_sender = flag("names_sender");
        fact.expires = match text("expires") {
            None => Expiry::Unstated,
            Some("never") => Expiry::Never,
            Some(t) => Expiry::At(self.instant(t)?),
        };
        fact.scope = text("scope").map_or(Ok(Scope::All), str::parse)?;
        fact.via = text("via").map(str::parse).transpose()?;
        fact.register = text("register").map(str::parse).transpose()?;
        fact.funded_by_paid = flag("funded_by_paid");
        fact.nature = text("nature").map(str::parse).transpose()?;
        fact.compliant = flag("compliant");
        fact.referred = flag("referrer_named") && flag("referrer_related");
        fact.to = text("to").map_or(Ok(0), |to| Self::number(&self.senders(), to))?;
        fact.refusal_notice = text("refusal_notice").map_or(Ok(Tri::Unknown), str::parse)?;
        fact.relevant_to_role = text("relevant_to_role").map_or(Ok(Tri::Unknown), str::parse)?;
        Ok(fact)
    }

    fn profile(&self) -> Result<Profile> {
        let c = &self.contact;
        let mut profile =
            Profile::new(Instant::MIN, Some(&c.country), c.region.as_deref(), c.timezone.as_deref())?;
        profile.subscriber = c.subscriber;
        profile.address_kind = c.address_kind;
        profile.line = c.line.unwrap_or(Line::Unknown);
        profile.addresses = [AddressInUse { tag: 1, since: None }; 3];
        Ok(profile)
    }

    pub fn form(&self) -> Result<Form> {
        let mut form: Form = serde_json::from_value(Value::Object(self.ask.form.clone()))?;
        form.ongoing_contract_related = self.ask.ongoing_contract_related;
        form.profession_related = self.ask.profession_related;
        Ok(form)
    }

    /// Whether a pack is responsible for the contact (a country that none names counts: it is
    /// denied), so that the scenario can be asked.
    pub fn has_pack(&self) -> bool {
        packs().iter().any(|p| p.countries.iter().any(|c| c.code == self.contact.country))
    }

    /// What is wrong with an answer, if anything.
    pub fn fault(&self, answer: &Answer) -> Result<Option<String>> {
        let x = &self.expect;
        let codes = x.basis.as_ref().or(x.reason.as_ref()).context("expectation")?;
        let code = if answer.allowed { &answer.basis } else { &answer.reason };
        let wanted = || format!("{} {}", if x.allowed { "yes" } else { "no" }, codes.join("|"));
        if answer.allowed != x.allowed || !code.as_ref().is_some_and(|c| codes.contains(c)) {
            return Ok(Some(format!("expected {}, got {answer}", wanted())));
        }
        let Some(until) = &x.valid_until else { return Ok(None) };
        let Some(got) = answer.valid_until else {
            return Ok(Some(format!("expected an end at {until}, got {answer}")));
        };
        let agrees = match until.parse::<NaiveDate>() {
            Ok(day) => got.with_timezone(&self.zone()?).date_naive() == day,
            Err(_) => got.timestamp() == self.instant(until)?.seconds(),
        };
        Ok((!agrees).then(|| format!("expected an end at {until}, got {answer}")))
    }
}

/// Countries of a filter like `GB,FR`.
pub fn wanted_countries(filter: Option<&str>) -> Result<Option<BTreeSet<String>>> {
    let Some(filter) = filter.filter(|f| !f.is_empty()) else { return Ok(None) };
    let codes: BTreeSet<String> = filter.split(',').map(|c| c.trim().to_uppercase()).collect();
    if codes.iter().any(|c| c.len() != 2) {
        bail!("country filter `{filter}`: expected ISO 3166-1 codes, such as GB,FR");
    }
    Ok(Some(codes))
}
