//! The core of pg_consent: may this contact be sent this message, on what legal basis, and why not?
//!
//! Facts become atoms, atoms merge into a state, and a decision is a function of a state and a question:
//!
//! - [`fact`], [`profile`]: what happened, and who the contact is
//! - [`state`]: the compact merge of all facts, stored beside the contact
//! - [`pack`]: the law of each jurisdiction as data
//! - [`question`]: everything else a decision needs
//! - [`decide`]: the decision; [`explain`]: the same with its grounds, for people
//! - [`retention`], [`similarity`]: what the nightly batch computes
//! - [`proof`]: Merkle trees, seals and their chain, and proofs that a row is in one
//! - [`address`], [`country`]: normalised and keyed-hashed addresses, normalised countries
//! - [`evidence`]: what proves an opt-in; [`token`]: links by which people opt out
//! - [`status`]: the words that CRMs show
//!
//! No I/O, no clock, no PostgreSQL.
#![forbid(unsafe_code)]

pub mod address;
pub mod codes;
pub mod country;
pub mod decide;
pub mod evidence;
pub mod explain;
pub mod fact;
pub mod holiday;
pub mod pack;
pub mod profile;
pub mod proof;
pub mod question;
pub mod retention;
pub mod similarity;
pub mod state;
pub mod status;
pub mod time;
pub mod token;
