//! A guard for processes that may not allocate.
//!
//! Between clone3(2) and execve(2) the child works on a copy of the launcher's memory: an
//! allocation would touch pages for nothing and, in an embedder with threads, could find the
//! allocator's lock taken for ever. In debug builds the guard ends the process at the first
//! allocation and names the step; release builds carry nothing of it.
//!
//! The same guard tells tests how much memory something takes.

use std::sync::atomic::{AtomicU8, Ordering};

/// 0 while allocation is allowed, else the number of the current step plus one.
static STEP: AtomicU8 = AtomicU8::new(0);

/// Forbids allocation in this process from now on; `step` is named when it happens.
pub fn forbid(step: u8) {
    if cfg!(debug_assertions) {
        STEP.store(step.saturating_add(1), Ordering::Relaxed);
    }
}

/// Does `work` and tells how many bytes it had in use at most, beyond those that the calling thread
/// had in use before; none in release builds, which do not count.
pub fn most_in_use<T>(work: impl FnOnce() -> T) -> (T, usize) {
    #[cfg(debug_assertions)]
    let before = guard::begin();
    let done = work();
    #[cfg(debug_assertions)]
    let most = guard::most_since(before);
    #[cfg(not(debug_assertions))]
    let most = 0;
    (done, most)
}

#[cfg(debug_assertions)]
mod guard {
    use super::super::heap::Heap;
    use super::{Ordering, STEP};
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::Cell;

    struct Guard;

    thread_local! {
        /// Bytes in use and the most that there were. What one thread takes and another gives back
        /// may make the first less than nothing.
        static USE: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
    }

    fn count(bytes: isize) {
        let (now, most) = USE.get();
        let now = now.saturating_add(bytes);
        USE.set((now, most.max(now)));
    }

    /// Begins to count; what is in use now.
    pub(super) fn begin() -> isize {
        let (now, _) = USE.get();
        USE.set((now, now));
        now
    }

    pub(super) fn most_since(before: isize) -> usize {
        let (_, most) = USE.get();
        most.saturating_sub(before).unsigned_abs()
    }

    fn check() {
        let step = STEP.load(Ordering::Relaxed);
        if step != 0 {
            let number = super::super::fd::Decimal::new(u64::from(step - 1));
            let stderr = super::super::fd::borrow(2);
            let _ = super::super::fd::write_all(stderr, b"cloison: allocation in step ");
            let _ = super::super::fd::write_all(stderr, number.as_bytes());
            let _ = super::super::fd::write_all(stderr, b"\n");
            super::super::process::exit_now(134);
        }
    }

    // SAFETY: every call goes to the release build's allocator unchanged.
    unsafe impl GlobalAlloc for Guard {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            check();
            count(layout.size().cast_signed());
            // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
            unsafe { Heap.alloc(layout) }
        }

        unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
            count(-layout.size().cast_signed());
            // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
            unsafe { Heap.dealloc(ptr, layout) }
        }
    }

    #[global_allocator]
    static GUARD: Guard = Guard;
}
