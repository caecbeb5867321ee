//! Who the contact is: what the CRM says of the person and of the addresses in use.

use crate::codes::*;
use crate::country;
use crate::time::Instant;

/// The group of channels that share an address: a phone number serves texts and both kinds of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressGroup {
    Email,
    Phone,
    Post,
}

impl AddressGroup {
    pub const ALL: [AddressGroup; 3] = [AddressGroup::Email, AddressGroup::Phone, AddressGroup::Post];
}

impl Channel {
    pub const fn address_group(self) -> AddressGroup {
        match self {
            Channel::Email => AddressGroup::Email,
            Channel::Sms | Channel::PhoneLive | Channel::PhoneAuto => AddressGroup::Phone,
            Channel::Post => AddressGroup::Post,
        }
    }
}

/// An address in use: the tag of its hash, and since when. Facts that name no address and are older belong to an
/// earlier one: a new e-mail address starts from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AddressInUse {
    /// 0 where the CRM holds no such address.
    pub tag: u32,
    /// `None`: for as long as anything is known.
    pub since: Option<Instant>,
}

/// The latest profile wins as a whole (ordered by `as_of`, then by content, so that merging has one result
/// whatever the order).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Profile {
    pub as_of: Instant,
    /// ISO 3166-1 alpha-2; `ZZ` unknown.
    pub country: [u8; 2],
    /// The part of ISO 3166-2 after the hyphen; empty where unknown.
    pub region: String,
    /// IANA name; empty for the country's principal zone.
    pub zone: String,
    pub subscriber: Subscriber,
    pub address_kind: AddressKind,
    pub line: Line,
    /// Indexed by [`AddressGroup`].
    pub addresses: [AddressInUse; 3],
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    #[error("region is not ISO 3166-2 of the same country")]
    Region,
    #[error("time zone is not an IANA name")]
    Zone,
}

impl Profile {
    /// Checks and normalises what a binding view delivers; a country that is missing or can't be read is `ZZ`, which
    /// denies marketing.
    pub fn new(
        as_of: Instant,
        country: Option<&str>,
        region: Option<&str>,
        zone: Option<&str>,
    ) -> Result<Profile, ProfileError> {
        let country = country.and_then(country::code).unwrap_or(*b"ZZ");
        let region = match region.map(str::trim).filter(|r| !r.is_empty()) {
            None => String::new(),
            Some(r) => {
                let own = |c: &str| country::code(c) == Some(country);
                let part = r.split_once('-').filter(|(c, _)| own(c)).map(|(_, p)| p.to_ascii_uppercase());
                part.filter(|p| (1..=3).contains(&p.len())).ok_or(ProfileError::Region)?
            }
        };
        let zone = match zone.map(str::trim).filter(|z| !z.is_empty()) {
            None => String::new(),
            Some(z) => z.parse::<chrono_tz::Tz>().map_err(|_| ProfileError::Zone)?.name().to_owned(),
        };
        Ok(Profile {
            as_of,
            country,
            region,
            zone,
            subscriber: Subscriber::Unknown,
            address_kind: AddressKind::Unknown,
            line: Line::Unknown,
            addresses: [AddressInUse::default(); 3],
        })
    }
}
