//! One state under one question: the jurisdiction, the zone and the rules that apply to this contact.

use super::{Check, Denied};
use crate::codes::*;
use crate::fact::SenderId;
use crate::pack::{Audience, Counting, PurposeTold, REGION_UNKNOWN, Requirement, Rule};
use crate::profile::AddressInUse;
use crate::question::{Jurisdiction, Phase, Question};
use crate::state::{Atom, Contract, Relation, Sends, StateView};
use crate::time::{Instant, Period, last_day_reaching_back, start_of_day};
use chrono_tz::Tz;
use std::cell::OnceCell;

/// What frequency limits count; it lives in the send log, not in the state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContactLog {
    /// Call attempts of the asking sender, answered or not.
    pub call_attempts: Vec<Instant>,
    /// Texts of the asking sender: they count where a limit speaks of texts, too.
    pub texts: Vec<Instant>,
}

/// Whether a contract runs, and until when; the later the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ContractStanding {
    EndedAt(Instant),
    RunsUntil(Instant),
}

/// A business seldom changes hands more often, and a circle must end.
const MAX_TAKE_OVERS: u32 = 4;

pub(crate) struct Case<'s, 'q> {
    pub view: StateView<'s>,
    pub question: &'q Question,
    pub jurisdiction: &'q Jurisdiction,
    pub at: Instant,
    /// Ends of permissions are wanted; otherwise an estimate that settles the answer is enough.
    pub exact: bool,
    principal_zone: &'q str,
    /// Looked up when it is first needed: most answers need none.
    zone: OnceCell<Tz>,
    subscriber: Subscriber,
    address_kind: AddressKind,
    line: Line,
}

const MS_PER_DAY: i64 = 86_400_000;

