//! Typical contacts: one fact more or less than a stranger, a customer or a subscriber has.

use super::world::{Place, US, days_before};
use enumset::EnumSet;
use pg_consent_policy::codes::*;
use pg_consent_policy::decide::ContactLog;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::pack::{Pack, Requirement};
use pg_consent_policy::state::{Atom, State};
use pg_consent_policy::time::Instant;

/// Somebody to write to, as of one instant.
#[derive(Debug, Clone)]
pub struct Contact {
    pub name: String,
    /// The contact that this one is told apart from in the file.
    pub parent: Option<&'static str>,
    pub facts: Vec<Fact>,
    pub log: ContactLog,
}

/// The categories: of the message, similar to it, of another kind, above it.
pub const SAME: u32 = 1;
pub const SIMILAR: u32 = 2;
pub const OTHER: u32 = 3;
pub const ABOVE: u32 = 4;

pub const STRANGER: &str = "stranger";
pub const CUSTOMER: &str = "purchase";
pub const SUBSCRIBER: &str = "consent";

/// Those that are asked about in every situation.
pub const TYPICAL: &[&str] = &[
    STRANGER,
    CUSTOMER,
    SUBSCRIBER,
    "contract_start",
    "donation",
    "enquiry",
    "address_published for the role",
    "address_disclosed for the role",
    "bought_list",
    "membership_start",
    "consent, opted out after",
    "purchase, objected after",
    "consent to political",
    "consent in signed writing",
];

/// Collects the contacts of one instant.
pub struct Contacts<'a> {
    pub pack: &'a Pack,
    pub place: &'a Place,
    pub at: Instant,
    pub all: Vec<Contact>,
}

/// The kinds of event on which an address is collected.
pub fn occasions() -> impl Iterator<Item = EventKind> {
    EventKind::ALL.iter().copied().filter(|kind| {
        let state = State::of_fact(&Fact::new(*kind, Instant(0), US));
        state.atoms().iter().any(|a| matches!(a, Atom::Relation(_)))
    })
}

pub fn all(pack: &Pack, place: &Place, at: Instant) -> Vec<Contact> {
    let mut contacts = Contacts { pack, place, at, all: Vec::new() };
    contacts.add(STRANGER, None, Vec::new());
    contacts.occasions();
    contacts.limbs();
    contacts.consents();
    contacts.refusals();
    contacts.registers();
    contacts.windows();
    contacts.all
}

/// A month ago, on every channel, in the message's category, with everything in order.
fn in_order(kind: EventKind, now: Instant) -> Fact {
    Fact {
        channels: EnumSet::all(),
        category: SAME,
        opt_out_offered: Tri::Yes,
        ..Fact::new(kind, days_before(now, 30), US)
    }
}

