//! A question: everything a decision needs besides the contact's state.

mod plan;

pub use plan::Phase;

use crate::codes::*;
use crate::fact::{CategoryId, SenderId};
use crate::pack::{Audience, Grounds, Pack, Requirement, Rule, SenderTrait, When};
use crate::time::Instant;
use enumset::EnumSet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The legal entity that sends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sender {
    pub id: SenderId,
    pub name: String,
    pub charity: bool,
    pub political_party: bool,
    pub pension_authorised: bool,
}

impl Sender {
    fn has(&self, what: SenderTrait) -> bool {
        match what {
            SenderTrait::Charity => self.charity,
            SenderTrait::PoliticalParty => self.political_party,
            SenderTrait::PensionAuthorised => self.pension_authorised,
        }
    }
}

/// What the message carries, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Form {
    pub unsubscribe: Unsubscribe,
    pub identity: bool,
    pub postal_address: bool,
    pub misleading_subject: bool,
    /// `None`: as usual for the kind.
    pub promotional: Option<Promotional>,
    pub promotional_first: bool,
    pub automated: bool,
    pub ongoing_contract_related: bool,
    pub profession_related: bool,
}

impl Default for Form {
    fn default() -> Self {
        Form {
            unsubscribe: Unsubscribe::OneClick,
            identity: true,
            postal_address: true,
            misleading_subject: false,
            promotional: None,
            promotional_first: false,
            automated: false,
            ongoing_contract_related: false,
            profession_related: false,
        }
    }
}

/// The message, as asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The registered kind's name.
    pub kind: String,
    pub nature: Nature,
    pub channel: Channel,
    pub form: Form,
}

/// The product category the message advertises.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Target {
    /// 0: none named.
    pub category: CategoryId,
    /// The category and all above it, now and ever: an opt-out from any of them covers it.
    pub ancestors: Vec<CategoryId>,
    /// Sorted: what a purchase must be of to count as similar, the category itself included.
    pub similar: Vec<CategoryId>,
    pub sector: Option<Sector>,
}

/// An operator's recorded decision on a contested point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDecision {
    pub switch: String,
    pub permissive: bool,
    pub decided_by: String,
    /// ISO date.
    pub decided_on: String,
    pub reason: String,
    pub document: String,
}

/// One jurisdiction's rules for this message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Jurisdiction {
    pub id: String,
    pub fallback: bool,
    pub countries: Vec<([u8; 2], String)>,
    pub holidays: Vec<crate::holiday::Holiday>,
    /// The nature after looking at the content: a service message that advertises is mixed.
    pub nature: Nature,
    pub rules: Vec<Rule>,
    /// Service rules and permissions that would apply if the point they hang on were decided permissively. They allow
    /// nothing; a no says that it rests on that point.
    pub withheld: Vec<Rule>,
    /// Contested points: the switch and whether it is decided permissively.
    pub switches: Vec<(String, bool)>,
    /// What counts as a relationship for whatever message, and on which channels: tells a customer who can't be
    /// reached this way from a stranger.
    pub relationships: Relationships,
    pub grounds: Grounds,
    /// Worked out from the rules and the question's instant.
    #[serde(skip)]
    pub(crate) plan: plan::Plan,
}

/// The rules of all jurisdictions for one message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Law {
    pub jurisdictions: Vec<Jurisdiction>,
    #[serde(skip)]
    index: CountryIndex,
}

/// Jurisdiction and country by the two letters of the country's code.
#[derive(Debug, Clone, PartialEq, Default)]
struct CountryIndex(Vec<Option<(u8, u8)>>);

impl CountryIndex {
    const LETTERS: usize = 26;

    fn new(jurisdictions: &[Jurisdiction]) -> CountryIndex {
        let mut index = vec![None; Self::LETTERS * Self::LETTERS];
        for (j, jurisdiction) in jurisdictions.iter().enumerate() {
            for (c, (code, _)) in jurisdiction.countries.iter().enumerate() {
                let slot = Self::slot(*code).and_then(|s| index.get_mut(s));
                if let (Some(slot @ None), Ok(j), Ok(c)) = (slot, j.try_into(), c.try_into()) {
                    *slot = Some((j, c));
                }
            }
        }
        CountryIndex(index)
    }

