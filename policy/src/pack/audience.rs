//! Which contacts a rule is about: pairs of subscriber and address kind.

use crate::codes::{AddressKind, Subscriber};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of (subscriber, address kind), written as `["individual:*", "sole_trader:personal"]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audience(u32);

// Patterns where people read it, one number inside a question.
impl Serialize for Audience {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { Vec::from(*self).serialize(s) } else { self.0.serialize(s) }
    }
}

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if !d.is_human_readable() {
            return u32::deserialize(d).map(Audience);
        }
        Audience::try_from(Vec::<String>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

const KINDS: usize = AddressKind::ALL.len();

fn bit(subscriber: Subscriber, kind: AddressKind) -> u32 {
    1 << (subscriber as usize * KINDS + kind as usize)
}

impl Audience {
    pub fn contains(self, subscriber: Subscriber, kind: AddressKind) -> bool {
        self.0 & bit(subscriber, kind) != 0
    }

    pub fn is_subset(self, other: Audience) -> bool {
        self.0 & !other.0 == 0
    }
}

/// Everybody.
impl Default for Audience {
    fn default() -> Self {
        Audience((1 << (Subscriber::ALL.len() * KINDS)) - 1)
    }
}

impl TryFrom<Vec<String>> for Audience {
    type Error = String;
    fn try_from(patterns: Vec<String>) -> Result<Self, String> {
        let mut bits = 0;
        for pattern in &patterns {
            let (subscriber, kind) =
                pattern.split_once(':').ok_or(format!("`{pattern}`: expected subscriber:address_kind"))?;
            let subscriber: Subscriber = subscriber.parse().map_err(|e| format!("{e}"))?;
            if kind == "*" {
                AddressKind::ALL.iter().for_each(|k| bits |= bit(subscriber, *k));
            } else {
                bits |= bit(subscriber, kind.parse().map_err(|e| format!("{e}"))?);
            }
        }
        Ok(Audience(bits))
    }
}

impl From<Audience> for Vec<String> {
    fn from(audience: Audience) -> Vec<String> {
        let pairs = Subscriber::ALL.iter().flat_map(|s| AddressKind::ALL.iter().map(move |k| (*s, *k)));
        pairs.filter(|(s, k)| audience.contains(*s, *k)).map(|(s, k)| format!("{s}:{k}")).collect()
    }
}