impl Contacts<'_> {
    pub fn add(&mut self, name: &str, parent: Option<&'static str>, facts: Vec<Fact>) {
        if self.all.iter().all(|c| c.name != name) {
            self.all.push(Contact { name: name.into(), parent, facts, log: ContactLog::default() });
        }
    }

    pub fn fact(&self, kind: EventKind) -> Fact {
        in_order(kind, self.at)
    }

    pub fn opt_in(&self) -> Fact {
        Fact { method: Some(Method::Active), category: 0, ..self.fact(EventKind::OptIn) }
    }

    fn occasions(&mut self) {
        self.add(CUSTOMER, Some(STRANGER), vec![self.fact(EventKind::Purchase)]);
        self.add(SUBSCRIBER, Some(STRANGER), vec![self.opt_in()]);
        for kind in occasions() {
            self.add(kind.code(), Some(STRANGER), vec![self.fact(kind)]);
        }
        for (start, end) in CONTRACTS {
            let ended = Fact { at: days_before(self.at, 10), ..self.fact(end) };
            self.add(
                &format!("{start}, ended"),
                Some(STRANGER),
                vec![self.fact(start), Fact { recorded_at: ended.at, ..ended }],
            );
        }
        for kind in [EventKind::AddressPublished, EventKind::AddressDisclosed] {
            let role = Fact {
                relevant_to_role: Tri::Yes,
                refusal_notice: Tri::No,
                purposes: EnumSet::all(),
                ..self.fact(kind)
            };
            self.add(&format!("{kind} for the role"), Some(STRANGER), vec![role.clone()]);
            let for_marketing = Fact { purposes: Purpose::Marketing.into(), ..role.clone() };
            self.add(&format!("{kind} for marketing"), Some(STRANGER), vec![for_marketing]);
            for (name, notice) in [("a refusal notice", Tri::Yes), ("an unknown notice", Tri::Unknown)] {
                let fact = Fact { refusal_notice: notice, ..role.clone() };
                self.add(&format!("{kind} for the role, {name}"), Some(STRANGER), vec![fact]);
            }
            let fact = Fact { relevant_to_role: Tri::No, ..role };
            self.add(&format!("{kind} beside the role"), Some(STRANGER), vec![fact]);
        }
        let referral = Fact { referred: true, ..self.fact(EventKind::Referral) };
        self.add("referral by a common acquaintance", Some(STRANGER), vec![referral.clone()]);
        let followed = vec![referral, self.sent(10, true)];
        self.add("referral by a common acquaintance, written to since", Some(STRANGER), followed);
        let list = |grade, from_person| {
            let fact = self.fact(EventKind::BoughtList);
            vec![Fact { grade, from_person, opt_out_offered: Tri::Unknown, ..fact }]
        };
        let (proven, unproven) = (list(Grade::Proof, false), list(Grade::None, false));
        self.add("bought_list with proof, not from the person", Some(STRANGER), proven);
        self.add("bought_list without proof", Some(STRANGER), unproven);
        let imported = self.fact(EventKind::ImportedList);
        let imported = Fact { from_person: false, opt_out_offered: Tri::Unknown, ..imported };
        self.add("imported_list, not from the person", Some(STRANGER), vec![imported]);
    }

    pub fn sent(&self, days: i64, compliant: bool) -> Fact {
        let at = days_before(self.at, days);
        let sent = self.fact(EventKind::Sent);
        Fact { nature: Some(Nature::Marketing), compliant, at, recorded_at: at, ..sent }
    }

    /// The occasions that the pack's rules begin with, each limb missing in turn.
    fn limbs(&mut self) {
        let mut kinds = vec![EventKind::Purchase];
        for rule in &self.pack.rules {
            if let Requirement::Relationship(r) = &rule.then {
                let own = r.kinds.iter().next().or(r.contested.keys().next().copied());
                kinds.extend(own.filter(|k| !kinds.contains(k)));
            }
        }
        for kind in kinds {
            self.limbs_of(kind);
        }
        for kind in [EventKind::FreeAccount, EventKind::AccountCreated] {
            let fact = Fact { funded_by_paid: true, ..self.fact(kind) };
            self.add(&format!("{kind} that paying customers bear"), Some(STRANGER), vec![fact]);
        }
    }

    fn limbs_of(&mut self, kind: EventKind) {
        let fact = self.fact(kind);
        let whole = Fact { relevant_to_role: Tri::Yes, refusal_notice: Tri::No, referred: true, ..fact };
        let mut lacking: Vec<(&str, Vec<Fact>)> = Vec::new();
        let mut one = |name, fact: Fact| lacking.push((name, vec![fact]));
        one("refusal not offered", Fact { opt_out_offered: Tri::No, ..whole.clone() });
        one("refusal perhaps offered", Fact { opt_out_offered: Tri::Unknown, ..whole.clone() });
        one("refused then", Fact { refused: true, ..whole.clone() });
        one("of a similar category", Fact { category: SIMILAR, ..whole.clone() });
        one("of another category", Fact { category: OTHER, ..whole.clone() });
        one("of no category", Fact { category: 0, ..whole.clone() });
        one("not from the person", Fact { from_person: false, ..whole.clone() });
        one("without proof", Fact { grade: Grade::None, ..whole.clone() });
        one("with weak proof", Fact { grade: Grade::StateOnly, ..whole.clone() });
        one("by e-mail only", Fact { channels: Channel::Email.into(), ..whole.clone() });
        one("at an earlier address", Fact { address: 2, ..whole.clone() });
        one("told of marketing", Fact { purposes: Purpose::Marketing.into(), ..whole.clone() });
        one("told of surveys only", Fact { purposes: Purpose::Survey.into(), ..whole.clone() });
        one("told of charity only", Fact { purposes: Purpose::Charity.into(), ..whole.clone() });
        one("told of no purpose", Fact { purposes: EnumSet::empty(), ..whole.clone() });
        one("of another sender", Fact { sender: US + 1, ..whole.clone() });
        let transfer = Fact { sender: US + 1, to: US, ..self.fact(EventKind::BusinessTransferred) };
        let theirs = Fact { sender: US + 1, ..whole.clone() };
        lacking.push(("of a sender taken over", vec![theirs, transfer]));
        lacking.push(("written to since", vec![whole, self.sent(5, true)]));
        for (name, facts) in lacking {
            self.add(&format!("{kind} {name}"), Some(parent_of(kind)), facts);
        }
    }

    fn refusals(&mut self) {
        let now = self.at;
        let lately = |kind, days| {
            let at = days_before(now, days);
            Fact { at, recorded_at: at, category: 0, ..in_order(kind, now) }
        };
        let out = lately(EventKind::OptOut, 10);
        let of = |scope, category| Fact { scope, category, ..out.clone() };
        let sms = Fact { channels: Channel::Sms.into(), ..of(Scope::Category, OTHER) };
        let refusals = [
            ("opted out after", out.clone()),
            ("opted out of marketing after", of(Scope::Marketing, 0)),
            ("opted out of the category after", of(Scope::Category, SAME)),
            ("opted out of another category after", of(Scope::Category, OTHER)),
            ("opted out of all above the category after", of(Scope::Category, ABOVE)),
            ("opted out of e-mail after", Fact { channels: Channel::Email.into(), ..out.clone() }),
            ("opted out of texts of another category after", sms),
            ("opted out by the system after", Fact { via: Some(Via::System), ..out.clone() }),
            ("opted out with another sender after", Fact { sender: US + 1, ..out.clone() }),
            ("opted out by another user of the address after", Fact { other_contact: 7, ..out.clone() }),
            ("objected after", lately(EventKind::Objection, 10)),
            ("asked for erasure after", lately(EventKind::ErasureRequest, 10)),
            ("refused an opt-in after", lately(EventKind::OptInRefused, 10)),
        ];
        for (name, refusal) in refusals {
            for (who, fact) in [(SUBSCRIBER, self.opt_in()), (CUSTOMER, self.fact(EventKind::Purchase))] {
                self.add(&format!("{who}, {name}"), Some(who), vec![fact, refusal.clone()]);
            }
            let again = Fact { category: SAME, ..lately(EventKind::OptIn, 5) };
            let again = Fact { method: Some(Method::Active), ..again };
            self.add(&format!("stranger, {name}, consented again"), Some(SUBSCRIBER), vec![refusal, again]);
        }
        let erased = lately(EventKind::ErasureRequest, 10);
        let bought = Fact { category: SAME, ..lately(EventKind::Purchase, 5) };
        self.add("erasure, purchase after", Some(STRANGER), vec![erased, bought]);
        let mut minutes = vec![5];
        minutes.extend(self.pack.rules.iter().filter_map(|r| match &r.then {
            Requirement::Service(s) => s.minutes_after_refusal,
            _ => None,
        }));
        for span in minutes {
            for (name, seconds) in [("just under", -10), ("just over", 10)] {
                let at = Instant(self.at.0 - (i64::from(span) * 60 + seconds) * 1000);
                let now = Fact { at, recorded_at: at, ..out.clone() };
                let name = format!("opted out {name} {span} minutes ago");
                self.add(&name, Some(STRANGER), vec![now]);
            }
        }
    }

    fn registers(&mut self) {
        let mut named = EnumSet::<Register>::empty();
        let mut graces = vec![0];
        for rule in &self.pack.rules {
            match &rule.then {
                Requirement::Register(r) => {
                    named |= r.registers;
                    graces.push(r.grace_days);
                }
                Requirement::Regime(r) => named |= r.unlisted,
                _ => {}
            }
        }
        graces.sort_unstable();
        graces.dedup();
        for register in named {
            let now = self.at;
            let listed = |days: i64| {
                let at = days_before(now, days);
                let fact = Fact::new(EventKind::RegisterListed, at, US);
                Fact { register: Some(register), channels: EnumSet::empty(), ..fact }
            };
            let long_ago = listed(400);
            let with = |fact: Fact| vec![long_ago.clone(), fact];
            let other = Fact { sender: US + 1, ..long_ago.clone() };
            let gone = Fact { kind: EventKind::RegisterDelisted, ..listed(20) };
            self.add(&format!("on {register}"), Some(STRANGER), vec![long_ago.clone()]);
            self.add(&format!("on {register} for another sender"), Some(STRANGER), vec![other]);
            self.add(&format!("on {register}, taken off"), Some(STRANGER), vec![long_ago.clone(), gone]);
            self.add(&format!("on {register}, consent"), Some(SUBSCRIBER), with(self.opt_in()));
            let written = Fact { method: Some(Method::WrittenSigned), ..self.opt_in() };
            let name = format!("on {register}, consent in signed writing");
            self.add(&name, Some(SUBSCRIBER), with(written));
            for kind in occasions() {
                let parent = if kind == EventKind::Purchase { CUSTOMER } else { STRANGER };
                self.add(&format!("on {register}, {kind}"), Some(parent), with(self.fact(kind)));
            }
            for grace in graces.iter().map(|g| i64::from(*g)) {
                for days in [grace - 1, grace].into_iter().filter(|d| *d >= 0) {
                    self.add(&format!("on {register} for {days} days"), Some(STRANGER), vec![listed(days)]);
                }
            }
        }
    }
}

/// What begins a contract, and what ends it.
pub const CONTRACTS: [(EventKind, EventKind); 3] = [
    (EventKind::ContractStart, EventKind::ContractEnd),
    (EventKind::SubscriptionStart, EventKind::SubscriptionEnd),
    (EventKind::MembershipStart, EventKind::MembershipEnd),
];

/// The file's standard of comparison for the variants of an occasion.
pub fn parent_of(kind: EventKind) -> &'static str {
    match kind {
        EventKind::AddressPublished => "address_published for the role",
        EventKind::AddressDisclosed => "address_disclosed for the role",
        EventKind::Referral => "referral by a common acquaintance",
        kind => kind.code(),
    }
}
