//! Addresses are compared, never stored: each is normalised by a maintained parser and hashed under a key.
//!
//! HMAC-SHA-256 rather than a plain hash, because a plain hash of an e-mail address can be found by trying
//! (CNIL, Spartoo: pseudonymisation, not anonymisation).

mod mailbox;

use crate::codes::Channel;
use crate::country;
use crate::profile::AddressGroup;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Raised when normalisation changes: hashes of another version can't be compared. It is part of a key's fingerprint, so
/// that data of another version denies rather than hides its suppressions. Once one is released, its normaliser stays
/// for look-up, as old keys do.
pub const NORMALISER_VERSION: u8 = 2;

/// The shortest key accepted, in bytes.
pub const MIN_KEY_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("malformed e-mail address")]
    Email,
    #[error("malformed phone number")]
    Phone,
    #[error("empty postal address")]
    Post,
    #[error("the key is shorter than 32 bytes")]
    Key,
}

/// The form in which two spellings of one address are equal: `"Name" <A@B.c>` is `a@b.c`, a phone number is
/// E.164 (read in `country`, in any spelling of [`country::code`], where it has no prefix), a postal address its words
/// in lower case.
pub fn normalise(channel: Channel, address: &str, country: &str) -> Result<String, AddressError> {
    match channel.address_group() {
        AddressGroup::Email => mailbox::normalise(address),
        AddressGroup::Phone => normalise_phone(address, country),
        AddressGroup::Post => {
            let words: Vec<_> =
                address.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
            if words.is_empty() { Err(AddressError::Post) } else { Ok(words.join(" ").to_lowercase()) }
        }
    }
}

fn normalise_phone(number: &str, country: &str) -> Result<String, AddressError> {
    let country = country::code(country).and_then(|c| std::str::from_utf8(&c).ok()?.parse().ok());
    let parsed = phonenumber::parse(country, number).map_err(|_| AddressError::Phone)?;
    if !phonenumber::is_valid(&parsed) {
        return Err(AddressError::Phone);
    }
    Ok(parsed.format().mode(phonenumber::Mode::E164).to_string())
}

/// The keyed hash of a normalised address.
pub fn hash(key: &[u8], channel: Channel, normalised: &str) -> Result<[u8; 32], AddressError> {
    let mut mac = mac(key)?;
    mac.update(&[NORMALISER_VERSION, channel.address_group() as u8]);
    mac.update(normalised.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

/// The keyed hash of a contact's key in the CRM: what is left of an erased contact, so that it is known if it comes back.
pub fn hash_contact(key: &[u8], contact: &str) -> Result<[u8; 32], AddressError> {
    let mut mac = mac(key)?;
    // No normaliser has version 0, so no address has this hash.
    mac.update(&[0, u8::MAX]);
    mac.update(contact.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

/// What identifies a key without revealing it; kept with the data so that a wrong key is noticed.
pub fn fingerprint(key: &[u8]) -> Result<[u8; 8], AddressError> {
    let mut mac = mac(key)?;
    mac.update(b"pg_consent key fingerprint");
    mac.update(&[NORMALISER_VERSION]);
    let full: [u8; 32] = mac.finalize().into_bytes().into();
    full.first_chunk().copied().ok_or(AddressError::Key)
}

pub(crate) fn mac(key: &[u8]) -> Result<Hmac<Sha256>, AddressError> {
    if key.len() < MIN_KEY_BYTES {
        return Err(AddressError::Key);
    }
    Hmac::new_from_slice(key).map_err(|_| AddressError::Key)
}

/// The short form of a hash inside a state; never 0, which means "no address named".
pub fn tag(hash: &[u8]) -> u32 {
    hash.first_chunk().map_or(1, |b| u32::from_le_bytes(*b).max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_an_address_are_one() {
        let email = |a| normalise(Channel::Email, a, "GB").unwrap();
        assert_eq!(email("\"Name\" <A@B.c>"), "a@b.c");
        assert_eq!(email("  a@B.CO "), "a@b.co");
        assert_eq!(email("info@bücher.example"), "info@xn--bcher-kva.example");
        for same in [
            "+44 (0)20 7946 0018",
            "+44 20 7946 0018",
            "00 44 20 7946 0018",
            "0044 (0) 20 7946 0018",
            "020-7946-0018",
            "(020) 7946.0018",
            "tel:+44-20-7946-0018",
            "\u{a0}020 7946\u{a0}0018",
        ] {
            assert_eq!(normalise(Channel::Sms, same, "GB").as_deref(), Ok("+442079460018"), "{same}");
        }
        for country in ["GB", "uk", "gbr", "United Kingdom"] {
            assert_eq!(normalise(Channel::PhoneLive, "020 7946 0018", country).unwrap(), "+442079460018");
        }
        assert_eq!(normalise(Channel::Post, " 1, High-Street ", "GB").unwrap(), "1 high street");
    }

    #[test]
    fn a_malformed_address_is_refused() {
        for bad in ["", "a", "@b.co", "a@", "a b@c.co", "a@b"] {
            assert_eq!(normalise(Channel::Email, bad, "GB"), Err(AddressError::Email), "{bad}");
        }
        for bad in ["", "hello", "12"] {
            assert_eq!(normalise(Channel::PhoneLive, bad, "GB"), Err(AddressError::Phone), "{bad}");
        }
        // A national number is nobody's without a country.
        for country in ["", "ZZ", "0", "nowhere"] {
            assert_eq!(normalise(Channel::Sms, "020 7946 0018", country), Err(AddressError::Phone));
            assert!(normalise(Channel::Sms, "+44 20 7946 0018", country).is_ok());
        }
        assert_eq!(normalise(Channel::Post, " - ", "GB"), Err(AddressError::Post));
    }

    #[test]
    fn another_key_gives_another_hash() {
        let (a, b) = ([1; 32], [2; 32]);
        assert_ne!(hash(&a, Channel::Email, "a@b.co").unwrap(), hash(&b, Channel::Email, "a@b.co").unwrap());
        assert_ne!(fingerprint(&a).unwrap(), fingerprint(&b).unwrap());
        assert_eq!(hash(&[1; 8], Channel::Email, "a@b.co"), Err(AddressError::Key));
        assert_ne!(hash_contact(&a, "1").unwrap(), hash_contact(&b, "1").unwrap());
    }

    #[test]
    fn no_contact_key_is_mistaken_for_an_address() {
        let key = [1; 32];
        let contact = hash_contact(&key, "a@b.co").unwrap();
        for channel in Channel::ALL {
            assert_ne!(hash(&key, *channel, "a@b.co").unwrap(), contact, "{channel}");
        }
    }
}
