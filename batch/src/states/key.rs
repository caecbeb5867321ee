//! Contacts' keys: bigint, uuid or text, kept as binary COPY has them both ways.

use anyhow::{Result, bail};
use bytes::BytesMut;
use postgres::Client;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use std::error::Error;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Bigint,
    Uuid,
    Text,
}

impl KeyType {
    /// As `consent.setup()` was told.
    pub fn read(client: &mut Client) -> Result<KeyType> {
        let name: String = client.query_one("SELECT key_type FROM consent_data.setting", &[])?.get(0);
        match name.as_str() {
            "bigint" => Ok(KeyType::Bigint),
            "uuid" => Ok(KeyType::Uuid),
            "text" => Ok(KeyType::Text),
            other => bail!("contacts keyed by {other}"),
        }
    }

    /// The SQL type's name.
    pub const fn sql(self) -> &'static str {
        match self {
            KeyType::Bigint => "bigint",
            KeyType::Uuid => "uuid",
            KeyType::Text => "text",
        }
    }

    /// The type for binary parameters and binary COPY.
    #[allow(dead_code)] // For steps that write contacts.
    pub const fn wire(self) -> Type {
        match self {
            KeyType::Bigint => Type::INT8,
            KeyType::Uuid => Type::UUID,
            KeyType::Text => Type::TEXT,
        }
    }

    /// Bytes of every key; `None` where they differ.
    pub const fn width(self) -> Option<usize> {
        match self {
            KeyType::Bigint => Some(8),
            KeyType::Uuid => Some(16),
            KeyType::Text => None,
        }
    }

    pub const fn key(self, bytes: &[u8]) -> Key<'_> {
        Key { bytes, of: self }
    }
}

/// One contact's key, borrowed. Shows itself as SQL's text does, and writes itself to binary COPY.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    pub bytes: &'a [u8],
    of: KeyType,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.of, self.bytes) {
            (KeyType::Bigint, bytes) => match bytes.try_into() {
                Ok(number) => i64::from_be_bytes(number).fmt(f),
                Err(_) => Err(fmt::Error),
            },
            (KeyType::Uuid, bytes) => {
                for (i, byte) in bytes.iter().enumerate() {
                    let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                Ok(())
            }
            (KeyType::Text, bytes) => f.write_str(std::str::from_utf8(bytes).map_err(|_| fmt::Error)?),
        }
    }
}

/// A contact is personal data: no log line has its key.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key of {} bytes", self.of.sql(), self.bytes.len())
    }
}

impl ToSql for Key<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::UUID, Type::TEXT].contains(ty)
    }

    to_sql_checked!();
}

/// Many keys without an allocation each.
pub struct Keys {
    of: KeyType,
    bytes: Vec<u8>,
    /// Where each ends; empty where all are of one width.
    ends: Vec<usize>,
}

impl Keys {
    pub const fn new(of: KeyType) -> Keys {
        Keys { of, bytes: Vec::new(), ends: Vec::new() }
    }

    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        if self.of.width().is_none() {
            self.ends.push(self.bytes.len());
        }
    }

    pub fn len(&self) -> usize {
        self.of.width().map_or(self.ends.len(), |width| self.bytes.len() / width)
    }

    /// The key that was pushed as number `i`; panics past the end.
    pub fn get(&self, i: usize) -> Key<'_> {
        let range = match self.of.width() {
            Some(width) => i * width..(i + 1) * width,
            None => i.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[i],
        };
        self.of.key(&self.bytes[range])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_sql_shows_it() {
        let shown = |of: KeyType, bytes: &[u8]| of.key(bytes).to_string();
        assert_eq!(shown(KeyType::Bigint, &(-7i64).to_be_bytes()), "-7");
        assert_eq!(shown(KeyType::Text, "Jörg, O'Neill".as_bytes()), "Jörg, O'Neill");
        let uuid: Vec<u8> = (0u8..16).collect();
        assert_eq!(shown(KeyType::Uuid, &uuid), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn a_list_of_keys_gives_each_back() {
        for (of, keys) in [
            (KeyType::Text, vec![&b"one"[..], b"", b"three"]),
            (KeyType::Bigint, vec![&[0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 0, 0, 2]]),
        ] {
            let mut list = Keys::new(of);
            keys.iter().for_each(|k| list.push(k));
            assert_eq!(list.len(), keys.len());
            for (i, key) in keys.iter().enumerate() {
                assert_eq!(list.get(i).bytes, *key);
            }
        }
    }
}
