//! pg_consent inside PostgreSQL: SQL functions over the policy core.
//!
//! Every SQL object is declared in `sql/*.sql`, in the order below; the Rust functions carry `sql = false` and are
//! bound there by name.
//!
//! - [`values`]: the types `state` and `question`, facts, merging
//! - [`addresses`]: keyed hashes of addresses, codes of countries
//! - [`fold`]: the aggregate of facts, and what is stored of it
//! - [`drift`]: in what two states differ
//! - [`gate`]: `@@`, `can_send`, `explain`
//! - [`config`]: senders, kinds, categories and switches, cached until they change
//! - [`draft`]: questions under a draft of the law
//! - [`law`]: the rules in words, and the deadline of an opt-out
//! - [`key`]: the keys under which addresses are hashed
//! - [`status`]: how a person stands, for screens
//! - [`proof`]: seals over the logs, and whether a proof holds
//! - [`retention`]: who may be retired, and the action in the CRM
//! - [`token`]: links by which people opt out, and what evidence is worth
//! - [`pg`]: everything unsafe
#![deny(ffi_unwind_calls)]
// pgrx keeps SQLSTATE, DETAIL and HINT only in this error type, and it is large.
#![allow(clippy::result_large_err)]

use pgrx::prelude::*;

mod addresses;
mod config;
mod draft;
mod drift;
mod error;
mod fold;
mod gate;
mod key;
mod law;
#[allow(unsafe_code)]
mod pg;
mod proof;
mod retention;
mod similar;
mod status;
mod token;
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
extension_sql_file!("../../sql/04_guards.sql", name = "guards", requires = ["tables"]);
extension_sql_file!("../../sql/05_own_rules.sql", name = "own_rules", requires = ["guards"]);
extension_sql_file!("../../sql/06_roles.sql", name = "roles", requires = ["own_rules"]);
extension_sql_file!("../../sql/07_record.sql", name = "record", requires = ["roles"]);
extension_sql_file!("../../sql/08_facts.sql", name = "facts", requires = ["record"]);
extension_sql_file!("../../sql/09_bind.sql", name = "bind", requires = ["facts"]);
extension_sql_file!("../../sql/10_crm.sql", name = "crm", requires = ["bind"]);
extension_sql_file!("../../sql/11_watch.sql", name = "watch", requires = ["crm"]);
extension_sql_file!("../../sql/12_freshness.sql", name = "freshness", requires = ["watch"]);
extension_sql_file!("../../sql/13_addresses.sql", name = "addresses", requires = ["freshness"]);
extension_sql_file!("../../sql/14_fold.sql", name = "fold", requires = ["addresses"]);
extension_sql_file!("../../sql/15_refold.sql", name = "refold", requires = ["fold"]);
extension_sql_file!("../../sql/16_ask.sql", name = "ask", requires = ["refold"]);
extension_sql_file!("../../sql/17_views.sql", name = "views", requires = ["ask"]);
extension_sql_file!("../../sql/18_erasure.sql", name = "erasure", requires = ["views"]);
extension_sql_file!("../../sql/19_merge.sql", name = "merge", requires = ["erasure"]);
extension_sql_file!("../../sql/20_access.sql", name = "access", requires = ["merge"]);
extension_sql_file!("../../sql/21_import_reading.sql", name = "import_reading", requires = ["access"]);
extension_sql_file!("../../sql/22_import.sql", name = "import", requires = ["import_reading"]);
extension_sql_file!("../../sql/23_export.sql", name = "export", requires = ["import"]);
extension_sql_file!("../../sql/24_status.sql", name = "status", requires = ["export"]);
extension_sql_file!("../../sql/25_keys.sql", name = "keys", requires = ["status"]);
extension_sql_file!("../../sql/26_similar.sql", name = "similar", requires = ["keys"]);
extension_sql_file!("../../sql/27_retention.sql", name = "retention", requires = ["similar"]);
extension_sql_file!("../../sql/28_retention_pass.sql", name = "retention_pass", requires = ["retention"]);
extension_sql_file!("../../sql/29_retire.sql", name = "retire", requires = ["retention_pass"]);
extension_sql_file!("../../sql/30_verify.sql", name = "verify", requires = ["retire"]);
extension_sql_file!("../../sql/31_report.sql", name = "report", requires = ["verify"]);
extension_sql_file!("../../sql/32_ledger.sql", name = "ledger", requires = ["report"]);
extension_sql_file!("../../sql/33_seals.sql", name = "seals", requires = ["ledger"]);
extension_sql_file!("../../sql/34_proofs.sql", name = "proofs", requires = ["seals"]);
extension_sql_file!("../../sql/35_decisions.sql", name = "decisions", requires = ["proofs"]);
extension_sql_file!("../../sql/36_limits.sql", name = "limits", requires = ["decisions"]);
extension_sql_file!("../../sql/37_claims.sql", name = "claims", requires = ["limits"]);
extension_sql_file!("../../sql/38_tokens.sql", name = "tokens", requires = ["claims"]);
extension_sql_file!("../../sql/39_unsubscribe.sql", name = "unsubscribe", requires = ["tokens"]);
extension_sql_file!("../../sql/40_preferences.sql", name = "preferences", requires = ["unsubscribe"]);
extension_sql_file!("../../sql/41_evidence.sql", name = "evidence", requires = ["preferences"]);
extension_sql_file!("../../sql/42_summary.sql", name = "summary", requires = ["evidence"]);
extension_sql_file!("../../sql/43_audit.sql", name = "audit", requires = ["summary"]);
extension_sql_file!("../../sql/44_dossier.sql", name = "dossier", requires = ["audit"]);
extension_sql_file!("../../sql/45_replay.sql", name = "replay", requires = ["dossier"]);
extension_sql_file!("../../sql/46_setup.sql", name = "setup", requires = ["replay"]);
extension_sql_file!("../../sql/47_grants.sql", name = "grants", requires = ["setup"]);
extension_sql_file!("../../sql/48_key_types.sql", name = "key_types", requires = ["grants"], finalize);

