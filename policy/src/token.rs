//! Unsubscribe tokens: what a link in a message must carry so that a click, years later and without a log-in, is known
//! to be an opt-out of this person from this sender.
//!
//! In the clear are the format's version and the key's generation. The rest is encrypted and authenticated under a key
//! derived from the address key of that generation, so a token names nobody to whoever finds it, and nobody else can
//! make one. It holds the hash of the address besides the contact's key: an opt-out must still bind when the contact is
//! gone.

use crate::address::mac;
use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;

const VERSION: u8 = 1;
/// What the derived key is for; no input of another use of the address key begins like this.
const LABEL: &[u8] = b"pg_consent unsubscribe token 1";
/// One nonce for all: AES-GCM-SIV (RFC 8452) then tells only whether two tokens are equal, which is wanted: the same
/// message sent again has the same link.
const NONCE: [u8; 12] = [0; 12];
/// Nothing longer was ever made: a contact key has a kilobyte at most.
const MAX_CHARS: usize = 2048;
const MAX_CONTACT_BYTES: usize = 1024;

/// What a click on the link refuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Token {
    /// The contact's key in the spelling of the tables; none where only the address is known.
    pub contact: Option<String>,
    pub sender: u32,
    /// The position of the channel; none: all of them.
    pub channel: Option<u8>,
    /// 0: everything.
    pub category: u32,
    pub address_hash: Option<[u8; 32]>,
}

/// Seals a token. `realm` tells databases apart that share a key file. The same arguments give the same text.
/// `None` where the contact's key is longer than a kilobyte, or the address key too short.
pub fn seal(token: &Token, key: &[u8], generation: u32, realm: i64) -> Option<String> {
    let mut bytes = header(generation);
    let plain = write(token)?;
    let payload = Payload { msg: &plain, aad: &associated(&bytes, realm) };
    let sealed = cipher(key)?.encrypt(&Nonce::from(NONCE), payload).ok()?;
    bytes.extend(sealed);
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The generation of the key that a text claims to be sealed under; `None` for what is no token of this version.
pub fn generation(text: &str) -> Option<u32> {
    let bytes = decode(text)?;
    let (generation, _) = read_header(&bytes)?;
    Some(generation)
}

/// What a token says; `None` for anything that [`seal`] did not make under this key, without telling why.
pub fn open(text: &str, key: &[u8], realm: i64) -> Option<Token> {
    let bytes = decode(text)?;
    let (_, header) = read_header(&bytes)?;
    let (clear, sealed) = bytes.split_at_checked(header)?;
    let plain = cipher(key)?
        .decrypt(&Nonce::from(NONCE), Payload { msg: sealed, aad: &associated(clear, realm) })
        .ok()?;
    read(&plain)
}

fn cipher(key: &[u8]) -> Option<Aes256GcmSiv> {
    let mut mac = mac(key).ok()?;
    mac.update(LABEL);
    Some(Aes256GcmSiv::new(&mac.finalize().into_bytes()))
}

fn associated(clear: &[u8], realm: i64) -> Vec<u8> {
    [clear, &realm.to_le_bytes()].concat()
}

/// Mail programs add blanks where they break lines.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    if text.len() > MAX_CHARS { None } else { URL_SAFE_NO_PAD.decode(text).ok() }
}

fn header(generation: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    write_number(&mut bytes, u64::from(generation));
    bytes
}

/// The generation, and how many bytes it and the version have.
fn read_header(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    let generation = u32::try_from(read_number(&mut rest)?).ok()?;
    Some((generation, bytes.len() - rest.len()))
}

/// Seven bits a byte, the lowest first.
fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        number |= part.checked_shl(shift).filter(|p| p >> shift == part)?;
        if first & 0x80 == 0 {
            // A number has one spelling.
            return (part != 0 || shift == 0).then_some(number);
        }
    }
    None
}

