//! Contacts whose consent, relationship or retention ends just now, and the many ways of consenting.

use super::contacts::{CONTRACTS, Contacts, OTHER, SAME, STRANGER, SUBSCRIBER};
use super::world::{US, days_before, evening_before};
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::{Expiry, Fact};
use pg_consent_policy::pack::{Requirement, Rule};
use pg_consent_policy::time::{Instant, Period};

fn at(fact: Fact, at: Instant) -> Fact {
    Fact { at, recorded_at: at, ..fact }
}

impl Contacts<'_> {
    pub(super) fn consents(&mut self) {
        let given = self.opt_in();
        let mut one = |name: &str, fact: Fact| {
            self.add(&format!("consent {name}"), Some(SUBSCRIBER), vec![fact]);
        };
        for method in Method::ALL.iter().filter(|m| **m != Method::Active) {
            let name = if *method == Method::WrittenSigned {
                "in signed writing".into()
            } else {
                format!("{method}")
            };
            one(&name, Fact { method: Some(*method), ..given.clone() });
        }
        let by_others = Fact { method: Some(Method::ThirdParty), names_sender: true, ..given.clone() };
        one("third_party, the sender named", Fact { from_person: false, ..by_others });
        for purpose in Purpose::ALL {
            one(&format!("to {purpose}"), Fact { purposes: (*purpose).into(), ..given.clone() });
            let written = Some(Method::WrittenSigned);
            one(
                &format!("to {purpose} in signed writing"),
                Fact { purposes: (*purpose).into(), method: written, ..given.clone() },
            );
            let by_others = Fact { method: Some(Method::ThirdParty), names_sender: true, ..given.clone() };
            one(
                &format!("to {purpose} given to a third party for the sender"),
                Fact { purposes: (*purpose).into(), ..by_others },
            );
        }
        one("of the category", Fact { category: SAME, ..given.clone() });
        one("of another category", Fact { category: OTHER, ..given.clone() });
        one("by e-mail only", Fact { channels: Channel::Email.into(), ..given.clone() });
        one("by telephone only", Fact { channels: Channel::PhoneLive.into(), ..given.clone() });
        one("to another sender", Fact { sender: US + 1, ..given.clone() });
        one("without proof", Fact { grade: Grade::None, ..given.clone() });
        one("with weak proof", Fact { grade: Grade::StateOnly, ..given.clone() });
        one("not from the person", Fact { from_person: false, ..given.clone() });
        one("at an earlier address", Fact { address: 2, ..given.clone() });
        one("of another user of the address", Fact { other_contact: 7, ..given.clone() });
        one("to be confirmed", Fact { pending: true, ..given.clone() });
        let (past, future) = (days_before(self.at, 1), days_before(self.at, -1));
        for (name, end) in [("until yesterday", past), ("until tomorrow", future)] {
            let fact = Fact { expires: Expiry::At(end), ..self.opt_in() };
            self.add(&format!("consent {name}"), Some(SUBSCRIBER), vec![fact]);
        }
        let confirmed = Fact { kind: EventKind::OptInConfirmed, ..self.opt_in() };
        let pending = Fact { pending: true, ..self.opt_in() };
        self.add("consent, confirmed", Some(SUBSCRIBER), vec![pending, confirmed]);
    }

    pub(super) fn windows(&mut self) {
        let rules = self.pack.rules.clone();
        for rule in &rules {
            match &rule.then {
                Requirement::Relationship(_) => self.occasions_of(rule),
                Requirement::Consent(c) => {
                    for period in c.max_age.into_iter().chain(c.unused) {
                        self.old_consents(period, c.written);
                    }
                }
                Requirement::Retention(r) => {
                    for kind in r.actions {
                        self.last_action(kind, r.after);
                    }
                }
                Requirement::Cap(c) => {
                    for attempts in [c.attempts - 1, c.attempts] {
                        let hours = i64::from(c.hours.max(c.days * 24));
                        self.called(attempts, 1);
                        self.called(attempts, hours - 20);
                        self.called(attempts, hours);
                    }
                    if c.hours > 0 {
                        self.called(c.attempts, i64::from(c.hours) - 1);
                        self.called(c.attempts, i64::from(c.hours) + 1);
                    }
                }
                _ => {}
            }
        }
    }

    /// Attempts so many hours ago, of somebody who agreed to calls.
    fn called(&mut self, attempts: u32, hours: i64) {
        let name = format!("consent in signed writing, {attempts} calls {hours} hours ago");
        let facts = vec![Fact { method: Some(Method::WrittenSigned), ..self.opt_in() }];
        self.add(&name, Some(SUBSCRIBER), facts);
        let time = Instant(self.at.0 - hours * 3_600_000);
        if let Some(contact) = self.all.last_mut().filter(|c| c.name == name) {
            contact.log.call_attempts = vec![time; attempts as usize];
        }
    }

    fn occasions_of(&mut self, rule: &Rule) {
        let Requirement::Relationship(r) = &rule.then else { return };
        let certain: Vec<_> = r.kinds.iter().collect();
        let mut kinds: Vec<EventKind> = certain.first().into_iter().chain(certain.last()).copied().collect();
        kinds.extend(r.contested.keys().next());
        let zone = self.place.zone;
        if r.collected_in_force {
            let first = pg_consent_policy::time::start_of_day(rule.from, zone);
            for (name, t) in [("before", Instant(first.0 - 1000)), ("on", Instant(first.0 + 1000))] {
                let fact = at(self.fact(kinds[0]), t);
                self.add(&format!("{} {name} {}", kinds[0], rule.from), Some(STRANGER), vec![fact]);
            }
        }
        for day in r.before.into_iter().chain(r.mailed_before) {
            let first = pg_consent_policy::time::start_of_day(day, zone);
            for (name, t) in [("before", Instant(first.0 - 1000)), ("on", Instant(first.0 + 1000))] {
                let early = Instant(first.0 - 400 * 86_400_000);
                for kind in &kinds {
                    let dealt = at(self.fact(*kind), t);
                    let mailed = at(self.sent(1, true), Instant(first.0 - 1000));
                    let name = format!("{kind} {name} {day}, written to before");
                    self.add(&name, Some(STRANGER), vec![dealt, mailed]);
                }
                let facts = vec![at(self.fact(kinds[0]), early), at(self.sent(1, true), t)];
                self.add(&format!("{} of old, written to {name} {day}", kinds[0]), Some(STRANGER), facts);
            }
        }
        if let Some(window) = r.window {
            for kind in &kinds {
                self.old(*kind, window);
                if r.renewed_by_sends {
                    self.renewed(*kind, window);
                }
            }
        }
        for (start, end) in CONTRACTS.into_iter().filter(|(s, _)| r.running && r.kinds.contains(*s)) {
            if let Some(period) = r.after_end {
                self.ended(start, end, period);
            }
        }
    }

    /// On the last day within a window, and a day earlier.
    fn old(&mut self, kind: EventKind, period: Period) {
        let fact =
            Fact { relevant_to_role: Tri::Yes, refusal_notice: Tri::No, referred: true, ..self.fact(kind) };
        for (name, back) in [("just under", 0), ("over", 1)] {
            let t = evening_before(self.at, period, back, self.place.zone);
            let name = format!("{kind} {name} {} ago", words(period));
            self.add(&name, Some(STRANGER), vec![at(fact.clone(), t)]);
        }
    }

    fn ended(&mut self, start: EventKind, end: EventKind, period: Period) {
        for (name, back) in [("just under", 0), ("over", 1)] {
            let t = evening_before(self.at, period, back, self.place.zone);
            let facts = vec![at(self.fact(start), days_before(t, 500)), at(self.fact(end), t)];
            self.add(&format!("{start}, ended {name} {} ago", words(period)), Some(STRANGER), facts);
        }
    }

    fn renewed(&mut self, kind: EventKind, period: Period) {
        let t = evening_before(self.at, period, 60, self.place.zone);
        for (name, compliant) in [("lawfully", true), ("unlawfully", false)] {
            let facts = vec![at(self.fact(kind), t), self.sent(200, compliant)];
            self.add(&format!("{kind} long ago, written to {name} since"), Some(STRANGER), facts);
        }
    }

    fn old_consents(&mut self, period: Period, written: bool) {
        let method = Some(if written { Method::WrittenSigned } else { Method::Active });
        let given = Fact { method, ..self.opt_in() };
        for (name, back) in [("just under", 0), ("over", 1)] {
            let t = evening_before(self.at, period, back, self.place.zone);
            let old = at(given.clone(), t);
            let name = format!("consent {name} {} ago", words(period));
            self.add(&name, Some(SUBSCRIBER), vec![old.clone()]);
            let never = Fact { expires: Expiry::Never, ..old.clone() };
            self.add(&format!("{name} without end"), Some(SUBSCRIBER), vec![never]);
            let click = at(self.fact(EventKind::Click), days_before(self.at, 30));
            self.add(&format!("{name}, clicked since"), Some(SUBSCRIBER), vec![old.clone(), click]);
            let mut facts = vec![old];
            facts.push(self.sent(300, true));
            self.add(&format!("{name}, written to since"), Some(SUBSCRIBER), facts);
            // The day of the grant counts, whatever the hour.
            let morning = Instant(t.0 - 12 * 3_600_000);
            self.add(&format!("{name}, in the morning"), Some(SUBSCRIBER), vec![at(given.clone(), morning)]);
        }
    }

    /// Somebody who agreed long ago and did this last.
    fn last_action(&mut self, kind: EventKind, period: Period) {
        for (name, back) in [("just under", 0), ("over", 1)] {
            let t = evening_before(self.at, period, back, self.place.zone);
            let long_ago = at(self.opt_in(), days_before(t, 400));
            let act = at(Fact { method: Some(Method::Active), ..self.fact(kind) }, t);
            let act = Fact { channels: EnumSet::all(), ..act };
            let after_consent = format!("consent long ago, {kind} {name} {} ago", words(period));
            self.add(&after_consent, Some(SUBSCRIBER), vec![long_ago, act.clone()]);
            if kind.is_delivered_by_others() {
                let name = format!("{kind} {name} {} ago, nothing since", words(period));
                self.add(&name, Some(STRANGER), vec![act]);
            }
        }
    }
}

pub fn words(period: Period) -> String {
    let parts = [(period.years, "years"), (period.months, "months"), (period.days, "days")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    parts.join(" ")
}
