//! Odoo: random rows, and what they say.

use super::load::{Value, copy};
use super::reading::{self, Contact, Reading, fact, refusal, standing, utc};
use anyhow::Result;
use chrono::{Duration, NaiveDateTime};
use pg_consent_policy::codes::*;
use pg_consent_policy::fact::Fact;
use pg_consent_policy::time::Instant;
use postgres::Client;
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

/// Into an Odoo schema that has no rows yet.
pub fn load(odoo: &Odoo, client: &mut Client) -> Result<()> {
    client.batch_execute("INSERT INTO res_company (name) VALUES ('Shop Ltd')")?;
    for code in COUNTRIES {
        client.execute(
            "INSERT INTO res_country (name, code) VALUES (jsonb_build_object('en_US', $1::text), $1)",
            &[code],
        )?;
    }
    for (n, (name, parent)) in CATEGORIES.iter().enumerate() {
        let parent = (n > 0).then_some(*parent as i32 + 1);
        client.execute("INSERT INTO product_category (name, parent_id) VALUES ($1, $2)", &[name, &parent])?;
    }
    client.batch_execute(&format!(
        "INSERT INTO product_template (name, categ_id) SELECT '{{}}', 1 + n % {categories} FROM generate_series(1, {PRODUCTS}) n;
         INSERT INTO product_product (product_tmpl_id) SELECT id FROM product_template ORDER BY id;
         INSERT INTO mailing_list (name) VALUES ('a'), ('b'), ('c');
         INSERT INTO mailing_mailing (mailing_type, state) VALUES ('mail', 'done');
         INSERT INTO privacy_activity (name, controller_id) VALUES ('{{}}', 1), ('{{}}', 1)",
        categories = CATEGORIES.len()
    ))?;
    macro_rules! rows {
        ($table:literal, $columns:literal, $rows:expr, |$n:ident, $row:ident| $($value:expr),+) => {{
            let numbers: Vec<i32> = (1..=$rows.len() as i32).collect();
            copy(client, $table, $columns, $rows.iter().zip(&numbers).map(|($row, $n)| vec![$($value.text()),+]))?;
        }};
    }
    rows!(
        "res_partner",
        "id, name, active, is_company, parent_id, commercial_partner_id, type, country_id, street, email, email_normalized, mobile, phone_sanitized, create_date, write_date",
        odoo.partners,
        |n, p| n,
        p.name,
        p.active,
        p.is_company,
        p.parent,
        p.commercial,
        p.r#type,
        p.country,
        p.street,
        p.email,
        p.normalized,
        p.mobile,
        p.sanitized,
        p.created,
        p.written
    );
    rows!(
        "mailing_contact",
        "id, email, email_normalized, country_id, create_date",
        odoo.members,
        |n, m| n,
        m.email,
        m.normalized,
        m.country,
        m.created
    );
    rows!(
        "sale_order",
        "id, name, company_id, partner_id, partner_invoice_id, partner_shipping_id, website_id, state, date_order, amount_total",
        odoo.orders,
        |n, o| n,
        n,
        1,
        o.partner,
        o.partner,
        o.partner,
        o.website,
        o.state,
        o.at,
        o.total
    );
    let lines: Vec<(i32, &Line)> =
        odoo.orders.iter().zip(1..).flat_map(|(o, id)| o.lines.iter().map(move |l| (id, l))).collect();
    copy(
        client,
        "sale_order_line",
        "order_id, product_id, display_type, name, product_uom_qty, price_total, is_downpayment",
        lines.iter().map(|(order, l)| {
            vec![
                order.text(),
                l.product.text(),
                l.display.text(),
                "line".text(),
                l.quantity.text(),
                l.price.text(),
                l.downpayment.text(),
            ]
        }),
    )?;
    rows!(
        "mail_blacklist",
        "id, email, active, create_date, write_date",
        odoo.blacklist,
        |n, b| n,
        b.address,
        b.active,
        b.created,
        b.written
    );
    rows!(
        "phone_blacklist",
        "id, number, active, create_date, write_date",
        odoo.phones,
        |n, b| n,
        b.address,
        b.active,
        b.created,
        b.written
    );
    rows!(
        "mailing_subscription",
        "id, contact_id, list_id, opt_out, opt_out_datetime, create_date",
        odoo.subscriptions,
        |n, s| n,
        s.member,
        s.list,
        s.opt_out,
        s.opt_out_at,
        s.created
    );
    rows!(
        "mailing_trace",
        "id, trace_type, model, res_id, mass_mailing_id, sent_datetime, open_datetime, reply_datetime, links_click_datetime, trace_status",
        odoo.traces,
        |n, t| n,
        "mail",
        t.model,
        t.id,
        1,
        t.sent,
        t.opened,
        t.replied,
        t.clicked,
        t.status
    );
    rows!(
        "mail_unsubscription",
        "id, date, email, action, mass_mailing_id",
        odoo.unsubscriptions,
        |n, u| n,
        u.at,
        u.email,
        u.action,
        1
    );
    rows!(
        "privacy_consent",
        "id, partner_id, activity_id, accepted, last_metadata, state, active, create_date, write_date",
        odoo.answers,
        |n, a| n,
        a.partner,
        a.activity,
        a.accepted,
        a.metadata,
        a.state,
        a.active,
        a.created,
        a.written
    );
    for table in [
        "res_partner",
        "mailing_contact",
        "sale_order",
        "mail_blacklist",
        "phone_blacklist",
        "mailing_subscription",
        "mailing_trace",
        "mail_unsubscription",
        "privacy_consent",
    ] {
        client.batch_execute(&format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table})); ANALYZE {table}"))?;
    }
    client.batch_execute("ANALYZE")?;
    Ok(())
}

