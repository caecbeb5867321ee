//! Own rules: what an organisation adds to the law. Its documents tighten a pack, or add a jurisdiction that has none;
//! what a pack forbids they can't allow.
//!
//! A document is JSON of one of two shapes:
//!
//! - an amendment: `{"extends": "gb", "from": "2027-01-01", "tighten": {"gb.soft_opt_in/1": {"then": …}}, "rules": […]}`.
//!   `tighten` holds merge patches (RFC 7396) of the pack's rules, which may only make them stricter, from that day on
//!   where one is given. `rules` are further ones that can only deny, each from its own day;
//! - a pack, shaped like those in `packs/*.toml`, for countries that no compiled-in pack names.

mod draft;
mod narrower;
mod read;
mod stricter;

pub use draft::{Draft, draft};

use super::{Fault, Pack, Requirement, Rule, Switch};
use crate::question::Phase;
use chrono::NaiveDate;
use read::{part, rest, under};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The packs with the own rules of all valid documents, and what was wrong with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    pub packs: Vec<Pack>,
    pub refused: Vec<Refused>,
}

/// A document that is not valid under this version of the packs, and all that is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    pub name: String,
    pub faults: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    extends: String,
    #[serde(default)]
    from: Option<NaiveDate>,
    #[serde(default)]
    tighten: BTreeMap<String, Map<String, Value>>,
    #[serde(default)]
    rules: Vec<Value>,
}

/// An amendment that was found valid.
struct Amendment {
    extends: String,
    from: Option<NaiveDate>,
    tightened: Vec<Rule>,
    rules: Vec<Rule>,
}

enum Own {
    Amendment(Amendment),
    Pack(Box<Pack>),
}

/// Everything that is wrong with a document beside these packs, each fault with its path; empty: it is valid.
///
/// Whether it gets along with other documents is what [`clashes`] says.
pub fn validate(document: &Value, packs: &[Pack]) -> Vec<Fault> {
    read(document, packs).err().unwrap_or_default()
}

/// Where a document touches what another touches too: a rule can be tightened by one only, and a country or an id have
/// one pack only.
pub fn clashes<'d>(document: &Value, others: impl IntoIterator<Item = &'d Value>) -> Vec<Fault> {
    let taken: Vec<String> = others.into_iter().flat_map(claims).map(|(_, what)| what).collect();
    let twice = claims(document).into_iter().filter(|(_, what)| taken.contains(what));
    twice
        .map(|(path, what)| Fault { path, problem: format!("expected no {what}: another document has it") })
        .collect()
}

/// The packs as all these documents change them. A document that is not valid, or clashes with another, takes the
/// marketing permissions of its pack away: its countries are an unknown jurisdiction until it is mended.
pub fn apply(packs: &[Pack], documents: &[(String, Value)]) -> Applied {
    let mut applied = Applied { packs: packs.to_vec(), refused: Vec::new() };
    let mut without_effect = Vec::new();
    for (i, (name, document)) in documents.iter().enumerate() {
        let others = documents.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, (_, other))| other);
        let mut faults = clashes(document, others);
        match read(document, packs) {
            Ok(own) if faults.is_empty() => own.enter(&mut applied.packs),
            outcome => {
                faults.extend(outcome.err().unwrap_or_default());
                applied.refused.push(Refused { name: name.clone(), faults });
                without_effect.push(document);
            }
        }
    }
    for document in without_effect {
        let concerned = |p: &Pack| match document.get("extends") {
            Some(Value::String(id)) => p.id == *id,
            // A pack of its own is not there to begin with. Of anything else nobody knows what it should tighten.
            extends => extends.is_some() || !document.is_object(),
        };
        applied.packs.iter_mut().filter(|p| concerned(p)).for_each(|pack| close(pack, document));
    }
    applied
}

