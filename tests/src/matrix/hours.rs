//! Calling hours: around the edge of each span of each rule, on each kind of day, in each region that the pack names.

use super::contacts::{self, Contact};
use super::situations::{Situation, Situations, today};
use super::world::{Asked, Place, afternoon};
use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::pack::{Hours, Pack, Requirement, Rule};
use pg_consent_policy::time::from_local;
use std::collections::BTreeSet;

/// Somebody whom only the hour keeps from being called.
const CALLED: &str = "consent in signed writing";

/// Seconds from an edge at which is asked.
const BESIDE: i64 = 30;

fn hours_of(rule: &Rule) -> Option<&Hours> {
    match &rule.then {
        Requirement::Hours(h) => Some(h),
        _ => None,
    }
}

fn edges(pack: &Pack) -> BTreeSet<NaiveTime> {
    let hours = pack.rules.iter().filter_map(hours_of);
    let spans = hours.flat_map(|h| h.weekdays.iter().chain(&h.saturday).chain(&h.sunday));
    spans.flat_map(|s| [s.from, s.to]).collect()
}

/// Days of the three kinds around each version of the rules: today's week, the last of an ended one, the first of one to
/// come.
fn days(pack: &Pack) -> BTreeSet<NaiveDate> {
    let mut firsts = BTreeSet::from([today()]);
    for rule in pack.rules.iter().filter(|r| hours_of(r).is_some() && !r.in_force_on(today())) {
        firsts.insert(rule.until.filter(|u| *u <= today()).map_or(rule.from, |u| u - Days::new(7)));
    }
    let week = |first: NaiveDate| (0..7).map(move |n| first + Days::new(n));
    let wanted = |d: &NaiveDate| matches!(d.weekday(), Weekday::Tue | Weekday::Sat | Weekday::Sun);
    firsts.into_iter().flat_map(|first| week(first).filter(wanted)).collect()
}

/// For each holiday the next date on which it falls and on which calls would be lawful otherwise.
fn holidays(pack: &Pack) -> BTreeSet<NaiveDate> {
    let year = || (0..2500).map(|n| today() + Days::new(n));
    let working = |d: &NaiveDate| !matches!(d.weekday(), Weekday::Sat | Weekday::Sun);
    pack.holidays.iter().filter_map(|h| year().filter(working).find(|d| h.falls_on(*d))).collect()
}

impl Situations<'_> {
    pub(super) fn hours(&mut self) {
        let rules: Vec<&Rule> = self.pack.rules.iter().filter(|r| hours_of(r).is_some()).collect();
        if rules.is_empty() {
            return;
        }
        let channels: EnumSet<Channel> =
            rules.iter().fold(EnumSet::empty(), |all, r| all | r.when.channels.unwrap_or(EnumSet::all()));
        for rule in &rules {
            self.beside(rule);
        }
        let named = rules.iter().flat_map(|r| r.when.regions.iter().chain(&r.when.except_regions).cloned());
        let mut regions: BTreeSet<Option<String>> = named.map(Some).collect();
        regions.remove(&Some(pg_consent_policy::pack::REGION_UNKNOWN.to_owned()));
        if !regions.is_empty() {
            regions.insert(Some("ZZZ".to_owned()));
        }
        regions.insert(None);
        let noon = NaiveTime::from_hms_opt(14, 30, 0).unwrap_or_default();
        let mut times: Vec<NaiveDateTime> = Vec::new();
        for day in days(self.pack) {
            for edge in edges(self.pack) {
                for side in [-BESIDE, BESIDE] {
                    let seconds = i64::from(edge.num_seconds_from_midnight()) + side;
                    let time = u32::try_from(seconds).ok();
                    let time = time.and_then(|s| NaiveTime::from_num_seconds_from_midnight_opt(s, 0));
                    times.extend(time.map(|t| day.and_time(t)));
                }
            }
        }
        times.extend(holidays(self.pack).into_iter().map(|day| day.and_time(noon)));
        for region in regions {
            let place = Place { region, ..Place::of(self.pack, None) };
            for time in &times {
                self.called(&place, *time, channels);
            }
        }
    }

    /// One contact, a few natures: the rest of the cross is asked about elsewhere.
    fn called(&mut self, place: &Place, time: NaiveDateTime, channels: EnumSet<Channel>) {
        let at = from_local(time, place.zone);
        let contacts = self.subscribers(place, at);
        self.all.push(Situation {
            name: String::new(),
            parent: None,
            asked: Asked::default(),
            place: place.clone(),
            at,
            contacts,
            natures: Nature::Marketing | Nature::Survey | Nature::CharityFundraising | Nature::Political,
            channels,
            with_reasons: false,
            clock: Some(time),
        });
    }

    fn subscribers(&self, place: &Place, at: pg_consent_policy::time::Instant) -> Vec<Contact> {
        let mut contacts = contacts::all(self.pack, place, at);
        contacts.retain(|c| c.name == CALLED);
        contacts
    }

    /// Just outside a rule's hours, where the fewest other rules forbid it, every nature and everybody.
    fn beside(&mut self, rule: &Rule) {
        let Some(hours) = hours_of(rule) else { return };
        let day = days(self.pack).into_iter().find(|d| d.weekday() == Weekday::Tue && rule.in_force_on(*d));
        let (Some(day), Some(first), Some(last)) = (day, hours.weekdays.first(), hours.weekdays.last())
        else {
            return;
        };
        let place = self.place_of(rule);
        let side = chrono::Duration::seconds(BESIDE);
        for time in [first.from - side, last.to + side] {
            let asked = self.asked_by(rule);
            let at = from_local(day.and_time(time), place.zone);
            let mut contacts = contacts::all(self.pack, &place, afternoon(day, place.zone));
            contacts.retain(|c| contacts::TYPICAL.contains(&c.name.as_str()));
            let mut name = vec![format!("{day} {time}")];
            name.extend(place.region.as_ref().map(|r| format!("region {r}")));
            name.extend(Some(asked.words()).filter(|w| !w.is_empty()));
            self.all.push(Situation {
                name: name.join(", "),
                parent: Some(0),
                asked,
                place: place.clone(),
                at,
                contacts,
                natures: EnumSet::all(),
                channels: EnumSet::all(),
                with_reasons: false,
                clock: None,
            });
        }
    }
}

