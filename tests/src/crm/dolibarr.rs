//! Dolibarr: random rows, and what they say.

use super::load::{Value, copy};
use super::reading::{self, Contact, Reading, fact, refusal, standing};
use anyhow::Result;
use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Europe::Paris;
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::time::{Instant, from_local};
use postgres::Client;
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

/// Into a Dolibarr schema that has no rows yet.
pub fn load(all: &Dolibarr, client: &mut Client) -> Result<()> {
    for (n, code) in COUNTRIES.iter().enumerate() {
        client
            .execute("INSERT INTO llx_c_country (rowid, code) VALUES ($1, $2)", &[&(n as i32 + 1), code])?;
    }
    for (n, (label, parent)) in CATEGORIES.iter().enumerate() {
        let parent = if n == *parent { 0 } else { *parent as i32 + 1 };
        client.execute(
            "INSERT INTO llx_categorie (label, fk_parent, type) VALUES ($1, $2, 0)",
            &[label, &parent],
        )?;
    }
    client.batch_execute(
        "INSERT INTO llx_categorie (label, type) VALUES ('Clients', 2); INSERT INTO llx_mailing (statut) VALUES (3)",
    )?;
    for product in 1..=PRODUCTS as i32 {
        client.execute("INSERT INTO llx_product (ref) VALUES ($1)", &[&product.to_string()])?;
        for category in categories_of(product) {
            client.execute(
                "INSERT INTO llx_categorie_product VALUES ($1, $2)",
                &[&(category as i32 + 1), &product],
            )?;
        }
    }
    macro_rules! rows {
        ($table:literal, $columns:literal, $rows:expr, |$n:ident, $row:ident| $($value:expr),+) => {{
            let numbers: Vec<i32> = (1..=$rows.len() as i32).collect();
            copy(client, $table, $columns, $rows.iter().zip(&numbers).map(|($row, $n)| vec![$($value.text()),+]))?;
        }};
    }
    rows!(
        "llx_societe",
        "rowid, nom, status, fk_pays, fk_typent, tva_intra, email, phone",
        all.third_parties,
        |n, t| n,
        t.name,
        i32::from(t.open),
        t.country,
        t.kind,
        t.vat,
        t.email,
        t.phone
    );
    rows!(
        "llx_socpeople",
        "rowid, fk_soc, fk_pays, email, no_email, statut",
        all.people,
        |n, p| n,
        p.third_party,
        p.country,
        p.email,
        i32::from(p.no_email),
        i32::from(p.active)
    );
    rows!(
        "llx_facture",
        "rowid, ref, fk_soc, type, datef, datec, fk_statut, fk_facture_source",
        all.invoices,
        |n, f| n,
        n,
        f.third_party,
        f.kind,
        f.day,
        f.created,
        f.status,
        f.source
    );
    let lines: Vec<(i32, &Line)> =
        all.invoices.iter().zip(1..).flat_map(|(f, id)| f.lines.iter().map(move |l| (id, l))).collect();
    copy(
        client,
        "llx_facturedet",
        "fk_facture, fk_product, qty, total_ttc, special_code",
        lines.iter().map(|(invoice, l)| {
            vec![invoice.text(), l.product.text(), l.quantity.text(), l.total.text(), l.special.text()]
        }),
    )?;
    rows!(
        "llx_mailing_unsubscribe",
        "rowid, email, unsubscribegroup, date_creat, tms",
        all.unsubscriptions,
        |n, u| n,
        u.email,
        u.group,
        u.at,
        u.at
    );
    rows!(
        "llx_mailing_cibles",
        "rowid, fk_mailing, fk_contact, email, statut, date_envoi",
        all.recipients,
        |n, r| n,
        r.mailing,
        0,
        r.email,
        r.status,
        r.sent
    );
    for table in
        ["llx_societe", "llx_socpeople", "llx_facture", "llx_mailing_unsubscribe", "llx_mailing_cibles"]
    {
        client.batch_execute(&format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'rowid'), (SELECT max(rowid) FROM {table}))"
        ))?;
    }
    // The schema at hand leaves out the indexes that every Dolibarr has.
    client.batch_execute(
        "CREATE INDEX idx_facture_fk_soc ON llx_facture (fk_soc);
         CREATE INDEX idx_facturedet_fk_facture ON llx_facturedet (fk_facture);
         CREATE INDEX idx_socpeople_fk_soc ON llx_socpeople (fk_soc);
         ANALYZE",
    )?;
    Ok(())
}

/// What the DBA states after the binding, beside it.
pub const STATED: &str = "INSERT INTO consent_dolibarr.refusal_offered VALUES (1, timestamp '2021-01-01' AT TIME ZONE 'Europe/Paris', NULL, 'order form 3')";

impl ThirdParty {
    fn is_company(&self) -> bool {
        self.kind != Some(8) && (self.kind == Some(3) || self.vat == Some("FR123"))
    }
}

