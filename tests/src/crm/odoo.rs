//! Odoo: random rows, and what they say.

mod load;
mod reading;

pub use load::load;

use chrono::{Duration, NaiveDateTime};
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::time::Instant;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const COUNTRIES: &[&str] = &[
    "GB", "FR", "DE", "US", "CA", "AU", "ES", "PL", "BR", "JP", "IE", "NL", "BE", "IT", "CH", "NZ", "IN",
    "SG", "AT", "ZW",
];
/// Name and parent by position, the root first.
const CATEGORIES: &[(&str, usize)] = &[
    ("All", 0),
    ("Clothes", 0),
    ("Shoes", 1),
    ("Boots", 2),
    ("Sandals", 2),
    ("Hats", 1),
    ("Media", 0),
    ("Books", 6),
    ("Games", 6),
    ("Services", 0),
    ("Insurance", 9),
    ("Shoes", 6),
];
const PRODUCTS: i32 = 60;
/// The shop's checkout offered a refusal from then on.
pub const OFFERED_SINCE: &str = "2021-01-01T00:00:00";
/// The activity that asked for consent to a newsletter; the other one is anything.
const NEWSLETTER_ACTIVITY: i32 = 1;

#[derive(Debug, Clone)]
struct Partner {
    name: String,
    active: Option<bool>,
    is_company: Option<bool>,
    parent: Option<i32>,
    /// Its own number or the company's.
    commercial: Option<i32>,
    r#type: Option<&'static str>,
    country: Option<i32>,
    street: Option<String>,
    email: Option<String>,
    normalized: Option<String>,
    mobile: Option<String>,
    sanitized: Option<String>,
    created: NaiveDateTime,
    written: NaiveDateTime,
}

#[derive(Debug)]
struct ListMember {
    email: Option<String>,
    normalized: Option<String>,
    country: Option<i32>,
    created: NaiveDateTime,
}

#[derive(Debug)]
struct Order {
    partner: i32,
    website: Option<i32>,
    state: &'static str,
    at: NaiveDateTime,
    total: f64,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    product: Option<i32>,
    display: Option<&'static str>,
    quantity: f64,
    price: f64,
    downpayment: Option<bool>,
}

#[derive(Debug)]
struct Blacklisted {
    address: String,
    active: Option<bool>,
    created: NaiveDateTime,
    written: Option<NaiveDateTime>,
}

#[derive(Debug)]
struct Subscription {
    member: i32,
    list: i32,
    opt_out: Option<bool>,
    opt_out_at: Option<NaiveDateTime>,
    created: NaiveDateTime,
}

#[derive(Debug)]
struct Trace {
    model: &'static str,
    id: i32,
    sent: Option<NaiveDateTime>,
    opened: Option<NaiveDateTime>,
    replied: Option<NaiveDateTime>,
    clicked: Option<NaiveDateTime>,
    status: &'static str,
}

#[derive(Debug)]
struct Unsubscription {
    at: NaiveDateTime,
    email: String,
    action: &'static str,
}

#[derive(Debug)]
struct PrivacyAnswer {
    partner: i32,
    activity: i32,
    accepted: Option<bool>,
    metadata: Option<&'static str>,
    state: &'static str,
    active: bool,
    created: NaiveDateTime,
    written: NaiveDateTime,
}

/// A whole Odoo database; ids are positions counted from 1.
#[derive(Debug)]
pub struct Odoo {
    partners: Vec<Partner>,
    members: Vec<ListMember>,
    orders: Vec<Order>,
    blacklist: Vec<Blacklisted>,
    phones: Vec<Blacklisted>,
    subscriptions: Vec<Subscription>,
    traces: Vec<Trace>,
    unsubscriptions: Vec<Unsubscription>,
    answers: Vec<PrivacyAnswer>,
}

struct Maker {
    random: ChaCha8Rng,
    now: NaiveDateTime,
    odoo: Odoo,
}