/// What the DBA states after the binding, beside it.
pub const STATED: &str = "
    INSERT INTO consent_odoo.refusal_offered VALUES (1, '2021-01-01Z', NULL, 'footer of the checkout');
    INSERT INTO consent_odoo.privacy_activity VALUES (1, '{marketing,newsletter}', '{email}', 'newsletter, 2020');";

/// Of a field with several addresses nobody can say which is used.
fn in_use(email: &Option<String>, normalized: &Option<String>) -> Option<String> {
    let several = email.as_deref().is_some_and(|e| e.matches('@').count() > 1);
    if several { email.clone() } else { normalized.clone().or(email.clone()) }
}

impl Odoo {
    /// What a person reads in these rows.
    pub fn read(&self, now: Instant) -> Reading {
        let mut reading = Reading::default();
        for (n, (name, parent)) in CATEGORIES.iter().enumerate() {
            let mut path = (*name).to_owned();
            let mut above = vec![n as u32 + 1];
            let (mut child, mut up) = (n, *parent);
            while child != 0 {
                path = format!("{} / {path}", CATEGORIES[up].0);
                above.push(up as u32 + 1);
                (child, up) = (up, CATEGORIES[up].1);
            }
            reading.categories.insert(path, above);
        }
        reading.contacts.extend(self.partners.iter().zip(1..).map(|(p, id)| self.read_partner(p, id)));
        reading.contacts.extend(self.members.iter().zip(1..).map(|(m, id)| Contact {
            key: format!("mailing.contact:{id}"),
            country: m.country.map(|c| COUNTRIES[c as usize - 1].to_owned()),
            email: in_use(&m.email, &m.normalized),
            ..Contact::default()
        }));
        self.read_orders(&mut reading.contacts);
        self.read_refusals(&mut reading, now);
        self.read_engagement(&mut reading.contacts);
        reading
    }

    fn read_partner(&self, p: &Partner, id: i32) -> Contact {
        let company = p.commercial.map(|c| &self.partners[c as usize - 1]);
        let archived = p.active != Some(true);
        let country = p.country.or(company.and_then(|c| c.country));
        let email = in_use(&p.email, &p.normalized);
        let is_company = p.is_company == Some(true);
        let works_at = company.filter(|_| !is_company && p.commercial != Some(id));
        let at_work = works_at.is_some_and(|c| c.is_company == Some(true))
            && works_at.is_some_and(|c| {
                let theirs = c.normalized.as_deref().or(c.email.as_deref());
                email.as_deref().is_some_and(|e| reading::is_works_mailbox(e, &c.name, theirs))
            });
        let role = (is_company || works_at.is_some()) && email.as_deref().is_some_and(reading::is_role);
        Contact {
            key: format!("res.partner:{id}"),
            country: country.filter(|_| !archived).map(|c| COUNTRIES[c as usize - 1].to_owned()),
            subscriber: (is_company && reading::has_legal_form(&p.name) || at_work)
                .then_some(Subscriber::Corporate),
            address_kind: if role {
                Some(AddressKind::Role)
            } else {
                at_work.then_some(AddressKind::NamedWork)
            },
            email,
            phone: if archived { p.sanitized.clone() } else { p.sanitized.clone().or(p.mobile.clone()) },
            ..Contact::default()
        }
    }

