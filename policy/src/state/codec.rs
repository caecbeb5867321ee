//! The stored form of a state.
//!
//! ```text
//! version u8 · flags u8 · horizon i48 · [profile] · lengths of 4 sections (varint) · sections
//! ```
//! Sections: restrictions and listings; opt-ins and confirmations; relationships; contracts, actions, holds, runs of messages
//! and transfers.
//! They are apart so that a decision reads only what it needs. Times of restrictions and opt-ins are
//! milliseconds (i48, little endian); the others are whole seconds before the horizon (varint), which fits a
//! category bought from into about five bytes. Nothing is aligned: a stored value may begin anywhere.

mod encode;
mod view;

pub use view::{Atoms, ProfileView, Relations, StateView};

/// A reader of another version denies rather than guesses.
pub const VERSION: u8 = 2;

/// Above about 2 kB PostgreSQL moves a value out of its row, and reading it costs 23 times as much.
pub const MAX_STATE_BYTES: usize = 1900;

/// Bytes that are no state of a known version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a consent state of a known version")]
pub struct Corrupt;

type Read<T> = Result<T, Corrupt>;

const DIRTY: u8 = 1;
const OVERFLOW: u8 = 2;
const PROFILE: u8 = 4;
const INSTANT_BYTES: usize = 6;