/// The hours in words, from what was answered: for each region, channel and nature.
pub fn page(asked: &[(&Situation, bool, Channel, Nature)]) -> String {
    use std::collections::BTreeMap;
    type Answered = BTreeMap<NaiveDateTime, bool>;
    let mut by: BTreeMap<(String, Channel, Nature), Answered> = BTreeMap::new();
    for (situation, yes, channel, nature) in asked {
        let region = situation.place.region.clone().unwrap_or_else(|| "none known".into());
        let Some(time) = situation.clock else { continue };
        by.entry((region, *channel, *nature)).or_default().insert(time, *yes);
    }
    let mut same: BTreeMap<(EnumSetKey, String), BTreeSet<String>> = BTreeMap::new();
    for ((region, channel, nature), answered) in by {
        same.entry(((channel, nature), table(&answered))).or_default().insert(region);
    }
    let mut lines: BTreeMap<(BTreeSet<String>, String), Vec<EnumSetKey>> = BTreeMap::new();
    for ((key, table), regions) in same {
        lines.entry((regions, table)).or_default().push(key);
    }
    let mut page = String::new();
    for ((regions, table), keys) in lines {
        let regions: Vec<String> = regions.into_iter().collect();
        let keys: Vec<String> = keys.iter().map(|(c, n)| format!("{c} {n}")).collect();
        page += &format!("\nregion {}: {}\n{table}", regions.join(" "), keys.join(", "));
    }
    page
}

type EnumSetKey = (Channel, Nature);

/// Day by day: the spans with a yes.
fn table(answered: &std::collections::BTreeMap<NaiveDateTime, bool>) -> String {
    let mut text = String::new();
    let days: BTreeSet<NaiveDate> = answered.keys().map(NaiveDateTime::date).collect();
    for day in days {
        let mut spans: Vec<String> = Vec::new();
        let mut open: Option<NaiveTime> = None;
        let of_day: Vec<_> = answered.iter().filter(|(t, _)| t.date() == day).collect();
        if let [(_, yes)] = of_day[..] {
            text += &format!(
                "  {day} {} holiday: {}\n",
                day.weekday(),
                if *yes { "as usual" } else { "no calls" }
            );
            continue;
        }
        for (i, (time, yes)) in of_day.iter().enumerate() {
            let side = chrono::Duration::seconds(BESIDE);
            match open {
                None if **yes => open = Some(if i == 0 { NaiveTime::MIN } else { time.time() - side }),
                Some(from) if !**yes => {
                    spans.push(format!("{}-{}", from.format("%H:%M"), (time.time() - side).format("%H:%M")));
                    open = None;
                }
                _ => {}
            }
        }
        spans.extend(open.map(|from| format!("{}-24:00", from.format("%H:%M"))));
        let spans = if spans.is_empty() { "no calls".to_owned() } else { spans.join(" ") };
        text += &format!("  {day} {}: {spans}\n", day.weekday());
    }
    text
}
