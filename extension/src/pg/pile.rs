//! What an aggregate gathers, in PostgreSQL's memory.

use crate::error::Error;
use pgrx::{Internal, pg_sys};

/// Bytes that an aggregate gathers for one group. They lie in PostgreSQL's memory, which counts them: a hash aggregate
/// of millions goes to disk instead of growing.
#[repr(C)]
pub struct Pile {
    bytes: *mut u8,
    used: usize,
    room: usize,
    /// Whoever gathers decides when to put together what is there; from this many bytes on.
    pub limit: usize,
}

impl Pile {
    const FIRST: usize = 112;

    /// The pile of the aggregate's group, a new one at its first row.
    pub fn of(held: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Result<&'static mut Pile, Error> {
        if let Some(pile) = Pile::there(held) {
            return Ok(pile);
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: fcinfo comes from the function manager; the context is set only where there is one.
        unsafe {
            if pg_sys::AggCheckCallContext(fcinfo, &mut context) == 0 {
                return Err(Error::NotByHand);
            }
            Ok(Pile::new(context))
        }
    }

    /// The pile of the aggregate's group, if it has one.
    pub fn there(held: Internal) -> Option<&'static mut Pile> {
        // SAFETY: only an aggregate can have a value of type internal to pass, and ours holds nothing else; it lives
        // as long as the group, and each call drops its borrow before it returns.
        unsafe { held.unwrap().and_then(|datum| datum.cast_mut_ptr::<Pile>().as_mut()) }
    }

    /// A pile in the memory of the call, for what another process has gathered.
    pub fn passing() -> &'static mut Pile {
        // SAFETY: the current context lives at least until the aggregate has taken the pile in.
        unsafe { Pile::new(pg_sys::CurrentMemoryContext) }
    }

    /// # Safety
    /// `context` must be a memory context that outlives the pile.
    unsafe fn new(context: pg_sys::MemoryContext) -> &'static mut Pile {
        // SAFETY: both allocations are as large as asked for, and aligned for any type; written before read.
        unsafe {
            let pile = pg_sys::MemoryContextAlloc(context, size_of::<Pile>()).cast::<Pile>();
            let bytes = pg_sys::MemoryContextAlloc(context, Pile::FIRST).cast::<u8>();
            pile.write(Pile { bytes, used: 0, room: Pile::FIRST, limit: 0 });
            &mut *pile
        }
    }

    /// To be returned by the aggregate's function.
    pub fn held(&mut self) -> Internal {
        Internal::from(Some(pg_sys::Datum::from(std::ptr::from_mut(self))))
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `used` bytes have been written there.
        unsafe { std::slice::from_raw_parts(self.bytes, self.used) }
    }

    pub fn clear(&mut self) {
        self.used = 0;
    }

    pub fn push(&mut self, more: &[u8]) {
        let needed = self.used + more.len();
        // SAFETY: repalloc keeps the bytes and their context, and raises an error where there is no room; `more` can't
        // lie within, since nobody else has the pile.
        unsafe {
            if needed > self.room {
                let room = needed.next_power_of_two();
                self.bytes = pg_sys::repalloc(self.bytes.cast(), room).cast();
                self.room = room;
            }
            std::ptr::copy_nonoverlapping(more.as_ptr(), self.bytes.add(self.used), more.len());
        }
        self.used = needed;
    }
}
