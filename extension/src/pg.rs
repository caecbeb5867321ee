//! The fence: all unsafe code of the extension. Everything exported is safe to call from a backend's main thread,
//! which is where PostgreSQL calls extension functions.

mod act;
mod pile;

pub use act::execute_as;
pub use pile::Pile;

use crate::error::Error;
use pgrx::prelude::*;
use pgrx::{PgMemoryContexts, pg_sys};
use std::ffi::{CStr, CString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Set when a configuration table may have changed. The callback below only flips it: reading tables inside an
/// invalidation callback is not allowed.
static CONFIGURATION_STALE: AtomicBool = AtomicBool::new(true);
/// The table whose invalidation stands for all configuration (see `sql/04_guards.sql`); 0 while unknown.
static CONFIGURATION_RELATION: AtomicU32 = AtomicU32::new(0);

/// Whether the postmaster is loading the library for all sessions to come.
pub fn is_preloading() -> bool {
    // SAFETY: a plain flag of the backend, written before any library is loaded.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Tables whose triggers the configuration rests on, as a set of hashes of their oids: whoever switches a trigger off
/// makes every session look again. Two tables of one hash cost a look too many.
static RESTS_ON: [AtomicU32; WORDS] = [const { AtomicU32::new(0) }; WORDS];
const WORDS: usize = 1024;

fn bit_of(relation: pg_sys::Oid) -> (usize, u32) {
    let n = relation.to_u32();
    ((n / 32) as usize % WORDS, 1 << (n % 32))
}

/// To be called before the triggers are looked at: until it is known which they are, it may be any.
pub fn configuration_may_rest_on_any() {
    for word in &RESTS_ON {
        word.store(u32::MAX, Ordering::Relaxed);
    }
}

/// To be called with the tables that the configuration just read rests on.
pub fn configuration_rests_on(relations: &[pg_sys::Oid]) {
    for word in &RESTS_ON {
        word.store(0, Ordering::Relaxed);
    }
    for relation in relations {
        let (word, bit) = bit_of(*relation);
        RESTS_ON[word].fetch_or(bit, Ordering::Relaxed);
    }
}

fn configuration_may_rest_on(relation: pg_sys::Oid) -> bool {
    let (word, bit) = bit_of(relation);
    RESTS_ON[word].load(Ordering::Relaxed) & bit != 0
}

pub fn watch_configuration() {
    // SAFETY: called once, from _PG_init; the callback is a static function that touches atomics only.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(configuration_invalidated), pg_sys::Datum::from(0));
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn configuration_invalidated(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    let watched = CONFIGURATION_RELATION.load(Ordering::Relaxed);
    if watched == 0
        || relation == pg_sys::InvalidOid
        || relation.to_u32() == watched
        || configuration_may_rest_on(relation)
    {
        CONFIGURATION_STALE.store(true, Ordering::Relaxed);
    }
}

/// Whether any session, this one included, has changed the configuration since it was read.
pub fn configuration_is_stale() -> bool {
    // SAFETY: takes in what other sessions committed; may call the callback above, which touches atomics only.
    unsafe { pg_sys::AcceptInvalidationMessages() };
    CONFIGURATION_STALE.load(Ordering::Relaxed)
}

/// To be called before the tables are read, so that a change while reading is not missed.
pub fn configuration_is_being_read(relation: pg_sys::Oid) {
    CONFIGURATION_RELATION.store(relation.to_u32(), Ordering::Relaxed);
    CONFIGURATION_STALE.store(false, Ordering::Relaxed);
}

/// Reading failed: the next caller must try again.
pub fn configuration_was_not_read() {
    CONFIGURATION_STALE.store(true, Ordering::Relaxed);
}

/// Tells all sessions, at commit, that the configuration changed.
pub fn invalidate_configuration(relation: pg_sys::Oid) {
    // SAFETY: takes an oid by value; a relation that is gone raises an ordinary error.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) }
}

/// A relation of schema `consent_data` by name.
pub fn relation(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: syscache look-ups by valid C strings.
    let oid = unsafe {
        let schema = pg_sys::get_namespace_oid(c"consent_data".as_ptr(), true);
        if schema == pg_sys::InvalidOid { schema } else { pg_sys::get_relname_relid(name.as_ptr(), schema) }
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// A contact's key, in the type of the tables.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    Int(i64),
    Uuid([u8; 16]),
    Text(&'a str),
}

impl Key<'_> {
    fn datum(&self) -> Option<(pg_sys::Datum, pg_sys::Oid)> {
        match self {
            Key::Int(n) => n.into_datum().map(|d| (d, pg_sys::Oid::from(pg_sys::F_INT8EQ))),
            Key::Uuid(b) => {
                pgrx::Uuid::from_bytes(*b).into_datum().map(|d| (d, pg_sys::Oid::from(pg_sys::F_UUID_EQ)))
            }
            Key::Text(s) => s.into_datum().map(|d| (d, pg_sys::Oid::from(pg_sys::F_TEXTEQ))),
        }
    }
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Int(n) => n.fmt(f),
            Key::Uuid(b) => pgrx::Uuid::from_bytes(*b).fmt(f),
            Key::Text(s) => s.fmt(f),
        }
    }
}

/// A table with a `state` column, and the unique index on its one-column key.
#[derive(Debug, Clone, Copy)]
pub struct StateTable {
    pub table: pg_sys::Oid,
    pub index: pg_sys::Oid,
    pub state_column: i16,
}

impl StateTable {
    pub fn find(table: &CStr, index: &CStr) -> Option<StateTable> {
        let (table, index) = (relation(table)?, relation(index)?);
        // SAFETY: a syscache look-up; a missing column gives 0.
        let state_column = unsafe { pg_sys::get_attnum(table, c"state".as_ptr()) };
        (state_column > 0).then_some(StateTable { table, index, state_column })
    }

    /// Hands the state stored under `key`, as the current snapshot sees it, to `read`.
    ///
    /// Reads the index directly, at a third of the cost of a prepared query. It checks neither privileges nor row
    /// security: the gate is deliberately a guard that answers callers who may not read the tables.
    pub fn look_up<R>(&self, key: Key<'_>, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.look_up_row(key, |slot| {
            // SAFETY: the slot holds a tuple of the table, whose column's number was looked up; its bytes are read
            // before the slot is dropped.
            let bytes = unsafe {
                pg_sys::slot_getsomeattrs_int(slot, self.state_column.into());
                let column = self.state_column as usize - 1;
                let null = *(*slot).tts_isnull.add(column);
                <&[u8]>::from_datum(*(*slot).tts_values.add(column), null)
            };
            bytes.map(read)
        })
        .flatten()
    }

    /// Hands the first row under `key` to `read`.
    fn look_up_row<R>(&self, key: Key<'_>, read: impl FnOnce(*mut pg_sys::TupleTableSlot) -> R) -> Option<R> {
        self.first_row(Some(key.datum()?), read)
    }

    /// Hands the first row, of those whose key equals the value, to `read`.
    fn first_row<R>(
        &self,
        wanted: Option<(pg_sys::Datum, pg_sys::Oid)>,
        read: impl FnOnce(*mut pg_sys::TupleTableSlot) -> R,
    ) -> Option<R> {
        // SAFETY: opened relations, scan, slot and scan key live until they are closed below; an error in between
        // aborts the (sub)transaction, whose resource owner releases them. An active snapshot exists whenever SQL
        // calls a function.
        unsafe {
            let share = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let heap = pg_sys::table_open(self.table, share);
            let index = pg_sys::index_open(self.index, share);
            let slot = pg_sys::table_slot_create(heap, std::ptr::null_mut());
            let keys = wanted.map_or(0, |_| 1);
            let scan = pg_sys::index_beginscan(heap, index, pg_sys::GetActiveSnapshot(), keys, 0);
            let mut key = pg_sys::ScanKeyData::default();
            if let Some((datum, equals)) = wanted {
                pg_sys::ScanKeyInit(&mut key, 1, pg_sys::BTEqualStrategyNumber as u16, equals, datum);
            }
            pg_sys::index_rescan(scan, &mut key, keys, std::ptr::null_mut(), 0);
            let found = pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot);
            let result = found.then(|| read(slot));
            pg_sys::index_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
            pg_sys::index_close(index, share);
            pg_sys::table_close(heap, share);
            result
        }
    }
}

