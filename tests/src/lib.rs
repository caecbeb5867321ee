//! What the end-to-end tests share.

pub mod bench;
pub mod cluster;
pub mod conformance;
pub mod demo_data;
pub mod lawdocs;
pub mod mutation;
pub mod scenario;
pub mod show;
