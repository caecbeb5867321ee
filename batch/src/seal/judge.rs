//! What has been done to a seal's rows: their hashes of now beside the leaves that were stored then.

use super::findings::{
    ALTERED, INSERTED, LEAF_ALTERED, LEAF_INSERTED, LEAF_REMOVED, LEAVES_DIFFER, REMOVED, What,
};
use pg_consent_policy::proof::{Hash, tree};
use rayon::prelude::*;

/// A leaf as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    pub log: u8,
    pub position: i32,
    pub id: i64,
    pub hash: Hash,
}

/// Between the rows and the leaves of a seal. `at` is the place among the leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The row hashes to something else.
    Altered { at: usize, hash: Hash },
    /// There is no row.
    Missing { at: usize },
    /// A row without a leaf, whose place were before `at`.
    Extra { at: usize, log: u8, id: i64, hash: Hash },
}

impl Difference {
    pub const fn at(&self) -> usize {
        match self {
            Difference::Altered { at, .. } | Difference::Missing { at } | Difference::Extra { at, .. } => *at,
        }
    }
}

/// Compares leaves of one log, the first of which is at `first`, with the rows of the same range; both in order of ids.
pub fn compare(log: u8, first: usize, leaves: &[Leaf], rows: &[(i64, Hash)]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut rows = rows;
    let extra = |at: usize, rows: &[(i64, Hash)], differences: &mut Vec<Difference>| {
        differences.extend(rows.iter().map(|&(id, hash)| Difference::Extra { at, log, id, hash }));
    };
    for (n, leaf) in leaves.iter().enumerate() {
        let at = first + n;
        let (before, rest) = rows.split_at(rows.partition_point(|r| r.0 < leaf.id));
        extra(at, before, &mut differences);
        // Several where somebody has put in another of this number.
        let (same, rest) = rest.split_at(rest.partition_point(|r| r.0 == leaf.id));
        rows = rest;
        match same.iter().position(|r| r.1 == leaf.hash) {
            Some(own) => {
                extra(at, &same[..own], &mut differences);
                extra(at + 1, &same[own + 1..], &mut differences);
            }
            None => match same {
                [] => differences.push(Difference::Missing { at }),
                [one, others @ ..] => {
                    differences.push(Difference::Altered { at, hash: one.1 });
                    extra(at + 1, others, &mut differences);
                }
            },
        }
    }
    extra(first + leaves.len(), rows, &mut differences);
    differences
}

/// Which side has been altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The leaves make the seal's root: the rows differ.
    Rows,
    /// The rows make the seal's root: the leaves differ.
    Leaves,
    /// The rows do, with the leaves of those that are gone: both differ.
    LeavesAndGone,
    /// Neither does.
    Both,
}

/// `differences` are in the order of their places.
pub fn judge(root: &Hash, size: i64, leaves: &[Leaf], differences: &[Difference]) -> Verdict {
    let makes_root = |hashes: &[Hash]| hashes.len() as i64 == size && self::root(hashes) == *root;
    if makes_root(&leaves.iter().map(|l| l.hash).collect::<Vec<_>>()) {
        return Verdict::Rows;
    }
    if makes_root(&as_rows(leaves, differences, false)) {
        Verdict::Leaves
    } else if makes_root(&as_rows(leaves, differences, true)) {
        Verdict::LeavesAndGone
    } else {
        Verdict::Both
    }
}

/// The leaves as the rows would have them; where there is no row, none or (`kept`) the stored one.
fn as_rows(leaves: &[Leaf], differences: &[Difference], kept: bool) -> Vec<Hash> {
    let mut hashes = Vec::with_capacity(leaves.len() + 1);
    let mut next = 0;
    for difference in differences {
        let at = difference.at();
        hashes.extend(leaves[next.min(at)..at].iter().map(|l| l.hash));
        next = next.max(at);
        match difference {
            Difference::Altered { hash, .. } => {
                hashes.push(*hash);
                next = at + 1;
            }
            Difference::Missing { .. } => {
                hashes.extend(kept.then_some(leaves[at].hash));
                next = at + 1;
            }
            Difference::Extra { hash, .. } => hashes.push(*hash),
        }
    }
    hashes.extend(leaves[next..].iter().map(|l| l.hash));
    hashes
}

pub fn root(leaves: &[Hash]) -> Hash {
    tree::root(&blocks(leaves))
}

pub fn blocks(leaves: &[Hash]) -> Vec<Hash> {
    leaves.par_chunks(tree::BLOCK).map(tree::root).collect()
}

