//! The answers of a situation: one code for each contact, nature, channel, subscriber and kind of address.

use super::contacts::Contact;
use super::situations::Situation;
use super::world::Place;
use pg_consent_policy::codes::*;
use pg_consent_policy::decide::decide;
use pg_consent_policy::pack::{Audience, Pack, REGION_UNKNOWN};
use pg_consent_policy::question::Question;
use pg_consent_policy::state::State;
use std::collections::BTreeMap;

pub const PAIRS: usize = Subscriber::ALL.len() * AddressKind::ALL.len();

/// A basis, or `NO` and what denies.
pub type Code = u8;
const NO: Code = 128;
pub const PLAIN_NO: Code = 255;

pub fn code_words(code: Code) -> String {
    match code {
        PLAIN_NO => "no".to_owned(),
        NO.. => format!("no {}", Reason::at(code - NO).map_or("?", Reason::code)),
        _ => Basis::at(code).map_or("?", Basis::code).to_owned(),
    }
}

pub fn pairs() -> impl Iterator<Item = (Subscriber, AddressKind)> {
    Subscriber::ALL.iter().flat_map(|s| AddressKind::ALL.iter().map(|k| (*s, *k)))
}

/// Pairs that no rule of these packs tells apart: each by its number, with the first of its kind.
pub fn classes(packs: &[&Pack]) -> Vec<usize> {
    let mut audiences: Vec<Audience> = Vec::new();
    for rule in packs.iter().flat_map(|p| &p.rules) {
        if !audiences.contains(&rule.when.to) {
            audiences.push(rule.when.to);
        }
    }
    let mut seen: BTreeMap<Vec<bool>, usize> = BTreeMap::new();
    let class = |(i, (s, k)): (usize, (Subscriber, AddressKind))| {
        let among = audiences.iter().map(|a| a.contains(s, k)).collect();
        *seen.entry(among).or_insert(i)
    };
    pairs().enumerate().map(class).collect()
}

/// The states of a contact, one a pair, stored.
pub struct Folded<'a> {
    contact: &'a Contact,
    states: Vec<Vec<u8>>,
}

pub fn fold<'a>(contact: &'a Contact, place: &Place) -> Folded<'a> {
    let mut of_facts = State::default();
    for fact in &contact.facts {
        of_facts.merge(&State::of_fact(fact));
    }
    let state = |(s, k)| {
        let mut state = place.profile(s, k).map(State::of_profile).unwrap_or_default();
        state.merge(&of_facts);
        state.encode()
    };
    Folded { contact, states: pairs().map(state).collect() }
}

impl Folded<'_> {
    fn ask(&self, question: &Question, pair: usize, with_reasons: bool) -> Code {
        match decide(&self.states[pair], question, Some(&self.contact.log)) {
            Ok(yes) => yes.basis as Code,
            Err(no) if with_reasons => NO + no.reason as Code,
            Err(_) => PLAIN_NO,
        }
    }
}

/// All codes of a contact in one situation: by channel, nature and pair.
pub type Codes = BTreeMap<(Channel, Nature), [Code; PAIRS]>;

pub fn ask_all(situation: &Situation, pack: &Pack) -> Vec<Codes> {
    let asked = Asking::new(situation, pack);
    let of = |folded: &Folded<'_>| {
        let of_question = |(key, question): &(_, Question)| {
            let mut codes = [PLAIN_NO; PAIRS];
            for (pair, like) in asked.classes.iter().enumerate() {
                codes[pair] = if *like == pair {
                    folded.ask(question, pair, situation.with_reasons)
                } else {
                    codes[*like]
                };
            }
            (*key, codes)
        };
        asked.questions.iter().map(of_question).collect()
    };
    asked.folded.iter().map(of).collect()
}

/// A situation ready to be asked about, under the pack as it is.
pub struct Asking<'a> {
    situation: &'a Situation,
    folded: Vec<Folded<'a>>,
    questions: Vec<((Channel, Nature), Question)>,
    classes: Vec<usize>,
}

