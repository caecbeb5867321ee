//! Whether a rule, changed, still forbids all that it forbade. A permission may only permit less; a rule that denies
//! may only deny more.

use super::narrower;
use crate::codes::*;
use crate::pack::*;
use crate::question::Phase;
use crate::time::Period;
use chrono::{NaiveDate, NaiveTime};
use enumset::EnumSet;

/// A field that loosens, and what was expected of it.
pub(super) type Loosening = (String, String);

/// The fields in which `changed` loosens `rule`, one of `pack`'s.
pub(super) fn loosenings(pack: &Pack, rule: &Rule, changed: &Rule) -> Vec<Loosening> {
    let mut found = Found(Vec::new());
    found.unless(changed.id == rule.id, "id", "expected the rule's own id");
    found.unless(changed.confidence == rule.confidence, "confidence", "expected the rule's own confidence");
    let kept = rule.obligations.iter().all(|o| changed.obligations.contains(o));
    found.unless(kept, "obligations", "expected all of the rule's own, and more where wanted");
    let end = |d: Option<NaiveDate>| d.unwrap_or(NaiveDate::MAX);
    let permits = matches!(Phase::of(rule), Phase::Service | Phase::Permission);
    if permits {
        found.unless(changed.from >= rule.from, "from", &format!("expected {} or later", rule.from));
        let until = rule.until.map_or(String::new(), |d| format!("expected {d} or earlier"));
        found.unless(end(changed.until) <= end(rule.until), "until", &until);
        for field in narrower::beyond(&changed.when, &rule.when, pack) {
            found.add(&format!("when.{field}"), "expected no more than the rule itself permits");
        }
    } else {
        found.unless(changed.from <= rule.from, "from", &format!("expected {} or earlier", rule.from));
        let until = rule.until.map_or("expected no end".to_owned(), |d| format!("expected {d} or later"));
        found.unless(end(changed.until) >= end(rule.until), "until", &until);
        for field in narrower::beyond(&rule.when, &changed.when, pack) {
            found.add(&format!("when.{field}"), "expected no less than the rule itself denies");
        }
    }
    found.contested(rule, changed);
    found.requirement(&rule.then, &changed.then);
    found.in_its_place(pack, rule, changed);
    found.0
}

struct Found(Vec<Loosening>);

impl Found {
    fn add(&mut self, field: &str, expected: &str) {
        self.0.push((field.to_owned(), expected.to_owned()));
    }

    fn unless(&mut self, stricter: bool, field: &str, expected: &str) {
        if !stricter {
            self.add(field, expected);
        }
    }

    /// A condition that may only be added.
    fn condition(&mut self, own: bool, changed: bool, field: &str) {
        self.unless(changed >= own, &format!("then.{field}"), "expected true, as in the rule");
    }

    /// A relief that may only be taken away.
    fn relief(&mut self, own: bool, changed: bool, field: &str) {
        self.unless(changed <= own, &format!("then.{field}"), "expected false, as in the rule");
    }

    /// A limit that may only be set or shortened.
    fn limit(&mut self, own: Option<Period>, changed: Option<Period>, field: &str) {
        let shorter = own.is_none_or(|own| changed.is_some_and(|c| no_longer(c, own)));
        self.unless(shorter, &format!("then.{field}"), "expected no longer than in the rule");
    }

    fn before(&mut self, own: Option<NaiveDate>, changed: Option<NaiveDate>, field: &str) {
        let earlier = own.is_none_or(|own| changed.is_some_and(|c| c <= own));
        self.unless(earlier, &format!("then.{field}"), "expected no later than in the rule");
    }

    fn basis(&mut self, own: Basis, changed: Basis, kind: &str) {
        self.unless(own == changed, &format!("then.{kind}.basis"), "expected the rule's own basis");
    }

    /// On a contested point a permission may be made to depend; a prohibition that falls on one may be made to stand.
    fn contested(&mut self, rule: &Rule, changed: &Rule) {
        let may = match (&rule.contested, &changed.contested, &changed.then) {
            (own, new, _) if own == new => true,
            (None, Some(_), _) => Phase::of(rule) == Phase::Permission,
            // While it is contested, it stands for running contracts too.
            (Some(_), None, Requirement::Prohibited(p)) => !p.except_ongoing_contract,
            _ => false,
        };
        let relies = changed.contested.is_none() && matches!(rule.then, Requirement::Prohibited(_));
        let expected = if relies {
            "expected the rule's own, or `except_ongoing_contract` false"
        } else {
            "expected the rule's own contested point"
        };
        self.unless(may, "contested", expected);
    }