/// How a contact's key is written.
const NO_CONTACT: u8 = 0;
const NUMBER: u8 = 1;
const UUID: u8 = 2;
const TEXT: u8 = 3;
/// Added where an address hash follows.
const HAS_HASH: u8 = 0x10;

fn write(token: &Token) -> Option<Vec<u8>> {
    let hash = if token.address_hash.is_some() { HAS_HASH } else { 0 };
    let mut bytes = Vec::with_capacity(64);
    match token.contact.as_deref() {
        None => bytes.push(NO_CONTACT | hash),
        Some(key) => match (number_of(key), uuid_of(key)) {
            (Some(number), _) => {
                bytes.push(NUMBER | hash);
                // Zigzag: small negative keys stay short, too.
                write_number(&mut bytes, ((number << 1) ^ (number >> 63)) as u64);
            }
            (None, Some(uuid)) => {
                bytes.push(UUID | hash);
                bytes.extend(uuid);
            }
            (None, None) if key.len() <= MAX_CONTACT_BYTES => {
                bytes.push(TEXT | hash);
                write_number(&mut bytes, key.len() as u64);
                bytes.extend(key.as_bytes());
            }
            (None, None) => return None,
        },
    }
    write_number(&mut bytes, u64::from(token.sender));
    bytes.push(token.channel.map_or(0, |c| c + 1));
    write_number(&mut bytes, u64::from(token.category));
    bytes.extend(token.address_hash.iter().flatten());
    Some(bytes)
}

fn read(mut bytes: &[u8]) -> Option<Token> {
    let take = |bytes: &mut &[u8], n: usize| -> Option<Vec<u8>> {
        let (taken, rest) = bytes.split_at_checked(n)?;
        *bytes = rest;
        Some(taken.to_vec())
    };
    let kind = take(&mut bytes, 1)?[0];
    let contact = match kind & !HAS_HASH {
        NO_CONTACT => None,
        NUMBER => {
            let n = read_number(&mut bytes)?;
            Some((((n >> 1) as i64) ^ -((n & 1) as i64)).to_string())
        }
        UUID => Some(uuid_text(&take(&mut bytes, 16)?)),
        TEXT => {
            let length = usize::try_from(read_number(&mut bytes)?).ok()?;
            Some(String::from_utf8(take(&mut bytes, length)?).ok()?)
        }
        _ => return None,
    };
    let sender = u32::try_from(read_number(&mut bytes)?).ok()?;
    let channel = take(&mut bytes, 1)?[0].checked_sub(1);
    let category = u32::try_from(read_number(&mut bytes)?).ok()?;
    let address_hash = if kind & HAS_HASH != 0 { Some(take(&mut bytes, 32)?.try_into().ok()?) } else { None };
    bytes.is_empty().then_some(Token { contact, sender, channel, category, address_hash })
}

/// Only where the text is what the number would be written as, so that a text key `007` stays itself.
fn number_of(key: &str) -> Option<i64> {
    key.parse().ok().filter(|n: &i64| n.to_string() == key)
}

fn uuid_of(key: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = key.bytes().filter(|b| *b != b'-').collect();
    let nibble = |d: &u8| char::from(*d).to_digit(16).map(|n| n as u8);
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|d| Some(nibble(d.first()?)? << 4 | nibble(d.get(1)?)?)).collect();
    bytes.filter(|b| b.len() == 16 && uuid_text(b) == key)
}

