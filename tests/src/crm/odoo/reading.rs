//! What the rows say to a person who reads them.

use super::*;
use crate::crm::reading::{self, Contact, Reading, fact, refusal, standing, utc};

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
