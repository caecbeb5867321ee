//! Which rules a decision walks through in which phase, worked out once a question instead of once a row.

use super::Jurisdiction;
use crate::pack::{Requirement, Rule};
use crate::time::Instant;
use chrono::{Duration, NaiveDate};

/// The order of a decision; each rule acts in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Service,
    Prohibition,
    /// How far opt-outs reach.
    Refusal,
    Register,
    /// What the data must have been collected for: a condition of permissions.
    Collection,
    Permission,
    /// Retention, hours, caps, form.
    Last,
}

const PHASES: usize = Phase::Last as usize + 1;

impl Phase {
    pub(crate) const fn of(rule: &Rule) -> Phase {
        match rule.then {
            Requirement::Service(_) => Phase::Service,
            Requirement::Prohibited(_) => Phase::Prohibition,
            Requirement::OptOutReach(_) => Phase::Refusal,
            Requirement::Register(_) => Phase::Register,
            Requirement::CollectedFor(_) => Phase::Collection,
            Requirement::Consent(_)
            | Requirement::Relationship(_)
            | Requirement::Regime(_)
            | Requirement::OngoingContract(_) => Phase::Permission,
            Requirement::Hours(_)
            | Requirement::Cap(_)
            | Requirement::Form(_)
            | Requirement::Retention(_) => Phase::Last,
        }
    }
}

/// A rule by its position, and whether the contact's own calendar decides if it is in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub rule: usize,
    pub near_an_edge: bool,
}

/// The rules of one jurisdiction that can be in force at the question's instant, by phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    /// The UTC day, counted from 1970.
    made_for: Option<i64>,
    phases: [Vec<Step>; PHASES],
}

impl Plan {
    pub fn new(jurisdiction: &Jurisdiction, at: Instant) -> Plan {
        // The contact's date is within a day of the UTC date; the zone matters only near a rule's edge.
        let utc = at.to_utc().date_naive();
        let days: [NaiveDate; 3] = [-1, 0, 1].map(|n| utc + Duration::days(n));
        let mut plan = Plan { made_for: Some(at.utc_day()), ..Plan::default() };
        for (i, rule) in jurisdiction.rules.iter().enumerate() {
            let in_force = days.map(|d| rule.in_force_on(d));
            if in_force.contains(&true) {
                let step = Step { rule: i, near_an_edge: in_force.contains(&false) };
                plan.phases[Phase::of(rule) as usize].push(step);
            }
        }
        plan
    }

    /// `None` for another day than the plan was made for.
    pub fn steps(&self, phase: Phase, at: Instant) -> Option<&[Step]> {
        (self.made_for == Some(at.utc_day())).then(|| &self.phases[phase as usize][..])
    }
}