    fn read_orders(&self, contacts: &mut [Contact]) {
        let offered_since = OFFERED_SINCE.parse().map_or(Instant::MAX, utc);
        for order in &self.orders {
            let buyer = &self.partners[order.partner as usize - 1];
            // An invoice or delivery address is nobody's who buys; what cost nothing was not sold.
            if !matches!(buyer.r#type, None | Some("contact")) || order.total <= 0.0 {
                continue;
            }
            let kind = match (order.state, order.website) {
                ("sale" | "done", _) => EventKind::Purchase,
                ("draft" | "sent", Some(_)) => EventKind::Basket,
                _ => continue,
            };
            for line in &order.lines {
                if line.display.is_some()
                    || line.downpayment == Some(true)
                    || line.quantity <= 0.0
                    || line.price <= 0.0
                {
                    continue;
                }
                let category = line.product.map_or(0, |p| 1 + p as u32 % CATEGORIES.len() as u32);
                let offered = order.website == Some(1) && utc(order.at) >= offered_since;
                contacts[order.partner as usize - 1].facts.push(Fact {
                    category,
                    opt_out_offered: if offered { Tri::Yes } else { Tri::Unknown },
                    ..fact(kind, utc(order.at))
                });
            }
        }
    }

    fn read_refusals(&self, reading: &mut Reading, now: Instant) {
        let first_member = self.partners.len();
        let mut by_email: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut by_phone: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (n, p) in self.partners.iter().enumerate() {
            if let Some(email) = &p.normalized {
                by_email.entry(email).or_default().push(n);
            }
            if let Some(phone) = &p.sanitized {
                by_phone.entry(phone).or_default().push(n);
            }
        }
        for (n, m) in self.members.iter().enumerate() {
            if let Some(email) = &m.normalized {
                by_email.entry(email).or_default().push(first_member + n);
            }
        }
        let lists = [(&self.blacklist, &by_email, Channel::Email), (&self.phones, &by_phone, Channel::Sms)];
        for (list, holders, channel) in lists {
            let channels =
                if channel == Channel::Email { channel.into() } else { reading::calls_and_texts() };
            for entry in list {
                let refused = if entry.active == Some(true) {
                    standing(channels)
                } else {
                    let taken_off = entry.written.map_or(entry.created, |w| w.max(entry.created));
                    refusal(channels, utc(entry.created), utc(taken_off))
                };
                for holder in holders.get(entry.address.as_str()).into_iter().flatten() {
                    reading.contacts[*holder].facts.push(refused.clone());
                }
                reading.by_address.push((channel, entry.address.clone(), refused));
            }
        }
        for s in &self.subscriptions {
            if s.opt_out == Some(true) {
                let email = Channel::Email.into();
                let refused = s.opt_out_at.map_or(standing(email), |t| refusal(email, utc(t), utc(t)));
                let n = first_member + s.member as usize - 1;
                let member = &self.members[s.member as usize - 1];
                // The list names the first of several addresses, whatever else stands in the field.
                if let Some(first) = &member.normalized
                    && in_use(&member.email, &member.normalized).as_ref() != Some(first)
                {
                    let theirs = Fact { other_contact: n as u32 + 1, ..refused.clone() };
                    reading.by_address.push((Channel::Email, first.clone(), theirs));
                }
                reading.contacts[n].facts.push(refused);
            }
        }
        for u in
            self.unsubscriptions.iter().filter(|u| ["unsubscription", "blacklist_add"].contains(&u.action))
        {
            let refused = refusal(Channel::Email.into(), utc(u.at), utc(u.at));
            reading.by_address.push((Channel::Email, u.email.clone(), refused));
        }
        for a in self.answers.iter().filter(|a| a.state == "answered") {
            let said = if a.accepted != Some(true) {
                refusal(enumset::EnumSet::all(), utc(a.written), now)
            } else if a.activity == NEWSLETTER_ACTIVITY && a.active {
                Fact {
                    purposes: Purpose::Marketing | Purpose::Newsletter,
                    method: Some(Method::Active),
                    grade: if a.metadata.is_some() { Grade::Proof } else { Grade::None },
                    ..fact(EventKind::OptIn, utc(a.created))
                }
            } else {
                continue;
            };
            reading.contacts[a.partner as usize - 1].facts.push(said);
        }
    }

    fn read_engagement(&self, contacts: &mut [Contact]) {
        for t in &self.traces {
            let contact = match t.model {
                "res.partner" => t.id as usize - 1,
                "mailing.contact" => self.partners.len() + t.id as usize - 1,
                _ => continue,
            };
            let by_a_person = |c: NaiveDateTime| t.sent.is_some_and(|s| c - s >= Duration::seconds(10));
            if let Some(clicked) = t.clicked.filter(|c| by_a_person(*c)) {
                contacts[contact].facts.push(fact(EventKind::Click, utc(clicked)));
            }
            if let Some(replied) = t.replied {
                contacts[contact].facts.push(fact(EventKind::InboundContact, utc(replied)));
            }
        }
    }
}