    fn requirement(&mut self, own: &Requirement, changed: &Requirement) {
        use Requirement::*;
        match (own, changed) {
            (Service(a), Service(b)) => {
                self.basis(a.basis, b.basis, "service");
                self.relief(a.after_erasure, b.after_erasure, "service.after_erasure");
                self.condition(a.never_refused, b.never_refused, "service.never_refused");
                let (own, new) = (a.minutes_after_refusal, b.minutes_after_refusal);
                let fewer = own.is_none_or(|own| new.is_some_and(|n| n <= own));
                self.unless(fewer, "then.service.minutes_after_refusal", "expected no more than in the rule");
            }
            (Consent(a), Consent(b)) => self.consent(a, b),
            (Relationship(a), Relationship(b)) => self.relationship(a, b),
            (Regime(a), Regime(b)) => self.regime(a, b),
            (OngoingContract(a), OngoingContract(b)) => self.basis(a.basis, b.basis, "ongoing_contract"),
            (Prohibited(a), Prohibited(b)) => self.relief(
                a.except_ongoing_contract,
                b.except_ongoing_contract,
                "prohibited.except_ongoing_contract",
            ),
            (Register(a), Register(b)) => {
                let all = a.registers.is_subset(b.registers);
                self.unless(all, "then.register.registers", "expected all of the rule's own");
                let sooner = b.grace_days <= a.grace_days;
                self.unless(sooner, "then.register.grace_days", "expected no more than in the rule");
                self.relief(a.names_sender, b.names_sender, "register.names_sender");
                self.relief(a.unless_consent, b.unless_consent, "register.unless_consent");
            }
            (Hours(a), Hours(b)) => {
                for (day, own, new) in [
                    ("weekdays", &a.weekdays, &b.weekdays),
                    ("saturday", &a.saturday, &b.saturday),
                    ("sunday", &a.sunday, &b.sunday),
                ] {
                    let field = format!("then.hours.{day}");
                    self.unless(no_wider(new, own), &field, "expected no other hours than in the rule");
                }
                self.relief(a.on_holidays, b.on_holidays, "hours.on_holidays");
            }
            (Cap(a), Cap(b)) => {
                let fewer = b.attempts <= a.attempts;
                self.unless(fewer, "then.cap.attempts", "expected no more than in the rule");
                for (own, new, field) in [(a.days, b.days, "days"), (a.hours, b.hours, "hours")] {
                    let longer = new >= own && (own == 0) == (new == 0);
                    self.unless(longer, &format!("then.cap.{field}"), "expected no less than in the rule");
                }
            }
            (Form(a), Form(b)) => {
                self.condition(a.unsubscribe, b.unsubscribe, "form.unsubscribe");
                self.condition(a.identity, b.identity, "form.identity");
                self.condition(a.postal_address, b.postal_address, "form.postal_address");
                self.condition(a.subject, b.subject, "form.subject");
            }
            (Retention(a), Retention(b)) => {
                self.limit(Some(a.after), Some(b.after), "retention.after");
                // With other actions the time of somebody might begin later, or never.
                let same = a.actions == b.actions;
                self.unless(same, "then.retention.actions", "expected the rule's own");
                let later = b.renewal_days <= a.renewal_days;
                self.unless(later, "then.retention.renewal_days", "expected no more than in the rule");
            }
            (OptOutReach(a), OptOutReach(b)) => {
                let all = a.channels.is_subset(b.channels);
                self.unless(all, "then.opt_out_reach.channels", "expected all of the rule's own");
                self.relief(
                    a.only_from_everything,
                    b.only_from_everything,
                    "opt_out_reach.only_from_everything",
                );
            }
            (CollectedFor(a), CollectedFor(b)) => self.purpose(a.purpose, b.purpose, "collected_for"),
            _ => self.add("then", "expected the rule's own kind of requirement"),
        }
    }