    fn slot(code: [u8; 2]) -> Option<usize> {
        let [a, b] = code.map(|letter| usize::from(letter.wrapping_sub(b'A')));
        (a < Self::LETTERS && b < Self::LETTERS).then_some(a * Self::LETTERS + b)
    }

    fn get(&self, code: [u8; 2]) -> Option<(usize, usize)> {
        let (j, c) = (*self.0.get(Self::slot(code)?)?)?;
        Some((j.into(), c.into()))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub at: Instant,
    pub sender: Sender,
    pub message: Message,
    pub target: Target,
    /// Shared: the same question at another time of the day is a copy with another `at`.
    pub law: Arc<Law>,
    pub decisions: Vec<PolicyDecision>,
    /// Set while all marketing is denied: the kill switch, or a missing or wrong key.
    pub marketing_blocked: Option<Reason>,
    /// Senders whose sales may have been voided unseen: a permission that rests on one is none.
    pub stale_sales: Vec<SenderId>,
    pub policy_version: String,
    pub similarity_version: u32,
}

/// Bytes that are no question, or not of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a consent question of this version")]
pub struct BadQuestion;

const DIGEST_BYTES: usize = 16;

impl Question {
    /// Compiles the rules of all packs that can matter for this message at `at` or later.
    pub fn new(
        at: Instant,
        sender: Sender,
        message: Message,
        mut target: Target,
        packs: &[Pack],
        decisions: Vec<PolicyDecision>,
    ) -> Question {
        target.similar.sort_unstable();
        let context = Context { sender: &sender, message: &message, target: &target };
        let jurisdictions = packs.iter().map(|p| context.compile(p, at, &decisions)).collect();
        let mut law = Law { jurisdictions, index: CountryIndex::default() };
        law.plan(at);
        Question {
            at,
            sender,
            message,
            target,
            law: Arc::new(law),
            decisions,
            marketing_blocked: None,
            stale_sales: Vec::new(),
            policy_version: crate::pack::POLICY_VERSION.to_owned(),
            similarity_version: 0,
        }
    }

    /// The same question asked at another time of the same day (UTC); on another day other rules may count.
    pub fn at(&self, at: Instant) -> Option<Question> {
        (at.utc_day() == self.at.utc_day()).then(|| Question { at, ..self.clone() })
    }

    /// The stored form: a digest, by which a decoded question is recognised without decoding, then the content.
    pub fn encode(&self) -> Vec<u8> {
        let body = postcard::to_allocvec(self).unwrap_or_default();
        let mut bytes = Sha256::digest(&body)[..DIGEST_BYTES].to_vec();
        bytes.extend_from_slice(&body);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Question, BadQuestion> {
        let (digest, body) = bytes.split_at_checked(DIGEST_BYTES).ok_or(BadQuestion)?;
        if Sha256::digest(body)[..DIGEST_BYTES] != *digest {
            return Err(BadQuestion);
        }
        let mut question: Question = postcard::from_bytes(body).map_err(|_| BadQuestion)?;
        Arc::make_mut(&mut question.law).plan(question.at);
        Ok(question)
    }

    /// The digest at the head of the stored form.
    pub fn digest_of(bytes: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
        bytes.first_chunk().copied()
    }

    pub fn jurisdiction(&self, country: [u8; 2]) -> Option<(&Jurisdiction, &str)> {
        let (j, c) = self.law.index.get(country)?;
        let jurisdiction = self.law.jurisdictions.get(j)?;
        jurisdiction.countries.get(c).map(|(_, zone)| (jurisdiction, zone.as_str()))
    }

    /// The rules for countries that no jurisdiction names.
    pub fn fallback(&self) -> Option<&Jurisdiction> {
        self.law.jurisdictions.iter().find(|j| j.fallback && j.countries.is_empty())
    }
}

impl Jurisdiction {
    /// Whether the first permission, with its end, rather than the second is the basis of a yes.
    pub(crate) fn prefers(&self, new: (&Rule, Instant), old: (&Rule, Instant)) -> bool {
        let rank = |rule: &Rule| match (self.grounds, &rule.then) {
            (Grounds::LongestLived, _) => 0,
            (_, Requirement::Consent(_)) => 3,
            (_, Requirement::Regime(_)) => 1,
            _ => 2,
        };
        (rank(new.0), new.1) > (rank(old.0), old.1)
    }
}

impl Law {
    /// What a decision would otherwise work out for each contact.
    fn plan(&mut self, at: Instant) {
        for jurisdiction in &mut self.jurisdictions {
            jurisdiction.plan = plan::Plan::new(jurisdiction, at);
        }
        self.index = CountryIndex::new(&self.jurisdictions);
    }
}

/// The occasions of all relationship rules of a pack, and whom each rule concerns on which channels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relationships {
    pub kinds: EnumSet<EventKind>,
    pub reach: Vec<(Audience, EnumSet<Channel>)>,
}

impl Relationships {
    /// Those in force after a day, now or later.
    fn of(pack: &Pack, after: chrono::NaiveDate) -> Relationships {
        let mut all = Relationships::default();
        for rule in pack.rules.iter().filter(|r| r.until.is_none_or(|u| u > after)) {
            if let Requirement::Relationship(r) = &rule.then {
                all.kinds |= r.kinds;
                let reach = (rule.when.to, rule.when.channels.unwrap_or(EnumSet::all()));
                if !all.reach.contains(&reach) {
                    all.reach.push(reach);
                }
            }
        }
        all
    }
}

struct Context<'a> {
    sender: &'a Sender,
    message: &'a Message,
    target: &'a Target,
}