impl Odoo {
    /// About so many contacts, four of five partners and the others members of lists, up to `now`.
    pub fn random(contacts: usize, seed: u64, now: NaiveDateTime) -> Odoo {
        let odoo = Odoo {
            partners: Vec::new(),
            members: Vec::new(),
            orders: Vec::new(),
            blacklist: Vec::new(),
            phones: Vec::new(),
            subscriptions: Vec::new(),
            traces: Vec::new(),
            unsubscriptions: Vec::new(),
            answers: Vec::new(),
        };
        let mut maker = Maker { random: ChaCha8Rng::seed_from_u64(seed), now, odoo };
        while maker.odoo.partners.len() < contacts * 4 / 5 {
            maker.partner_or_company();
        }
        while maker.odoo.partners.len() + maker.odoo.members.len() < contacts {
            maker.member();
        }
        maker.orders();
        maker.refusals();
        maker.engagement();
        maker.odoo
    }

    pub fn contacts(&self) -> usize {
        self.partners.len() + self.members.len()
    }
}

impl Maker {
    fn chance(&mut self, of_a_hundred: u32) -> bool {
        self.random.random_range(0..100) < of_a_hundred
    }

    /// Some time in the last twelve years, in whole seconds.
    fn instant(&mut self) -> NaiveDateTime {
        // Half of it lately, or hardly anything would be in time.
        let days = if self.chance(50) { 900 } else { 12 * 365 };
        self.now - Duration::seconds(self.random.random_range(60..days * 86_400))
    }

    fn after(&mut self, start: NaiveDateTime) -> NaiveDateTime {
        let span = (self.now - start).num_seconds().max(2);
        start + Duration::seconds(self.random.random_range(1..span))
    }

    fn country(&mut self) -> Option<i32> {
        let common = [1, 1, 1, 2, 2, 3, 3, 4];
        let any = 1 + self.random.random_range(0..COUNTRIES.len()) as i32;
        let id = if self.chance(60) { *common.choose(&mut self.random).unwrap_or(&1) } else { any };
        self.chance(88).then_some(id)
    }

    /// An address in one of the spellings in which CRMs hold them, and how Odoo stores it normalised.
    fn spelled(&mut self, address: &str) -> (Option<String>, Option<String>) {
        let email = match self.random.random_range(0..10) {
            0 => address.to_uppercase(),
            1 => format!("\"Some One\" <{address}>"),
            3 if self.chance(20) => format!("{address}, second.{address}"),
            2 => format!(" {address} "),
            _ => address.to_owned(),
        };
        // Rows written past the ORM have no normalised one.
        let normalized = (!self.chance(4)).then(|| address.to_lowercase());
        (Some(email), normalized)
    }

    fn email(&mut self) -> (Option<String>, Option<String>) {
        match self.random.random_range(0..100) {
            0..4 => (None, None),
            4..6 => (Some("n/a".into()), None),
            6..14 if !self.odoo.partners.is_empty() => {
                let other = self.odoo.partners.choose(&mut self.random).and_then(|p| p.normalized.clone());
                other.map_or((None, None), |address| self.spelled(&address))
            }
            _ => {
                let address = format!("person{}@gmail.com", self.odoo.contacts());
                self.spelled(&address)
            }
        }
    }

    fn phone(&mut self) -> (Option<String>, Option<String>) {
        let number = format!("+44 20 7946 {:04}", self.random.random_range(0..10_000));
        let sanitized = number.replace(' ', "");
        match self.random.random_range(0..10) {
            0..5 => (None, None),
            5 => (Some(number), None),
            _ => (Some(number), Some(sanitized)),
        }
    }

    fn person(&mut self) -> Partner {
        let (email, normalized) = self.email();
        let (mobile, sanitized) = self.phone();
        let created = self.instant();
        Partner {
            name: format!("Person {}", self.odoo.partners.len() + 1),
            active: match self.random.random_range(0..100) {
                0..5 => Some(false),
                5 => None,
                _ => Some(true),
            },
            is_company: self.chance(50).then_some(false),
            parent: None,
            commercial: Some(self.odoo.partners.len() as i32 + 1),
            r#type: self.chance(90).then_some("contact"),
            country: self.country(),
            // Nobody's household: who refuses everything would suppress it for all who live there.
            street: self.chance(60).then(|| format!("{} High Street", self.odoo.partners.len() + 1)),
            email,
            normalized,
            mobile,
            sanitized,
            created,
            // Any edit moves it; it says nothing of the person.
            written: self.now,
        }
    }

