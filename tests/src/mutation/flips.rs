//! What can be flipped in a pack: every single condition of it, found in its serialised form, so that a field the
//! schema gains is flipped without being named here.

use super::values::{self, Spoken};
use anyhow::{Context, Result};
use chrono::{Days, Duration, NaiveDate, NaiveTime};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One changed condition: the rule it stands in, what was done to it, and the places to set.
#[derive(Debug, Clone)]
pub struct Flip {
    pub rule: String,
    pub what: String,
    pub edits: Vec<(String, Value)>,
}

/// Fields that are no conditions: names, texts, what only reports and runs outside the decision read.
const NO_CONDITIONS: &[&str] = &[
    "id",
    "title",
    "authority",
    "citation",
    "source",
    "confidence",
    "note",
    "argument",
    "obligations",
    "opt_out_deadline",
    "answer_deadline",
    "warn_days",
    "renewal_days",
];

/// A `from` that early says "always".
const ALWAYS: &str = "1900-01-01";

/// All flips of a pack in its serialised form.
pub fn all(pack: &Value) -> Result<Vec<Flip>> {
    let spoken = Spoken::of(pack);
    let mut flips = Flips {
        rule: "pack".into(),
        label: String::new(),
        spoken: &spoken,
        answered: BTreeSet::new(),
        all: Vec::new(),
    };
    let fields = pack.as_object().context("a pack is a table")?;
    let rules = pack["rules"].as_array().context("a pack has rules")?;
    // Elsewhere holidays only lengthen the time for acting on an opt-out.
    let calling_days = rules.iter().any(|r| !r["then"]["hours"].is_null());
    for (name, value) in fields {
        if name != "rules" && (name != "holidays" || calling_days) {
            flips.field("", name, value)?;
        }
    }
    for (i, rule) in rules.iter().enumerate() {
        flips.rule = rule["id"].as_str().context("a rule has an id")?.to_owned();
        let without: Vec<_> = rules.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, r)| r).collect();
        flips.add("the rule removed", vec![("/rules".into(), json!(without))]);
        let at = format!("/rules/{i}");
        let fields = rule.as_object().context("a rule is a table")?;
        for (name, value) in fields.iter().filter(|(name, _)| *name != "when") {
            flips.field(&at, name, value)?;
        }
        flips.conditions(&format!("{at}/when"), &rule["when"], &rule["then"])?;
        flips.answered.extend(values::answered_by(rule));
    }
    Ok(flips.all)
}

struct Flips<'a> {
    rule: String,
    /// The fields above the one at hand, for the reader.
    label: String,
    spoken: &'a Spoken,
    /// Natures that a rule above answers for whatever else holds: no rule below is asked about them.
    answered: BTreeSet<String>,
    all: Vec<Flip>,
}