/// What a difference is called under a verdict.
pub const fn name(difference: &Difference, verdict: Verdict) -> (What, &'static str) {
    match (difference, verdict) {
        (Difference::Missing { .. }, Verdict::Rows | Verdict::LeavesAndGone) => (REMOVED, "sealed, and gone"),
        (Difference::Altered { .. }, Verdict::Rows) => (ALTERED, "not as it was when it was sealed"),
        (Difference::Extra { .. }, Verdict::Rows) => (INSERTED, "was not there when its number was sealed"),
        (Difference::Altered { .. }, Verdict::Leaves | Verdict::LeavesAndGone) => {
            (LEAF_ALTERED, "the row is right, its stored hash is not")
        }
        (Difference::Missing { .. }, Verdict::Leaves) => {
            (LEAF_INSERTED, "a hash of no row, put in after the seal")
        }
        (Difference::Extra { .. }, Verdict::Leaves | Verdict::LeavesAndGone) => {
            (LEAF_REMOVED, "the row is right, its stored hash is gone")
        }
        (Difference::Altered { .. }, Verdict::Both) => {
            (ALTERED, "the row, or its stored hash, is not as it was")
        }
        (Difference::Missing { .. }, Verdict::Both) => {
            (REMOVED, "sealed, and gone; or a hash that was put in")
        }
        (Difference::Extra { .. }, Verdict::Both) => {
            (INSERTED, "was not there when its number was sealed; or its hash is gone")
        }
    }
}

/// What a seal is called whose leaves make another root.
pub const UNMATCHED: (What, &str) = (LEAVES_DIFFER, "its stored leaves do not make its root");

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: i64) -> Hash {
        tree::leaf(&n.to_be_bytes())
    }

    fn leaves(ids: &[i64]) -> Vec<Leaf> {
        let leaf = |(n, id): (usize, &i64)| Leaf { log: 0, position: n as i32, id: *id, hash: hash(*id) };
        ids.iter().enumerate().map(leaf).collect()
    }

    fn rows(ids: &[i64]) -> Vec<(i64, Hash)> {
        ids.iter().map(|id| (*id, hash(*id))).collect()
    }

    #[test]
    fn what_is_as_it_was_differs_in_nothing() {
        assert_eq!(compare(0, 7, &leaves(&[1, 2, 5]), &rows(&[1, 2, 5])), []);
        assert_eq!(compare(0, 7, &[], &[]), []);
    }

    #[test]
    fn every_difference_is_found_in_its_place() {
        let mut now = rows(&[1, 3, 4, 5, 6]);
        now[2].1 = hash(40);
        let found = compare(2, 10, &leaves(&[1, 2, 4, 5]), &now);
        assert_eq!(
            found,
            [
                Difference::Missing { at: 11 },
                Difference::Extra { at: 12, log: 2, id: 3, hash: hash(3) },
                Difference::Altered { at: 12, hash: hash(40) },
                Difference::Extra { at: 14, log: 2, id: 6, hash: hash(6) },
            ]
        );
    }

    #[test]
    fn of_two_rows_of_a_number_the_sealed_one_is_known() {
        for twins in [[hash(2), hash(77)], [hash(77), hash(2)]] {
            let now = [(1, hash(1)), (2, twins[0]), (2, twins[1])];
            let found = compare(0, 0, &leaves(&[1, 2]), &now);
            assert!(
                matches!(found[..], [Difference::Extra { id: 2, hash: h, .. }] if h == hash(77)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn it_is_told_whether_rows_or_leaves_were_altered() {
        let ids = [1, 2, 3, 4, 5, 6];
        let stored = leaves(&ids);
        let root = root(&stored.iter().map(|l| l.hash).collect::<Vec<_>>());
        let verdict =
            |stored: &[Leaf], now: &[(i64, Hash)]| judge(&root, 6, stored, &compare(0, 0, stored, now));
        let all = rows(&ids);
        assert_eq!(verdict(&stored, &all), Verdict::Rows);
        assert_eq!(verdict(&stored, &rows(&[1, 2, 4, 9])), Verdict::Rows);
        let mut other = stored.clone();
        other[3].hash = hash(99);
        assert_eq!(verdict(&other, &all), Verdict::Leaves, "altered");
        assert_eq!(verdict(&stored[..5], &all), Verdict::Leaves, "removed");
        assert_eq!(verdict(&leaves(&[1, 2, 3, 4, 5, 6, 7]), &all), Verdict::Leaves, "inserted");
        // Row 1 is gone beside: its leaf is what is left of it.
        assert_eq!(verdict(&other, &rows(&[2, 3, 4, 5, 6])), Verdict::LeavesAndGone);
        let mut altered = all.clone();
        altered[0].1 = hash(98);
        assert_eq!(verdict(&other, &altered), Verdict::Both);
        assert_eq!(judge(&hash(0), 6, &stored, &[]), Verdict::Both, "another root");
    }
}
