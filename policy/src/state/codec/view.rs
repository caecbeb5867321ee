//! Reading a state in place.

use super::super::*;
use super::{Corrupt, DIRTY, INSTANT_BYTES, OVERFLOW, PROFILE, Read, VERSION};
use crate::fact::Expiry;
use crate::profile::AddressInUse;

impl State {
    pub fn decode(bytes: &[u8]) -> Read<State> {
        let view = StateView::new(bytes)?;
        let atoms = view.atoms().collect::<Read<Vec<_>>>()?;
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
        // Most numbers are one byte: senders, categories apart by little.
        if let Some((&first, rest)) = self.bytes.split_first()
            && first < 0x80
        {
            self.bytes = rest;
            return Ok(u64::from(first));
        }
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
    pub fn to_owned(self) -> Profile {
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
            latest: None,
            left: 0,
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

    pub fn relations(&self) -> Relations<'a> {
        Relations(self.section(2))
    }

    /// Relationships and opt-ins: how the person came to be written to.
    pub fn dealings(&self) -> impl Iterator<Item = Read<Atom>> + use<'a> {
        self.relations().map(|r| r.map(Atom::Relation)).chain(self.opt_ins())
    }

    /// Of all sections.
    pub fn atoms(&self) -> impl Iterator<Item = Read<Atom>> + use<'a> {
        let view = *self;
        (0..4).flat_map(move |s| view.section(s))
    }

    /// Contracts, the person's actions, holds, runs of messages, transfers.
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
    /// The latest of a group of relationships that differ in category and time only...
    latest: Option<Relation>,
    /// ...and how many of it are still to come.
    left: u64,
}

/// The atoms of the section of relationships, which are most of all atoms. Ends after the first error.
pub struct Relations<'a>(Atoms<'a>);

impl Iterator for Atoms<'_> {
    type Item = Read<Atom>;

    fn next(&mut self) -> Option<Read<Atom>> {
        if self.is_at_its_end() {
            return None;
        }
        let atom = if self.left > 0 { self.group_member().map(Atom::Relation) } else { self.read() };
        Some(atom.inspect_err(|_| self.end()))
    }
}

impl Iterator for Relations<'_> {
    type Item = Read<Relation>;

    #[inline]
    fn next(&mut self) -> Option<Read<Relation>> {
        if self.0.is_at_its_end() {
            return None;
        }
        let relation = if self.0.left > 0 { self.0.group_member() } else { self.0.group() };
        Some(relation.inspect_err(|_| self.0.end()))
    }
}

impl Atoms<'_> {
    #[inline]
    fn is_at_its_end(&self) -> bool {
        self.left == 0 && self.reader.bytes.is_empty()
    }

    fn end(&mut self) {
        self.reader.bytes = &[];
        self.left = 0;
    }

    fn read(&mut self) -> Read<Atom> {
        if self.reader.bytes.first() == Some(&RELATIONS) {
            return self.group().map(Atom::Relation);
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
                purposes: EnumSet::try_from_u8(r.u8()?).ok_or(Corrupt)?,
                address: r.u32()?,
                at: r.instant()?,
            }),
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
            8 => {
                let sender = r.number()?;
                let packed = r.u8()?;
                Atom::Sends(Sends {
                    sender,
                    channels: EnumSet::try_from_u8(packed & 0x7f).ok_or(Corrupt)?,
                    compliant: packed & 0x80 != 0,
                    first: r.age(horizon)?,
                    last: r.age(horizon)?,
                })
            }
            9 => Atom::Transfer(Transfer { from: r.number()?, to: r.number()?, at: r.age(horizon)? }),
            _ => return Err(Corrupt),
        })
    }

    /// The first of a group.
    fn group(&mut self) -> Read<Relation> {
        if self.reader.u8()? != RELATIONS {
            return Err(Corrupt);
        }
        let (class, left) = read_relation_class(&mut self.reader)?;
        (self.latest, self.left) = (Some(class), left);
        self.group_member()
    }

    #[inline]
    fn group_member(&mut self) -> Read<Relation> {
        let relation = self.latest.as_mut().ok_or(Corrupt)?;
        relation.category = relation.category.checked_add(self.reader.number()?).ok_or(Corrupt)?;
        relation.at = self.reader.age(self.horizon)?;
        self.left -= 1;
        Ok(*relation)
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
        everything: packed & 0x40 != 0,
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

/// The mark of a group of relationships.
const RELATIONS: u8 = 4;

/// The head of a group of relationships: what they share, and how many follow.
fn read_relation_class(r: &mut Reader<'_>) -> Read<(Relation, u64)> {
    let sender = r.number()?;
    let class = r.u32()?;
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
        purposes: EnumSet::try_from_u8(bits(23, 6)).ok_or(Corrupt)?,
        referred: bits(29, 1) != 0,
        at: Instant::MIN,
    };
    Ok((relation, left))
}