/// The SQL is compiled in by the macro above, which does not tell the compiler that it reads the files.
const _: &[&str] = &[
    include_str!("../../sql/01_types.sql"),
    include_str!("../../sql/02_functions.sql"),
    include_str!("../../sql/03_tables.sql"),
    include_str!("../../sql/04_guards.sql"),
    include_str!("../../sql/05_own_rules.sql"),
    include_str!("../../sql/06_roles.sql"),
    include_str!("../../sql/07_record.sql"),
    include_str!("../../sql/08_facts.sql"),
    include_str!("../../sql/09_bind.sql"),
    include_str!("../../sql/10_crm.sql"),
    include_str!("../../sql/11_watch.sql"),
    include_str!("../../sql/12_freshness.sql"),
    include_str!("../../sql/13_addresses.sql"),
    include_str!("../../sql/14_fold.sql"),
    include_str!("../../sql/15_refold.sql"),
    include_str!("../../sql/16_ask.sql"),
    include_str!("../../sql/17_views.sql"),
    include_str!("../../sql/18_erasure.sql"),
    include_str!("../../sql/19_merge.sql"),
    include_str!("../../sql/20_access.sql"),
    include_str!("../../sql/21_import_reading.sql"),
    include_str!("../../sql/22_import.sql"),
    include_str!("../../sql/23_export.sql"),
    include_str!("../../sql/24_status.sql"),
    include_str!("../../sql/25_keys.sql"),
    include_str!("../../sql/26_similar.sql"),
    include_str!("../../sql/27_retention.sql"),
    include_str!("../../sql/28_retention_pass.sql"),
    include_str!("../../sql/29_retire.sql"),
    include_str!("../../sql/30_verify.sql"),
    include_str!("../../sql/31_report.sql"),
    include_str!("../../sql/32_ledger.sql"),
    include_str!("../../sql/33_seals.sql"),
    include_str!("../../sql/34_proofs.sql"),
    include_str!("../../sql/35_decisions.sql"),
    include_str!("../../sql/36_limits.sql"),
    include_str!("../../sql/37_claims.sql"),
    include_str!("../../sql/38_tokens.sql"),
    include_str!("../../sql/39_unsubscribe.sql"),
    include_str!("../../sql/40_preferences.sql"),
    include_str!("../../sql/41_evidence.sql"),
    include_str!("../../sql/42_summary.sql"),
    include_str!("../../sql/43_audit.sql"),
    include_str!("../../sql/44_dossier.sql"),
    include_str!("../../sql/45_replay.sql"),
    include_str!("../../sql/46_setup.sql"),
    include_str!("../../sql/47_grants.sql"),
    include_str!("../../sql/48_key_types.sql"),
];
