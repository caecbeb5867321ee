//! What the end-to-end tests share.

pub mod bench;
pub mod cluster;
pub mod conformance;
pub mod crm;
pub mod demo_data;
pub mod lawdocs;
pub mod matrix;
pub mod mutation;
pub mod pages;
pub mod parallel;
pub mod scenario;
pub mod show;
