//! Proof that a row of the logs is what it was when it was sealed.
//!
//! - [`tree`]: Merkle trees as certificate transparency has them (RFC 9162 and RFC 6962, section 2.1)
//! - [`seal`]: the text of a seal, whose hash is its head; each has the head before it, which makes a chain
//! - [`document`]: all that somebody without the database needs to see that a row is in a seal
//!
//! Who knows one head knows every row that was sealed until then: none can be altered, removed or put in without another head.

pub mod document;
pub mod seal;
pub mod tree;

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

pub fn sha256(data: &[u8]) -> Hash {
    Sha256::digest(data).into()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A hash in 64 lower-case hexadecimal digits; nothing else is one, so that two texts never mean the same.
pub fn unhex(text: &str) -> Option<Hash> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    let mut hash = Hash::default();
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = sha256(b"abc");
        let text = hex(&hash);
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(unhex(&text), Some(hash));
        for other in
            [text.to_uppercase(), format!("{text}00"), text[1..].to_owned(), format!("+{}", &text[1..])]
        {
            assert_eq!(unhex(&other), None, "{other}");
        }
    }
}
