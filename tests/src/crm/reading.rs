//! What a person reading a CRM says of its contacts, and what the core decides on that.

use chrono::NaiveDateTime;
use enumset::EnumSet;
use pg_consent_policy::address;
use pg_consent_policy::codes::*;
use pg_consent_policy::decide;
use pg_consent_policy::fact::{CategoryId, Fact};
use pg_consent_policy::pack;
use pg_consent_policy::profile::{AddressGroup, AddressInUse, Profile};
use pg_consent_policy::question::{Form, Message, Question, Sender, Target};
use pg_consent_policy::state::State;
use pg_consent_policy::time::Instant;
use std::collections::BTreeMap;

/// The only sender.
pub const SENDER: u32 = 1;

/// One contact as read.
#[derive(Debug, Clone, Default)]
pub struct Contact {
    pub key: String,
    pub country: Option<String>,
    pub region: Option<String>,
    pub subscriber: Option<Subscriber>,
    pub address_kind: Option<AddressKind>,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub facts: Vec<Fact>,
}

#[derive(Debug, Clone, Default)]
pub struct Reading {
    pub contacts: Vec<Contact>,
    /// Refusals that name an address and nobody.
    pub by_address: Vec<(Channel, String, Fact)>,
    /// Of each category its own number and those above it, by its name.
    pub categories: BTreeMap<String, Vec<CategoryId>>,
}

/// Kind (which is its nature), category, channel.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub nature: Nature,
    pub category: Option<&'static str>,
    pub channel: Channel,
}

pub fn utc(t: NaiveDateTime) -> Instant {
    Instant::from_utc(t.and_utc())
}

pub fn fact(kind: EventKind, at: Instant) -> Fact {
    Fact::new(kind, at, SENDER)
}

/// A refusal that nothing lifts: a flag without a date.
pub fn standing(channels: EnumSet<Channel>) -> Fact {
    Fact { recorded_at: Instant::MAX, channels, scope: Scope::All, ..fact(EventKind::OptOut, Instant::MIN) }
}

/// A refusal of which is known when it was taken down.
pub fn refusal(channels: EnumSet<Channel>, at: Instant, recorded_at: Instant) -> Fact {
    Fact { recorded_at, channels, scope: Scope::All, ..fact(EventKind::OptOut, at) }
}

pub fn calls_and_texts() -> EnumSet<Channel> {
    Channel::Sms | Channel::PhoneLive | Channel::PhoneAuto
}

impl Contact {
    fn address(&self, group: AddressGroup) -> Option<String> {
        let (channel, text) = match group {
            AddressGroup::Email => (Channel::Email, self.email.as_deref()?),
            AddressGroup::Phone => (Channel::Sms, self.phone.as_deref()?),
            AddressGroup::Post => return None,
        };
        address::normalise(channel, text, self.country.as_deref().unwrap_or("ZZ")).ok()
    }

    fn profile(&self) -> State {
        let (country, region) = (self.country.as_deref(), self.region.as_deref());
        let mut profile = Profile::new(Instant::MIN, country, region, None)
            .or_else(|_| Profile::new(Instant::MIN, None, None, None))
            .unwrap_or_else(|_| unreachable!("nothing is malformed in nothing"));
        profile.subscriber = self.subscriber.unwrap_or(Subscriber::Unknown);
        profile.address_kind = self.address_kind.unwrap_or(AddressKind::Unknown);
        profile.addresses = [AddressInUse { tag: 1, since: None }; 3];
        // Of what was meant as an address and can't be read nobody knows whose it is: no permission is for it.
        if self.email.as_ref().is_some_and(|e| e.contains('@')) && self.address(AddressGroup::Email).is_none()
        {
            profile.addresses[AddressGroup::Email as usize] =
                AddressInUse { tag: 0, since: Some(Instant::MAX) };
        }
        State::of_profile(profile)
    }
}

