//! The answers of a situation: one code for each contact, nature, channel, subscriber and kind of address.

use super::contacts::Contact;
use super::situations::Situation;
use super::world::Place;
use pg_consent_policy::codes::*;
use pg_consent_policy::decide::decide;
use pg_consent_policy::pack::{Audience, Pack};
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
    /// same answers. `classes` are those of both packs.
    pub fn differs(&self, answers: &[Codes], changed: &Pack, classes: &[usize]) -> bool {
        let Situation { asked, at, with_reasons, .. } = self.situation;
        let own = std::slice::from_ref(changed);
        self.questions.iter().any(|((channel, nature), before)| {
            let after = asked.question(*nature, *channel, *at, own);
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