    fn consent(&mut self, a: &Consent, b: &Consent) {
        self.limit(a.max_age, b.max_age, "consent.max_age");
        // It shortens the limit for some opt-ins and lifts it for others.
        let same = a.max_age.is_none() || a.lapses == b.lapses;
        self.unless(same, "then.consent.lapses", "expected as in the rule");
        self.limit(a.unused, b.unused, "consent.unused");
        self.condition(a.written, b.written, "consent.written");
        self.condition(a.named_purpose, b.named_purpose, "consent.named_purpose");
        self.unlisted(a.unlisted, b.unlisted, "consent");
    }

    fn regime(&mut self, a: &Regime, b: &Regime) {
        self.basis(a.basis, b.basis, "regime");
        self.condition(a.informed, b.informed, "regime.informed");
        self.condition(a.profession_related, b.profession_related, "regime.profession_related");
        self.condition(a.not_bought, b.not_bought, "regime.not_bought");
        // What makes up for a bought list counts as information too.
        if a.not_bought || a.informed {
            self.relief(a.bought_with_proof, b.bought_with_proof, "regime.bought_with_proof");
        }
        self.condition(a.from_person, b.from_person, "regime.from_person");
        self.purpose(a.purpose, b.purpose, "regime");
        self.relief(a.whatever_purpose, b.whatever_purpose, "regime.whatever_purpose");
        self.unlisted(a.unlisted, b.unlisted, "regime");
    }

    fn unlisted(&mut self, own: EnumSet<Register>, changed: EnumSet<Register>, kind: &str) {
        let field = format!("then.{kind}.unlisted");
        self.unless(own.is_subset(changed), &field, "expected all of the rule's own");
    }

    fn purpose(&mut self, own: PurposeTold, changed: PurposeTold, kind: &str) {
        let stricter = changed >= own;
        self.unless(stricter, &format!("then.{kind}.purpose"), "expected no less than in the rule");
    }

    fn relationship(&mut self, a: &Relationship, b: &Relationship) {
        self.basis(a.basis, b.basis, "relationship");
        for kind in EventKind::ALL {
            let (field, stricter) = occasion(a, b, *kind);
            let expected = format!("expected `{kind}` to count no more than in the rule");
            self.unless(stricter, &format!("then.relationship.{field}"), &expected);
        }
        let field = |name: &str| format!("relationship.{name}");
        for (own, changed, name) in [
            (a.refusal_offered, b.refusal_offered, "refusal_offered"),
            (a.from_person, b.from_person, "from_person"),
            (a.similar, b.similar, "similar"),
            (a.same_category, b.same_category, "same_category"),
            (a.first_message, b.first_message, "first_message"),
            (a.collected_in_force, b.collected_in_force, "collected_in_force"),
            (a.role_related, b.role_related, "role_related"),
            (a.no_refusal_notice, b.no_refusal_notice, "no_refusal_notice"),
            (a.referred, b.referred, "referred"),
        ] {
            self.condition(own, changed, &field(name));
        }
        self.relief(a.inherited, b.inherited, &field("inherited"));
        self.purpose(a.purpose, b.purpose, "relationship");
        self.before(a.before, b.before, &field("before"));
        self.before(a.mailed_before, b.mailed_before, &field("mailed_before"));
        self.windows(a, b);
    }

