//! Writing a state.

use super::super::*;
use super::{DIRTY, INSTANT_BYTES, OVERFLOW, PROFILE, VERSION};
use crate::fact::Expiry;

struct Writer {
    bytes: Vec<u8>,
    horizon: i64,
}

impl Writer {
    fn u8(&mut self, v: u8) {
        self.bytes.push(v);
    }

    fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.bytes.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.bytes.push(v as u8);
    }

    fn u32(&mut self, v: u32) {
        self.bytes.extend_from_slice(&v.to_le_bytes());
    }

    fn instant(&mut self, t: Instant) {
        self.bytes.extend_from_slice(&t.0.to_le_bytes()[..INSTANT_BYTES]);
    }

    fn text(&mut self, s: &str) {
        // Regions and zone names are far shorter than 255 bytes; Profile::new has checked them.
        self.u8(s.len() as u8);
        self.bytes.extend_from_slice(s.as_bytes());
    }

    /// Whole seconds before the horizon; a second of it may lie after (contract ends dated ahead), hence zigzag.
    fn age(&mut self, t: Instant) {
        let age = self.horizon - t.seconds();
        self.varint(((age << 1) ^ (age >> 63)) as u64);
    }

    fn optional_age(&mut self, t: Option<Instant>) {
        self.u8(u8::from(t.is_some()));
        if let Some(t) = t {
            self.age(t);
        }
    }

    fn section(&mut self, atoms: &[Atom], section: usize) {
        let mut rest = atoms;
        while let Some(atom) = rest.first() {
            let same = match atom {
                Atom::Relation(first) => rest
                    .iter()
                    .take_while(|a| matches!(a, Atom::Relation(r) if (r.sender, r.class(), r.address) == (first.sender, first.class(), first.address)))
                    .count(),
                _ => 1,
            };
            if section_of(atom) == section {
                self.atom(atom, &rest[..same]);
            }
            rest = &rest[same..];
        }
    }

    fn atom(&mut self, atom: &Atom, group: &[Atom]) {
        self.u8(tag_of(atom));
        match atom {
            Atom::Restriction(r) => {
                self.u8(r.kind as u8
                    | u8::from(r.category != 0) << 4
                    | u8::from(r.other_contact != 0) << 5
                    | u8::from(r.everything) << 6);
                self.varint(r.sender.into());
                self.u8(r.channels.as_u8());
                if r.category != 0 {
                    self.varint(r.category.into());
                }
                if r.other_contact != 0 {
                    self.u32(r.other_contact);
                }
                self.instant(r.from);
                self.varint((r.lifted_after.0 - r.from.0) as u64);
            }
            Atom::Listing(l) => {
                self.u8(l.register as u8);
                self.varint(l.sender.into());
                self.u8(l.channels.as_u8());
                for t in [l.first_listed, l.last_listed, l.delisted] {
                    self.optional_age(t);
                }
            }
            Atom::OptIn(o) => {
                self.u8(o.method as u8 | (o.grade as u8) << 4);
                let expiry = match o.expires {
                    Expiry::Unstated => 0,
                    Expiry::Never => 1,
                    Expiry::At(_) => 2,
                };
                self.u8(u8::from(o.names_sender)
                    | u8::from(o.from_person) << 1
                    | u8::from(o.pending) << 2
                    | u8::from(o.category != 0) << 3
                    | u8::from(o.address != 0) << 4
                    | u8::from(o.other_contact != 0) << 5
                    | expiry << 6);
                self.varint(o.sender.into());
                self.u8(o.channels.as_u8());
                self.u8(o.purposes.as_u8());
                if o.category != 0 {
                    self.varint(o.category.into());
                }
                for tag in [o.address, o.other_contact] {
                    if tag != 0 {
                        self.u32(tag);
                    }
                }
                self.instant(o.at);
                if let Expiry::At(t) = o.expires {
                    self.instant(t);
                }
            }
            Atom::Confirmation(c) => {
                self.varint(c.sender.into());
                self.u8(c.channels.as_u8());
                self.u8(c.purposes.as_u8());
                self.u32(c.address);
                self.instant(c.at);
            }
            Atom::Relation(first) => {
                self.varint(first.sender.into());
                self.u32(first.class());
                self.u8(u8::from(first.address != 0));
                if first.address != 0 {
                    self.u32(first.address);
                }
                self.varint(group.len() as u64);
                let mut previous = 0;
                for member in group {
                    if let Atom::Relation(r) = member {
                        self.varint(u64::from(r.category - previous));
                        previous = r.category;
                        self.age(r.at);
                    }
                }
            }
            Atom::Contract(c) => {
                self.u8(c.kind as u8);
                self.varint(c.sender.into());
                self.varint(c.category.into());
                self.optional_age(c.started);
                self.optional_age(c.ended);
            }
            Atom::Action(a) => {
                self.u8(a.kind as u8);
                self.varint(a.sender.into());
                self.age(a.at);
            }
            Atom::Hold(h) => {
                self.optional_age(h.held);
                self.optional_age(h.released);
            }
            Atom::Sends(s) => {
                self.varint(s.sender.into());
                self.u8(s.channels.as_u8() | u8::from(s.compliant) << 7);
                self.age(s.first);
                self.age(s.last);
            }
            Atom::Transfer(t) => {
                self.varint(t.from.into());
                self.varint(t.to.into());
                self.age(t.at);
            }
        }
    }
}

fn tag_of(atom: &Atom) -> u8 {
    atom.key()[0] as u8
}

fn section_of(atom: &Atom) -> usize {
    match atom {
        Atom::Restriction(_) | Atom::Listing(_) => 0,
        Atom::OptIn(_) | Atom::Confirmation(_) => 1,
        Atom::Relation(_) => 2,
        Atom::Contract(_) | Atom::Action(_) | Atom::Hold(_) | Atom::Sends(_) | Atom::Transfer(_) => 3,
    }
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer { bytes: Vec::with_capacity(128), horizon: self.horizon.seconds() };
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        w.u8(VERSION);
        w.u8(flag(self.dirty, DIRTY) | flag(self.overflow, OVERFLOW) | flag(self.profile.is_some(), PROFILE));
        w.instant(self.horizon);
        if let Some(p) = &self.profile {
            w.instant(p.as_of);
            w.bytes.extend_from_slice(&p.country);
            w.u8(p.subscriber as u8 | (p.address_kind as u8) << 3 | (p.line as u8) << 5);
            w.text(&p.region);
            w.text(&p.zone);
            for a in &p.addresses {
                w.u8(u8::from(a.tag != 0) | u8::from(a.since.is_some()) << 1);
                if a.tag != 0 {
                    w.u32(a.tag);
                }
                if let Some(since) = a.since {
                    w.instant(since);
                }
            }
        }
        let mut body = Writer { bytes: Vec::with_capacity(128), horizon: w.horizon };
        for section in 0..4 {
            let start = body.bytes.len();
            body.section(&self.atoms, section);
            w.varint((body.bytes.len() - start) as u64);
        }
        w.bytes.extend_from_slice(&body.bytes);
        w.bytes
    }
}
