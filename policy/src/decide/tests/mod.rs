//! What the tests of decisions share: facts, contacts and questions with defaults that read well.
//!
//! All happens in 2026; a question is asked on Tuesday, 1 September, at noon UTC, unless it says otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod consent;
mod contested;
mod erasure;
mod fr_calls;
mod fr_retention;
mod gb;
mod limits;
mod messages;
mod opt_out;
mod origin;
mod own_rules;
mod properties;
mod random;
mod random_rules;
mod retiring;
mod soft_opt_in;
mod status;
mod time;

use super::{ContactLog, allows, decide, valid_until};
use crate::codes::*;
use crate::explain::{Explanation, explain};
use crate::fact::{CategoryId, Expiry, Fact, SenderId};
use crate::pack::{Pack, builtin};
use crate::profile::Profile;
use crate::question::{Form, Message, PolicyDecision, Question, Sender, Target};
use crate::state::State;
use crate::time::Instant;
use enumset::EnumSet;

const US: SenderId = 1;
const ANOTHER_SENDER: SenderId = 2;

const SHOES: CategoryId = 10;
/// Below shoes.
const BOOTS: CategoryId = 11;
/// Similar to shoes.
const SOCKS: CategoryId = 12;
/// Similar to nothing else.
const WINE: CategoryId = 20;

/// A moment by RFC 3339, or noon UTC of a date.
fn t(text: &str) -> Instant {
    let full = if text.len() == 10 { format!("{text}T12:00:00Z") } else { text.to_owned() };
    Instant::from_utc(full.parse().unwrap())
}

// --- facts ---

fn fact(kind: EventKind, at: &str) -> Fact {
    Fact::new(kind, t(at), US)
}

/// Shoes, bought by somebody who gave address and number himself and could refuse marketing.
fn purchase(at: &str) -> Fact {
    collected(EventKind::Purchase, at)
}

/// The same on another occasion than a purchase.
fn collected(kind: EventKind, at: &str) -> Fact {
    Fact { category: SHOES, channels: EnumSet::all(), opt_out_offered: Tri::Yes, ..fact(kind, at) }
}

/// An opt-in to everything on every channel, by ticking a box.
fn opt_in(at: &str) -> Fact {
    Fact { method: Some(Method::Active), channels: EnumSet::all(), ..fact(EventKind::OptIn, at) }
}

/// An opt-out from everything on every channel, by the link in a message.
fn opt_out(at: &str) -> Fact {
    Fact { via: Some(Via::Link), channels: EnumSet::all(), ..fact(EventKind::OptOut, at) }
}

fn objection(at: &str) -> Fact {
    fact(EventKind::Objection, at)
}

fn erasure(at: &str) -> Fact {
    fact(EventKind::ErasureRequest, at)
}

/// An entry in a register, on that register's own channels.
fn listed(register: Register, at: &str) -> Fact {
    Fact { register: Some(register), channels: EnumSet::empty(), ..fact(EventKind::RegisterListed, at) }
}

fn delisted(register: Register, at: &str) -> Fact {
    Fact { kind: EventKind::RegisterDelisted, ..listed(register, at) }
}

// --- contacts ---

#[derive(Clone)]
struct Contact(State);

/// An individual with no history in each country that has a pack.
fn everywhere() -> [Contact; 2] {
    [Contact::gb(), Contact::fr()]
}

impl Contact {
    fn gb() -> Contact {
        Contact::of("GB")
    }

    fn fr() -> Contact {
        Contact::of("FR")
    }

    fn of(country: &str) -> Contact {
        let profile = Profile::new(t("2020-01-01"), Some(country), None, None).unwrap();
        Contact(State::of_profile(Profile { subscriber: Subscriber::Individual, ..profile }))
    }

    fn with(mut self, change: impl FnOnce(&mut Profile)) -> Contact {
        change(self.0.profile.as_mut().unwrap());
        self
    }

    fn zone(self, zone: &str) -> Contact {
        self.with(|p| p.zone = zone.to_owned())
    }

