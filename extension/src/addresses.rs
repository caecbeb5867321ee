//! Addresses by keyed hash, and countries by their codes.

use crate::config;
use crate::error::{Error, Result};
use pg_consent_policy::codes::Channel;
use pg_consent_policy::{address, country};
use pgrx::prelude::*;

/// The hashes of an address, normalised for its channel, one a key generation and the newest first.
fn hashes<'k>(
    channel: &str,
    address: &str,
    country: Option<&str>,
    keys: impl IntoIterator<Item = &'k Vec<u8>>,
) -> std::result::Result<Vec<Vec<u8>>, Error> {
    let channel: Channel = channel.parse()?;
    let normalised = address::normalise(channel, address, country.unwrap_or_default())?;
    keys.into_iter().map(|key| Ok(address::hash(key, channel, &normalised)?.to_vec())).collect()
}

/// The keyed hash of an address under the newest key.
#[pg_extern(sql = false)]
fn address_hash(
    channel: Option<&str>,
    address: Option<&str>,
    country: Option<&str>,
) -> Result<Option<Vec<u8>>> {
    let Some(text) = address.filter(|a| !a.trim().is_empty()) else { return Ok(None) };
    let channel = channel.ok_or(Error::Null { field: "channel" })?;
    let config = config::current()?;
    Ok(hashes(channel, text, country, config.keys()?.iter().take(1))?.pop())
}

/// The same, but `NULL` for a malformed address or without a key: for folds over what the CRM holds.
#[pg_extern(sql = false)]
fn _try_address_hash(channel: Option<&str>, address: Option<&str>, country: Option<&str>) -> Option<Vec<u8>> {
    let config = config::current().ok()?;
    hashes(channel?, address?, country, config.keys().ok()?.iter().take(1)).ok()?.pop()
}

/// The hashes of an address under all keys, the newest first; `NULL` for a malformed address or without a key.
#[pg_extern(sql = false)]
fn _address_hashes(
    channel: Option<&str>,
    address: Option<&str>,
    country: Option<&str>,
) -> Option<Vec<Vec<u8>>> {
    let config = config::current().ok()?;
    hashes(channel?, address?, country, config.keys().ok()?).ok()
}

/// ISO 3166-1 alpha-2 of a country in whatever spelling; `NULL` where it is not known.
#[pg_extern(sql = false)]
fn country_code(country: Option<&str>) -> Option<String> {
    country::code(country?).map(|code| code.iter().copied().map(char::from).collect())
}

#[pg_extern(sql = false)]
fn _tag(hash: Option<&[u8]>) -> i64 {
    hash.map_or(0, |h| i64::from(address::tag(h)))
}
