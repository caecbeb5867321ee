//! What must hold over the life of a database: dumps, dropped extensions, crashes, other key types, and that all ways
//! of asking agree.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agreement;
mod audit;
mod batch;
mod behaviour;
mod claims;
mod concurrency;
mod configuration;
mod crash;
mod crm;
mod dolibarr;
mod dossier;
mod drop_extension;
mod dump_and_restore;
mod import;
mod invariants;
mod key_types;
mod keys;
mod odoo;
mod outbox;
mod page;
mod preloaded;
mod refusing;
mod replay;
mod rescore;
mod retention;
mod retention_kept;
mod seals;
mod shop;
mod subject;
mod tls;
mod unsubscribe;
mod verify;