/// Leaves of a pack what no marketing law is needed for: service messages, unless the document means to tighten some.
fn close(pack: &mut Pack, document: &Value) {
    let meant = |rule: &Rule| match document.get("tighten") {
        None => !document.is_object(),
        Some(tighten) => !tighten.is_object() || tighten.get(&rule.id).is_some(),
    };
    let service = |rule: &Rule| Phase::of(rule) == Phase::Service;
    let tightened = pack.rules.iter().any(|r| service(r) && meant(r));
    pack.rules.retain(|r| service(r) && !tightened || matches!(r.then, Requirement::Form(_)));
    pack.fallback = true;
}

impl Own {
    fn enter(self, packs: &mut Vec<Pack>) {
        match self {
            Own::Pack(pack) => packs.push(*pack),
            Own::Amendment(amendment) => {
                if let Some(pack) = packs.iter_mut().find(|p| p.id == amendment.extends) {
                    amendment.enter(pack);
                }
            }
        }
    }
}

impl Amendment {
    fn enter(self, pack: &mut Pack) {
        for changed in self.tightened {
            let Some(i) = pack.rules.iter().position(|r| r.id == changed.id) else { continue };
            let Some(from) = self.from.filter(|d| *d > pack.rules[i].from) else {
                pack.rules[i] = changed;
                continue;
            };
            // Until then the rule as it is. One that denies goes on beside the stricter one: how far an opt-out
            // reaches depends on the day its rule began.
            if matches!(Phase::of(&changed), Phase::Service | Phase::Permission) {
                let own = &mut pack.rules[i];
                own.until = Some(own.until.map_or(from, |u| u.min(from)));
            }
            let changed = Rule { from: changed.from.max(from), ..changed };
            if changed.until.is_none_or(|u| u > changed.from) {
                pack.rules.insert(i + 1, changed);
            }
        }
        pack.rules.extend(self.rules);
    }
}

/// Codes in use for countries that have a pack: aliases, and territories under the same law. As jurisdictions of their
/// own they would be a way around it.
const UNDER_ANOTHER_LAW: [(&str, &str); 20] = [
    ("UK", "GB"),
    ("EL", "GR"),
    ("GP", "FR"),
    ("MQ", "FR"),
    ("GF", "FR"),
    ("RE", "FR"),
    ("YT", "FR"),
    ("BL", "FR"),
    ("MF", "FR"),
    ("PM", "FR"),
    ("AX", "FI"),
    ("PR", "US"),
    ("GU", "US"),
    ("VI", "US"),
    ("AS", "US"),
    ("MP", "US"),
    ("CX", "AU"),
    ("CC", "AU"),
    ("NF", "AU"),
    ("TK", "NZ"),
];

/// What a document lays claim to, and where it says so: rules, or a pack's id and countries.
fn claims(document: &Value) -> Vec<(String, String)> {
    let text = |v: &Value, field: &str| v.get(field).and_then(Value::as_str).map(str::to_owned);
    let list = |field: &str| document.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut claims = Vec::new();
    if document.get("extends").is_some() {
        let tightened = document.get("tighten").and_then(Value::as_object);
        for id in tightened.into_iter().flat_map(Map::keys) {
            claims.push((under("tighten", id), format!("rule `{id}`")));
        }
        for (i, rule) in list("rules").iter().enumerate() {
            claims.extend(text(rule, "id").map(|id| (format!("rules[{i}].id"), format!("rule `{id}`"))));
        }
    } else {
        claims.extend(text(document, "id").map(|id| ("id".to_owned(), format!("pack `{id}`"))));
        for (i, country) in list("countries").iter().enumerate() {
            let code = text(country, "code");
            claims.extend(code.map(|c| (format!("countries[{i}].code"), format!("country `{c}`"))));
        }
    }
    claims
}

const RULE: &[&str] = &["id", "from", "then", "citation", "confidence"];

