//! The key under which addresses are hashed. It lives in a file of the server, never in a table: a dump must not
//! carry what would make its hashes guessable. Its fingerprint is in `consent_data.key_generation`.

use crate::config;
use crate::error::{Error, Result};
use crate::pg;
use pg_consent_policy::address;
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

static KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"pg_consent.key"));

pub fn define_setting() {
    GucRegistry::define_string_guc(
        c"pg_consent.key_file",
        c"File that holds the key under which addresses are hashed.",
        c"At least 32 bytes; relative to the data directory. Keep a copy apart from the dumps.",
        &KEY_FILE,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
}

fn path() -> PathBuf {
    let name = KEY_FILE.get().unwrap_or_default();
    pg::data_directory().join(name.to_string_lossy().into_owned())
}

/// The key in use, if the file has one.
pub fn read() -> std::result::Result<Vec<u8>, Error> {
    let key = std::fs::read(path()).map_err(|_| Error::Key("missing"))?;
    if key.len() < address::MIN_KEY_BYTES { Err(Error::Key("too short")) } else { Ok(key) }
}

/// Makes the key file where there is none, and answers with the key's fingerprint.
#[pg_extern(sql = false)]
fn _key_create() -> Result<Vec<u8>> {
    if !path().exists() {
        let key = pg::random_key()?;
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path())
            .and_then(|mut file| file.write_all(&key).and_then(|()| file.sync_all()));
        written.map_err(|_| Error::Key("not writable"))?;
    }
    let key = read()?;
    Ok(address::fingerprint(&key).map_err(Error::from)?.to_vec())
}

/// The keyed hash of a contact's key; `NULL` without the address key: for folds, which deny then.
#[pg_extern(sql = false)]
fn _key_hash(contact: Option<&str>) -> Option<Vec<u8>> {
    let config = config::current().ok()?;
    address::hash_contact(config.key().ok()?, contact?).ok().map(|h| h.to_vec())
}
