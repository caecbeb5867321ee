//! Heads kept outside the database: the one thing that whoever may alter everything in it can't alter too.

use super::Stored;
use crate::failure::hinted;
use crate::page::write;
use anyhow::{Context, Result};
use pg_consent_policy::proof::hex;
use pg_consent_policy::proof::seal::Seal;
use postgres::Client;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;

/// A line of an exported file, as `consent.seal_head()` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Exported {
    /// The head of the first seal of its chain.
    pub chain: String,
    pub seal: i64,
    pub head: String,
    text: String,
}

impl Exported {
    fn read(line: &str) -> Option<Exported> {
        let exported: Exported = serde_json::from_str(line).ok()?;
        let seal = Seal::parse(&exported.text)?;
        (seal.number == exported.seal && hex(&seal.head()) == exported.head).then_some(exported)
    }

    /// Why these seals can't be those it was taken from.
    pub fn contradicts(&self, first: Option<&Stored>, same: Option<&Stored>, newest: i64) -> Option<String> {
        let number = self.seal;
        if first.is_some_and(|f| f.seal.number == 1 && hex(&f.head) != self.chain) {
            Some("the head is of another chain: of another database, or every seal was made anew".into())
        } else if number > newest {
            Some(format!(
                "the head is of seal {number}, and the newest here is {newest}: a backup from before was restored, or seals were removed"
            ))
        } else if same.is_none_or(|s| hex(&s.head) != self.head) {
            Some(format!(
                "seal {number} has another head here: what was sealed until then was altered, or sealed anew after a backup was restored"
            ))
        } else {
            None
        }
    }
}

/// Whether a head could be written there.
pub fn check(file: &Path) -> Result<()> {
    write::check(file)
}

/// The heads of a file, one a line.
pub fn read(file: &Path) -> Result<Vec<Exported>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let heads: Option<Vec<Exported>> =
        text.lines().filter(|l| !l.trim().is_empty()).map(Exported::read).collect();
    heads.filter(|h| !h.is_empty()).ok_or_else(|| {
        hinted(
            format!("`{}` has no exported head", file.display()),
            "Name a file that consent-batch seal --export wrote, or consent.seal_head() gave.",
        )
    })
}

/// Writes the newest head, unless what is there is no older head of this chain: then answers why.
pub fn export(client: &mut Client, newest: &Stored, file: &Path) -> Result<Option<String>> {
    match std::fs::metadata(file) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read `{}`", file.display())),
        Ok(_) => {
            let seals = super::all(client)?;
            for head in read(file)? {
                let same = seals.iter().find(|s| s.seal.number == head.seal);
                if let Some(why) = head.contradicts(seals.first(), same, newest.seal.number) {
                    return Ok(Some(why));
                }
            }
        }
    }
    let line: String = client.query_one("SELECT consent.seal_head()::text", &[])?.get(0);
    write::write(file, &format!("{line}\n"))?;
    Ok(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stored(number: i64, leaves: i64) -> Stored {
        let seal = Seal { number, sealed_at: 0, upto: [1; 5], leaves, root: [1; 32], previous: [0; 32] };
        Stored { head: seal.head(), seal, blocks: Vec::new() }
    }

    fn line(s: &Stored, first: &Stored) -> String {
        json!({"chain": hex(&first.head), "seal": s.seal.number, "head": hex(&s.head), "text": s.seal.text()})
            .to_string()
    }

    #[test]
    fn only_the_same_chain_that_is_as_long_agrees() {
        let (first, third) = (stored(1, 5), stored(3, 7));
        let (other_first, other_third) = (stored(1, 6), stored(3, 8));
        let head = Exported::read(&line(&third, &first)).unwrap();
        assert_eq!(head.contradicts(Some(&first), Some(&third), 3), None);
        assert_eq!(head.contradicts(Some(&first), Some(&third), 9), None);
        let why = |first: Option<&Stored>, same, newest| head.contradicts(first, same, newest).unwrap();
        assert!(why(Some(&first), None, 2).contains("a backup"));
        assert!(why(None, None, 0).contains("a backup"));
        assert!(why(Some(&first), Some(&other_third), 4).contains("another head"));
        assert!(why(Some(&first), None, 4).contains("another head"));
        assert!(why(Some(&other_first), Some(&third), 4).contains("another chain"));
    }

    #[test]
    fn a_head_whose_text_is_another_is_none() {
        let (first, third) = (stored(1, 5), stored(3, 7));
        let whole = line(&third, &first);
        assert!(Exported::read(&whole).is_some());
        assert_eq!(Exported::read(&whole.replace("\"seal\":3", "\"seal\":4")), None);
        assert_eq!(Exported::read(&whole.replace("leaves 7", "leaves 8")), None);
        assert_eq!(Exported::read("{}"), None);
        assert_eq!(Exported::read(""), None);
    }
}