/// `consent_data.pending` and `pending_address`, with their indexes.
#[derive(Debug, Clone, Copy)]
pub struct PendingTables {
    contacts: StateTable,
    addresses: StateTable,
}

impl PendingTables {
    pub fn find() -> Option<PendingTables> {
        let find = |table, index| {
            Some(StateTable { table: relation(table)?, index: relation(index)?, state_column: 0 })
        };
        Some(PendingTables {
            contacts: find(c"pending", c"pending_contact")?,
            addresses: find(c"pending_address", c"pending_address_hash")?,
        })
    }

    /// Whether the contact's state may be behind, as the current snapshot sees it. A noted address may be anybody's.
    pub fn may_note(&self, key: Key<'_>) -> bool {
        self.contacts.look_up_row(key, |_| ()).is_some() || self.addresses.first_row(None, |_| ()).is_some()
    }
}

/// Whether this is a worker of a parallel query or its leader: no subtransactions, no folding on the spot.
pub fn in_parallel_mode() -> bool {
    // SAFETY: reads backend state.
    unsafe { pg_sys::IsInParallelMode() }
}

/// What a function keeps between the calls of one statement; `None` on the first call.
///
/// Each SQL function must use one type for it only, and drop the borrow before it returns.
pub fn kept<'a, T: 'static>(fcinfo: pg_sys::FunctionCallInfo) -> Option<&'a mut Option<T>> {
    // SAFETY: fcinfo comes from the function manager and is valid during the call. fn_extra is ours alone; it is
    // set only here, to a value of T that lives as long as fn_mcxt, which outlives the calls through this flinfo.
    unsafe {
        let flinfo = fcinfo.as_ref()?.flinfo.as_mut()?;
        if flinfo.fn_extra.is_null() {
            let slot: *mut Option<T> = PgMemoryContexts::For(flinfo.fn_mcxt).leak_and_drop_on_delete(None);
            flinfo.fn_extra = slot.cast();
        }
        flinfo.fn_extra.cast::<Option<T>>().as_mut()
    }
}

