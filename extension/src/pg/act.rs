//! Doing something in the CRM with the rights of whoever owns its table.

use crate::error::Error;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CString;

/// Runs one statement as `role`, with `path` as search path and the text `argument` as `$1`; answers with how many rows
/// it touched.
///
/// In the restricted manner of index and view maintenance: what runs can't take another role, leave a deferred trigger
/// or a temporary table behind, nor a setting for whoever goes on. An error leaves the same, by the abort.
pub fn execute_as(role: pg_sys::Oid, path: &str, statement: &str, argument: &str) -> Result<u64, Error> {
    let failed = |what: &str| Error::Configuration(what.to_owned());
    let path = CString::new(path).map_err(|_| failed("malformed search path"))?;
    let statement = CString::new(statement).map_err(|_| failed("malformed statement"))?;
    let mut value = argument.into_datum().ok_or_else(|| failed("no argument"))?;
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: plain setters and getters of backend state, and SPI's connect, execute, finish in order. If the statement
    // raises, transaction or subtransaction abort restores user and settings and closes the connection.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        // Only from inside a function that runs with its owner's rights: nobody else may become anybody.
        if context & pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32 == 0 {
            return Err(Error::NotByHand);
        }
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            path.as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(role, context | restricted as i32);
        let connected = pg_sys::SPI_connect() == pg_sys::SPI_OK_CONNECT as i32;
        let (mut status, mut touched) = (0, 0);
        if connected {
            status = pg_sys::SPI_execute_with_args(
                statement.as_ptr(),
                1,
                &mut pg_sys::TEXTOID.clone(),
                &mut value,
                std::ptr::null(),
                false,
                0,
            );
            touched = pg_sys::SPI_processed;
            pg_sys::SPI_finish();
        }
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(user, context);
        if connected && status > 0 { Ok(touched) } else { Err(failed("the statement did nothing")) }
    }
}
