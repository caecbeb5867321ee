//! Dolibarr: random rows, and what they say.

mod load;
mod reading;

pub use load::load;

use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Europe::Paris;
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::time::{Instant, from_local};
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const COUNTRIES: &[&str] = &["FR", "GB", "DE", "BE", "US", "CA", "AU", "CH"];
/// Name and parent by position; a root is its own parent.
const CATEGORIES: &[(&str, usize)] =
    &[("Vêtements", 0), ("Chaussures", 0), ("Bottes", 1), ("Livres", 3), ("Jeux", 3)];
const PRODUCTS: usize = 30;
pub const TIMEZONE: &str = "Europe/Paris";
const OFFERED_SINCE: &str = "2021-01-01";

#[derive(Debug)]
struct ThirdParty {
    name: String,
    open: bool,
    /// 0: none.
    country: i32,
    kind: Option<i32>,
    vat: Option<&'static str>,
    email: Option<String>,
    phone: Option<String>,
}

#[derive(Debug)]
struct Person {
    third_party: Option<i32>,
    country: i32,
    email: Option<String>,
    no_email: bool,
    active: bool,
}

#[derive(Debug)]
struct Invoice {
    third_party: i32,
    kind: i32,
    day: Option<NaiveDate>,
    created: NaiveDateTime,
    status: i32,
    source: Option<i32>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    product: Option<i32>,
    quantity: f64,
    total: f64,
    special: i32,
}

#[derive(Debug)]
struct Unsubscription {
    email: String,
    group: &'static str,
    at: Option<NaiveDateTime>,
}

#[derive(Debug)]
struct Recipient {
    email: String,
    status: i32,
    mailing: i32,
    sent: NaiveDateTime,
}

/// A whole Dolibarr database of one entity; ids are positions counted from 1.
#[derive(Debug)]
pub struct Dolibarr {
    third_parties: Vec<ThirdParty>,
    people: Vec<Person>,
    invoices: Vec<Invoice>,
    unsubscriptions: Vec<Unsubscription>,
    recipients: Vec<Recipient>,
}

struct Maker {
    random: ChaCha8Rng,
    now: NaiveDateTime,
    all: Dolibarr,
}

fn local(t: NaiveDateTime) -> Instant {
    from_local(t, Paris)
}

/// The categories of a product: none, one or two.
fn categories_of(product: i32) -> Vec<usize> {
    let product = product as usize;
    match product % 5 {
        0 => Vec::new(),
        1 => vec![product % CATEGORIES.len(), (product + 2) % CATEGORIES.len()],
        _ => vec![product % CATEGORIES.len()],
    }
}

impl Dolibarr {
    pub fn random(contacts: usize, seed: u64, now: NaiveDateTime) -> Dolibarr {
        let all = Dolibarr {
            third_parties: Vec::new(),
            people: Vec::new(),
            invoices: Vec::new(),
            unsubscriptions: Vec::new(),
            recipients: Vec::new(),
        };
        let mut maker = Maker { random: ChaCha8Rng::seed_from_u64(seed), now, all };
        while maker.all.contacts() < contacts {
            maker.third_party();
        }
        maker.all
    }

    pub fn contacts(&self) -> usize {
        self.third_parties.len() + self.people.len()
    }
}

impl Maker {
    fn chance(&mut self, of_a_hundred: u32) -> bool {
        self.random.random_range(0..100) < of_a_hundred
    }

    /// By day: no wall clock is ambiguous then.
    fn instant(&mut self) -> NaiveDateTime {
        let days = if self.chance(50) { 900 } else { 12 * 365 };
        let day = self.now.date() - Duration::days(self.random.random_range(1..days));
        day.and_time(NaiveTime::MIN) + Duration::hours(self.random.random_range(8..20))
    }

    fn country(&mut self) -> i32 {
        if self.chance(15) { 0 } else { 1 + self.random.random_range(0..COUNTRIES.len()) as i32 }
    }

    fn spelled(&mut self, address: String) -> Option<String> {
        match self.random.random_range(0..20) {
            0 => None,
            1 => Some(String::new()),
            2 => Some(address.to_uppercase()),
            3 => Some(format!(" {address}")),
            _ => Some(address),
        }
    }

