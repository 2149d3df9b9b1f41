//! Threads for a moment (pthread_create(3), pthread_join(3)).
//!
//! Those of the standard library would do as well, but what they keep for each thread is more than
//! the C library has room for in the program itself, and every start of the command would pay for
//! it (specs/70-budgets.md).

use std::ffi::c_void;
use std::mem::MaybeUninit;

/// What every thread does.
type Work<'a> = &'a (dyn Fn() + Sync);

/// Does `work` on this thread and on up to `helpers` more, and returns when all have done it. One
/// that cannot be had, as there is a limit on them, is gone without.
pub fn together(helpers: usize, work: Work<'_>) {
    let mut started = Started(Vec::with_capacity(helpers));
    for _ in 0..helpers {
        let mut thread = MaybeUninit::uninit();
        // SAFETY: `work` lives until this function returns, and `started` waits before that for
        // every thread that was made. No other attributes than the usual are given.
        let made = unsafe {
            libc::pthread_create(
                thread.as_mut_ptr(),
                std::ptr::null(),
                enter,
                (&raw const work).cast_mut().cast(),
            )
        };
        if made == 0 {
            // SAFETY: a thread that was made has a name.
            started.0.push(unsafe { thread.assume_init() });
        }
    }
    work();
}

extern "C" fn enter(work: *mut c_void) -> *mut c_void {
    // SAFETY: what `together` hands over, and keeps for as long as this thread goes on.
    let work = unsafe { *work.cast::<Work<'_>>() };
    work();
    std::ptr::null_mut()
}

struct Started(Vec<libc::pthread_t>);

impl Drop for Started {
    fn drop(&mut self) {
        for thread in &self.0 {
            // SAFETY: made here, and waited for once. It returns nothing.
            unsafe { libc::pthread_join(*thread, std::ptr::null_mut()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_have_worked_when_it_returns() {
        let done = AtomicUsize::new(0);
        together(3, &|| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 4);
    }

    #[test]
    fn each_works_on_a_thread_of_its_own() {
        let seen = Mutex::new(std::collections::HashSet::new());
        together(2, &|| {
            seen.lock().unwrap().insert(std::thread::current().id());
        });
        assert_eq!(seen.into_inner().unwrap().len(), 3);
    }
}