fn read(document: &Value, packs: &[Pack]) -> Result<Own, Vec<Fault>> {
    let mut faults = Vec::new();
    let own = match document.get("extends") {
        Some(_) => amendment(document, packs, &mut faults).map(Own::Amendment),
        None => pack(document, packs, false, &mut faults).map(|p| Own::Pack(Box::new(p))),
    };
    own.filter(|_| faults.is_empty()).ok_or(faults)
}

fn fault(faults: &mut Vec<Fault>, wrong: bool, path: impl Into<String>, problem: impl Into<String>) {
    if wrong {
        faults.push(Fault { path: path.into(), problem: problem.into() });
    }
}

/// A jurisdiction that none of the packs knows. `fallback`: whether it may be the one for unknown countries.
fn pack(document: &Value, packs: &[Pack], fallback: bool, faults: &mut Vec<Fault>) -> Option<Pack> {
    let mut head = document.clone();
    let mut items = |field: &str| match head.get_mut(field) {
        Some(Value::Array(items)) => std::mem::take(items),
        _ => Vec::new(),
    };
    let (switches, rules) = (items("switches"), items("rules"));
    let pack: Option<Pack> = part(&head, "", &["id", "title", "authority", "mixed_from", "rules"], faults);
    let switches: Vec<Option<Switch>> = switches
        .iter()
        .enumerate()
        .map(|(i, s)| part(s, &format!("switches[{i}]"), &["id", "default", "argument", "citation"], faults))
        .collect();
    let rules: Vec<Option<Rule>> =
        rules.iter().enumerate().map(|(i, r)| part(r, &format!("rules[{i}]"), RULE, faults)).collect();
    let mut pack = pack?;
    faults.extend(pack.head_faults());
    let known = packs.iter().any(|p| p.id == pack.id);
    fault(faults, known, "id", "expected one that no compiled-in pack has; `extends` tightens that one");
    fault(faults, pack.fallback && !fallback, "fallback", "expected false: unknown countries have a pack");
    for (i, country) in pack.countries.iter().enumerate() {
        let path = format!("countries[{i}].code");
        if let Some((_, of)) = UNDER_ANOTHER_LAW.iter().find(|(code, _)| *code == country.code) {
            fault(
                faults,
                true,
                &path,
                format!("expected the code {of}, whose law holds there: map it in the bound view"),
            );
        }
        if let Some(by) = packs.iter().find(|p| p.countries.iter().any(|c| c.code == country.code)) {
            let problem = format!("expected a country that no compiled-in pack has; `{}` has it", by.id);
            fault(faults, true, path.clone(), problem);
        }
        let twice = pack.countries[..i].iter().any(|c| c.code == country.code);
        fault(faults, twice, path, "expected each country once");
    }
    for (i, switch) in switches.into_iter().enumerate() {
        let Some(switch) = switch else { continue };
        let path = format!("switches[{i}].id");
        let foreign = !switch.id.starts_with(&format!("{}.", pack.id));
        fault(faults, foreign, path.clone(), "expected <pack>.<switch>");
        let twice = pack.switches.iter().any(|s| s.id == switch.id);
        fault(faults, twice, path, "expected an id that no other switch has");
        pack.switches.push(switch);
    }
    for (i, rule) in rules.into_iter().enumerate() {
        let Some(rule) = rule else { continue };
        let twice = pack.rules.iter().any(|r| r.id == rule.id);
        fault(faults, twice, format!("rules[{i}].id"), "expected an id that no other rule has");
        for (field, problem) in pack.rule_faults(&rule) {
            fault(faults, true, format!("rules[{i}].{field}"), problem);
        }
        pack.rules.push(rule);
    }
    Some(pack)
}

