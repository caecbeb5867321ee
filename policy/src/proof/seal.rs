//! The text of a seal. Its SHA-256 is the seal's head, and its last line is the head before: a chain, which anybody can
//! follow with `sha256sum`.

use super::{Hash, hex, sha256, unhex};

/// The logs that are sealed, in the order in which their rows are leaves.
pub const LOGS: [&str; 5] = ["event", "decision", "outcome", "erasure", "prune"];

/// The first line; another number would mean another text or other leaves.
const FORMAT: &str = "pg_consent seal 1";

/// A seal over the rows of all logs with ids after the seal before's `upto` until its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Counted from 1, without a gap.
    pub number: i64,
    /// Microseconds since 1970: when it was read how far the ids had come.
    pub sealed_at: i64,
    /// The last id of each of [`LOGS`], used or not.
    pub upto: [i64; LOGS.len()],
    pub leaves: i64,
    pub root: Hash,
    /// The head of the seal before; zeros in the first.
    pub previous: Hash,
}

impl Seal {
    pub fn text(&self) -> String {
        let (seconds, micros) = (self.sealed_at.div_euclid(1_000_000), self.sealed_at.rem_euclid(1_000_000));
        let mut text = format!("{FORMAT}\nseal {}\nsealed_at {seconds}.{micros:06}\n", self.number);
        for (log, upto) in LOGS.iter().zip(self.upto) {
            text += &format!("{log} {upto}\n");
        }
        text + &format!(
            "leaves {}\nroot {}\nprevious {}\n",
            self.leaves,
            hex(&self.root),
            hex(&self.previous)
        )
    }

    pub fn head(&self) -> Hash {
        sha256(self.text().as_bytes())
    }

    /// What a text says; `None` for any other than [`text`](Self::text) writes.
    pub fn parse(text: &str) -> Option<Seal> {
        let mut lines = text.lines();
        if lines.next()? != FORMAT {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let number = value("seal")?.parse().ok()?;
        let (seconds, micros) = value("sealed_at")?.split_once('.')?;
        let seconds: i64 = seconds.parse().ok()?;
        let sealed_at = seconds.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
        let mut upto = [0; LOGS.len()];
        for (upto, log) in upto.iter_mut().zip(LOGS) {
            *upto = value(log)?.parse().ok()?;
        }
        let leaves = value("leaves")?.parse().ok()?;
        let (root, previous) = (unhex(value("root")?)?, unhex(value("previous")?)?);
        let seal = Seal { number, sealed_at, upto, leaves, root, previous };
        (seal.text() == text).then_some(seal)
    }

    /// Whether `next` comes after this one, with nothing between.
    pub fn is_followed_by(&self, next: &Seal) -> bool {
        next.number == self.number + 1
            && next.previous == self.head()
            && self.upto.iter().zip(&next.upto).all(|(a, b)| a <= b)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        let upto = [120, 7, 5, 1, 0];
        Seal {
            number: 3,
            sealed_at: 1_780_000_000_000_042,
            upto,
            leaves: 9,
            root: sha256(b"root"),
            previous: sha256(b"before"),
        }
    }

    #[test]
    fn the_text_is_what_the_documentation_says() {
        let expected = format!(
            "pg_consent seal 1\nseal 3\nsealed_at 1780000000.000042\nevent 120\ndecision 7\noutcome 5\nerasure 1\nprune 0\n\
             leaves 9\nroot {}\nprevious {}\n",
            hex(&sha256(b"root")),
            hex(&sha256(b"before"))
        );
        assert_eq!(seal().text(), expected);
        assert_eq!(seal().head(), sha256(expected.as_bytes()));
        assert_eq!(Seal::parse(&expected), Some(seal()));
    }

    #[test]
    fn no_other_spelling_is_the_same_seal() {
        let text = seal().text();
        for (from, to) in [
            ("seal 3\n", "seal 03\n"),
            ("seal 3\n", "seal +3\n"),
            ("000042", "42"),
            ("event 120\n", ""),
            ("prune 0\n", "prune 0 \n"),
            ("prune 0\n", "prune 0\nprune 0\n"),
            ("pg_consent seal 1", "pg_consent seal 2"),
            ("\n", "\r\n"),
        ] {
            assert_eq!(Seal::parse(&text.replace(from, to)), None, "{to:?}");
        }
        assert_eq!(Seal::parse(text.trim_end()), None);
        assert_eq!(Seal::parse(&format!("{text}more\n")), None);
    }

    #[test]
    fn a_chain_has_no_gap_and_goes_nowhere_back() {
        let first = seal();
        let next = Seal { number: 4, previous: first.head(), ..first.clone() };
        assert!(first.is_followed_by(&next));
        assert!(!first.is_followed_by(&Seal { number: 5, ..next.clone() }));
        assert!(!first.is_followed_by(&Seal { previous: first.previous, ..next.clone() }));
        assert!(!first.is_followed_by(&Seal { upto: [119, 7, 5, 1, 0], ..next }));
    }
}