impl Context<'_> {
    fn compile(&self, pack: &Pack, at: Instant, decisions: &[PolicyDecision]) -> Jurisdiction {
        let switches: Vec<(String, bool)> =
            pack.switches.iter().map(|s| (s.id.clone(), s.standing(decisions).permissive)).collect();
        let promotional = self.promotional();
        let mixed_from = pack.mixed_from_on.get(&self.message.channel).unwrap_or(&pack.mixed_from);
        let advertises = promotional >= *mixed_from;
        let service = self.message.nature.is_service();
        let nature = if service && advertises { Nature::Mixed } else { self.message.nature };
        // A rule that ended more than a day ago, in whatever zone, can't matter any more.
        let yesterday = at.to_utc().date_naive() - chrono::Duration::days(1);
        let concerned = pack
            .rules
            .iter()
            .filter(|r| r.until.is_none_or(|u| u > yesterday) && self.selects(&r.when, nature, promotional));
        let on = |rule: &&Rule| {
            rule.when.switch.as_ref().is_none_or(|s| switches.iter().any(|(id, on)| id == s && *on))
        };
        let (rules, off): (Vec<&Rule>, Vec<&Rule>) = concerned.partition(on);
        // Notes are for readers of the pack; an answer cites the rule.
        let without_notes = |r: &Rule| Rule { note: String::new(), source: String::new(), ..r.clone() };
        let permits = |r: &&Rule| matches!(Phase::of(r), Phase::Service | Phase::Permission);
        Jurisdiction {
            id: pack.id.clone(),
            fallback: pack.fallback,
            countries: pack
                .countries
                .iter()
                .filter_map(|c| Some((c.code.as_bytes().try_into().ok()?, c.zone.clone())))
                .collect(),
            holidays: pack.holidays.clone(),
            nature,
            rules: rules.into_iter().map(without_notes).collect(),
            withheld: off.into_iter().filter(permits).map(without_notes).collect(),
            switches,
            relationships: Relationships::of(pack, yesterday),
            grounds: pack.grounds,
            plan: plan::Plan::default(),
        }
    }

    fn promotional(&self) -> Promotional {
        self.message.form.promotional.unwrap_or(self.message.nature.usual_promotion())
    }

    fn selects(&self, w: &When, nature: Nature, promo: Promotional) -> bool {
        let sector = self.target.sector;
        w.natures.map_or(!nature.is_service(), |n| n.contains(nature))
            && !w.except_natures.contains(nature)
            && w.registered_as.is_none_or(|n| n.contains(self.message.nature))
            && w.channels.is_none_or(|c| c.contains(self.message.channel))
            && w.sectors.is_none_or(|s| sector.is_some_and(|x| s.contains(x)))
            && !sector.is_some_and(|x| w.except_sectors.contains(x))
            && w.promotional.is_none_or(|p| p.contains(promo))
            && w.promotional_first.is_none_or(|first| self.message.form.promotional_first == first)
            && w.automated.is_none_or(|automated| self.message.form.automated == automated)
            && w.sender.is_none_or(|t| self.sender.has(t))
            && !w.sender_lacks.iter().any(|t| self.sender.has(t))
    }
}