    fn who(self, subscriber: Subscriber, address_kind: AddressKind) -> Contact {
        self.with(|p| (p.subscriber, p.address_kind) = (subscriber, address_kind))
    }

    fn fact(mut self, fact: Fact) -> Contact {
        self.0.merge(&State::of_fact(&fact));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// The answer, checked to be the same on the boolean path.
    fn answer(&self, ask: &Ask) -> Result<Basis, Reason> {
        let (bytes, question) = (self.bytes(), ask.question());
        let answer = decide(&bytes, &question, None).map(|a| a.basis).map_err(|d| d.reason);
        assert_eq!(allows(&bytes, &question), answer.is_ok());
        answer
    }

    fn explain(&self, ask: &Ask) -> Explanation {
        explain(Some(&self.bytes()), &ask.question(), None)
    }

    /// When the yes ends.
    fn until(&self, ask: &Ask) -> Option<Instant> {
        assert!(self.answer(ask).is_ok(), "{:?}", self.answer(ask));
        valid_until(&self.bytes(), &ask.question())
    }
}

// --- questions ---

#[derive(Debug, Clone)]
struct Ask {
    at: Instant,
    sender: Sender,
    message: Message,
    target: Target,
    decisions: Vec<PolicyDecision>,
    blocked: Option<Reason>,
}

/// An e-mail of this nature about shoes, from us.
fn ask(nature: Nature) -> Ask {
    Ask {
        at: t("2026-09-01"),
        sender: Sender { id: US, name: "Us".into(), ..Sender::default() },
        message: Message {
            kind: nature.code().into(),
            nature,
            channel: Channel::Email,
            form: Form::default(),
        },
        target: target(SHOES),
        decisions: Vec::new(),
        blocked: None,
    }
}

fn marketing() -> Ask {
    ask(Nature::Marketing)
}

fn call() -> Ask {
    marketing().on(Channel::PhoneLive)
}

fn target(category: CategoryId) -> Target {
    let (ancestors, similar) = match category {
        0 => (vec![], vec![]),
        BOOTS => (vec![BOOTS, SHOES], vec![SHOES, BOOTS]),
        SHOES => (vec![SHOES], vec![SHOES, BOOTS, SOCKS]),
        other => (vec![other], vec![other]),
    };
    Target { category, ancestors, similar, sector: None }
}

impl Ask {
    fn at(self, at: &str) -> Ask {
        Ask { at: t(at), ..self }
    }

    fn on(mut self, channel: Channel) -> Ask {
        self.message.channel = channel;
        self
    }

    fn about(self, category: CategoryId) -> Ask {
        Ask { target: target(category), ..self }
    }

    fn sector(mut self, sector: Sector) -> Ask {
        self.target.sector = Some(sector);
        self
    }

    fn form(mut self, change: impl FnOnce(&mut Form)) -> Ask {
        change(&mut self.message.form);
        self
    }

    fn promotional(self, how: Promotional) -> Ask {
        self.form(|f| f.promotional = Some(how))
    }

    fn by_charity(mut self) -> Ask {
        self.sender.charity = true;
        self
    }

    /// With the operator's decision on a contested point.
    fn decided(mut self, switch: &str, permissive: bool) -> Ask {
        self.decisions.push(PolicyDecision {
            switch: switch.into(),
            permissive,
            decided_by: "counsel".into(),
            decided_on: "2026-01-15".into(),
            reason: "advice of 14 January".into(),
            document: "memo-7".into(),
        });
        self
    }

    fn blocked(self, reason: Reason) -> Ask {
        Ask { blocked: Some(reason), ..self }
    }

    fn question(&self) -> Question {
        self.question_under(builtin())
    }

    fn question_under(&self, packs: &[Pack]) -> Question {
        let ask = self.clone();
        let question = Question::new(ask.at, ask.sender, ask.message, ask.target, packs, ask.decisions);
        Question { marketing_blocked: self.blocked, ..question }
    }
}
