//! A question: everything a decision needs besides the contact's state.

mod plan;

pub use plan::Phase;

use crate::codes::*;
use crate::fact::{CategoryId, SenderId};
use crate::pack::{Pack, Requirement, Rule, SenderTrait, When};
use crate::time::Instant;
use enumset::EnumSet;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
    /// Worked out from the rules and the question's instant.
    #[serde(skip)]
    pub(crate) plan: plan::Plan,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub at: Instant,
    pub sender: Sender,
    pub message: Message,
    pub target: Target,
    pub jurisdictions: Vec<Jurisdiction>,
    pub decisions: Vec<PolicyDecision>,
    /// Set while all marketing is denied: the kill switch, or a missing or wrong key.
    pub marketing_blocked: Option<Reason>,
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
        let question = Question {
            at,
            sender,
            message,
            target,
            jurisdictions,
            decisions,
            marketing_blocked: None,
            policy_version: crate::pack::POLICY_VERSION.to_owned(),
            similarity_version: 0,
        };
        question.planned()
    }

    fn planned(mut self) -> Question {
        for jurisdiction in &mut self.jurisdictions {
            jurisdiction.plan = plan::Plan::new(jurisdiction, self.at);
        }
        self
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
        postcard::from_bytes(body).map(Question::planned).map_err(|_| BadQuestion)
    }

    /// The digest at the head of the stored form.
    pub fn digest_of(bytes: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
        bytes.first_chunk().copied()
    }

    pub fn jurisdiction(&self, country: [u8; 2]) -> Option<(&Jurisdiction, &str)> {
        self.jurisdictions.iter().find_map(|j| {
            j.countries.iter().find(|(code, _)| *code == country).map(|(_, zone)| (j, zone.as_str()))
        })
    }

    /// The rules for countries that no jurisdiction names.
    pub fn fallback(&self) -> Option<&Jurisdiction> {
        self.jurisdictions.iter().find(|j| j.fallback && j.countries.is_empty())
    }
}

/// The occasions and channels of all relationship rules of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Relationships {
    pub kinds: EnumSet<EventKind>,
    pub channels: EnumSet<Channel>,
}

impl Relationships {
    /// Those in force after a day, now or later.
    fn of(pack: &Pack, after: chrono::NaiveDate) -> Relationships {
        let mut all = Relationships::default();
        for rule in pack.rules.iter().filter(|r| r.until.is_none_or(|u| u > after)) {
            if let Requirement::Relationship(r) = &rule.then {
                all.kinds |= r.kinds;
                all.channels |= rule.when.channels.unwrap_or(EnumSet::all());
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
        let switches: Vec<(String, bool)> = pack
            .switches
            .iter()
            .map(|s| {
                let decided = decisions.iter().find(|d| d.switch == s.id);
                (s.id.clone(), decided.map_or(s.default, |d| d.permissive))
            })
            .collect();
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
            && w.channels.is_none_or(|c| c.contains(self.message.channel))
            && w.sectors.is_none_or(|s| sector.is_some_and(|x| s.contains(x)))
            && !sector.is_some_and(|x| w.except_sectors.contains(x))
            && w.promotional.is_none_or(|p| p.contains(promo))
            && w.promotional_first.is_none_or(|first| self.message.form.promotional_first == first)
            && w.automated.is_none_or(|automated| self.message.form.automated == automated)
            && w.sender.is_none_or(|t| self.sender.has(t))
            && w.sender_lacks.is_none_or(|t| !self.sender.has(t))
    }
}