impl<'s, 'q> Case<'s, 'q> {
    pub fn new(
        view: StateView<'s>,
        question: &'q Question,
        at: Instant,
        exact: bool,
    ) -> Check<'q, Case<'s, 'q>> {
        if view.dirty {
            return Err(Denied::new(Reason::Dirty).into());
        }
        // The full state is in the side table, where the by-key path and the set functions find it.
        if view.overflow {
            return Err(Denied::new(Reason::StateOverflow).into());
        }
        if at < view.horizon {
            return Err(Denied::new(Reason::HistoryNeeded).into());
        }
        let profile = view.profile;
        let (jurisdiction, principal_zone) = profile
            .and_then(|p| question.jurisdiction(p.country))
            .or_else(|| question.fallback().map(|j| (j, "Etc/UTC")))
            .ok_or_else(|| Denied::new(Reason::UnknownJurisdiction))?;
        Ok(Case {
            view,
            question,
            jurisdiction,
            at,
            exact,
            principal_zone,
            zone: OnceCell::new(),
            subscriber: profile.map_or(Subscriber::Unknown, |p| p.subscriber),
            address_kind: profile.map_or(AddressKind::Unknown, |p| p.address_kind),
            line: profile.map_or(Line::Unknown, |p| p.line),
        })
    }

    pub fn zone(&self) -> Tz {
        *self.zone.get_or_init(|| {
            let own = self.view.profile.map_or("", |p| p.zone);
            let name = if own.is_empty() { self.principal_zone } else { own };
            // Both were checked when they were stored.
            name.parse().unwrap_or(Tz::UTC)
        })
    }

    /// The rules for this message that concern this contact and begin later.
    pub fn future_rules(&self) -> impl Iterator<Item = &'q Rule> + '_ {
        let today = self.at.local_date(self.zone());
        self.jurisdiction.rules.iter().filter(move |r| r.from > today && self.concerned_by(r))
    }

    /// The permissions in force for this contact but for the operator's decision on a contested point.
    pub fn withheld_rules(&self) -> impl Iterator<Item = &'q Rule> + '_ {
        self.jurisdiction.withheld.iter().filter(|r| self.in_force(r) && self.concerned_by(r))
    }

    /// The rules of a phase that concern this contact and are in force.
    pub fn rules(&self, phase: Phase) -> impl Iterator<Item = &'q Rule> + '_ {
        let jurisdiction = self.jurisdiction;
        // The plan is for the question's own day; `valid_until` asks about later ones too.
        let steps = jurisdiction.plan.steps(phase, self.at);
        let all = if steps.is_some() { &[][..] } else { &jurisdiction.rules };
        let now = steps
            .unwrap_or_default()
            .iter()
            .map(|s| (&jurisdiction.rules[s.rule], s.near_an_edge))
            .filter(|(rule, near)| !*near || self.in_force(rule))
            .map(|(rule, _)| rule);
        let later = all.iter().filter(move |r| Phase::of(r) == phase && self.in_force(r));
        now.chain(later).filter(|rule| self.concerned_by(rule))
    }

    fn in_force(&self, rule: &Rule) -> bool {
        rule.in_force_on(self.at.local_date(self.zone()))
    }

    fn concerned_by(&self, rule: &Rule) -> bool {
        let when = &rule.when;
        self.is_among(when.to)
            && when.lines.is_none_or(|l| l.contains(self.line))
            && (when.regions.is_empty() || self.lies_in(&when.regions))
            && (when.except_regions.is_empty() || !self.lies_in(&when.except_regions))
            && (when.countries.is_empty() || self.is_of(&when.countries))
            && (when.except_countries.is_empty() || !self.is_of(&when.except_countries))
    }

    /// What a `collected_for` rule asks of the purposes told at collection; of several the strictest.
    pub fn purpose_asked(&self) -> Option<(PurposeTold, &'q Rule)> {
        let asked = self.rules(Phase::Collection).filter_map(|rule| match &rule.then {
            Requirement::CollectedFor(c) => Some((c.purpose, rule)),
            _ => None,
        });
        asked.max_by_key(|(purpose, _)| *purpose)
    }

    pub fn is_among(&self, audience: Audience) -> bool {
        audience.contains(self.subscriber, self.address_kind)
    }

    fn lies_in(&self, regions: &[String]) -> bool {
        let own = self.view.profile.map_or("", |p| p.region);
        regions.iter().any(|r| if own.is_empty() { r == REGION_UNKNOWN } else { r == own })
    }

    fn is_of(&self, countries: &[String]) -> bool {
        self.view.profile.is_some_and(|p| countries.iter().any(|c| c.as_bytes() == p.country))
    }

    pub fn nature(&self) -> Nature {
        self.jurisdiction.nature
    }

    pub fn channel(&self) -> Channel {
        self.question.message.channel
    }

    pub fn sender(&self) -> u32 {
        self.question.sender.id
    }

    /// Whether something collected at `at` concerns the address that would be used now. A fact that names no
    /// address is about the one current then.
    pub fn concerns_current_address(&self, address: u32, at: Instant) -> bool {
        let group = self.channel().address_group() as usize;
        let current = self.view.profile.map_or(AddressInUse::default(), |p| p.addresses[group]);
        if address == 0 { current.since.is_none_or(|since| at >= since) } else { address == current.tag }
    }

    /// Whether `at` lies in a window that began at `start`, whatever the calendar: no window is shorter than 365-day
    /// years and 28-day months, less a day for the clocks. `false` settles nothing.
    pub fn surely_within(&self, start: Instant, window: Period) -> bool {
        let least = i64::from(window.years * 365 + window.months * 28 + window.days) - 1;
        self.at.0 - start.0 < least * MS_PER_DAY
    }

    /// Whether `end` is still to come; what has no end never does.
    pub fn is_before(&self, end: Instant) -> bool {
        end >= Instant::MAX || self.at < end
    }

    /// The end of a window that began at `start`, or `None` where it is over.
    pub fn window_end(&self, start: Instant, window: Period, counting: Counting) -> Option<Instant> {
        if !self.exact && self.surely_within(start, window) {
            return Some(Instant::MAX);
        }
        let end = self.end_of(start, window, counting);
        self.is_before(end).then_some(end)
    }

    /// Where a window ends that began at `start`: the first instant outside.
    pub fn end_of(&self, start: Instant, window: Period, counting: Counting) -> Instant {
        let zone = self.zone();
        match counting {
            Counting::Forward => start.plus(window, zone),
            Counting::BackFromSendDay => {
                let last = last_day_reaching_back(start.local_date(zone), window);
                last.succ_opt().map_or(Instant::MAX, |day| start_of_day(day, zone))
            }
        }
    }

    /// The running contract that a message says it concerns, in the category asked about or similar to it.
    pub fn ongoing_contract(&self) -> Check<'q, Option<Contract>> {
        if !self.question.message.form.ongoing_contract_related {
            return Ok(None);
        }
        let target = &self.question.target;
        let related = |c: &Contract| {
            c.category == 0 || target.category == 0 || target.similar.binary_search(&c.category).is_ok()
        };
        self.running_contract_where(related)
    }

    /// How the contract stands that this occasion began; `None` where none is known.
    pub fn contract_begun_by(&self, r: &Relation) -> Check<'q, Option<ContractStanding>> {
        for atom in self.view.activity() {
            if let Atom::Contract(c) = atom?
                && (c.sender, c.kind, c.category) == (r.sender, r.kind, r.category)
            {
                let ended = self.ended_elsewhere(&c)?;
                let standing = if c.runs(self.at) && ended.is_none() {
                    Some(ContractStanding::RunsUntil(c.runs_until(self.at)))
                } else {
                    ended.max(c.ended).map(ContractStanding::EndedAt)
                };
                return Ok(standing);
            }
        }
        Ok(None)
    }

    /// Whether the asking sender took over the business of `from` at `since` or later, from it or by way of others. A
    /// chain too long to follow counts as `beyond` says.
    fn takes_over(&self, from: SenderId, since: Instant, beyond: bool, steps: u32) -> Check<'q, bool> {
        for atom in self.view.activity() {
            if let Atom::Transfer(t) = atom?
                && t.from == from
                && t.at >= since
                && t.at <= self.at
                && (t.to == self.sender()
                    || if steps == 0 { beyond } else { self.takes_over(t.to, t.at, beyond, steps - 1)? })
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a relationship with `from` at `at` is now one with the asking sender.
    pub fn inherits(&self, from: SenderId, at: Instant) -> Check<'q, bool> {
        self.takes_over(from, at, false, MAX_TAKE_OVERS)
    }

    /// Whether what was said to `sender` was said to the asking sender: itself, or whose business it took over.
    pub fn answers_for(&self, sender: SenderId) -> Check<'q, bool> {
        Ok(sender == self.sender() || self.takes_over(sender, Instant::MIN, true, MAX_TAKE_OVERS)?)
    }

    /// A run of advertising messages of the asking sender on this channel, if the atom is one.
    pub fn sends_of(&self, atom: &Atom) -> Option<Sends> {
        match atom {
            Atom::Sends(s) if s.sender == self.sender() && s.channels.contains(self.channel()) => Some(*s),
            _ => None,
        }
    }

    /// The end of a window from `start` that begins anew with each event that falls into it. `event` gives an
    /// atom's first and last instant, no further apart than any window is long.
    pub fn end_renewed(
        &self,
        start: Instant,
        window: Period,
        event: impl Fn(&Atom) -> Option<(Instant, Instant)>,
    ) -> Check<'q, Instant> {
        let mut end = self.end_of(start, window, Counting::Forward);
        loop {
            let before = end;
            for atom in self.view.activity() {
                if let Some((first, last)) = event(&atom?)
                    && first < end
                    && (start..=self.at).contains(&last)
                {
                    end = end.max(self.end_of(last, window, Counting::Forward));
                }
            }
            if end == before {
                return Ok(end);
            }
        }
    }

    /// The asking sender's running contract; of several the one that runs longest.
    pub fn running_contract(&self) -> Check<'q, Option<Contract>> {
        self.running_contract_where(|_| true)
    }

    fn running_contract_where(&self, wanted: impl Fn(&Contract) -> bool) -> Check<'q, Option<Contract>> {
        let mut contract = None;
        for atom in self.view.activity() {
            if let Atom::Contract(c) = atom? {
                let runs = c.sender == self.sender()
                    && wanted(&c)
                    && c.runs(self.at)
                    && self.ended_elsewhere(&c)?.is_none();
                let longer = |than: &Contract| c.runs_until(self.at) > than.runs_until(self.at);
                if runs && contract.as_ref().is_none_or(longer) {
                    contract = Some(c);
                }
            }
        }
        Ok(contract)
    }

    /// When an end recorded otherwise than for this very contract ended it: one that names no category ends the sender's
    /// contracts of every category, one that names a category also a contract of none, and who took over the business
    /// may be the one who records it.
    fn ended_elsewhere(&self, contract: &Contract) -> Check<'q, Option<Instant>> {
        let mut last = None;
        for atom in self.view.activity() {
            if let Atom::Contract(c) = atom? {
                let covers = c.kind == contract.kind
                    && (c.sender == contract.sender || c.sender == self.sender())
                    && (c.category == 0
                        || contract.category == 0 && c.started.is_none()
                        || c.category == contract.category && c.sender != contract.sender);
                let over = |e: &Instant| *e <= self.at && contract.started.is_some_and(|s| *e >= s);
                if covers {
                    last = last.max(c.ended.filter(over));
                }
            }
        }
        Ok(last)
    }

    pub fn is_similar(&self, relation: &Relation) -> bool {
        relation.category != 0 && self.question.target.similar.binary_search(&relation.category).is_ok()
    }

    pub fn switch(&self, id: &str) -> bool {
        self.jurisdiction.switches.iter().any(|(name, permissive)| name == id && *permissive)
    }
}
