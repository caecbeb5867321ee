//! What a pack must satisfy beyond its types.

use super::*;
use crate::question::Phase;
use crate::time::Period;

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
    /// What [`Pack::parse`] would refuse the pack for.
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = self.head_faults();
        for (i, rule) in self.rules.iter().enumerate() {
            let at = |(field, problem)| Fault { path: format!("rules[{i}].{field}"), problem };
            if self.rules[..i].iter().any(|r| r.id == rule.id) {
                faults.push(at(("id".into(), "expected an id that no other rule has".into())));
            }
            faults.extend(self.rule_faults(rule).into_iter().map(at));
        }
        faults
    }

    /// What is wrong with the pack apart from its rules.
    pub(super) fn head_faults(&self) -> Vec<Fault> {
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
        if self.answer_deadline.as_ref().is_some_and(|d| d.months > 12) {
            faults.push(Fault { path: "answer_deadline.months".into(), problem: TOO_LONG.into() });
        }
        if self.opt_out_deadline.as_ref().is_some_and(|d| d.business_days > 366) {
            faults.push(Fault { path: "opt_out_deadline.business_days".into(), problem: TOO_LONG.into() });
        }
        faults
    }

    /// What is wrong with a rule as one of this pack's: the field and what was expected.
    pub(super) fn rule_faults(&self, rule: &Rule) -> Vec<(String, String)> {
        let known = |switch: &str| self.switches.iter().any(|s| s.id == switch);
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, field: &str, problem: &str| {
            if wrong {
                faults.push((field.to_owned(), problem.to_owned()));
            }
        };
        let version = rule.id.strip_prefix(&format!("{}.", self.id)).and_then(|r| r.split_once('/'));
        let malformed = version.is_none_or(|(name, v)| name.is_empty() || v.parse::<u32>().is_err());
        fault(malformed, "id", "expected <pack>.<rule>/<version>");
        fault(rule.until.is_some_and(|u| u <= rule.from), "until", "expected a day after `from`");
        fault(rule.citation.is_empty(), "citation", "expected the provision the rule rests on");
        let unknown = |switch: &Option<String>| switch.as_deref().is_some_and(|s| !known(s));
        fault(unknown(&rule.when.switch), "when.switch", "expected one of the pack's switches");
        fault(unknown(&rule.contested), "contested", "expected one of the pack's switches");
        let looked_at =
            Phase::of(rule) == Phase::Permission || matches!(rule.then, Requirement::Prohibited(_));
        let problem = "expected none: only permissions and prohibitions can be contested as a whole";
        fault(rule.contested.is_some() && !looked_at, "contested", problem);
        let own = |code: &String| self.countries.iter().any(|c| c.code == *code);
        let countries = rule.when.countries.iter().chain(&rule.when.except_countries);
        fault(!{ countries }.all(own), "when.countries", "expected countries of the pack");
        let region = |r: &String| {
            r == REGION_UNKNOWN
                || (1..=3).contains(&r.len())
                    && r.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        let regions = rule.when.regions.iter().chain(&rule.when.except_regions);
        let problem = "expected parts of ISO 3166-2 after the hyphen, or `unknown`";
        fault(!{ regions }.all(region), "when.regions", problem);
        for (field, problem) in requirement_faults(&rule.then, &known) {
            faults.push((format!("then.{field}"), problem.to_owned()));
        }
        faults
    }
}

const TOO_LONG: &str = "expected a period that a statute could mean";
const MOST_DAYS: u32 = 3660;

/// What is wrong inside a requirement: the field and what was expected.
fn requirement_faults(
    then: &Requirement,
    known_switch: &impl Fn(&str) -> bool,
) -> Vec<(String, &'static str)> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, field: &str, problem| {
        if wrong {
            faults.push((field.to_owned(), problem));
        }
    };
    let long = |period: &Option<Period>| period.is_some_and(|p| !p.is_conceivable());
    match then {
        Requirement::Relationship(r) => {
            for (kind, switch) in &r.contested {
                fault(
                    !known_switch(switch),
                    &format!("contested.{kind}"),
                    "expected one of the pack's switches",
                );
            }
            let ended = r.ended_contested.as_deref();
            fault(
                ended.is_some_and(|s| !known_switch(s)),
                "ended_contested",
                "expected one of the pack's switches",
            );
            fault(
                !r.running && (ended.is_some() || r.after_end.is_some()),
                "running",
                "expected true, since it says what follows a contract's end",
            );
            fault(long(&r.window), "window", TOO_LONG);
            fault(long(&r.after_end), "after_end", TOO_LONG);
            fault(
                r.renewed_by_sends && r.window.is_none(),
                "window",
                "expected the window that a message begins anew",
            );
            fault(
                r.kinds.is_empty() && r.contested.is_empty(),
                "kinds",
                "expected at least one kind of occasion",
            );
        }
        Requirement::Consent(c) => {
            fault(long(&c.max_age), "max_age", TOO_LONG);
            fault(long(&c.unused), "unused", TOO_LONG);
            fault(c.lapses && c.max_age.is_none(), "max_age", "expected the period after which it lapses");
        }
        Requirement::CollectedFor(c) => {
            fault(c.purpose == PurposeTold::Any, "purpose", "expected `disclosed` or `named`");
        }
        Requirement::Hours(h) => {
            let mut spans = h.weekdays.iter().chain(&h.saturday).chain(&h.sunday);
            fault(spans.any(|s| s.from >= s.to), "hours", "expected spans that end after they begin");
        }
        Requirement::Cap(c) => {
            fault(c.days > MOST_DAYS || c.hours > MOST_DAYS, "days", TOO_LONG);
            fault((c.days == 0) == (c.hours == 0), "days", "expected either days or hours");
            fault(c.attempts == 0, "attempts", "expected at least one; use `prohibited` for none");
        }
        Requirement::Register(r) => fault(r.grace_days > MOST_DAYS, "grace_days", TOO_LONG),
        Requirement::Retention(r) => {
            fault(long(&Some(r.after)), "retention.after", TOO_LONG);
            fault(r.warn_days > MOST_DAYS, "retention.warn_days", TOO_LONG);
            fault(
                r.warn_days < r.renewal_days,
                "retention.warn_days",
                "expected the warning before the renewal window",
            );
        }
        _ => {}
    }
    faults
}
