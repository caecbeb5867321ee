//! A proof as a document: what `consent.prove()` answers with, and whoever gets it can check without the database.

use super::seal::{LOGS, Seal};
use super::{Hash, hex, tree, unhex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The members of the document; others are not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Whose row: one of [`LOGS`], and the id that its text has too.
    pub log: String,
    pub row_id: i64,
    /// The text of the row, whose hash is the leaf.
    pub content: String,
    pub leaf: String,
    pub index: u64,
    pub size: u64,
    pub path: Vec<String>,
    pub root: String,
    /// The text of the seal that the row is in, and its hash.
    pub seal: String,
    pub head: String,
    /// The texts of the seals since, and the hash of the last one (or of the row's own).
    pub chain: Vec<String>,
    pub newest: String,
}

impl Proof {
    /// Whether everything in it is of one piece, from the row's text to the newest head. That the head is the right one only
    /// a copy kept elsewhere can tell.
    pub fn holds(&self) -> bool {
        self.newest_head().is_some_and(|head| hex(&head) == self.newest)
    }

    fn newest_head(&self) -> Option<Hash> {
        let number = LOGS.iter().position(|log| *log == self.log)?;
        let content: Value = serde_json::from_str(&self.content).ok()?;
        if content.get("log")?.as_str()? != self.log || content.get("id")?.as_i64()? != self.row_id {
            return None;
        }
        let leaf = tree::leaf(self.content.as_bytes());
        let path = self.path.iter().map(|h| unhex(h)).collect::<Option<Vec<_>>>()?;
        let root = tree::root_from(&leaf, self.index, self.size, &path)?;
        let mut seal = Seal::parse(&self.seal)?;
        if hex(&leaf) != self.leaf
            || hex(&root) != self.root
            || seal.root != root
            || u64::try_from(seal.leaves) != Ok(self.size)
            || seal.upto[number] < self.row_id
            || hex(&seal.head()) != self.head
        {
            return None;
        }
        for text in &self.chain {
            let next = Seal::parse(text)?;
            if !seal.is_followed_by(&next) {
                return None;
            }
            seal = next;
        }
        Some(seal.head())
    }
}

/// Whether a document is a proof that holds; what is none does not.
pub fn verify(document: &Value) -> bool {
    Proof::deserialize(document).is_ok_and(|proof| proof.holds())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn proof() -> Proof {
        let contents: Vec<String> =
            (1..=11).map(|id| json!({"log": "event", "id": id, "kind": "opt_out"}).to_string()).collect();
        let leaves: Vec<Hash> = contents.iter().map(|c| tree::leaf(c.as_bytes())).collect();
        let root = tree::root(&leaves);
        let seal = Seal {
            number: 1,
            sealed_at: 1,
            upto: [11, 0, 0, 0, 0],
            leaves: 11,
            root,
            previous: Hash::default(),
        };
        let next = Seal { number: 2, previous: seal.head(), upto: [20, 0, 0, 0, 0], ..seal.clone() };
        Proof {
            log: "event".into(),
            row_id: 7,
            content: contents[6].clone(),
            leaf: hex(&leaves[6]),
            index: 6,
            size: 11,
            path: tree::path(&leaves, 6).unwrap().iter().map(|h| hex(h)).collect(),
            root: hex(&root),
            seal: seal.text(),
            head: hex(&seal.head()),
            chain: vec![next.text()],
            newest: hex(&next.head()),
        }
    }

    #[test]
    fn a_proof_holds_as_a_whole_or_not_at_all() {
        let whole = serde_json::to_value(proof()).unwrap();
        assert!(verify(&whole));
        let without_chain = Proof { chain: Vec::new(), newest: proof().head, ..proof() };
        assert!(without_chain.holds());
        let members: Vec<String> = whole.as_object().unwrap().keys().cloned().collect();
        for name in &members {
            let mut missing = whole.clone();
            missing.as_object_mut().unwrap().remove(name);
            assert!(!verify(&missing), "without {name}");
            let mut other = whole.clone();
            other[name] = match &whole[name] {
                Value::String(s) => json!(s.replace('1', "2")),
                Value::Number(n) => json!(n.as_i64().unwrap() + 1),
                Value::Array(a) => json!(a[1..]),
                _ => unreachable!(),
            };
            if other[name] != whole[name] {
                assert!(!verify(&other), "another {name}");
            }
        }
        assert!(!verify(&json!(null)) && !verify(&json!({})) && !verify(&json!([])));
    }

    #[test]
    fn a_true_text_under_another_number_or_log_proves_nothing() {
        assert!(!Proof { row_id: 8, ..proof() }.holds());
        assert!(!Proof { log: "decision".into(), ..proof() }.holds());
        assert!(!Proof { log: "run".into(), ..proof() }.holds());
    }
}
