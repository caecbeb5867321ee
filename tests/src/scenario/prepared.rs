//! The first of the three ways: facts and question through the pure core.

use super::{Answer, Scenario, packs};
use anyhow::{Context, Result};
use pg_consent_policy::codes::EventKind;
use pg_consent_policy::decide::{self, ContactLog};
use pg_consent_policy::explain::explain;
use pg_consent_policy::pack::Pack;
use pg_consent_policy::question::{Message, Question, Sender, Target};
use pg_consent_policy::state::State;
use pg_consent_policy::time::Instant;

/// A scenario with its facts folded, to be asked under many packs.
#[derive(Debug, Clone)]
pub struct Prepared {
    state: Vec<u8>,
    log: ContactLog,
    at: Instant,
    sender: Sender,
    message: Message,
    target: Target,
}

impl Scenario {
    fn target(&self) -> Result<Target> {
        let Some(name) = &self.ask.category else { return Ok(Target::default()) };
        let category = self.category(name)?;
        let spec = |n: &str| self.categories.iter().find(|c| c.name == n).context("category");
        let mut target = Target { category, similar: vec![category], ..Target::default() };
        let mut up = Some(name.clone());
        while let Some(above) = up {
            target.ancestors.push(self.category(&above)?);
            up = spec(&above)?.parent.clone();
        }
        target.sector = spec(name)?.sector;
        for s in self.similar.iter().filter(|s| s.score >= 0.5) {
            if s.from == *name {
                target.similar.push(self.category(&s.to)?);
            } else if s.to == *name {
                target.similar.push(self.category(&s.from)?);
            }
        }
        Ok(target)
    }

    pub fn prepare(&self) -> Result<Prepared> {
        let mut state = State::of_profile(self.profile()?);
        let mut log = ContactLog::default();
        for event in &self.events {
            if self.counts(event)? {
                let fact = self.fact(event)?;
                if fact.kind == EventKind::CallAttempt {
                    log.call_attempts.push(fact.at);
                }
                state.merge(&State::of_fact(&fact));
            }
        }
        let sender = Sender {
            id: 1,
            name: self.sender.name.clone(),
            charity: self.sender.charity,
            political_party: self.sender.political_party,
            pension_authorised: self.sender.pension_authorised,
        };
        let message = Message {
            kind: self.ask.kind.to_string(),
            nature: self.ask.kind,
            channel: self.ask.channel,
            form: self.form()?,
        };
        let (at, target) = (self.instant(&self.ask.at)?, self.target()?);
        Ok(Prepared { state: state.encode(), log, at, sender, message, target })
    }

    pub fn ask_core(&self) -> Result<Answer> {
        let prepared = self.prepare()?;
        let stored = Question::decode(&prepared.question(packs()).encode())?;
        Ok(explain(Some(&prepared.state), &stored, Some(&prepared.log)).into())
    }
}

impl Prepared {
    pub fn question(&self, packs: &[Pack]) -> Question {
        let (sender, message, target) = (self.sender.clone(), self.message.clone(), self.target.clone());
        Question::new(self.at, sender, message, target, packs, Vec::new())
    }

    /// The answer under these packs; when a yes ends only where that is wanted, since it costs most.
    pub fn ask(&self, packs: &[Pack], with_end: bool) -> Answer {
        let question = self.question(packs);
        let decision = decide::decide(&self.state, &question, Some(&self.log));
        let end =
            if with_end && decision.is_ok() { decide::last_instant(&self.state, &question) } else { None };
        Answer {
            allowed: decision.is_ok(),
            basis: decision.ok().map(|a| a.basis.to_string()),
            reason: decision.err().map(|d| d.reason.to_string()),
            rule: decision.map_or_else(|d| d.rule, |a| Some(a.rule)).map(|r| r.id.clone()),
            valid_until: end.map(Instant::to_utc),
        }
    }
}
