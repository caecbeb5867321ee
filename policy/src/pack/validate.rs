//! What a pack must satisfy beyond its types.

use super::*;

/// One fault of a pack: where, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub path: String,
    pub problem: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl Pack {
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault =
            |path: String, problem: &str| faults.push(Fault { path, problem: problem.to_owned() });
        if self.id.is_empty() || !self.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            fault("id".into(), "expected lower-case letters");
        }
        if self.countries.is_empty() && !self.fallback {
            fault("countries".into(), "expected at least one country");
        }
        for (i, c) in self.countries.iter().enumerate() {
            if c.code.len() != 2 || !c.code.bytes().all(|b| b.is_ascii_uppercase()) {
                fault(format!("countries[{i}].code"), "expected two letters of ISO 3166-1");
            }
            if c.zone.parse::<chrono_tz::Tz>().is_err() {
                fault(format!("countries[{i}].zone"), "expected an IANA time zone");
            }
        }
        let known = |switch: &str| self.switches.iter().any(|s| s.id == switch);
        for (i, rule) in self.rules.iter().enumerate() {
            let at = |field: &str| format!("rules[{i}].{field}");
            let version = rule.id.strip_prefix(&format!("{}.", self.id)).and_then(|r| r.split_once('/'));
            if version.is_none_or(|(name, v)| name.is_empty() || v.parse::<u32>().is_err()) {
                fault(at("id"), "expected <pack>.<rule>/<version>");
            }
            if self.rules[..i].iter().any(|r| r.id == rule.id) {
                fault(at("id"), "expected an id that no other rule has");
            }
            if rule.until.is_some_and(|u| u <= rule.from) {
                fault(at("until"), "expected a day after `from`");
            }
            if rule.citation.is_empty() {
                fault(at("citation"), "expected the provision the rule rests on");
            }
            if rule.when.switch.as_deref().is_some_and(|s| !known(s)) {
                fault(at("when.switch"), "expected one of the pack's switches");
            }
            match &rule.then {
                Requirement::Relationship(r) => {
                    if let Some((kind, _)) = r.contested.iter().find(|(_, s)| !known(s)) {
                        fault(at(&format!("then.contested.{kind}")), "expected one of the pack's switches");
                    }
                }
                Requirement::Hours(h) => {
                    let spans = h.weekdays.iter().chain(&h.saturday).chain(&h.sunday);
                    if spans.into_iter().any(|s| s.from >= s.to) {
                        fault(at("then.hours"), "expected spans that end after they begin");
                    }
                }
                Requirement::Retention(r) if r.warn_days < r.renewal_days => {
                    fault(at("then.retention.warn_days"), "expected the warning before the renewal window");
                }
                _ => {}
            }
        }
        faults
    }
}