fn uuid_text(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [7; 32];
    const REALM: i64 = 812_345_678_901_234;

    fn usual() -> Token {
        Token {
            contact: Some("4711".into()),
            sender: 1,
            channel: Some(0),
            category: 3,
            address_hash: Some([9; 32]),
        }
    }

    #[test]
    fn no_token_of_a_numbered_contact_breaks_a_line_of_a_mail() {
        let longest = Token { contact: Some(i64::MIN.to_string()), ..usual() };
        let worst = Token { sender: u32::MAX, category: u32::MAX, ..longest };
        assert!(seal(&usual(), &KEY, 1, REALM).unwrap().len() <= 76);
        assert!(seal(&worst, &KEY, u32::MAX, REALM).unwrap().len() < 120);
        let uuid = Token { contact: Some("00000000-0000-0000-0000-00000000000a".into()), ..usual() };
        assert!(seal(&uuid, &KEY, 1, REALM).unwrap().len() < 100);
    }

    #[test]
    fn no_changed_token_says_anything() {
        let text = seal(&usual(), &KEY, 3, REALM).unwrap();
        assert_eq!(generation(&text), Some(3));
        assert_eq!(open(&text, &KEY, REALM), Some(usual()));
        assert_eq!(open(&format!(" {text}\r\n"), &KEY, REALM), Some(usual()), "a broken line");
        let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[i] ^= 1 << bit;
                assert_eq!(open(&URL_SAFE_NO_PAD.encode(other), &KEY, REALM), None, "byte {i}, bit {bit}");
            }
            assert_eq!(open(&URL_SAFE_NO_PAD.encode(&bytes[..i]), &KEY, REALM), None, "{i} bytes");
        }
        for (i, c) in text.char_indices() {
            for other in ('!'..='~').filter(|o| *o != c) {
                let mut forged = text.clone();
                forged.replace_range(i..=i, &other.to_string());
                assert_eq!(open(&forged, &KEY, REALM), None, "{other} at {i}");
            }
            assert_eq!(open(&text[..i], &KEY, REALM), None, "{i} characters");
        }
        assert_eq!(open(&format!("{text}A"), &KEY, REALM), None);
        assert_eq!(open(&text, &[8; 32], REALM), None, "another key");
        assert_eq!(open(&text, &KEY, REALM + 1), None, "another database");
        assert_eq!(open(&"A".repeat(MAX_CHARS + 1), &KEY, REALM), None);
    }

    #[test]
    fn no_token_shows_what_it_holds() {
        let key = Token { contact: Some("ann@example.org".into()), ..usual() };
        let bytes = URL_SAFE_NO_PAD.decode(seal(&key, &KEY, 1, REALM).unwrap()).unwrap();
        assert!(!bytes.windows(3).any(|w| w == b"ann"));
        assert!(!bytes.windows(4).any(|w| w == [9; 4]));
    }

    #[test]
    fn a_key_that_could_not_be_read_back_gets_no_token() {
        let long = Token { contact: Some("k".repeat(MAX_CONTACT_BYTES + 1)), ..usual() };
        assert_eq!(seal(&long, &KEY, 1, REALM), None);
        assert_eq!(seal(&usual(), &[7; 8], 1, REALM), None, "a short address key");
        let longest = Token { contact: Some("k".repeat(MAX_CONTACT_BYTES)), ..usual() };
        assert_eq!(open(&seal(&longest, &KEY, 1, REALM).unwrap(), &KEY, REALM), Some(longest));
    }

    proptest! {
        #[test]
        fn what_is_sealed_is_read_back(
            contact in prop::option::of(prop_oneof![
                any::<i64>().prop_map(|n| n.to_string()), "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
                "[0-9A-F]{32}", "-?[0-9]{1,20}", ".{0,40}"]),
            sender in any::<u32>(), channel in prop::option::of(0_u8..5), category in any::<u32>(),
            address_hash in prop::option::of(any::<[u8; 32]>()), under in any::<u32>(), realm in any::<i64>(),
        ) {
            let token = Token { contact, sender, channel, category, address_hash };
            let text = seal(&token, &KEY, under, realm).unwrap();
            prop_assert_eq!(&seal(&token, &KEY, under, realm).unwrap(), &text);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(generation(&text), Some(under));
            prop_assert_eq!(open(&text, &KEY, realm), Some(token));
        }

        #[test]
        fn no_noise_is_a_token(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&text, &KEY, REALM), None);
            prop_assert_eq!(open(&URL_SAFE_NO_PAD.encode([&[VERSION, 1][..], &bytes].concat()), &KEY, REALM), None);
        }
    }
}
