//! The stored form of a state.
//!
//! ```text
//! version u8 · flags u8 · horizon i48 · [profile] · lengths of 4 sections (varint) · sections
//! ```
//! Sections: restrictions and listings; opt-ins and confirmations; relationships; contracts, actions and holds.
//! They are apart so that a decision reads only what it needs. Times of restrictions and opt-ins are
//! milliseconds (i48, little endian); the others are whole seconds before the horizon (varint), which fits a
//! category bought from into about five bytes. Nothing is aligned: a stored value may begin anywhere.

use super::*;
use crate::fact::Expiry;
use crate::profile::AddressInUse;

/// A reader of another version denies rather than guesses.
pub const VERSION: u8 = 1;

/// Above about 2 kB PostgreSQL moves a value out of its row, and reading it costs 23 times as much.
pub const MAX_STATE_BYTES: usize = 1900;

/// Bytes that are no state of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a consent state of a known version")]
pub struct Corrupt;

type Read<T> = Result<T, Corrupt>;

const DIRTY: u8 = 1;
const OVERFLOW: u8 = 2;
const PROFILE: u8 = 4;
const INSTANT_BYTES: usize = 6;

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
                self.u8(r.kind as u8 | u8::from(r.category != 0) << 4 | u8::from(r.other_contact != 0) << 5);
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
                self.u32(c.address);
                self.instant(c.at);
            }
            Atom::Relation(first) => {
                self.varint(first.sender.into());
                self.bytes.extend_from_slice(&first.class().to_le_bytes()[..3]);
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
        Atom::Contract(_) | Atom::Action(_) | Atom::Hold(_) => 3,
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
        let mut sections = Vec::with_capacity(4);
        for section in 0..4 {
            let mut part = Writer { bytes: Vec::new(), horizon: w.horizon };
            part.section(&self.atoms, section);
            sections.push(part.bytes);
        }
        for s in &sections {
            w.varint(s.len() as u64);
        }
        for s in &sections {
            w.bytes.extend_from_slice(s);
        }
        w.bytes
    }

    pub fn decode(bytes: &[u8]) -> Read<State> {
        let view = StateView::new(bytes)?;
        let atoms = (0..4).flat_map(|s| view.section(s)).collect::<Read<Vec<_>>>()?;
        if atoms.windows(2).any(|w| w[0].key() > w[1].key()) {
            return Err(Corrupt);
        }
        Ok(State {
            horizon: view.horizon,
            dirty: view.dirty,
            overflow: view.overflow,
            profile: view.profile.map(|p| p.to_owned()),
            atoms,
        })
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.bytes.split_at_checked(n).ok_or(Corrupt)?;
        self.bytes = rest;
        Ok(head)
    }

    fn u8(&mut self) -> Read<u8> {
        let (first, rest) = self.bytes.split_first().ok_or(Corrupt)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Read<u64> {
        let mut v = 0;
        for shift in (0..63).step_by(7) {
            let b = self.u8()?;
            v |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(v);
            }
        }
        Err(Corrupt)
    }

    fn number(&mut self) -> Read<u32> {
        u32::try_from(self.varint()?).map_err(|_| Corrupt)
    }

    fn u32(&mut self) -> Read<u32> {
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Corrupt)
    }

    fn instant(&mut self) -> Read<Instant> {
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(self.take(INSTANT_BYTES)?);
        // The six bytes stand in the upper part; the arithmetic shift restores the sign.
        Ok(Instant(i64::from_le_bytes(wide) >> 16))
    }

    fn text(&mut self) -> Read<&'a str> {
        let n = self.u8()?;
        std::str::from_utf8(self.take(n.into())?).map_err(|_| Corrupt)
    }

    fn age(&mut self, horizon: i64) -> Read<Instant> {
        let z = self.varint()?;
        let age = (z >> 1) as i64 ^ -((z & 1) as i64);
        Ok(Instant::from_seconds(horizon.checked_sub(age).ok_or(Corrupt)?))
    }

    fn optional_age(&mut self, horizon: i64) -> Read<Option<Instant>> {
        match self.u8()? {
            0 => Ok(None),
            1 => self.age(horizon).map(Some),
            _ => Err(Corrupt),
        }
    }

    fn channels(&mut self) -> Read<EnumSet<Channel>> {
        EnumSet::try_from_u8(self.u8()?).ok_or(Corrupt)
    }
}

/// The profile, borrowed from the stored bytes.
#[derive(Debug, Clone, Copy)]
pub struct ProfileView<'a> {
    pub as_of: Instant,
    pub country: [u8; 2],
    pub region: &'a str,
    pub zone: &'a str,
    pub subscriber: Subscriber,
    pub address_kind: AddressKind,
    pub line: Line,
    pub addresses: [AddressInUse; 3],
}

