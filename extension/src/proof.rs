//! Seals: trees over the hashes of rows, and whether a proof holds (see [`pg_consent_policy::proof`]). Lists of hashes come as
//! one value, 32 bytes each: a million of them in an array would cost more than hashing them.

use crate::error::{Error, Result};
use pg_consent_policy::proof::{Hash, document, tree};
use pgrx::JsonB;
use pgrx::prelude::*;

fn hashes(bytes: &[u8]) -> Result<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(Error::Malformed { field: "hashes".into(), expected: "32 bytes for each hash" }.into());
    }
    Ok(hashes.to_vec())
}

#[pg_extern(sql = false)]
fn _merkle_root(leaves: &[u8]) -> Result<Vec<u8>> {
    Ok(tree::root(&hashes(leaves)?).to_vec())
}

#[pg_extern(sql = false)]
fn _merkle_blocks(leaves: &[u8]) -> Result<Vec<u8>> {
    Ok(tree::blocks(&hashes(leaves)?).concat())
}

#[pg_extern(sql = false)]
fn _merkle_path(leaves: &[u8], index: i32) -> Result<Option<Vec<u8>>> {
    let leaves = hashes(leaves)?;
    let path = usize::try_from(index).ok().and_then(|index| tree::path(&leaves, index));
    Ok(path.map(|path| path.concat()))
}

/// NULL proves nothing.
#[pg_extern(sql = false)]
fn verify_proof(proof: Option<JsonB>) -> bool {
    proof.is_some_and(|proof| document::verify(&proof.0))
}