impl<'a> Asking<'a> {
    pub fn new(situation: &'a Situation, pack: &Pack) -> Asking<'a> {
        let own = std::slice::from_ref(pack);
        let keys = situation.channels.iter().flat_map(|c| situation.natures.iter().map(move |n| (c, n)));
        let question = |(c, n)| ((c, n), situation.asked.question(n, c, situation.at, own));
        Asking {
            situation,
            folded: situation.contacts.iter().map(|c| fold(c, &situation.place)).collect(),
            questions: keys.map(question).collect(),
            classes: classes(&[pack]),
        }
    }

    /// Whether any contact is answered otherwise under a changed pack. Messages for which the same rules count have the
    /// same answers.
    pub fn differs(&self, answers: &[Codes], changed: &Changed<'_>) -> bool {
        let Situation { asked, at, with_reasons, .. } = self.situation;
        let Changed { pack, classes, .. } = changed;
        if !changed.may_matter(self.situation) {
            return false;
        }
        self.questions.iter().any(|((channel, nature), before)| {
            if !changed.may_select(*channel, *nature) {
                return false;
            }
            let ask = |pack: &Pack| asked.question(*nature, *channel, *at, std::slice::from_ref(pack));
            if changed.narrow.as_ref().is_some_and(|(old, new)| ask(old).law == ask(new).law) {
                return false;
            }
            let after = ask(pack);
            after.law != before.law
                && self.folded.iter().zip(answers).any(|(folded, codes)| {
                    let codes = &codes[&(*channel, *nature)];
                    let first = |pair: &usize| classes[*pair] == *pair;
                    (0..PAIRS)
                        .filter(first)
                        .any(|pair| folded.ask(&after, pair, *with_reasons) != codes[pair])
                })
        })
    }
}

/// A changed version of a pack.
pub struct Changed<'a> {
    pack: &'a Pack,
    classes: Vec<usize>,
    /// Where nothing but rules changed: the two packs with these alone, which are quicker to compare.
    narrow: Option<(Pack, Pack)>,
}

impl<'a> Changed<'a> {
    pub fn new(pack: &Pack, changed: &'a Pack) -> Changed<'a> {
        let other = |of: &Pack, than: &Pack| Pack {
            rules: of.rules.iter().filter(|r| !than.rules.contains(r)).cloned().collect(),
            ..of.clone()
        };
        let (old, new) = (other(pack, changed), other(changed, pack));
        let bare = |p: &Pack| Pack { rules: Vec::new(), ..p.clone() };
        let narrow = (bare(pack) == bare(changed)).then_some((old, new));
        Changed { pack: changed, classes: classes(&[pack, changed]), narrow }
    }

    /// Whether a changed rule may be about such a message; a service message may turn out a mixed one.
    fn may_select(&self, channel: Channel, nature: Nature) -> bool {
        let Some((old, new)) = &self.narrow else { return true };
        old.rules.iter().chain(&new.rules).any(|r| {
            r.when.channels.is_none_or(|c| c.contains(channel))
                && r.when
                    .natures
                    .is_none_or(|n| n.contains(nature) || nature.is_service() && n.contains(Nature::Mixed))
        })
    }

    /// Whether a changed rule is in force then and there, before the change or after it.
    fn may_matter(&self, situation: &Situation) -> bool {
        let Some((old, new)) = &self.narrow else { return true };
        let Place { country, region, zone, .. } = &situation.place;
        let day = situation.at.local_date(*zone);
        let region = region.as_deref().unwrap_or(REGION_UNKNOWN);
        old.rules.iter().chain(&new.rules).any(|r| {
            (situation.with_reasons || r.in_force_on(day))
                && (r.when.regions.is_empty() || r.when.regions.iter().any(|x| x == region))
                && (r.when.countries.is_empty() || r.when.countries.contains(country))
        })
    }
}
