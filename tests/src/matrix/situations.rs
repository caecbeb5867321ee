//! The situations in which a pack's contacts are asked about: the ordinary one, one thing other at a time, and what each
//! rule of the pack speaks of.

use super::contacts::{self, Contact, TYPICAL};
use super::world::{Asked, Place, afternoon};
use chrono::{Datelike, Days, NaiveDate};
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::pack::{Pack, Requirement, Rule, SenderTrait};
use pg_consent_policy::question::{Form, Sender};
use pg_consent_policy::time::Instant;

/// One question to many contacts.
pub struct Situation {
    /// What is other than usual.
    pub name: String,
    /// The situation that this one is told apart from in the file.
    pub parent: Option<usize>,
    pub asked: Asked,
    pub place: Place,
    pub at: Instant,
    pub contacts: Vec<Contact>,
    pub natures: EnumSet<Nature>,
    pub channels: EnumSet<Channel>,
    /// Whether noes are told apart by their reasons.
    pub with_reasons: bool,
    /// Asked only about the hour: the local time.
    pub clock: Option<chrono::NaiveDateTime>,
}

/// A Tuesday.
pub fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 3).unwrap_or_default()
}

pub fn all(pack: &Pack) -> Vec<Situation> {
    let mut situations = Situations { pack, all: Vec::new() };
    situations.ordinary();
    situations.messages();
    situations.places();
    situations.rules();
    situations.days();
    situations.long_months();
    situations.hours();
    situations.all
}

pub(super) struct Situations<'a> {
    pub pack: &'a Pack,
    pub all: Vec<Situation>,
}

/// Which contacts are asked about.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Whom {
    Everybody,
    Typical,
}