impl Reading {
    /// Each contact's key and state. What one refused suppresses the address for all who use it.
    pub fn states(&self) -> Vec<(&str, Vec<u8>)> {
        let mut states: Vec<State> = Vec::with_capacity(self.contacts.len());
        let mut users: BTreeMap<(u8, String), Vec<usize>> = BTreeMap::new();
        for (n, contact) in self.contacts.iter().enumerate() {
            let mut state = contact.profile();
            contact.facts.iter().for_each(|f| state.merge(&State::of_fact(f)));
            states.push(state);
            for group in [AddressGroup::Email, AddressGroup::Phone] {
                if let Some(address) = contact.address(group) {
                    users.entry((group as u8, address)).or_default().push(n);
                }
            }
        }
        for (n, contact) in self.contacts.iter().enumerate() {
            for refused in contact.facts.iter().filter(|f| f.kind == EventKind::OptOut) {
                for group in refused.channels.iter().map(Channel::address_group) {
                    let Some(address) = contact.address(group) else { continue };
                    let others = users.get(&(group as u8, address)).into_iter().flatten();
                    for other in others.filter(|o| **o != n) {
                        let theirs = Fact { other_contact: n as u32 + 1, ..refused.clone() };
                        states[*other].merge(&State::of_fact(&theirs));
                    }
                }
            }
        }
        for (channel, text, refused) in &self.by_address {
            let Ok(address) = address::normalise(*channel, text, "ZZ") else { continue };
            for user in users.get(&(channel.address_group() as u8, address)).into_iter().flatten() {
                states[*user].merge(&State::of_fact(refused));
            }
        }
        let keys = self.contacts.iter().map(|c| c.key.as_str());
        keys.zip(states.iter().map(State::encode)).collect()
    }

    pub fn question(&self, asked: Asked, at: Instant) -> Question {
        let ancestors = asked.category.map_or(Vec::new(), |name| self.categories[name].clone());
        let category = ancestors.first().copied().unwrap_or(0);
        let similar = if category == 0 { Vec::new() } else { vec![category] };
        let message = Message {
            kind: asked.nature.to_string(),
            nature: asked.nature,
            channel: asked.channel,
            form: Form::default(),
        };
        let sender = Sender { id: SENDER, ..Sender::default() };
        Question::new(
            at,
            sender,
            message,
            Target { category, ancestors, similar, sector: None },
            pack::builtin(),
            Vec::new(),
        )
    }
}

/// The core's answer.
pub fn answer(state: &[u8], question: &Question) -> bool {
    decide::allows(state, question)
}

/// Whether a company's name says that it is a legal person. "Sa" is a surname, "S.A." and "SA" are not.
pub fn has_legal_form(name: &str) -> bool {
    const FORMS: &[&str] = &["ltd", "limited", "llp", "plc", "gmbh", "sarl", "sas", "inc", "llc", "srl"];
    let Some((rest, last)) = name.rsplit_once(' ') else { return false };
    let without_dots = last.to_lowercase().replace('.', "");
    let in_capitals = ["SA", "AG", "BV", "SPA"].contains(&last) && rest.chars().any(char::is_lowercase);
    let dotted = ["s.a.", "a.g.", "b.v.", "s.p.a."].contains(&last.to_lowercase().as_str());
    FORMS.contains(&without_dots.as_str()) || in_capitals || dotted
}

pub fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.trim().trim_end_matches('>').rsplit_once('@')?;
    Some(domain.to_lowercase())
}

pub fn is_role(address: &str) -> bool {
    let address = address.trim().rsplit('<').next().unwrap_or_default();
    let Some((local, _)) = address.rsplit_once('@') else { return false };
    let local = local.rsplit(' ').next().unwrap_or_default().to_lowercase();
    ["info", "sales", "contact", "office"].contains(&local.as_str())
}

fn has_word_of(domain: &str, company: &str) -> bool {
    let (host, _) = domain.rsplit_once('.').unwrap_or((domain, ""));
    let name = company.rsplit_once(' ').map_or(company, |(name, _)| name).to_lowercase();
    name.split(' ').any(|word| word.chars().count() >= 4 && host.contains(word))
}

/// Somebody's mailbox at a company that is a legal person: at the company's own domain, and no public one.
pub fn is_works_mailbox(address: &str, company: &str, company_address: Option<&str>) -> bool {
    let own = domain(address);
    has_legal_form(company)
        && own == company_address.and_then(domain)
        && own.is_some_and(|d| !d.starts_with("gmail.") && has_word_of(&d, company))
}