fn amendment(document: &Value, packs: &[Pack], faults: &mut Vec<Fault>) -> Option<Amendment> {
    let head: Head = rest(document, "", &[], faults)?;
    let Some(pack) = packs.iter().find(|p| p.id == head.extends) else {
        let known: Vec<&str> = packs.iter().map(|p| p.id.as_str()).collect();
        fault(faults, true, "extends", format!("expected one of: {}", known.join(", ")));
        return None;
    };
    let idle = head.tighten.is_empty() && head.rules.is_empty();
    fault(faults, idle, "document", "expected `tighten` or `rules`");
    let tightened: Vec<Rule> = head
        .tighten
        .into_iter()
        .filter_map(|(id, patch)| tightened(pack, &id, patch, head.from, faults))
        .collect();
    let mut rules: Vec<Rule> = Vec::new();
    for (i, rule) in head.rules.iter().enumerate() {
        let path = format!("rules[{i}]");
        let Some(rule) = part::<Rule>(rule, &path, RULE, faults) else { continue };
        let own =
            rule.id.strip_prefix(&format!("{}.own_", pack.id)).is_some_and(|rest| !rest.starts_with('/'));
        let id = format!("expected {}.own_<name>/<version>", pack.id);
        fault(faults, !own, format!("{path}.id"), id);
        let twice = rules.iter().any(|r| r.id == rule.id);
        fault(faults, twice, format!("{path}.id"), "expected an id that no other rule has");
        let permits = matches!(Phase::of(&rule), Phase::Service | Phase::Permission);
        let problem = "expected a rule that denies: prohibited, register, hours, cap, form, retention, \
                       opt_out_reach or collected_for";
        fault(faults, permits, format!("{path}.then"), problem);
        for (field, problem) in pack.rule_faults(&rule) {
            fault(faults, true, format!("{path}.{field}"), problem);
        }
        rules.push(rule);
    }
    Some(Amendment { extends: head.extends, from: head.from, tightened, rules })
}

/// A rule of the pack under its patch.
fn tightened(
    pack: &Pack,
    id: &str,
    patch: Map<String, Value>,
    from: Option<NaiveDate>,
    faults: &mut Vec<Fault>,
) -> Option<Rule> {
    let path = under("tighten", id);
    let Some(rule) = pack.rules.iter().find(|r| r.id == id) else {
        fault(faults, true, path, format!("expected the id of a rule of `{}`", pack.id));
        return None;
    };
    let mut changed = serde_json::to_value(rule).ok()?;
    let kind = changed.get("then")?.as_object()?.keys().next()?.clone();
    let other = match patch.get("then") {
        None => false,
        Some(Value::Object(then)) => then.iter().any(|(k, v)| *k != kind || !v.is_object()),
        Some(_) => true,
    };
    if other {
        let problem = format!("expected `{kind}` and its fields: a rule keeps its kind of requirement");
        fault(faults, true, under(&path, "then"), problem);
        return None;
    }
    merge(&mut changed, &Value::Object(patch));
    let changed: Rule = part(&changed, &path, RULE, faults)?;
    for (field, problem) in
        pack.rule_faults(&changed).into_iter().chain(stricter::loosenings(pack, rule, &changed))
    {
        fault(faults, true, format!("{path}.{field}"), problem);
    }
    let collected = matches!(&rule.then, Requirement::Relationship(r) if r.collected_in_force);
    let problem = "expected no `from` beside it: this rule counts only what was collected since it began";
    fault(faults, collected && from.is_some(), path, problem);
    Some(changed)
}

/// RFC 7396, but a period is one value: 18 months in place of two years are not two years and 18 months.
fn merge(target: &mut Value, patch: &Value) {
    let period = |v: &Value| {
        let unit = |name: &String| matches!(name.as_str(), "years" | "months" | "days");
        v.as_object().is_some_and(|fields| !fields.is_empty() && fields.keys().all(unit))
    };
    let Some(fields) = patch.as_object().filter(|_| !(period(patch) && period(target))) else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(own) = target else { return };
    for (name, value) in fields {
        if value.is_null() {
            own.remove(name);
        } else {
            merge(own.entry(name).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests;