impl Situations<'_> {
    fn here(&self) -> Place {
        Place::of(self.pack, None)
    }

    /// Adds a situation, unless it is there already.
    pub fn add(&mut self, parent: Option<usize>, asked: Asked, place: Place, day: NaiveDate, whom: Whom) {
        let at = afternoon(day, place.zone);
        let same = |s: &Situation| s.asked == asked && s.place == place && s.at == at;
        if let Some(i) = self.all.iter().position(same) {
            let there = self.all[i].contacts.len();
            if whom == Whom::Everybody && there <= TYPICAL.len() {
                self.all[i].contacts = contacts::all(self.pack, &place, at);
            }
            return;
        }
        let mut contacts = contacts::all(self.pack, &place, at);
        contacts.retain(|c| whom == Whom::Everybody || TYPICAL.contains(&c.name.as_str()));
        let mut words: Vec<String> = Vec::new();
        if day != today() {
            words.push(day.to_string());
        }
        if place.country != self.here().country {
            words.push(place.country.clone());
        }
        words.extend(place.region.as_ref().map(|r| format!("region {r}")));
        if place.line != Line::Unknown {
            words.push(place.line.code().to_owned());
        }
        words.push(asked.words());
        words.retain(|w| !w.is_empty());
        let name = if words.is_empty() { "as usual".to_owned() } else { words.join(", ") };
        let (natures, channels) = (EnumSet::all(), EnumSet::all());
        let with_reasons = self.all.is_empty();
        self.all.push(Situation {
            name,
            parent,
            asked,
            place,
            at,
            contacts,
            natures,
            channels,
            with_reasons,
            clock: None,
        });
    }

    fn ordinary(&mut self) {
        self.add(None, Asked::default(), self.here(), today(), Whom::Everybody);
    }

    fn message(&mut self, whom: Whom, change: impl Fn(&mut Asked)) {
        let mut asked = Asked::default();
        change(&mut asked);
        self.add(Some(0), asked, self.here(), today(), whom);
    }

    fn form(&mut self, change: impl Fn(&mut Form)) {
        self.message(Whom::Typical, |asked| change(&mut asked.form));
    }

    fn messages(&mut self) {
        for promotional in Promotional::ALL {
            self.form(|f| f.promotional = Some(*promotional));
        }
        self.form(|f| (f.promotional, f.promotional_first) = (Some(Promotional::Incidental), true));
        self.form(|f| f.promotional_first = true);
        self.form(|f| f.automated = true);
        self.message(Whom::Everybody, |a| a.form.profession_related = true);
        self.message(Whom::Everybody, |a| a.form.ongoing_contract_related = true);
        for defect in defects(&Form::default()) {
            self.form(|f| f.clone_from(&defect));
        }
        for unsubscribe in Unsubscribe::ALL {
            self.form(|f| f.unsubscribe = *unsubscribe);
        }
        self.message(Whom::Typical, |a| a.general = true);
        let traits = |r: &Rule| r.when.sender.is_some() || !r.when.sender_lacks.is_empty();
        if self.pack.rules.iter().any(traits) {
            for sender in [SenderTrait::Charity, SenderTrait::PoliticalParty, SenderTrait::PensionAuthorised]
            {
                self.message(Whom::Everybody, |a| a.sender = sender_with(sender));
            }
        }
        for sector in self.sectors() {
            self.message(Whom::Typical, |a| a.sector = Some(sector));
        }
        for switch in &self.pack.switches {
            self.message(Whom::Typical, |a| a.decisions = vec![(switch.id.clone(), !switch.default)]);
        }
        let turned = self.pack.switches.iter().map(|s| (s.id.clone(), !s.default));
        let turned: Vec<(String, bool)> = turned.collect();
        self.message(Whom::Everybody, |a| a.decisions.clone_from(&turned));
    }

    fn places(&mut self) {
        for line in [Line::Mobile, Line::Landline] {
            let place = Place { line, ..self.here() };
            self.add(Some(0), Asked::default(), place, today(), Whom::Typical);
        }
        for country in &self.pack.countries {
            let place = Place::of(self.pack, Some(&country.code));
            self.add(Some(0), Asked::default(), place, today(), Whom::Typical);
        }
        for region in self.regions() {
            let place = Place { region: Some(region), ..self.here() };
            self.add(Some(0), Asked::default(), place, today(), Whom::Typical);
        }
    }

    /// Those that the pack names, and one that it doesn't.
    pub fn regions(&self) -> Vec<String> {
        let named = |r: &Rule| [r.when.regions.clone(), r.when.except_regions.clone()].concat();
        let mut regions: Vec<String> = self.pack.rules.iter().flat_map(named).collect();
        regions.sort();
        regions.dedup();
        regions.retain(|r| r != pg_consent_policy::pack::REGION_UNKNOWN);
        if !regions.is_empty() {
            regions.push("ZZZ".to_owned());
        }
        regions
    }

    /// Each rule where it applies, whether today, before it was replaced, or once it begins.
    fn rules(&mut self) {
        for rule in &self.pack.rules {
            let (asked, place) = (self.asked_by(rule), self.place_of(rule));
            let day = match rule.until {
                _ if rule.in_force_on(today()) => today(),
                Some(until) if until <= today() => until - Days::new(1),
                _ => rule.from,
            };
            for sector in self.sectors().into_iter().filter(|_| rule.when.sectors.is_some() && day != today())
            {
                let asked = Asked { sector: Some(sector), ..asked.clone() };
                self.add(Some(0), asked, place.clone(), day, Whom::Typical);
            }
            if let Requirement::Form(_) = rule.then {
                for form in defects(&asked.form) {
                    let asked = Asked { form, ..asked.clone() };
                    self.add(Some(0), asked, place.clone(), day, Whom::Typical);
                }
            }
            self.add(Some(0), asked, place, day, Whom::Everybody);
        }
    }

    /// Those that the pack names, and one that it doesn't.
    fn sectors(&self) -> EnumSet<Sector> {
        let mut sectors = EnumSet::<Sector>::empty();
        for rule in &self.pack.rules {
            sectors |= rule.when.sectors.unwrap_or_default() | rule.when.except_sectors;
        }
        sectors
            | Sector::ALL.iter().find(|s| !sectors.contains(**s)).map_or(EnumSet::empty(), |s| (*s).into())
    }

    /// The message that a rule speaks of.
    pub fn asked_by(&self, rule: &Rule) -> Asked {
        let when = &rule.when;
        let form = Form {
            promotional: when.promotional.and_then(|p| p.iter().next()),
            promotional_first: when.promotional_first.unwrap_or(false),
            automated: when.automated.unwrap_or(false),
            ..Form::default()
        };
        let mut asked =
            Asked { form, sector: when.sectors.and_then(|s| s.iter().next()), ..Asked::default() };
        asked.sender = when.sender.map_or_else(Sender::default, sender_with);
        let mut points: Vec<&String> = when.switch.iter().chain(&rule.contested).collect();
        match &rule.then {
            Requirement::Relationship(r) => {
                asked.form.profession_related = r.role_related;
                points.extend(r.contested.values().chain(&r.ended_contested));
            }
            Requirement::Regime(r) => asked.form.profession_related = r.profession_related,
            Requirement::Prohibited(p) => asked.form.ongoing_contract_related = p.except_ongoing_contract,
            Requirement::OngoingContract(_) => asked.form.ongoing_contract_related = true,
            _ => {}
        }
        let turned = self.pack.switches.iter().filter(|s| points.contains(&&s.id) && !s.default);
        asked.decisions = turned.map(|s| (s.id.clone(), true)).collect();
        asked
    }

    pub fn place_of(&self, rule: &Rule) -> Place {
        let mut place = Place::of(self.pack, rule.when.countries.first().map(String::as_str));
        let known = |r: &&String| *r != pg_consent_policy::pack::REGION_UNKNOWN;
        place.region = rule.when.regions.iter().find(known).cloned();
        place.line = match rule.when.lines {
            Some(lines) if !lines.contains(Line::Unknown) => lines.iter().next().unwrap_or(Line::Unknown),
            _ => Line::Unknown,
        };
        place
    }

    /// The days on which a rule begins or ends, and the days before.
    fn days(&mut self) {
        for rule in &self.pack.rules {
            for day in [Some(rule.from), rule.until].into_iter().flatten().filter(|d| d.year() > 1950) {
                let (asked, place) = (self.asked_by(rule), self.place_of(rule));
                let after = self.all.len();
                self.add(Some(0), asked.clone(), place.clone(), day, Whom::Typical);
                let at = afternoon(day, place.zone);
                let that = |s: &Situation| s.asked == asked && s.place == place && s.at == at;
                let parent = self.all.iter().position(that).unwrap_or(after);
                self.add(Some(parent), asked, place, day - Days::new(1), Whom::Typical);
            }
        }
    }

    /// Where months are counted back from the day of sending, those that end late after those that end early.
    fn long_months(&mut self) {
        let counts_back = |r: &Rule| match &r.then {
            Requirement::Relationship(r) => r.counting == pg_consent_policy::pack::Counting::BackFromSendDay,
            _ => false,
        };
        if self.pack.rules.iter().any(counts_back) {
            for (y, m, d) in [(2024, 2, 29), (2026, 8, 31)] {
                let day = NaiveDate::from_ymd_opt(y, m, d).unwrap_or_default();
                for region in [None, self.regions().first().cloned()] {
                    let place = Place { region, ..self.here() };
                    self.add(Some(0), Asked::default(), place, day, Whom::Everybody);
                }
            }
        }
    }
}

/// The form with one thing missing or wrong.
fn defects(form: &Form) -> [Form; 4] {
    [
        Form { identity: false, ..form.clone() },
        Form { postal_address: false, ..form.clone() },
        Form { misleading_subject: true, ..form.clone() },
        Form { unsubscribe: Unsubscribe::None, ..form.clone() },
    ]
}

pub fn sender_with(what: SenderTrait) -> Sender {
    Sender {
        charity: what == SenderTrait::Charity,
        political_party: what == SenderTrait::PoliticalParty,
        pension_authorised: what == SenderTrait::PensionAuthorised,
        ..Sender::default()
    }
}
