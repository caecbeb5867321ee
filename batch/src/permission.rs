//! Whom one message may go to, and when those permissions end, counted state by state: for the page and for the audit
//! views. Every answer is the policy's.

use pg_consent_policy::decide;
use pg_consent_policy::question::Question;
use pg_consent_policy::state::{State, StateView};
use pg_consent_policy::time::Instant;
use std::collections::BTreeMap;

/// (jurisdiction, allowed, basis or reason); "none" where no pack is for the contact's country.
pub type Answer<'q> = (&'q str, bool, &'static str);

/// Counts of one message. `P` is a stretch of time: a week, a month.
#[derive(Debug)]
pub struct Permission<'q, P> {
    pub answers: BTreeMap<Answer<'q>, u64>,
    /// (when, jurisdiction, basis): permissions that end then.
    pub ends: BTreeMap<(P, &'q str, &'static str), u64>,
}

impl<P> Default for Permission<'_, P> {
    fn default() -> Self {
        Permission { answers: BTreeMap::new(), ends: BTreeMap::new() }
    }
}

impl<'q, P: Ord> Permission<'q, P> {
    /// Takes in one contact's state, `times` over. Of a permission that ends before `horizon`, `period` says when.
    pub fn add(
        &mut self,
        state: &[u8],
        question: &'q Question,
        times: u64,
        horizon: Instant,
        period: impl Fn(Instant) -> P,
    ) {
        let country = StateView::new(state).ok().and_then(|v| v.profile).map(|p| p.country);
        let jurisdiction =
            country.and_then(|c| question.jurisdiction(c)).map_or("none", |(j, _)| j.id.as_str());
        let answer = decide::decide(state, question, None);
        let code = match &answer {
            Ok(a) => a.basis.code(),
            Err(d) => d.reason.code(),
        };
        *self.answers.entry((jurisdiction, answer.is_ok(), code)).or_default() += times;
        let Ok(allowed) = answer else { return };
        if let Some(end) = decide::last_instant_before(state, question, &allowed, horizon) {
            *self.ends.entry((period(end), jurisdiction, code)).or_default() += times;
        }
    }

    pub fn join(&mut self, other: Permission<'q, P>) {
        sum(&mut self.answers, other.answers);
        sum(&mut self.ends, other.ends);
    }
}

pub fn sum<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, n) in from {
        *into.entry(key).or_default() += n;
    }
}

/// The state of those from whom something may have been taken away since they were folded: it denies.
pub fn dirty() -> Vec<u8> {
    let mut state = State::default();
    state.dirty = true;
    state.encode()
}