impl ProfileView<'_> {
    fn to_owned(self) -> Profile {
        Profile {
            as_of: self.as_of,
            country: self.country,
            region: self.region.to_owned(),
            zone: self.zone.to_owned(),
            subscriber: self.subscriber,
            address_kind: self.address_kind,
            line: self.line,
            addresses: self.addresses,
        }
    }
}

/// A state read in place.
#[derive(Clone, Copy)]
pub struct StateView<'a> {
    pub horizon: Instant,
    pub dirty: bool,
    pub overflow: bool,
    pub profile: Option<ProfileView<'a>>,
    sections: [&'a [u8]; 4],
}

impl<'a> StateView<'a> {
    pub fn new(bytes: &'a [u8]) -> Read<StateView<'a>> {
        let mut r = Reader { bytes };
        if r.u8()? != VERSION {
            return Err(Corrupt);
        }
        let flags = r.u8()?;
        if flags & !(DIRTY | OVERFLOW | PROFILE) != 0 {
            return Err(Corrupt);
        }
        let horizon = r.instant()?;
        let profile = if flags & PROFILE != 0 { Some(read_profile(&mut r)?) } else { None };
        let mut sections = [&[][..]; 4];
        let mut lengths = [0; 4];
        for length in &mut lengths {
            *length = r.number()? as usize;
        }
        for (section, length) in sections.iter_mut().zip(lengths) {
            *section = r.take(length)?;
        }
        if !r.bytes.is_empty() {
            return Err(Corrupt);
        }
        Ok(StateView {
            horizon,
            dirty: flags & DIRTY != 0,
            overflow: flags & OVERFLOW != 0,
            profile,
            sections,
        })
    }

    fn section(&self, section: usize) -> Atoms<'a> {
        Atoms {
            reader: Reader { bytes: self.sections[section] },
            horizon: self.horizon.seconds(),
            group: None,
        }
    }

    /// Restrictions and register listings.
    pub fn restrictions(&self) -> Atoms<'a> {
        self.section(0)
    }

    /// Opt-ins and confirmations.
    pub fn opt_ins(&self) -> Atoms<'a> {
        self.section(1)
    }

    pub fn relations(&self) -> Atoms<'a> {
        self.section(2)
    }

    /// Contracts, the person's actions, holds.
    pub fn activity(&self) -> Atoms<'a> {
        self.section(3)
    }
}

fn read_profile<'a>(r: &mut Reader<'a>) -> Read<ProfileView<'a>> {
    let as_of = r.instant()?;
    let country = r.take(2)?.try_into().map_err(|_| Corrupt)?;
    let packed = r.u8()?;
    let region = r.text()?;
    let zone = r.text()?;
    let mut addresses = [AddressInUse::default(); 3];
    for a in &mut addresses {
        let present = r.u8()?;
        a.tag = if present & 1 != 0 { r.u32()? } else { 0 };
        a.since = if present & 2 != 0 { Some(r.instant()?) } else { None };
    }
    Ok(ProfileView {
        as_of,
        country,
        region,
        zone,
        subscriber: Subscriber::at(packed & 7).ok_or(Corrupt)?,
        address_kind: AddressKind::at(packed >> 3 & 3).ok_or(Corrupt)?,
        line: Line::at(packed >> 5).ok_or(Corrupt)?,
        addresses,
    })
}

/// The atoms of one section. Ends after the first error.
pub struct Atoms<'a> {
    reader: Reader<'a>,
    horizon: i64,
    /// The rest of a group of relationships that differ in category and time only.
    group: Option<(Relation, u64)>,
}

impl Iterator for Atoms<'_> {
    type Item = Read<Atom>;

    fn next(&mut self) -> Option<Read<Atom>> {
        if self.group.is_none() && self.reader.bytes.is_empty() {
            return None;
        }
        let atom = self.read();
        if atom.is_err() {
            self.reader.bytes = &[];
            self.group = None;
        }
        Some(atom)
    }
}