    fn partner_or_company(&mut self) {
        match self.random.random_range(0..100) {
            0..12 => self.company(),
            12..20 if !self.odoo.partners.is_empty() => {
                // A twin that somebody archived: the same address once more.
                let twin = self.odoo.partners.choose(&mut self.random).cloned();
                let person = self.person();
                let twin = twin.unwrap_or_else(|| person.clone());
                self.odoo.partners.push(Partner {
                    active: Some(false),
                    email: twin.email,
                    normalized: twin.normalized,
                    mobile: twin.mobile,
                    sanitized: twin.sanitized,
                    ..person
                });
            }
            _ => {
                let person = self.person();
                self.odoo.partners.push(person);
            }
        }
    }

    fn company(&mut self) {
        let id = self.odoo.partners.len() as i32 + 1;
        let form = ["Ltd", "GmbH", "S.A.R.L.", "Inc.", "SA", "S.A.", "Sa", "& Sons", "Catering"]
            .choose(&mut self.random)
            .unwrap_or(&"Ltd");
        let host = match self.random.random_range(0..20) {
            0..3 => "gmail.com".into(),
            // A provider's that is on nobody's list.
            3 => format!("isp{id}.example.com"),
            _ => format!("firm{id}.example.com"),
        };
        let local = if host == "gmail.com" {
            format!("firm{id}")
        } else {
            (*["info", "sales", "jane.doe"].choose(&mut self.random).unwrap_or(&"info")).into()
        };
        let (email, normalized) = self.spelled(&format!("{local}@{host}"));
        let person = self.person();
        let company = Partner {
            name: format!("Firm {id} {form}"),
            is_company: Some(true),
            email,
            normalized,
            ..person
        };
        self.odoo.partners.push(company);
        for n in 0..self.random.random_range(0..5) {
            let person = self.person();
            let at_work = self.chance(60);
            let role = self.chance(10);
            let local = if role { "office".into() } else { format!("employee{n}.{id}") };
            let (email, normalized) = if at_work {
                self.spelled(&format!("{local}@{host}"))
            } else {
                (person.email.clone(), person.normalized.clone())
            };
            let country = if self.chance(50) { None } else { person.country };
            self.odoo.partners.push(Partner {
                parent: Some(id),
                commercial: Some(id),
                country,
                email,
                normalized,
                ..person
            });
        }
        for kind in ["invoice", "delivery"] {
            if self.chance(30) {
                let person = self.person();
                self.odoo.partners.push(Partner {
                    parent: Some(id),
                    commercial: Some(id),
                    r#type: Some(kind),
                    ..person
                });
            }
        }
    }

    fn member(&mut self) {
        let shared = self
            .chance(50)
            .then(|| self.odoo.partners.choose(&mut self.random).and_then(|p| p.normalized.clone()))
            .flatten();
        let (email, normalized) = match shared {
            Some(address) => self.spelled(&address),
            None => self.email(),
        };
        let member = ListMember { email, normalized, country: self.country(), created: self.instant() };
        self.odoo.members.push(member);
        let id = self.odoo.members.len() as i32;
        for list in 1..=3 {
            if self.chance(45) {
                let opt_out = match self.random.random_range(0..20) {
                    0..3 => Some(true),
                    3..12 => Some(false),
                    _ => None,
                };
                let created = self.instant();
                let opt_out_at =
                    if opt_out == Some(true) && self.chance(90) { Some(self.after(created)) } else { None };
                self.odoo.subscriptions.push(Subscription { member: id, list, opt_out, opt_out_at, created });
            }
        }
    }

    fn orders(&mut self) {
        for partner in 1..=self.odoo.partners.len() as i32 {
            let at_most = if self.chance(55) { 3 } else { 1 };
            for _ in 0..self.random.random_range(0..=at_most) {
                let state = *["sale", "sale", "sale", "sale", "done", "sent", "draft", "cancel"]
                    .choose(&mut self.random)
                    .unwrap_or(&"sale");
                let website = match self.random.random_range(0..10) {
                    0..6 => Some(1),
                    6 => Some(2),
                    _ => None,
                };
                let lines: Vec<Line> = (0..self.random.random_range(1..4)).map(|_| self.line()).collect();
                let total = lines.iter().map(|l| l.price).sum();
                let order = Order { partner, website, state, at: self.instant(), total, lines };
                self.odoo.orders.push(order);
            }
        }
    }

