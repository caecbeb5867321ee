//! The aggregate `fold`: the state that many facts leave together.
//!
//! Facts are gathered as they come, each behind its length, and merged when there are many or the group ends: a state
//! is decoded once and encoded once, not at each of its facts. Workers of a parallel query pass on what is merged.

use crate::error::{Error, Result};
use crate::pg::{self, Pile};
use pg_consent_policy::state::{MAX_STATE_BYTES, State, StateView};
use pgrx::prelude::*;
use pgrx::{Internal, pg_sys};

/// Gathered bytes from which on they are merged. A usual contact never has as many; what a very heavy one needs is
/// bounded by it.
const MANY: usize = 16 * 1024;
const LENGTH: usize = size_of::<u32>();

fn put(pile: &mut Pile, state: &[u8]) {
    pile.push(&(state.len() as u32).to_ne_bytes());
    pile.push(state);
}

/// The states in a pile, one after the other.
fn states(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
        let (state, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
        bytes = rest;
        Some(state)
    })
}

/// All of a pile as one state; `None` of an empty one. A state alone is passed on as it is.
fn together(pile: &Pile) -> Result<Option<Vec<u8>>> {
    let mut rest = states(pile.bytes());
    let Some(first) = rest.next() else { return Ok(None) };
    let corrupt = |_| Error::Corrupt("state");
    let mut merged = State::decode(first).map_err(corrupt)?;
    let mut alone = true;
    for state in rest {
        merged.merge_stored(state).map_err(corrupt)?;
        alone = false;
    }
    Ok(Some(if alone { first.to_vec() } else { merged.encode() }))
}

fn add(pile: &mut Pile, state: &[u8]) -> Result<()> {
    put(pile, state);
    if pile.bytes().len() > pile.limit.max(MANY)
        && let Some(merged) = together(pile)?
    {
        pile.clear();
        put(pile, &merged);
        // One that stays large is not merged again at each further fact.
        pile.limit = 2 * merged.len();
    }
    Ok(())
}

#[pg_extern(sql = false)]
fn _fold_add(held: Internal, state: Option<&[u8]>, fcinfo: pg_sys::FunctionCallInfo) -> Result<Internal> {
    let pile = Pile::of(held, fcinfo)?;
    if let Some(state) = state {
        add(pile, state)?;
    }
    Ok(pile.held())
}

#[pg_extern(sql = false)]
fn _fold_combine(held: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Result<Internal> {
    let pile = Pile::of(held, fcinfo)?;
    if let Some(other) = Pile::there(other) {
        for state in states(other.bytes()) {
            add(pile, state)?;
        }
    }
    Ok(pile.held())
}

#[pg_extern(sql = false)]
fn _fold_write(held: Internal) -> Result<Vec<u8>> {
    Ok(Pile::there(held).map(|pile| together(pile)).transpose()?.flatten().unwrap_or_default())
}

#[pg_extern(sql = false)]
fn _fold_read(state: &[u8], _held: Internal) -> Internal {
    let pile = Pile::passing();
    if !state.is_empty() {
        put(pile, state);
    }
    pile.held()
}

#[pg_extern(sql = false)]
fn _fold_finish(held: Internal) -> Result<Option<Vec<u8>>> {
    Pile::there(held).map_or(Ok(None), |pile| together(pile))
}

/// What is stored of a state: itself, or without its relationships where it is too large for a row.
#[pg_extern(sql = false)]
fn _cap(state: &[u8]) -> Result<Vec<u8>> {
    Ok(capped(state)?.unwrap_or_else(|| state.to_vec()))
}

/// `None`: it is stored as it is.
fn capped(state: &[u8]) -> std::result::Result<Option<Vec<u8>>, Error> {
    let corrupt = |_| Error::Corrupt("state");
    let overflow = StateView::new(state).map_err(corrupt)?.overflow;
    if state.len() <= MAX_STATE_BYTES && !overflow {
        return Ok(None);
    }
    Ok(Some(State::decode(state).map_err(corrupt)?.capped().encode()))
}

/// Two encodings of one state are equal byte by byte: lists are sorted, and there is one way to write each value.
#[pg_extern(sql = false)]
fn _same(a: &[u8], b: &[u8]) -> bool {
    a == b
}

/// Whether what is stored of a contact, and beside it in the overflow table, is what a fold gives.
#[pg_extern(sql = false)]
fn _stands(fresh: Option<&[u8]>, stored: Option<&[u8]>, beside: Option<&[u8]>) -> Result<bool> {
    let Some(fresh) = fresh else { return Ok(stored.is_none() && beside.is_none()) };
    Ok(match capped(fresh)? {
        None => stored == Some(fresh) && beside.is_none(),
        Some(short) => stored == Some(&short) && beside == Some(fresh),
    })
}
