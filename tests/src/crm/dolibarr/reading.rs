//! What the rows say to a person who reads them.

use super::*;
use crate::crm::reading::{self, Contact, Reading, fact, refusal, standing};

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