    fn line(&mut self) -> Line {
        let product = Some(self.random.random_range(1..=PRODUCTS));
        let sold = Line {
            product,
            display: None,
            quantity: 1.0,
            price: 20.0,
            downpayment: self.chance(50).then_some(false),
        };
        match self.random.random_range(0..30) {
            0 => Line { product: None, display: Some("line_note"), quantity: 0.0, price: 0.0, ..sold },
            1 => Line { downpayment: Some(true), ..sold },
            2 => Line { quantity: 0.0, price: 0.0, ..sold },
            3 => Line { price: 0.0, ..sold },
            4 => Line { price: -5.0, ..sold },
            5 => Line { product: None, ..sold },
            _ => sold,
        }
    }

    fn toggled(&mut self, address: String) -> Blacklisted {
        let created = self.instant();
        let active = if self.chance(70) { Some(true) } else { self.chance(50).then_some(false) };
        let written = if self.chance(90) { Some(self.after(created)) } else { None };
        Blacklisted { address, active, created, written }
    }

    fn refusals(&mut self) {
        let mut emails = std::collections::BTreeSet::new();
        let mut phones = std::collections::BTreeSet::new();
        for n in 0..self.odoo.partners.len() {
            let Partner { normalized, sanitized, .. } = self.odoo.partners[n].clone();
            if self.chance(4) {
                emails.extend(normalized.clone());
            }
            if self.chance(3) {
                phones.extend(sanitized);
            }
            if let Some(email) = normalized.filter(|_| self.random.random_range(0..100) < 2) {
                let action = ["subscription", "unsubscription", "blacklist_add", "blacklist_rm"]
                    .choose(&mut self.random)
                    .unwrap_or(&"unsubscription");
                let at = self.instant();
                let email = if self.chance(30) { email.to_uppercase() } else { email };
                self.odoo.unsubscriptions.push(Unsubscription { at, email, action });
            }
            for activity in [NEWSLETTER_ACTIVITY, 2] {
                if self.chance(15) {
                    let created = self.instant();
                    let answer = PrivacyAnswer {
                        partner: n as i32 + 1,
                        activity,
                        accepted: if self.chance(85) { Some(true) } else { self.chance(50).then_some(false) },
                        metadata: self.chance(80).then_some("REMOTE_ADDR: 192.0.2.1"),
                        state: if self.chance(80) { "answered" } else { "sent" },
                        active: self.chance(90),
                        created,
                        written: self.after(created),
                    };
                    self.odoo.answers.push(answer);
                }
            }
        }
        for n in 0..20 {
            emails.insert(format!("stranger{n}@example.net"));
        }
        for email in emails {
            let entry = self.toggled(email);
            self.odoo.blacklist.push(entry);
        }
        for phone in phones {
            let entry = self.toggled(phone);
            self.odoo.phones.push(entry);
        }
    }

    fn engagement(&mut self) {
        let (partners, members) = (self.odoo.partners.len(), self.odoo.members.len());
        for _ in 0..self.odoo.contacts() / 2 {
            let (model, ids) = match self.random.random_range(0..10) {
                0..6 => ("res.partner", partners),
                6..9 => ("mailing.contact", members),
                _ => ("sale.order", partners),
            };
            let id = self.random.random_range(1..=ids) as i32;
            let sent = self.instant();
            let seconds = |s: i64| Some(sent + Duration::seconds(s));
            let trace = Trace {
                model,
                id,
                sent: Some(sent),
                opened: None,
                replied: None,
                clicked: None,
                status: "sent",
            };
            let trace = match self.random.random_range(0..6) {
                0 => Trace { clicked: seconds(3), opened: seconds(2), status: "open", ..trace },
                1 => Trace { clicked: seconds(7200), opened: seconds(7000), status: "open", ..trace },
                2 => Trace { opened: Some(self.after(sent)), status: "open", ..trace },
                3 => Trace { replied: seconds(90_000), status: "reply", ..trace },
                4 => Trace { status: "bounce", ..trace },
                // Nobody knows when it was sent, so nobody knows whether a person clicked.
                _ => Trace { sent: None, clicked: seconds(5), ..trace },
            };
            if trace.clicked.max(trace.replied).is_none_or(|t| t < self.now) {
                self.odoo.traces.push(trace);
            }
        }
    }
}

/// What the DBA states after the binding, beside it.
pub const STATED: &str = "
    INSERT INTO consent_odoo.refusal_offered VALUES (1, '2021-01-01Z', NULL, 'footer of the checkout');
    INSERT INTO consent_odoo.privacy_activity VALUES (1, '{marketing,newsletter}', '{email}', 'newsletter, 2020');";
