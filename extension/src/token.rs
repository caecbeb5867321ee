//! Unsubscribe tokens, sealed and opened under the key of their generation, and what evidence is worth.

use crate::error::{Error, Result};
use crate::key;
use pg_consent_policy::codes::{Channel, EventKind};
use pg_consent_policy::evidence;
use pg_consent_policy::token::{self, Token};
use pgrx::JsonB;
use pgrx::prelude::*;

/// The token as text; `realm` is an instant that no other database has.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)]
fn _token_seal(
    generation: i32,
    first: i32,
    fingerprint: &[u8],
    realm: i64,
    contact: Option<&str>,
    sender: i32,
    channel: Option<&str>,
    category: Option<i32>,
    address_hash: Option<&[u8]>,
) -> Result<String> {
    let missing = || Error::Key("missing");
    let key = key::of_generation(generation, first, Some(fingerprint))?.ok_or_else(missing)?;
    let channel = channel.map(str::parse::<Channel>).transpose().map_err(Error::from)?;
    let token = Token {
        contact: contact.map(str::to_owned),
        sender: sender as u32,
        channel: channel.map(|c| c as u8),
        category: category.unwrap_or(0) as u32,
        address_hash: address_hash.and_then(|h| h.try_into().ok()),
    };
    let sealed = token::seal(&token, &key, generation as u32, realm);
    let too_long = || Error::Malformed { field: "contact".into(), expected: "a key of at most 1024 bytes" };
    Ok(sealed.ok_or_else(too_long)?)
}

/// The generation that a text names; `NULL` for what is no token.
#[pg_extern(sql = false)]
fn _token_generation(text: Option<&str>) -> Option<i32> {
    i32::try_from(token::generation(text?)?).ok()
}

/// What a token says: contact, sender, channel, category, address hash. `NULL` for a forged one, whatever is wrong with it;
/// an error where the key of a known generation is missing, since nobody can tell then.
#[pg_extern(sql = false)]
fn _token_open(
    text: Option<&str>,
    first: Option<i32>,
    fingerprint: Option<&[u8]>,
    realm: Option<i64>,
) -> Result<Option<Vec<Option<String>>>> {
    let (Some(text), Some(first), Some(realm)) = (text, first, realm) else { return Ok(None) };
    let Some(generation) = _token_generation(Some(text)) else { return Ok(None) };
    let Some(key) = key::of_generation(generation, first, fingerprint)? else { return Ok(None) };
    Ok(token::open(text, &key, realm).map(|t| {
        let hex = |h: [u8; 32]| h.iter().map(|b| format!("{b:02x}")).collect();
        vec![
            t.contact,
            Some(t.sender.to_string()),
            t.channel.and_then(Channel::at).map(|c| c.code().to_owned()),
            (t.category != 0).then(|| t.category.to_string()),
            t.address_hash.map(hex),
        ]
    }))
}

/// What is wrong with the evidence of an opt-in, `{key, expected}`; `NULL` for nothing.
#[pg_extern(sql = false)]
fn _evidence_fault(kind: Option<&str>, evidence: Option<JsonB>) -> Option<Vec<String>> {
    let kind: EventKind = kind?.parse().ok()?;
    let fault = evidence::fault(&evidence?.0).filter(|_| evidence::is_checked(kind))?;
    Some(vec![fault.key.to_owned(), fault.expected.to_owned()])
}

/// How complete the evidence is, then what lacks.
#[pg_extern(sql = false)]
fn _evidence_grade(kind: Option<&str>, method: Option<&str>, evidence: Option<JsonB>) -> Result<Vec<String>> {
    let kind = kind.ok_or(Error::Null { field: "kind" })?.parse().map_err(Error::from)?;
    let method = method.and_then(|m| m.parse().ok());
    let (grade, lacks) = evidence::grade(kind, method, evidence.as_ref().map(|e| &e.0));
    Ok(std::iter::once(grade.code()).chain(lacks).map(str::to_owned).collect())
}