impl Flips<'_> {
    fn add(&mut self, what: impl Into<String>, edits: Vec<(String, Value)>) {
        self.all.push(Flip { rule: self.rule.clone(), what: what.into(), edits });
    }

    fn set(&mut self, at: &str, what: &str, value: Value) {
        let label = self.label.clone();
        self.add(format!("{label}{what}"), vec![(at.to_owned(), value)]);
    }

    /// A field of a table at `above`, and all below it.
    fn field(&mut self, above: &str, name: &str, value: &Value) -> Result<()> {
        if NO_CONDITIONS.contains(&name) {
            return Ok(());
        }
        let outer = self.label.len();
        if !["then", "when"].contains(&name) {
            self.label += &format!("{name} ");
        }
        let at = format!("{above}/{name}");
        let done = self.value(&at, name, value).with_context(|| format!("{} {at}", self.rule));
        self.label.truncate(outer);
        done
    }

    fn value(&mut self, at: &str, name: &str, value: &Value) -> Result<()> {
        let is_leaf = !value.is_null() && !value.is_object() && !value.is_array();
        let text = value.as_str().unwrap_or_default();
        if is_leaf && text != ALWAYS {
            // Where the field must be there, this is no pack and not counted.
            self.set(at, "removed", Value::Null);
        }
        match value {
            Value::Null => {}
            Value::Bool(on) => self.set(at, &format!("{on} -> {}", !on), json!(!on)),
            Value::Number(n) => self.number(at, n.as_u64().context("a whole number")?),
            Value::String(_) => self.text(at, name, text)?,
            Value::Object(table) if is_period(table) => self.period(at, table),
            Value::Object(table) if name == "contested" => self.contested_occasions(at, table),
            Value::Object(table) => self.table(at, name, table)?,
            Value::Array(list) => self.list(at, name, list)?,
        }
        Ok(())
    }

    fn number(&mut self, at: &str, n: u64) {
        self.set(at, &format!("{n} -> {}", n + 1), json!(n + 1));
        if n > 0 {
            self.set(at, &format!("{n} -> {}", n - 1), json!(n - 1));
        }
    }

    fn text(&mut self, at: &str, name: &str, text: &str) -> Result<()> {
        if text == ALWAYS {
            return Ok(());
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            let (before, after) = (day - Days::new(1), day + Days::new(1));
            self.set(at, "a day earlier", json!(before));
            self.set(at, "a day later", json!(after));
        } else if let Ok(time) = text.parse::<NaiveTime>() {
            let minute = Duration::minutes(1);
            self.set(at, &format!("{text} a minute earlier"), json!(time - minute));
            self.set(at, &format!("{text} a minute later"), json!(time + minute));
        } else if !values::is_name(name) {
            for other in values::alternatives(name, text)? {
                self.set(at, &format!("{text} -> {other}"), json!(other));
            }
        }
        Ok(())
    }

    /// One unit more and less of what is counted, and the nearest day to the end.
    fn period(&mut self, at: &str, period: &Map<String, Value>) {
        self.set(at, "removed", Value::Null);
        let part = |name: &str| period[name].as_u64().unwrap_or(0);
        let (years, months, days) = (part("years"), part("months"), part("days"));
        let longer = json!({"years": years, "months": months, "days": days + 1});
        self.set(at, "a day longer", longer);
        let shorter = match (years, months, days) {
            (_, _, 1..) => json!({"years": years, "months": months, "days": days - 1}),
            (_, 1.., _) => json!({"years": years, "months": months - 1, "days": 27}),
            _ => json!({"years": years.saturating_sub(1), "months": 11, "days": 27}),
        };
        self.set(at, "some days shorter", shorter);
        for (name, n) in [("years", years), ("months", months)].into_iter().filter(|(_, n)| *n > 0) {
            for other in [n - 1, n + 1] {
                let mut changed = period.clone();
                changed.insert(name.to_owned(), json!(other));
                self.set(at, &format!("{n} -> {other} {name}"), Value::Object(changed));
            }
        }
    }

    /// Occasions whose standing is contested: neither, or beyond doubt.
    fn contested_occasions(&mut self, at: &str, occasions: &Map<String, Value>) {
        for kind in occasions.keys() {
            let mut without = occasions.clone();
            without.remove(kind);
            self.set(at, &format!("drops {kind}"), Value::Object(without));
        }
    }

    fn table(&mut self, at: &str, name: &str, table: &Map<String, Value>) -> Result<()> {
        if let Some(kinds) = table.get("kinds").and_then(Value::as_array) {
            let soft = table["basis"].as_str().is_some_and(|b| b.ends_with("soft_opt_in"));
            self.occasions(at, kinds, table.get("contested"), if soft { "bought_list" } else { "" });
        }
        for (field, value) in table {
            let spans =
                value.as_array().is_some_and(|a| a.is_empty()) && values::SPANS.contains(&field.as_str());
            if spans {
                let of_weekdays = table.get("weekdays").filter(|w| **w != *value);
                let whole_day = json!([{"from": "00:00:00", "to": "23:59:59"}]);
                let hours = of_weekdays.cloned().unwrap_or(whole_day);
                self.set(&format!("{at}/{field}"), &format!("{field} opened"), hours);
            } else if field == "counting" && table["window"].is_null() && table["after_end"].is_null() {
                // Nothing is counted.
            } else if name == "regime" && is_moot(table, field) {
                // Nothing asks for it.
            } else if field != "kinds" {
                self.field(at, field, value)?;
            }
            if name == "mixed_from_on" {
                let mut without = table.clone();
                without.remove(field);
                self.set(at, &format!("drops {field}"), Value::Object(without));
            }
        }
        Ok(())
    }

    /// `soft_never` makes no soft opt-in, whatever the rule says.
    /// The kinds that count, apart from those that are contested: of these, that they count beyond doubt.
    fn occasions(&mut self, at: &str, kinds: &[Value], contested: Option<&Value>, soft_never: &str) {
        let contested = contested.and_then(Value::as_object).cloned().unwrap_or_default();
        let place = format!("{at}/kinds");
        for kind in values::occasions().into_iter().filter(|k| *k != soft_never) {
            let is_in = kinds.iter().any(|k| k == kind);
            let changed = toggled(kinds, &json!(kind));
            if contested.contains_key(kind) {
                let mut certain = contested.clone();
                certain.remove(kind);
                let edits =
                    vec![(place.clone(), changed), (format!("{at}/contested"), Value::Object(certain))];
                self.add(format!("kinds {kind} no longer contested"), edits);
            } else {
                self.add(format!("kinds {} {kind}", verb(is_in)), vec![(place.clone(), changed)]);
            }
        }
    }

    fn list(&mut self, at: &str, name: &str, list: &[Value]) -> Result<()> {
        if list.first().is_some_and(Value::is_object) || ["holidays", "switches"].contains(&name) {
            for (i, item) in list.iter().enumerate() {
                let mut without = list.to_vec();
                without.remove(i);
                self.set(at, &format!("drops {}", brief(item)), json!(without));
                if let Some(fields) = item.as_object().filter(|_| values::SPANS.contains(&name)) {
                    for (field, value) in fields {
                        self.field(&format!("{at}/{i}"), field, value)?;
                    }
                } else if let Some(default) = item["default"].as_bool() {
                    let what = format!("{} default {default} -> {}", brief(item), !default);
                    self.set(&format!("{at}/{i}/default"), &what, json!(!default));
                }
            }
            return Ok(());
        }
        for value in values::universe(name, self.spoken)? {
            let is_in = list.contains(&json!(value));
            self.set(at, &format!("{} {value}", verb(is_in)), toggled(list, &json!(value)));
        }
        Ok(())
    }

    /// `when`: what is left out does not limit, which is a condition too.
    fn conditions(&mut self, at: &str, when: &Value, then: &Value) -> Result<()> {
        let mut when = when.as_object().context("`when` is a table")?.clone();
        let natures = when.remove("natures").unwrap_or_default();
        let excepted = when.remove("except_natures").unwrap_or_default();
        self.natures(at, &natures, excepted.as_array().map_or(&[], Vec::as_slice), then);
        let to = when.remove("to").unwrap_or_default();
        self.audience(&format!("{at}/to"), to.as_array().map_or(&[], Vec::as_slice));
        if when["channels"].is_null() {
            let all: Vec<Value> = values::channels().iter().map(|c| json!(c)).collect();
            for channel in &all {
                self.set(
                    &format!("{at}/channels"),
                    &format!("channels drops {}", brief(channel)),
                    toggled(&all, channel),
                );
            }
        }
        for (name, value) in &when {
            let is_list = value.as_array().is_some_and(|l| !l.is_empty());
            if is_list || !value.is_array() {
                self.field(at, name, value)?;
            }
        }
        Ok(())
    }

    fn natures(&mut self, at: &str, natures: &Value, excepted: &[Value], then: &Value) {
        let stated = natures.as_array();
        let now: Vec<Value> =
            stated.cloned().unwrap_or_else(|| values::natures(false).map(|n| json!(n)).collect());
        // A service message has its answer before any other rule but these is asked.
        let reaches_service = ["service", "form"].iter().any(|r| then.get(r).is_some())
            || now.iter().any(|n| values::natures(true).any(|s| n == s));
        for nature in values::natures(true).chain(values::natures(false)) {
            let value = json!(nature);
            let is_in = now.contains(&value);
            if excepted.contains(&value) {
                let place = format!("{at}/except_natures");
                self.set(&place, &format!("except_natures drops {nature}"), toggled(excepted, &value));
            } else if !is_in && then.get("service").is_some() && self.answered.contains(nature) {
                // The rule above has answered.
            } else if is_in || reaches_service || !values::natures(true).any(|s| s == nature) {
                let what = format!("natures {} {nature}", verb(is_in));
                self.set(&format!("{at}/natures"), &what, toggled(&now, &value));
            }
        }
    }

    /// Pair by pair; a subscriber of whom all kinds of address are named is dropped as a whole.
    fn audience(&mut self, at: &str, pairs: &[Value]) {
        for (subscriber, own) in values::audience() {
            let own: Vec<Value> = own.iter().map(|p| json!(p)).collect();
            if own.iter().all(|p| pairs.contains(p)) {
                let others: Vec<_> = pairs.iter().filter(|p| !own.contains(p)).cloned().collect();
                self.set(at, &format!("to drops {subscriber}:*"), json!(others));
                continue;
            }
            for pair in &own {
                let what = format!("to {} {}", verb(pairs.contains(pair)), brief(pair));
                self.set(at, &what, toggled(pairs, pair));
            }
        }
    }
}

/// Details of a condition that this regime does not make.
fn is_moot(regime: &Map<String, Value>, field: &str) -> bool {
    let demands = |what: &str| regime.get(what) == Some(&Value::Bool(true));
    field == "bought_with_proof" && !demands("not_bought") || field == "purpose" && !demands("from_person")
}

const fn verb(is_in: bool) -> &'static str {
    if is_in { "drops" } else { "adds" }
}

/// The list without the value, or with it.
fn toggled(list: &[Value], value: &Value) -> Value {
    let mut changed: Vec<Value> = list.iter().filter(|v| *v != value).cloned().collect();
    if changed.len() == list.len() {
        changed.push(value.clone());
    }
    Value::Array(changed)
}

fn is_period(table: &Map<String, Value>) -> bool {
    !table.is_empty() && table.keys().all(|k| ["years", "months", "days"].contains(&k.as_str()))
}

/// How a list's item is called: by its id or code, as far as it has one.
fn brief(item: &Value) -> String {
    let name = item.get("id").or(item.get("code")).unwrap_or(item);
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}