impl Atoms<'_> {
    fn read(&mut self) -> Read<Atom> {
        if let Some((previous, left)) = self.group.take() {
            return self.read_group_member(previous, left);
        }
        let horizon = self.horizon;
        let r = &mut self.reader;
        Ok(match r.u8()? {
            0 => Atom::Restriction(read_restriction(r)?),
            1 => Atom::Listing(Listing {
                register: Register::at(r.u8()?).ok_or(Corrupt)?,
                sender: r.number()?,
                channels: r.channels()?,
                first_listed: r.optional_age(horizon)?,
                last_listed: r.optional_age(horizon)?,
                delisted: r.optional_age(horizon)?,
            }),
            2 => Atom::OptIn(read_opt_in(r)?),
            3 => Atom::Confirmation(Confirmation {
                sender: r.number()?,
                channels: r.channels()?,
                address: r.u32()?,
                at: r.instant()?,
            }),
            4 => {
                let (class, left) = read_relation_class(r)?;
                return self.read_group_member(class, left);
            }
            5 => Atom::Contract(Contract {
                kind: EventKind::at(r.u8()?).ok_or(Corrupt)?,
                sender: r.number()?,
                category: r.number()?,
                started: r.optional_age(horizon)?,
                ended: r.optional_age(horizon)?,
            }),
            6 => Atom::Action(Action {
                kind: EventKind::at(r.u8()?).ok_or(Corrupt)?,
                sender: r.number()?,
                at: r.age(horizon)?,
            }),
            7 => Atom::Hold(Hold { held: r.optional_age(horizon)?, released: r.optional_age(horizon)? }),
            _ => return Err(Corrupt),
        })
    }

    fn read_group_member(&mut self, previous: Relation, left: u64) -> Read<Atom> {
        let category = previous.category.checked_add(self.reader.number()?).ok_or(Corrupt)?;
        let relation = Relation { category, at: self.reader.age(self.horizon)?, ..previous };
        self.group = (left > 1).then_some((relation, left - 1));
        Ok(Atom::Relation(relation))
    }
}

fn read_restriction(r: &mut Reader<'_>) -> Read<Restriction> {
    let packed = r.u8()?;
    let sender = r.number()?;
    let channels = r.channels()?;
    let category = if packed & 0x10 != 0 { r.number()? } else { 0 };
    let other_contact = if packed & 0x20 != 0 { r.u32()? } else { 0 };
    let from = r.instant()?;
    Ok(Restriction {
        kind: *RestrictionKind::ALL.get(usize::from(packed & 0xf)).ok_or(Corrupt)?,
        sender,
        channels,
        category,
        other_contact,
        from,
        lifted_after: Instant(from.0.checked_add_unsigned(r.varint()?).ok_or(Corrupt)?),
    })
}

fn read_opt_in(r: &mut Reader<'_>) -> Read<OptIn> {
    let how = r.u8()?;
    let flags = r.u8()?;
    let sender = r.number()?;
    let channels = r.channels()?;
    let purposes = EnumSet::try_from_u8(r.u8()?).ok_or(Corrupt)?;
    let category = if flags & 8 != 0 { r.number()? } else { 0 };
    let address = if flags & 16 != 0 { r.u32()? } else { 0 };
    let other_contact = if flags & 32 != 0 { r.u32()? } else { 0 };
    let at = r.instant()?;
    Ok(OptIn {
        sender,
        channels,
        purposes,
        category,
        address,
        other_contact,
        method: Method::at(how & 0xf).ok_or(Corrupt)?,
        grade: Grade::at(how >> 4).ok_or(Corrupt)?,
        names_sender: flags & 1 != 0,
        from_person: flags & 2 != 0,
        pending: flags & 4 != 0,
        expires: match flags >> 6 {
            0 => Expiry::Unstated,
            1 => Expiry::Never,
            2 => Expiry::At(r.instant()?),
            _ => return Err(Corrupt),
        },
        at,
    })
}

/// The head of a group of relationships: what they share, and how many follow.
fn read_relation_class(r: &mut Reader<'_>) -> Read<(Relation, u64)> {
    let sender = r.number()?;
    let class = r.take(3)?;
    let class = u32::from_le_bytes([class[0], class[1], class[2], 0]);
    let address = if r.u8()? != 0 { r.u32()? } else { 0 };
    let left = r.varint()?;
    if left == 0 {
        return Err(Corrupt);
    }
    let bits = |shift: u32, width: u32| (class >> shift & ((1 << width) - 1)) as u8;
    let relation = Relation {
        kind: EventKind::at(bits(0, 8)).ok_or(Corrupt)?,
        sender,
        category: 0,
        channels: EnumSet::try_from_u8(bits(8, 5)).ok_or(Corrupt)?,
        address,
        opt_out_offered: Tri::at(bits(13, 2)).ok_or(Corrupt)?,
        from_person: bits(15, 1) != 0,
        grade: Grade::at(bits(16, 2)).ok_or(Corrupt)?,
        funded_by_paid: bits(18, 1) != 0,
        refusal_notice: Tri::at(bits(19, 2)).ok_or(Corrupt)?,
        relevant_to_role: Tri::at(bits(21, 2)).ok_or(Corrupt)?,
        at: Instant::MIN,
    };
    Ok((relation, left))
}