/// Runs `read` as the owner of `relation` and with a snapshot of this very moment.
///
/// The newest snapshot, because what is cached must not be older than its invalidation: inside REPEATABLE READ an
/// old snapshot would put old rules into a cache that outlives the transaction. The owner, because those who may
/// only ask can't read the tables.
pub fn as_owner_now<R>(relation: pg_sys::Oid, read: impl FnOnce() -> R) -> R {
    // SAFETY: if `read` raises, transaction or subtransaction abort pops the snapshot, as for any C function that
    // pushes one.
    unsafe {
        pg_sys::InvalidateCatalogSnapshot();
        pg_sys::PushActiveSnapshot(pg_sys::GetCatalogSnapshot(relation));
        let result = as_owner(relation, read);
        pg_sys::PopActiveSnapshot();
        result
    }
}

/// Runs `read` as the owner of `relation`, with the caller's snapshot.
pub fn as_owner<R>(relation: pg_sys::Oid, read: impl FnOnce() -> R) -> R {
    // SAFETY: plain setters and getters of backend state. If `read` raises, transaction or subtransaction abort
    // restores the user.
    unsafe {
        let heap = pg_sys::table_open(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let owner = (*(*heap).rd_rel).relowner;
        pg_sys::table_close(heap, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(owner, context | restricted as i32);
        // The caller's temporary schema must not supply a type or an operator to what runs as somebody else.
        let level = pg_sys::NewGUCNestLevel();
        pg_sys::set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
        let result = read();
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(user, context);
        result
    }
}

/// Goes on with the rights of `role`, in the restricted manner of index and view maintenance.
///
/// There is no way back but the abort of the (sub)transaction, which puts back the user it began with; and the end of a
/// function with rights of its own, which does the same.
pub fn become_role(role: pg_sys::Oid) -> Result<(), Error> {
    let (mut user, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: plain setters and getters of backend state.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        // Only from inside a function that runs with its owner's rights, whose end puts back the caller's.
        if context & pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32 == 0 {
            return Err(Error::NotByHand);
        }
        let restricted = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        pg_sys::SetUserIdAndSecContext(role, context | restricted as i32);
    }
    Ok(())
}

/// Whether the current user has the privileges of `role`. A role that does not exist is nobody's.
pub fn has_role(role: &str) -> bool {
    let Ok(name) = CString::new(role) else { return false };
    // SAFETY: syscache look-ups.
    unsafe {
        let role = pg_sys::get_role_oid(name.as_ptr(), true);
        pg_sys::superuser()
            || role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(pg_sys::GetUserId(), role)
    }
}

/// The start of the current statement, in PostgreSQL's microseconds.
pub fn statement_timestamp() -> i64 {
    // SAFETY: reads backend state.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

pub fn data_directory() -> PathBuf {
    // SAFETY: DataDir is set before any backend runs and never changed.
    let dir = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    PathBuf::from(dir.to_string_lossy().into_owned())
}

/// Random bytes for a key.
pub fn random_key() -> Result<[u8; 32], Error> {
    let mut key = [0; 32];
    // SAFETY: writes exactly the buffer's length.
    let filled = unsafe { pg_sys::pg_strong_random(key.as_mut_ptr().cast(), key.len()) };
    if filled { Ok(key) } else { Err(Error::Key("not to be had: the system gives no random bytes")) }
}

/// Text as a C string in the caller's memory context, for output functions.
pub fn c_string<'a>(text: &str) -> &'a CStr {
    let mut buffer = pgrx::StringInfo::new();
    buffer.push_str(text);
    // SAFETY: the buffer was made here and belongs to the current memory context.
    unsafe { buffer.leak_cstr() }
}

/// One row of [`rows`].
pub struct Row {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
}

impl Row {
    /// The value of a column (from 1), owned; `None` for SQL NULL.
    pub fn get<T: FromDatum>(&self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: tuple and description belong to the result that `rows` keeps until all are visited; the query
        // casts each column to the type it is read as.
        unsafe {
            let datum = pg_sys::SPI_getbinval(self.tuple, self.description, column, &mut null);
            T::from_datum(datum, null)
        }
    }
}

/// Visits the rows of a query under the active snapshot.
///
/// Not through `Spi`, which takes the transaction's snapshot as soon as the transaction has written.
pub fn rows(sql: &str, visit: impl FnMut(&Row)) -> Result<(), Error> {
    rows_of(sql, None, visit)
}

/// The same with a text as `$1`.
pub fn rows_of(sql: &str, argument: Option<&str>, mut visit: impl FnMut(&Row)) -> Result<(), Error> {
    let failed = |what: &str| Error::Configuration(what.to_owned());
    let sql = CString::new(sql).map_err(|_| failed("malformed query"))?;
    // SAFETY: connect, execute, read, finish in order; an error in between aborts the (sub)transaction, which
    // closes the connection. SPI_tuptable is valid until SPI_finish.
    unsafe {
        if pg_sys::SPI_connect() != pg_sys::SPI_OK_CONNECT as i32 {
            return Err(failed("SPI_connect"));
        }
        let status = match argument.and_then(|a| a.into_datum()) {
            None => pg_sys::SPI_execute(sql.as_ptr(), true, 0),
            Some(mut value) => pg_sys::SPI_execute_with_args(
                sql.as_ptr(),
                1,
                &mut pg_sys::TEXTOID.clone(),
                &mut value,
                std::ptr::null(),
                true,
                0,
            ),
        };
        if status == pg_sys::SPI_OK_SELECT as i32
            && let Some(table) = pg_sys::SPI_tuptable.as_ref()
        {
            for n in 0..table.numvals as usize {
                visit(&Row { tuple: *table.vals.add(n), description: table.tupdesc });
            }
        }
        pg_sys::SPI_finish();
        if status == pg_sys::SPI_OK_SELECT as i32 { Ok(()) } else { Err(failed("no result")) }
    }
}
