//! The contacts and questions by which a decision's cost is judged.

use chrono::{DateTime, Utc};
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::{CategoryId, Fact};
use pg_consent_policy::pack::builtin;
use pg_consent_policy::profile::Profile;
use pg_consent_policy::question::{Form, Message, Question, Sender, Target};
use pg_consent_policy::state::State;
use pg_consent_policy::time::Instant;

pub struct Typical {
    pub name: &'static str,
    pub state: Vec<u8>,
    pub nature: Nature,
    pub channel: Channel,
    /// Whether the message may be sent.
    pub allowed: bool,
}

const ASKED_AT: &str = "2026-09-01T16:00:00Z";
const SHOES: CategoryId = 10;

fn instant(text: &str) -> Instant {
    Instant::from_utc(text.parse::<DateTime<Utc>>().unwrap())
}

fn fact(kind: EventKind, at: &str) -> Fact {
    let everywhere =
        Fact { channels: EnumSet::all(), method: Some(Method::Active), ..Fact::new(kind, instant(at), 1) };
    Fact { via: Some(Via::Link), opt_out_offered: Tri::Yes, ..everywhere }
}

fn purchase(at: &str, category: CategoryId) -> Fact {
    Fact { category, ..fact(EventKind::Purchase, at) }
}

fn listed(register: Register, at: &str) -> Fact {
    let entry = fact(EventKind::RegisterListed, at);
    Fact { register: Some(register), channels: EnumSet::empty(), ..entry }
}

fn contact(country: &str, facts: &[Fact]) -> Vec<u8> {
    let profile = Profile::new(instant("2020-01-01T00:00:00Z"), Some(country), None, None).unwrap();
    let mut state = State::of_profile(Profile { subscriber: Subscriber::Individual, ..profile });
    facts.iter().for_each(|f| state.merge(&State::of_fact(f)));
    state.encode()
}

fn bought_in(categories: std::ops::Range<u32>) -> Vec<Fact> {
    categories.map(|c| purchase("2026-03-01T10:00:00Z", c)).collect()
}

pub fn all() -> Vec<Typical> {
    use Channel::{Email, PhoneLive};
    use Nature::{Marketing, Transactional};
    let of = |name, allowed, nature, channel, state| Typical { name, state, nature, channel, allowed };
    let mail = |name, allowed, state| of(name, allowed, Marketing, Email, state);
    let spring = "2026-03-01T10:00:00Z";
    let refused = [purchase(spring, SHOES), fact(EventKind::OptOut, "2026-05-01T10:00:00Z")];
    vec![
        mail("no facts", false, contact("GB", &[])),
        mail("customer, 3 categories", true, contact("GB", &bought_in(8..11))),
        mail("customer, 30 categories", true, contact("GB", &bought_in(8..38))),
        mail("consent", true, contact("GB", &[fact(EventKind::OptIn, spring)])),
        mail("opted out", false, contact("GB", &refused)),
        mail("two-year window, last day", true, contact("CA", &[purchase("2024-09-01T10:00:00Z", SHOES)])),
        of(
            "listed number, customer",
            true,
            Marketing,
            PhoneLive,
            contact("US", &[listed(Register::UsDnc, "2020-01-01T00:00:00Z"), purchase(spring, SHOES)]),
        ),
        of("order mail, opted out", true, Transactional, Email, contact("FR", &refused)),
    ]
}

/// A message about shoes.
pub fn question(nature: Nature, channel: Channel) -> Question {
    let sender = Sender { id: 1, name: "Us".into(), ..Sender::default() };
    let message = Message { kind: nature.code().into(), nature, channel, form: Form::default() };
    let target = Target { category: SHOES, ancestors: vec![SHOES], similar: vec![SHOES], sector: None };
    Question::new(instant(ASKED_AT), sender, message, target, builtin(), Vec::new())
}
