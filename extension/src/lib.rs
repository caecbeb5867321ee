//! pg_consent inside PostgreSQL: SQL functions over the policy core.
//!
//! Every SQL object is declared in `sql/*.sql`, in the order below; the Rust functions carry `sql = false` and are
//! bound there by name.
//!
//! - [`values`]: the types `state` and `question`, facts, merging
//! - [`gate`]: `@@`, `can_send`, `explain`
//! - [`config`]: senders, kinds, categories and switches, cached until they change
//! - [`law`]: the rules in words, and the deadline of an opt-out
//! - [`key`]: the key under which addresses are hashed
//! - [`pg`]: everything unsafe
#![deny(ffi_unwind_calls)]
// pgrx keeps SQLSTATE, DETAIL and HINT only in this error type, and it is large.
#![allow(clippy::result_large_err)]

use pgrx::prelude::*;

mod config;
mod error;
mod gate;
mod key;
mod law;
#[allow(unsafe_code)]
mod pg;
mod values;

pgrx::pg_module_magic!(name, version);

#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    key::define_setting();
    pg::watch_configuration();
    if pg::is_preloading() {
        // Every session forked from here has the packs read already.
        pg_consent_policy::pack::builtin();
    }
}

extension_sql_file!("../../sql/01_types.sql", name = "types");
extension_sql_file!("../../sql/02_functions.sql", name = "functions", requires = ["types"]);
extension_sql_file!("../../sql/03_tables.sql", name = "tables", requires = ["functions"]);
extension_sql_file!("../../sql/03b_own_rules.sql", name = "own_rules", requires = ["tables"]);
extension_sql_file!("../../sql/04_roles.sql", name = "roles", requires = ["own_rules"]);
extension_sql_file!("../../sql/05_record.sql", name = "record", requires = ["roles"]);
extension_sql_file!("../../sql/06_bind.sql", name = "bind", requires = ["record"]);
extension_sql_file!("../../sql/06a_crm.sql", name = "crm", requires = ["bind"]);
extension_sql_file!("../../sql/06b_watch.sql", name = "watch", requires = ["crm"]);
extension_sql_file!("../../sql/07_fold.sql", name = "fold", requires = ["watch"]);
extension_sql_file!("../../sql/08_ask.sql", name = "ask", requires = ["fold"]);
extension_sql_file!("../../sql/09_views.sql", name = "views", requires = ["ask"]);
extension_sql_file!("../../sql/10_setup.sql", name = "setup", requires = ["views"]);
extension_sql_file!("../../sql/11_grants.sql", name = "grants", requires = ["setup"], finalize);

/// The SQL is compiled in by the macro above, which does not tell the compiler that it reads the files.
const _: &[&str] = &[
    include_str!("../../sql/01_types.sql"),
    include_str!("../../sql/02_functions.sql"),
    include_str!("../../sql/03_tables.sql"),
    include_str!("../../sql/03b_own_rules.sql"),
    include_str!("../../sql/04_roles.sql"),
    include_str!("../../sql/05_record.sql"),
    include_str!("../../sql/06_bind.sql"),
    include_str!("../../sql/06a_crm.sql"),
    include_str!("../../sql/06b_watch.sql"),
    include_str!("../../sql/07_fold.sql"),
    include_str!("../../sql/08_ask.sql"),
    include_str!("../../sql/09_views.sql"),
    include_str!("../../sql/10_setup.sql"),
    include_str!("../../sql/11_grants.sql"),
];