    fn third_party(&mut self) {
        let id = self.all.third_parties.len() as i32 + 1;
        let kind = *[None, Some(0), Some(8), Some(8), Some(3)].choose(&mut self.random).unwrap_or(&None);
        let form = ["SARL", "SAS", "Ltd", "Dupont"].choose(&mut self.random).unwrap_or(&"SARL");
        let host = if kind == Some(8) || self.chance(10) {
            "gmail.com".to_owned()
        } else {
            format!("maison{id}.example.com")
        };
        let mailbox = if host == "gmail.com" {
            format!("maison{id}")
        } else {
            (*["info", "contact", "marie"].choose(&mut self.random).unwrap_or(&"info")).into()
        };
        let phone = self.chance(40).then(|| format!("+44 20 7946 {:04}", id % 10_000));
        let third_party = ThirdParty {
            name: format!("Maison {id} {form}"),
            open: !self.chance(8),
            country: self.country(),
            kind,
            vat: *[None, Some(""), Some("FR123")].choose(&mut self.random).unwrap_or(&None),
            email: self.spelled(format!("{mailbox}@{host}")),
            phone,
        };
        self.all.third_parties.push(third_party);
        for n in 0..self.random.random_range(0..3) {
            let address = match self.random.random_range(0..10) {
                0..5 => format!("employe{n}.{id}@{host}"),
                5 if id > 1 => self.all.third_parties[self.random.random_range(0..id as usize)]
                    .email
                    .clone()
                    .unwrap_or_default(),
                _ => format!("employe{n}.{id}@free.fr"),
            };
            let person = Person {
                third_party: self.chance(90).then_some(id),
                country: if self.chance(50) { 0 } else { self.country() },
                email: self.spelled(address),
                no_email: self.chance(5),
                active: !self.chance(5),
            };
            self.all.people.push(person);
        }
        for _ in 0..self.random.random_range(0..3) {
            self.invoice(id);
        }
        let written =
            |email: Option<&Option<String>>| email.and_then(Clone::clone).filter(|e| e.contains('@'));
        let last = written(self.all.people.last().map(|p| &p.email));
        let Some(email) = last.or(written(self.all.third_parties.last().map(|t| &t.email))) else { return };
        if self.chance(6) {
            let at = self.instant();
            let at = self.chance(80).then_some(at);
            let group = if self.chance(30) { "news" } else { "" };
            self.all.unsubscriptions.push(Unsubscription { email: email.to_uppercase(), group, at });
        }
        let recipient = Recipient {
            email,
            status: self.random.random_range(-1..=3),
            // The second one was deleted.
            mailing: self.random.random_range(1..=2),
            sent: self.instant(),
        };
        if recipient.status != 3 || self.chance(15) {
            self.all.recipients.push(recipient);
        }
    }

    fn invoice(&mut self, third_party: i32) {
        let created = self.instant();
        let lines: Vec<Line> = (0..self.random.random_range(1..4))
            .map(|_| {
                let product = Some(self.random.random_range(1..=PRODUCTS as i32));
                let sold = Line { product, quantity: 1.0, total: 12.0, special: 0 };
                match self.random.random_range(0..20) {
                    0 => Line { quantity: 0.0, ..sold },
                    1 => Line { total: 0.0, ..sold },
                    2 => Line { special: 1, ..sold },
                    3 => Line { product: None, ..sold },
                    _ => sold,
                }
            })
            .collect();
        let day = (!self.chance(3)).then_some(created.date());
        let kind = *[0, 0, 0, 0, 1, 3].choose(&mut self.random).unwrap_or(&0);
        let status = *[0, 1, 2, 2, 2, 3].choose(&mut self.random).unwrap_or(&2);
        let product = lines[0].product;
        self.all.invoices.push(Invoice { third_party, kind, day, created, status, source: None, lines });
        if self.chance(10) {
            let source = Some(self.all.invoices.len() as i32);
            let product = if self.chance(70) { product } else { None };
            let mut lines = vec![Line { product, quantity: 1.0, total: -12.0, special: 0 }];
            if self.chance(10) {
                lines.clear();
            }
            let status = if self.chance(80) { 2 } else { 0 };
            self.all.invoices.push(Invoice { third_party, kind: 2, day, created, status, source, lines });
        }
    }
}

/// What the DBA states after the binding, beside it.
pub const STATED: &str = "INSERT INTO consent_dolibarr.refusal_offered VALUES (1, timestamp '2021-01-01' AT TIME ZONE 'Europe/Paris', NULL, 'order form 3')";
