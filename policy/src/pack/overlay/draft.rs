//! Drafts: packs as they would be under a law or an own rule that is not in force yet. Nothing decides by them; they answer
//! what would change.

use super::{Fault, apply, fault, pack, stricter};
use crate::pack::Pack;
use crate::question::Phase;
use serde::Serialize;
use serde_json::Value;

/// What a draft is, and the packs under it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Draft {
    #[serde(skip)]
    pub packs: Vec<Pack>,
    /// The pack it is about.
    pub pack: String,
    pub does: Does,
    /// Where it permits what the pack in force forbids, as far as single rules show; own rules never do.
    pub loosens: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Tightens a pack, as own rules do.
    Extend,
    /// Stands in a compiled-in pack's place, as a new law would.
    Replace,
    /// Is for countries that no pack names.
    Add,
}

/// The packs as they would be with the draft beside the own rules that are in force; or all that is wrong with it. Unlike
/// own rules, a whole pack may take a compiled-in one's place and permit more than it did.
pub fn draft(packs: &[Pack], own_rules: &[(String, Value)], document: &Value) -> Result<Draft, Vec<Fault>> {
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    let id = text("extends").or(text("id")).unwrap_or_default().to_owned();
    let replaced = packs.iter().find(|p| text("extends").is_none() && p.id == id);
    let Some(old) = replaced else {
        let does = if document.get("extends").is_some() { Does::Extend } else { Does::Add };
        let mut all = own_rules.to_vec();
        all.push((String::new(), document.clone()));
        let applied = apply(packs, &all);
        // Own rules that are refused without it, too, are no fault of the draft's.
        let before = apply(packs, own_rules).refused;
        let new = applied.refused.into_iter().filter(|r| !before.contains(r));
        let faults: Vec<Fault> = new.flat_map(|r| under(&r.name, r.faults)).collect();
        return if faults.is_empty() {
            Ok(Draft { packs: applied.packs, pack: id, does, loosens: Vec::new() })
        } else {
            Err(faults)
        };
    };
    let others: Vec<Pack> = packs.iter().filter(|p| p.id != id).cloned().collect();
    let mut faults = Vec::new();
    let new = pack(document, &others, old.fallback, &mut faults);
    let Some(new) = new.filter(|_| faults.is_empty()) else { return Err(faults) };
    let differs = new.fallback != old.fallback;
    fault(&mut faults, differs, "fallback", "expected as in the pack it replaces");
    let loosens = loosened(old, &new);
    // In the old one's place: the order of packs is part of a question.
    let base: Vec<Pack> = packs.iter().map(|p| if p.id == id { new.clone() } else { p.clone() }).collect();
    let before = apply(packs, own_rules).refused;
    let applied = apply(&base, own_rules);
    let refused = applied.refused.into_iter().filter(|r| !before.contains(r));
    faults.extend(refused.flat_map(|r| under(&r.name, r.faults)));
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Draft { packs: applied.packs, pack: id, does: Does::Replace, loosens })
}

/// Faults of own rules in force, told from those of the draft by the name before their path.
fn under(name: &str, faults: Vec<Fault>) -> Vec<Fault> {
    let path = |path: String| if name.is_empty() { path } else { format!("own rules `{name}`: {path}") };
    faults.into_iter().map(|f| Fault { path: path(f.path), ..f }).collect()
}

/// Rule by rule, where the new pack permits more. What two rules do together it does not see: what a draft changes shows in
/// the counts.
fn loosened(old: &Pack, new: &Pack) -> Vec<Fault> {
    let permits = |rule: &crate::pack::Rule| matches!(Phase::of(rule), Phase::Service | Phase::Permission);
    let mut found = Vec::new();
    for rule in &old.rules {
        match new.rules.iter().find(|r| r.id == rule.id) {
            None => fault(&mut found, !permits(rule), rule.id.clone(), "a rule that denies is gone"),
            Some(changed) => {
                found.extend(stricter::loosenings(old, rule, changed).into_iter().map(|(field, expected)| {
                    Fault {
                        path: format!("{}.{field}", rule.id),
                        problem: format!("looser: {expected} to be as strict"),
                    }
                }))
            }
        }
    }
    for rule in new.rules.iter().filter(|r| permits(r) && !old.rules.iter().any(|o| o.id == r.id)) {
        fault(&mut found, true, rule.id.clone(), "a permission that was not there");
    }
    for switch in new.switches.iter().filter(|s| s.default) {
        let before = old.switches.iter().any(|o| o.id == switch.id && o.default);
        fault(&mut found, !before, switch.id.clone(), "a contested point is permissive by default");
    }
    found
}