impl Dolibarr {
    /// What a person reads in these rows.
    pub fn read(&self, now: Instant) -> Reading {
        let mut reading = Reading::default();
        for (n, (name, parent)) in CATEGORIES.iter().enumerate() {
            let mut path = (*name).to_owned();
            let mut above = vec![n as u32 + 1];
            let (mut child, mut up) = (n, *parent);
            while child != up {
                path = format!("{} / {path}", CATEGORIES[up].0);
                above.push(up as u32 + 1);
                (child, up) = (up, CATEGORIES[up].1);
            }
            reading.categories.insert(path, above);
        }
        let country = |id: i32| (id > 0).then(|| COUNTRIES[id as usize - 1].to_owned());
        let written = |email: &Option<String>| email.clone().filter(|e| !e.trim().is_empty());
        for (t, id) in self.third_parties.iter().zip(1..) {
            let private = t.kind == Some(8);
            let email = written(&t.email);
            let role = !private && email.as_deref().is_some_and(reading::is_role);
            reading.contacts.push(Contact {
                key: format!("societe:{id}"),
                country: country(t.country).filter(|_| t.open),
                subscriber: match private {
                    true => Some(Subscriber::Individual),
                    false => {
                        (t.is_company() && reading::has_legal_form(&t.name)).then_some(Subscriber::Corporate)
                    }
                },
                address_kind: role.then_some(AddressKind::Role),
                email,
                phone: t.phone.clone(),
                ..Contact::default()
            });
        }
        for (p, id) in self.people.iter().zip(1..) {
            let works_at = p.third_party.map(|t| &self.third_parties[t as usize - 1]);
            let private = works_at.is_some_and(|t| t.kind == Some(8));
            let email = written(&p.email);
            let at_work = works_at.filter(|t| t.is_company()).is_some_and(|t| {
                email.as_deref().is_some_and(|e| reading::is_works_mailbox(e, &t.name, t.email.as_deref()))
            });
            let role = works_at.is_some() && !private && email.as_deref().is_some_and(reading::is_role);
            let home = country(p.country).or(works_at.and_then(|t| country(t.country)));
            reading.contacts.push(Contact {
                key: format!("socpeople:{id}"),
                country: home.filter(|_| p.active),
                subscriber: if private {
                    Some(Subscriber::Individual)
                } else {
                    at_work.then_some(Subscriber::Corporate)
                },
                address_kind: if role {
                    Some(AddressKind::Role)
                } else {
                    (at_work && !private).then_some(AddressKind::NamedWork)
                },
                email,
                facts: if p.no_email { vec![standing(Channel::Email.into())] } else { Vec::new() },
                ..Contact::default()
            });
        }
        let offered_since =
            OFFERED_SINCE.parse().map_or(Instant::MAX, |d: NaiveDate| local(d.and_time(NaiveTime::MIN)));
        for (f, id) in self.invoices.iter().zip(1..) {
            // Drafts and abandoned ones, deposits and credit notes sell nothing.
            if ![0, 1].contains(&f.kind) || ![1, 2].contains(&f.status) {
                continue;
            }
            let notes: Vec<&Invoice> = self
                .invoices_of(f.third_party)
                .filter(|c| c.kind == 2 && c.source == Some(id) && [1, 2].contains(&c.status))
                .collect();
            if notes.iter().any(|c| c.lines.is_empty()) {
                continue;
            }
            let credited: Vec<&Line> = notes.iter().flat_map(|c| &c.lines).collect();
            let at = local(f.day.map_or(f.created, |d| d.and_time(NaiveTime::MIN)));
            for l in f.lines.iter().filter(|l| l.quantity > 0.0 && l.total > 0.0 && l.special == 0) {
                if credited.iter().any(|c| c.product.is_none() || c.product == l.product) {
                    continue;
                }
                let mut categories: Vec<u32> = l
                    .product
                    .map_or(Vec::new(), |p| categories_of(p).iter().map(|c| *c as u32 + 1).collect());
                if categories.is_empty() {
                    categories.push(0);
                }
                let offered = if at >= offered_since { Tri::Yes } else { Tri::Unknown };
                let bought =
                    |category| Fact { category, opt_out_offered: offered, ..fact(EventKind::Purchase, at) };
                reading.contacts[f.third_party as usize - 1].facts.extend(categories.into_iter().map(bought));
            }
        }
        let email: enumset::EnumSet<Channel> = Channel::Email.into();
        for u in &self.unsubscriptions {
            let refused = u.at.map_or(standing(email), |t| refusal(email, local(t), local(t)));
            reading.by_address.push((Channel::Email, u.email.clone(), refused));
        }
        for r in self.recipients.iter().filter(|r| r.status == 3) {
            reading.by_address.push((Channel::Email, r.email.clone(), refusal(email, local(r.sent), now)));
        }
        reading
    }

    fn invoices_of(&self, third_party: i32) -> impl Iterator<Item = &Invoice> {
        // They were made in the order of their third parties.
        let first = self.invoices.partition_point(|f| f.third_party < third_party);
        self.invoices[first..].iter().take_while(move |f| f.third_party == third_party)
    }
}
