//! What the end-to-end tests share.

pub mod bench;
pub mod claims;
pub mod cluster;
pub mod conformance;
pub mod crm;
pub mod demo_data;
pub mod lawdocs;
pub mod likeness;
pub mod matrix;
pub mod mutation;
pub mod night;
pub mod pages;
pub mod parallel;
pub mod scenario;
pub mod show;
