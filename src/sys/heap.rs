//! The command's heap: dlmalloc behind a lock of the standard library's, which is there without a
//! call where nobody else holds it (specs/70-budgets.md).

use dlmalloc::Dlmalloc;
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The allocator of the command. Embedders have their own.
#[derive(Debug)]
pub struct Heap;

static HEAP: Mutex<Dlmalloc> = Mutex::new(Dlmalloc::new());

fn heap() -> MutexGuard<'static, Dlmalloc> {
    // Whoever panics while it holds the lock ends the process (Cargo.toml).
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

// Not inline: the lock wherever something is allocated would be a twentieth of the program.
//
// SAFETY: dlmalloc keeps the contract, and is asked by one thread at a time.
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { heap().malloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { heap().free(ptr, layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc_zeroed`.
        unsafe { heap().calloc(layout.size(), layout.align()) }
    }

    #[inline(never)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { heap().realloc(ptr, layout.size(), layout.align(), new_size) }
    }
}
