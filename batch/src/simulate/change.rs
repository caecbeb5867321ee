//! What a draft changes for a contact, and how many contacts it changes so.

use pg_consent_policy::codes::{Basis, Reason};
use pg_consent_policy::decide::decide;
use pg_consent_policy::question::Question;
use pg_consent_policy::state::StateView;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Yes(Basis),
    No(Reason),
}

impl Verdict {
    fn of(state: &[u8], question: &Question) -> Verdict {
        match decide(state, question, None) {
            Ok(allowed) => Verdict::Yes(allowed.basis),
            Err(denied) => Verdict::No(denied.reason),
        }
    }

    pub const fn allowed(self) -> bool {
        matches!(self, Verdict::Yes(_))
    }

    /// The basis of a yes, the reason of a no.
    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Yes(basis) => basis.code(),
            Verdict::No(reason) => reason.code(),
        }
    }

    pub fn to_json(self) -> Value {
        match self {
            Verdict::Yes(basis) => json!({"allowed": true, "basis": basis.code()}),
            Verdict::No(reason) => json!({"allowed": false, "reason": reason.code()}),
        }
    }
}

/// A change of the answer, or of its grounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Under the draft, else as it is; `none` for a contact without a country.
    pub jurisdiction: String,
    pub before: Verdict,
    pub after: Verdict,
}

#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub allowed_now: u64,
    pub allowed_then: u64,
    /// By country: few differ, and a jurisdiction's name would be a text to make for every contact.
    by_country: BTreeMap<([u8; 2], Verdict, Verdict), (u64, String)>,
}

impl Changes {
    pub fn add(&mut self, state: &[u8], now: &Question, draft: &Question) {
        let (before, after) = (Verdict::of(state, now), Verdict::of(state, draft));
        self.allowed_now += u64::from(before.allowed());
        self.allowed_then += u64::from(after.allowed());
        if before == after {
            return;
        }
        let country = StateView::new(state).ok().and_then(|v| v.profile).map_or([0; 2], |p| p.country);
        let entry = self.by_country.entry((country, before, after)).or_insert_with(|| {
            let known = draft.jurisdiction(country).or_else(|| now.jurisdiction(country));
            (0, known.map_or_else(|| "none".to_owned(), |(j, _)| j.id.clone()))
        });
        entry.0 += 1;
    }

    pub fn join(&mut self, other: Changes) {
        self.allowed_now += other.allowed_now;
        self.allowed_then += other.allowed_then;
        for (key, (contacts, jurisdiction)) in other.by_country {
            self.by_country.entry(key).or_insert((0, jurisdiction)).0 += contacts;
        }
    }

    pub fn gained(&self) -> u64 {
        self.sum(|before, after| !before.allowed() && after.allowed())
    }

    pub fn lost(&self) -> u64 {
        self.sum(|before, after| before.allowed() && !after.allowed())
    }

    fn sum(&self, counts: impl Fn(Verdict, Verdict) -> bool) -> u64 {
        self.by_country.iter().filter(|((_, b, a), _)| counts(*b, *a)).map(|(_, (n, _))| n).sum()
    }

    /// By jurisdiction, those who lose or gain first, the many before the few.
    pub fn rows(&self) -> Vec<(Change, u64)> {
        let mut rows = BTreeMap::new();
        for ((_, before, after), (contacts, jurisdiction)) in &self.by_country {
            let change = Change { jurisdiction: jurisdiction.clone(), before: *before, after: *after };
            *rows.entry(change).or_insert(0) += contacts;
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        let same = |c: &Change| c.before.allowed() == c.after.allowed();
        rows.sort_by(|(a, m), (b, n)| {
            (&a.jurisdiction, same(a), n, a).cmp(&(&b.jurisdiction, same(b), m, b))
        });
        rows
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use pg_consent_policy::codes::*;
    use pg_consent_policy::fact::Fact;
    use pg_consent_policy::pack::builtin;
    use pg_consent_policy::profile::Profile;
    use pg_consent_policy::question::{Form, Message, Sender, Target};
    use pg_consent_policy::state::State;
    use pg_consent_policy::time::Instant;

    const NEW_YEAR: Instant = Instant(1_767_225_600_000);

    fn contact(country: &str) -> Vec<u8> {
        let mut state = State::of_profile(Profile::new(NEW_YEAR, Some(country), None, None).unwrap());
        let opted_in = Fact { method: Some(Method::Active), ..Fact::new(EventKind::OptIn, NEW_YEAR, 1) };
        state.merge(&State::of_fact(&opted_in));
        state.encode()
    }

    /// The newsletter a day later, under the packs without the rules named.
    fn question(without: &str) -> Question {
        let mut packs = builtin().to_vec();
        packs.iter_mut().for_each(|p| p.rules.retain(|r| !r.id.starts_with(without)));
        let message = Message {
            kind: "newsletter".into(),
            nature: Nature::Newsletter,
            channel: Channel::Email,
            form: Form::default(),
        };
        let at = Instant(NEW_YEAR.0 + 86_400_000);
        let sender = Sender { id: 1, name: "shop".into(), ..Sender::default() };
        Question::new(at, sender, message, Target::default(), &packs, Vec::new())
    }

    #[test]
    fn gains_and_losses_are_counted_by_jurisdiction_and_grounds() {
        let (all, less) = (question("none"), question("gb."));
        let mut changes = Changes::default();
        for country in ["GB", "GB", "FR"] {
            changes.add(&contact(country), &all, &less);
        }
        assert_eq!((changes.gained(), changes.lost()), (0, 2));
        assert_eq!((changes.allowed_now, changes.allowed_then), (3, 1));
        let rows = changes.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].0.jurisdiction.as_str(), rows[0].1), ("gb", 2));
        assert_eq!(rows[0].0.before.code(), "consent");

        let mut back = Changes::default();
        back.add(&contact("GB"), &less, &all);
        assert_eq!((back.gained(), back.lost()), (1, 0));
        back.join(changes);
        assert_eq!((back.gained(), back.lost(), back.rows().len()), (1, 2, 2));
    }
}
