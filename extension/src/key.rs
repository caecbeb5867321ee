//! The keys under which addresses are hashed. They live in files of the server, never in a table: a dump must not
//! carry what would make its hashes guessable. Their fingerprints are in `consent_data.key_generation`.
//!
//! The first generation is in the file that the setting names, generation n in `<that file>.<n>`. New hashes are made
//! under the newest; the older ones find what was hashed before.

use crate::config;
use crate::error::{Error, Result};
use crate::pg;
use pg_consent_policy::address;
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::cell::RefCell;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

static KEY_FILE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"pg_consent.key"));

pub fn define_setting() {
    GucRegistry::define_string_guc(
        c"pg_consent.key_file",
        c"File that holds the key under which addresses are hashed.",
        c"At least 32 bytes; relative to the data directory. Later generations have their number behind its name. Keep copies apart from the dumps.",
        &KEY_FILE,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
}

/// The keys of all generations, the newest first.
pub type Keys = Vec<Vec<u8>>;

/// A generation as the data knows it.
pub struct Generation {
    pub number: i32,
    pub fingerprint: Vec<u8>,
}

/// Where a generation's key is; the oldest has no number.
fn path(number: i32, first: i32) -> PathBuf {
    let mut name = KEY_FILE.get().unwrap_or_default().to_string_lossy().into_owned();
    if number != first {
        name.push_str(&format!(".{number}"));
    }
    pg::data_directory().join(name)
}

/// The name alone: the directory is not everybody's business.
fn name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &std::path::Path) -> std::result::Result<Vec<u8>, Error> {
    let fault = |fault| Error::KeyFile { file: name(path), fault };
    let key = std::fs::read(path)
        .map_err(|e| fault(if e.kind() == ErrorKind::NotFound { "missing" } else { "not readable" }))?;
    if key.len() < address::MIN_KEY_BYTES { Err(fault("too short")) } else { Ok(key) }
}

fn read_generation(of: &Generation, first: i32) -> std::result::Result<Vec<u8>, Error> {
    let path = path(of.number, first);
    let key = read(&path)?;
    if address::fingerprint(&key)?[..] == of.fingerprint[..] {
        Ok(key)
    } else {
        Err(Error::KeyFile { file: name(&path), fault: "not the one that the data was hashed under" })
    }
}

/// The keys of all these generations. One that is missing or another one is a fault of all: what was suppressed under
/// it would be out of sight.
pub fn read_all(generations: &[Generation]) -> std::result::Result<Keys, Error> {
    let first = generations.iter().map(|g| g.number).min().ok_or(Error::NotSetUp)?;
    let mut sorted: Vec<&Generation> = generations.iter().collect();
    sorted.sort_by_key(|g| std::cmp::Reverse(g.number));
    sorted.into_iter().map(|g| read_generation(g, first)).collect()
}

/// The key of one generation: from memory where all are there, else from its file. A generation that the data does not know
/// has no fingerprint: `None` where it has no file either, as after the restore of a dump older than it.
pub fn of_generation(
    number: i32,
    first: i32,
    fingerprint: Option<&[u8]>,
) -> std::result::Result<Option<Vec<u8>>, Error> {
    let Some(fingerprint) = fingerprint else { return Ok(read(&path(number, first)).ok()) };
    let is_it = |key: &&Vec<u8>| address::fingerprint(key).is_ok_and(|f| f[..] == *fingerprint);
    let kept = config::current().ok().and_then(|c| c.keys().ok()?.iter().find(is_it).cloned());
    match kept {
        Some(key) => Ok(Some(key)),
        None => read_generation(&Generation { number, fingerprint: fingerprint.to_vec() }, first).map(Some),
    }
}

thread_local! {
    static LOGGED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Tells the server's log about a fault, once a session and fault: without a key the configuration is read for each
/// statement.
pub fn log_fault(fault: Option<&Error>) {
    let text = fault.map(|e| match e {
        Error::KeyFile { file, .. } => format!("{e}: `{file}`"),
        _ => e.to_string(),
    });
    if LOGGED.replace(text.clone()) != text
        && let Some(text) = text
    {
        log!("all marketing is denied: {text}");
    }
}

/// What is wrong with the key file of a generation, and which file that is; `{file, problem}`.
#[pg_extern(sql = false)]
fn _key_file(number: i32, first: i32, fingerprint: &[u8]) -> Vec<Option<String>> {
    let of = Generation { number, fingerprint: fingerprint.to_vec() };
    let problem = read_generation(&of, first).err().map(|e| e.to_string());
    vec![Some(name(&path(number, first))), problem]
}

/// Makes the key file of a generation where there is none, and answers with the key's fingerprint. A file without a
/// generation is one whose transaction was rolled back, or another database's of this server: nothing speaks against it.
#[pg_extern(sql = false)]
fn _key_create(number: i32, first: i32) -> Result<Vec<u8>> {
    let path = path(number, first);
    let not_writable = || Error::KeyFile { file: name(&path), fault: "not writable" };
    let key = pg::random_key()?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let directory = path.parent().map(File::open);
            let written = file
                .write_all(&key)
                .and_then(|()| file.sync_all())
                // The name must outlive a crash too: the transaction that records the fingerprint will.
                .and_then(|()| directory.transpose())
                .and_then(|d| d.map_or(Ok(()), |d| d.sync_all()));
            written.map_err(|_| not_writable())?;
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(_) => return Err(not_writable().into()),
    }
    let key = read(&path)?;
    Ok(address::fingerprint(&key).map_err(Error::from)?.to_vec())
}

/// The keyed hash of a contact's key; `NULL` without the address key: for folds, which deny then.
#[pg_extern(sql = false)]
fn _key_hash(contact: Option<&str>) -> Option<Vec<u8>> {
    let config = config::current().ok()?;
    address::hash_contact(config.keys().ok()?.last()?, contact?).ok().map(|h| h.to_vec())
}
