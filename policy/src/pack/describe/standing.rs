//! The law as it stands at an instant, with what the operator decided where it is contested.

use super::Description;
use crate::codes::Confidence;
use crate::pack::{Country, Pack, Rule, Switch, When};
use crate::question::PolicyDecision;
use crate::time::Instant;
use chrono::{Months, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;

/// A rule in force, as auditors see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InForce<'p> {
    pub jurisdiction: &'p str,
    pub rule: &'p str,
    pub in_force_from: NaiveDate,
    /// The first day on which it no longer holds.
    pub in_force_until: Option<NaiveDate>,
    pub messages: String,
    pub channels: String,
    pub recipients: String,
    pub requirement: String,
    /// Each contested point the rule rests on, and how it stands.
    pub contested: Vec<String>,
    /// The ids of these points.
    pub switches: Vec<String>,
    pub citation: &'p str,
    pub source: Option<&'p str>,
    pub confidence: Confidence,
    pub obligations: &'p [String],
    pub note: Option<&'p str>,
}

/// How a contested point stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'d> {
    pub permissive: bool,
    /// `None`: by the pack's default.
    pub decision: Option<&'d PolicyDecision>,
}

impl Switch {
    pub fn standing<'d>(&self, decisions: &'d [PolicyDecision]) -> Standing<'d> {
        let decision = decisions.iter().find(|d| d.switch == self.id);
        Standing { permissive: decision.map_or(self.default, |d| d.permissive), decision }
    }
}

impl std::fmt::Display for Standing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reading = if self.permissive { "permissive" } else { "strict" };
        match self.decision {
            None => write!(f, "{reading} by default"),
            Some(d) => write!(f, "{reading} as decided by {} on {}", d.decided_by, d.decided_on),
        }
    }
}

fn stated(text: &str) -> Option<&str> {
    Some(text).filter(|t| !t.is_empty())
}

impl Pack {
    fn country(&self, code: &str) -> Option<&Country> {
        self.countries.iter().find(|c| c.code.eq_ignore_ascii_case(code))
    }

    /// Whether this is the pack of a jurisdiction, named by the pack's id or a country's code in either case.
    pub fn is_of(&self, jurisdiction: &str) -> bool {
        self.id.eq_ignore_ascii_case(jurisdiction) || self.country(jurisdiction).is_some()
    }

    /// Where days begin and end for those whose own zone is not known: the country's principal zone, or that of the
    /// pack's first.
    fn zone(&self, country: Option<&Country>) -> Tz {
        country.or(self.countries.first()).and_then(|c| c.zone.parse().ok()).unwrap_or(Tz::UTC)
    }

    /// The rules in force at an instant, in the pack's order. A country's code leaves out what is law in others only.
    pub fn in_force<'p>(
        &'p self,
        jurisdiction: Option<&str>,
        at: Instant,
        decisions: &[PolicyDecision],
    ) -> Vec<InForce<'p>> {
        let country = jurisdiction.and_then(|j| self.country(j));
        let today = at.local_date(self.zone(country));
        let concerns = |rule: &&Rule| {
            let When { countries, except_countries, .. } = &rule.when;
            country.is_none_or(|c| {
                (countries.is_empty() || countries.contains(&c.code)) && !except_countries.contains(&c.code)
            })
        };
        let rules = self.rules.iter().filter(|r| r.in_force_on(today)).filter(concerns);
        rules.map(|rule| self.entry(rule, decisions)).collect()
    }

    fn entry<'p>(&'p self, rule: &'p Rule, decisions: &[PolicyDecision]) -> InForce<'p> {
        let Description { messages, channels, recipients, requirement, contested, obligations: _ } =
            rule.describe();
        let stands = |id: &String| {
            let point = self.switches.iter().find(|s| s.id == *id);
            point.map(|s| format!("{id}: {}", s.standing(decisions)))
        };
        InForce {
            jurisdiction: &self.id,
            rule: &rule.id,
            in_force_from: rule.from,
            in_force_until: rule.until,
            messages,
            channels,
            recipients,
            requirement,
            contested: contested.iter().filter_map(stands).collect(),
            switches: contested,
            citation: &rule.citation,
            source: stated(&rule.source),
            confidence: rule.confidence,
            obligations: &rule.obligations,
            note: stated(&rule.note),
        }
    }

    /// The last day on which an opt-out of this instant may still be without effect; `None` where the law names no
    /// number of days.
    pub fn last_day_to_act(&self, country: &str, requested_at: Instant) -> Option<NaiveDate> {
        let deadline = self.opt_out_deadline.as_ref()?;
        let day = requested_at.local_date(self.zone(self.country(country)));
        Some(crate::holiday::business_day(
            day,
            deadline.business_days,
            deadline.counts_the_day,
            &self.holidays,
        ))
    }

    /// The last day on which whoever refused at this instant may still be without an answer; `None` where the law asks for
    /// none.
    pub fn last_day_to_answer(&self, country: &str, requested_at: Instant) -> Option<NaiveDate> {
        let deadline = self.answer_deadline.as_ref()?;
        let day = requested_at.local_date(self.zone(self.country(country)));
        day.checked_add_months(Months::new(deadline.months))
    }
}