    fn windows(&mut self, a: &Relationship, b: &Relationship) {
        let mut unless =
            |ok, field: &str, expected| self.unless(ok, &format!("then.relationship.{field}"), expected);
        let endless = !a.running && a.window.is_none();
        // A running contract counts whatever the window: only where there was none is it a condition.
        unless(a.running == b.running || endless, "running", "expected as in the rule");
        let within = |own: Option<Period>, new: Option<Period>| {
            own.is_none_or(|own| new.is_some_and(|new| no_longer(new, own)))
        };
        unless(within(a.window, b.window), "window", "expected no longer than in the rule");
        if a.running {
            let shorter = match (a.after_end, b.after_end) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(new)) => no_longer(new, own),
            };
            unless(shorter, "after_end", "expected no longer than in the rule");
            let same = a.ended_contested == b.ended_contested
                || b.ended_contested.is_none() && b.after_end.is_none();
            unless(same, "ended_contested", "expected as in the rule, or neither it nor `after_end`");
        }
        if a.window.is_some() || a.running && a.after_end.is_some() {
            let sooner = a.counting == b.counting || b.counting == Counting::Forward;
            unless(sooner, "counting", "expected as in the rule, or `forward`");
        }
        if a.window.is_some() {
            // A window that begins anew is counted forward in any case.
            let fewer = a.renewed_by_sends == b.renewed_by_sends
                || a.renewed_by_sends && b.counting == Counting::Forward;
            unless(fewer, "renewed_by_sends", "expected as in the rule, or false with `counting` forward");
        }
    }

    /// What a rule that is not there any more would have denied, no other rule may let pass.
    fn in_its_place(&mut self, pack: &Pack, rule: &Rule, changed: &Rule) {
        let (from, until) = (changed.from != rule.from, changed.until != rule.until);
        let fields = [(from, "from"), (until, "until"), (changed.when != rule.when, "when")];
        let narrowed = fields.iter().filter(|(differs, _)| *differs).map(|(_, field)| *field);
        match (&rule.then, &changed.then) {
            // By the first consent rule that applies it is judged whether an opt-in lifts an opt-out.
            (Requirement::Consent(c), _) if limits_opt_ins(c) => {
                for field in narrowed {
                    let expected = "expected as in the rule: with it would go its limits on the opt-ins that \
                                    lift an opt-out; `max_age` of no days ends all consent";
                    self.add(field, expected);
                }
            }
            // To whom asked for erasure it says no, where another might say yes.
            (Requirement::Service(a), Requirement::Service(b)) if !a.after_erasure => {
                let own = narrower::natures_of(&rule.when);
                let yields = pack.rules.iter().any(|r| {
                    matches!(&r.then, Requirement::Service(s) if s.after_erasure)
                        && !narrower::natures_of(&r.when).is_disjoint(own)
                });
                let unless_refused = a.never_refused != b.never_refused;
                let at_refusal = a.minutes_after_refusal != b.minutes_after_refusal;
                let conditions = [
                    (unless_refused, "then.service.never_refused"),
                    (at_refusal, "then.service.minutes_after_refusal"),
                ];
                let added = conditions.iter().filter(|(differs, _)| *differs).map(|(_, field)| *field);
                for field in narrowed.chain(added).filter(|_| yields) {
                    let expected =
                        "expected as in the rule: another would let the message pass after an erasure";
                    self.add(field, expected);
                }
            }
            _ => {}
        }
    }
}

/// Whether a consent rule judges opt-ins in any way; what numbers it opens is another matter.
fn limits_opt_ins(consent: &Consent) -> bool {
    Consent { unlisted: EnumSet::empty(), ..consent.clone() } != Consent::default()
}

/// How an occasion counts: not, freely, or on a contested point. The field that says so, and whether it counts for no
/// more in `b` than in `a`.
fn occasion(a: &Relationship, b: &Relationship, kind: EventKind) -> (&'static str, bool) {
    let counts = |r: &Relationship| match r.contested.get(&kind) {
        None => r.kinds.contains(kind).then_some(None),
        Some(point) => Some(Some(point.clone())),
    };
    let stricter = match (counts(a), counts(b)) {
        (_, None) | (Some(None), _) => true,
        (Some(Some(own)), Some(Some(new))) => own == new,
        _ => false,
    };
    let field = if a.contested.get(&kind) == b.contested.get(&kind) { "kinds" } else { "contested" };
    (field, stricter)
}

/// Whether a period ends no later than another, wherever both begin and however they are counted.
fn no_longer(period: Period, than: Period) -> bool {
    let months = |p: Period| u64::from(p.years) * 12 + u64::from(p.months);
    let (m, d) = (months(period), u64::from(period.days));
    let (than_m, than_d) = (months(than), u64::from(than.days));
    // Of different units the one must be shorter by more than calendars and ways of counting can make up for.
    let least = u64::from(than.years) * 365 + u64::from(than.months) * 28 + than_d;
    m <= than_m && d <= than_d || m * 31 + d + 7 <= least
}

/// Whether `inner` lets no time of day pass that `outer` does not, each read as the gate reads it: by the first span
/// that is not over yet.
fn no_wider(inner: &[Span], outer: &[Span]) -> bool {
    let lawful = |spans: &[Span], t: NaiveTime| spans.iter().find(|s| t < s.to).is_some_and(|s| s.from <= t);
    let edges = inner.iter().chain(outer).flat_map(|s| [s.from, s.to]).chain([NaiveTime::MIN]);
    { edges }.all(|t| !lawful(inner, t) || lawful(outer, t))
}
