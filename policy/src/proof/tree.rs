//! Merkle trees over SHA-256, RFC 9162 (and 6962), section 2.1. A leaf's hash begins with 0x00 and a node's with 0x01, so
//! that no node can be passed off as a leaf. A tree splits at the largest power of two below its size: for sizes that are no
//! powers of two nothing is doubled.

use super::{Hash, sha256};
use sha2::{Digest, Sha256};

/// Leaves of a block. A power of two, so every block but the last is a whole subtree, and the tree over the blocks'
/// roots is the tree over all leaves: blocks can be hashed in parallel, and a path needs one block and the other blocks' roots.
pub const BLOCK: usize = 1024;

/// The hash of a row's text.
pub fn leaf(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

pub fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Where a tree of `size` leaves, at least two, splits: the largest power of two below it.
const fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The root over hashes of leaves, or of blocks. Of none: SHA-256 of nothing.
pub fn root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(b""),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The root of each block; see [`BLOCK`].
pub fn blocks(leaves: &[Hash]) -> Vec<Hash> {
    leaves.chunks(BLOCK).map(root).collect()
}

/// What is to be hashed with `hashes[index]`, from the leaf up to the root; `None` where there is no such leaf. The path of
/// a leaf in its block, followed by that of the block among the blocks, is its path in the whole.
pub fn path(hashes: &[Hash], index: usize) -> Option<Vec<Hash>> {
    let (mut hashes, mut index) = (hashes, index);
    let mut path = Vec::new();
    if index >= hashes.len() {
        return None;
    }
    while hashes.len() > 1 {
        let (left, right) = hashes.split_at(split(hashes.len()));
        if index < left.len() {
            path.push(root(right));
            hashes = left;
        } else {
            path.push(root(left));
            index -= left.len();
            hashes = right;
        }
    }
    path.reverse();
    Some(path)
}

/// The root that a leaf and its path make in a tree of `size` leaves (RFC 9162, section 2.1.3.2); `None` where the path is
/// too short or too long for that place.
pub fn root_from(leaf: &Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for beside in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(beside, &hash);
            // Levels on which the last node has nobody beside it.
            let alone = if at == 0 { 0 } else { at.trailing_zeros() };
            at >>= alone;
            last >>= alone;
        } else {
            hash = node(&hash, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{hex, unhex};
    use super::*;
    use proptest::prelude::*;

    /// The leaves that the implementations of certificate transparency are tested with.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    /// Their roots: of none, the first, the first two…
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// Index, size, path.
    const PATHS: [(usize, usize, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];

    fn known(size: usize) -> Vec<Hash> {
        LEAVES[..size].iter().map(|data| leaf(data)).collect()
    }

    #[test]
    fn roots_and_paths_are_those_of_certificate_transparency() {
        for (size, expected) in ROOTS.iter().enumerate() {
            assert_eq!(hex(&root(&known(size))), *expected, "{size} leaves");
        }
        for (index, size, expected) in PATHS {
            let expected: Vec<Hash> = expected.iter().map(|h| unhex(h).unwrap()).collect();
            assert_eq!(path(&known(size), index), Some(expected), "leaf {index} of {size}");
        }
        assert_eq!(path(&known(8), 8), None);
        assert_eq!(path(&[], 0), None);
    }

    fn leaves(size: usize) -> Vec<Hash> {
        (0..size).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_in_its_place_only() {
        for size in 1..=40 {
            let all = leaves(size);
            let top = root(&all);
            for (index, own) in all.iter().enumerate() {
                let path = path(&all, index).unwrap();
                for place in 0..=size {
                    let made = root_from(own, place as u64, size as u64, &path);
                    assert_eq!(made == Some(top), place == index, "leaf {index} of {size} as {place}");
                }
                // A size that puts no other turn into the path can't be told apart by it: a seal's text has the size.
                for longer in [path.len() + 1, path.len() + 70] {
                    let mut too_long = path.clone();
                    too_long.resize(longer, Hash::default());
                    assert_eq!(root_from(own, index as u64, size as u64, &too_long), None);
                }
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(root_from(own, index as u64, size as u64, shorter), None);
                }
            }
        }
    }

    #[test]
    fn blocks_make_the_same_tree() {
        for size in [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 7] {
            let all = leaves(size);
            let tops = blocks(&all);
            assert_eq!(root(&tops), root(&all), "{size} leaves");
            for index in [0, size / 3, size / 2, size - 1] {
                let (block, within) = (index / BLOCK, index % BLOCK);
                let of_block = &all[block * BLOCK..size.min((block + 1) * BLOCK)];
                let mut joined = path(of_block, within).unwrap();
                joined.extend(path(&tops, block).unwrap());
                assert_eq!(Some(joined), path(&all, index), "leaf {index} of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_changed_proves_anything(
            size in 1usize..300, index in 0usize..300, at in 0usize..12, bit in 0usize..256, other in 0u64..600,
        ) {
            let index = index % size;
            let all = leaves(size);
            let (top, own) = (root(&all), all[index]);
            let path = path(&all, index).unwrap();
            let proves = |leaf: &Hash, index: u64, size: u64, path: &[Hash]| root_from(leaf, index, size, path) == Some(top);
            prop_assert!(proves(&own, index as u64, size as u64, &path));
            let flipped = |hash: &Hash| { let mut h = *hash; h[bit / 8] ^= 1 << (bit % 8); h };
            prop_assert!(!proves(&flipped(&own), index as u64, size as u64, &path));
            if let Some(step) = path.get(at % path.len().max(1)) {
                let mut changed = path.clone();
                changed[at % path.len()] = flipped(step);
                prop_assert!(!proves(&own, index as u64, size as u64, &changed));
            }
            prop_assert!(other == index as u64 || !proves(&own, other, size as u64, &path));
            // Another leaf, another root: also in a tree that has one leaf more or less.
            let mut changed = all.clone();
            changed[index] = flipped(&own);
            prop_assert_ne!(root(&changed), top);
            prop_assert_ne!(root(&all[1..]), top);
            prop_assert_ne!(root(&leaves(size + 1)), top);
        }
    }
}
