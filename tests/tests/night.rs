//! The night among the day's work: nobody's refusal may be lost to it, and it may be killed at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "night/amid.rs"]
mod amid;
#[path = "night/as_of.rs"]
mod as_of;
#[path = "night/batch.rs"]
mod batch;
#[path = "night/killed.rs"]
mod killed;
#[allow(dead_code)] // the other tests' part of it
mod refusing;
#[allow(dead_code)]
mod shop;
