//! Comparing two sets of contacts without holding them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};

/// A set of keys by their number and two sums of their hashes: equal sets have equal tallies whatever the order, and two
/// different ones agree by an accident of one in 2^64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub contacts: u64,
    sum: u64,
    xor: u64,
}

impl Tally {
    pub fn add(&mut self, contact: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(contact);
        hasher.write_usize(contact.len());
        let hash = hasher.finish();
        self.contacts += 1;
        self.sum = self.sum.wrapping_add(hash);
        self.xor ^= hash.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub fn join(&mut self, other: &Tally) {
        self.contacts += other.contacts;
        self.sum = self.sum.wrapping_add(other.sum);
        self.xor ^= other.xor;
    }
}

/// Who is in one set only, in the order of their keys; `true`: in the batch's.
pub fn differences<'s>(
    batch: &'s HashSet<Box<[u8]>>,
    server: &'s HashSet<Box<[u8]>>,
) -> Vec<(&'s [u8], bool)> {
    let of_batch = batch.difference(server).map(|contact| (&**contact, true));
    let mut all: Vec<_> = of_batch.chain(server.difference(batch).map(|c| (&**c, false))).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(contacts: &[&str]) -> Tally {
        let mut tally = Tally::default();
        contacts.iter().for_each(|c| tally.add(c.as_bytes()));
        tally
    }

    #[test]
    fn a_set_is_known_by_its_tally_whatever_the_order_and_the_parts() {
        let all = tally(&["1", "2", "31", "4"]);
        assert_eq!(all, tally(&["4", "31", "2", "1"]));
        let mut joined = tally(&["31"]);
        joined.join(&tally(&["2", "4", "1"]));
        assert_eq!(all, joined);
    }

    #[test]
    fn one_contact_more_less_or_another_shows() {
        let all = tally(&["1", "2", "3"]);
        for other in
            [&["1", "2"][..], &["1", "2", "4"], &["1", "2", "3", "4"], &["1", "23"], &["1", "2", "2"]]
        {
            assert_ne!(all, tally(other), "{other:?}");
        }
    }

    #[test]
    fn each_difference_is_named_with_its_side() {
        let set = |of: &[&str]| of.iter().map(|c| c.as_bytes().into()).collect::<HashSet<Box<[u8]>>>();
        let (batch, server) = (set(&["1", "2", "3"]), set(&["2", "3", "4"]));
        assert_eq!(differences(&batch, &server), [(&b"1"[..], true), (&b"4"[..], false)]);
        assert!(differences(&batch, &batch).is_empty());
    }
}
