//! What the command does before the C library has started: executing itself again from a place
//! that cannot be written, for the verbs that put a process into a container.
//!
//! [`crate::launch::seal`] says why, and does it where this has not. Done here it costs the start
//! of the C library once instead of twice (specs/70-budgets.md). There is no thread-local storage
//! yet, no allocator, and no relocated call of a library function: nothing here may copy, compare
//! or print more than the compiler makes instructions of.
//!
//! The linker is told of the entry point by build.rs.

use std::arch::{asm, global_asm};
use std::ffi::{CStr, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicPtr, Ordering};

// The kernel hands over argc, argv and envp on the stack, and in no register (System V ABI,
// AMD64 supplement, section 3.4.1). The C library's entry point finds all as it was.
global_asm!(
    ".globl cloison_entry",
    ".type cloison_entry, @function",
    "cloison_entry:",
    "xor ebp, ebp",
    "mov rbx, rsp",
    "mov rdi, rsp",
    "call {seal}",
    "mov rsp, rbx",
    "xor edx, edx",
    "jmp _start",
    ".size cloison_entry, . - cloison_entry",
    seal = sym seal,
);

const EXE: *const u8 = c"/proc/self/exe".as_ptr().cast();

/// The verbs that enter a container, each as the eight bytes of its name.
pub const VERBS: [u64; 3] = [
    u64::from_le_bytes(*b"create\0\0"),
    u64::from_le_bytes(*b"exec\0\0\0\0"),
    u64::from_le_bytes(*b"run\0\0\0\0\0"),
];

/// Where the kernel put argc and argv.
static STACK: AtomicPtr<usize> = AtomicPtr::new(std::ptr::null_mut());

/// The arguments that the command was executed with, its name first; none in a program that began
/// elsewhere. What the standard library knows of them depends on the C library.
pub fn arguments() -> Vec<OsString> {
    let stack = STACK.load(Ordering::Relaxed);
    if stack.is_null() {
        return Vec::new();
    }
    // SAFETY: only the entry point sets it, to what the kernel made, which stays as it is: argc,
    // and as many strings.
    unsafe {
        let args = stack.add(1).cast::<*const libc::c_char>();
        let arg = |index| OsStr::from_bytes(CStr::from_ptr(args.add(index).read()).to_bytes());
        (0..stack.read()).map(|index| arg(index).to_owned()).collect()
    }
}

/// Returns when there is nothing to do, or when it does not go: then `main` tries again and says
/// why.
extern "C" fn seal(stack: *mut usize) {
    STACK.store(stack, Ordering::Relaxed);
    // SAFETY: what the kernel puts on the stack of a new program: argc, as many arguments, a null
    // pointer, and the environment.
    let (count, args, env) = unsafe {
        let count = stack.read();
        let args = stack.add(1).cast::<*const u8>();
        (count, args, args.add(count + 1))
    };
    if !may_enter(count, args) || is_out_of_reach() {
        return;
    }
    // SAFETY: open_tree, mount_setattr and execveat get strings of the kernel's or of this
    // program, a structure of the size that is said, and the terminated lists from the stack.
    unsafe {
        let clone = (libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32) as usize;
        let at = libc::AT_FDCWD as usize;
        let tree = call(libc::SYS_open_tree, at, EXE as usize, clone, 0, 0);
        if tree < 0 {
            return;
        }
        let (tree, empty) = (tree as usize, c"".as_ptr() as usize);
        let path = libc::AT_EMPTY_PATH as usize;
        let readonly: [u64; 4] = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
        let (change, size) = ((&raw const readonly) as usize, size_of_val(&readonly));
        if call(libc::SYS_mount_setattr, tree, empty, path, change, size) == 0 {
            call(libc::SYS_execveat, tree, empty, args as usize, env as usize, path);
        }
        call(libc::SYS_close, tree, 0, 0, 0, 0);
    }
}

/// Whether some argument is the name of a verb that enters a container.
fn may_enter(count: usize, args: *const *const u8) -> bool {
    let mut index = 1;
    while index < count {
        // SAFETY: as many arguments were counted, each a string.
        let word = unsafe { word(args.add(index).read()) };
        if word == VERBS[0] || word == VERBS[1] || word == VERBS[2] {
            return true;
        }
        index += 1;
    }
    false
}

/// The first eight bytes of a string, the first one in the lowest place, zero behind its end.
///
/// # Safety
/// `text` is a string with a NUL at its end.
unsafe fn word(text: *const u8) -> u64 {
    let mut word = 0;
    let mut at = 0;
    while at < 8 {
        // SAFETY: no byte before this one was the NUL. Volatile, so that no call of strlen is made
        // of the loop.
        let byte = unsafe { text.add(at).read_volatile() };
        if byte == 0 {
            break;
        }
        word |= u64::from(byte) << (8 * at);
        at += 1;
    }
    word
}

/// Whether the program lies on a read-only mount already, or the question is for `main`: users who
/// are not root.
fn is_out_of_reach() -> bool {
    let mut statfs = MaybeUninit::<libc::statfs64>::uninit();
    // SAFETY: room for what statfs fills in, and nothing read of it before.
    unsafe {
        let room = statfs.as_mut_ptr();
        if call(libc::SYS_geteuid, 0, 0, 0, 0, 0) != 0
            || call(libc::SYS_statfs, EXE as usize, room as usize, 0, 0, 0) != 0
        {
            return true;
        }
        (&raw const (*room).f_flags).read() & libc::ST_RDONLY as i64 != 0
    }
}

/// A system call, without the C library and its errno.
///
/// # Safety
/// The arguments are what the call wants.
unsafe fn call(number: i64, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let result: isize;
    // SAFETY: the calling convention of system calls; the rest is up to the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enters(words: &[&CStr]) -> bool {
        let mut args: Vec<*const u8> = words.iter().map(|word| word.as_ptr().cast()).collect();
        args.push(std::ptr::null());
        may_enter(words.len(), args.as_ptr())
    }

    /// SEC-10
    #[test]
    fn verbs_that_enter_are_found_among_the_words() {
        assert!(enters(&[c"cloison", c"--root", c"/r", c"create", c"x"]));
        assert!(enters(&[c"cloison", c"exec", c"x", c"ls"]));
        assert!(enters(&[c"cloison", c"run"]));
        for none in [c"state", c"creat", c"created", c"create\xff", c"runs", c"", c"executes"] {
            assert!(!enters(&[c"cloison", none, c"x"]), "{none:?}");
        }
        assert!(!enters(&[c"run"]), "that is the program itself");
    }
}
