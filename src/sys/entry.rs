//! What the command does before the C library has started: it sees to it that its own file cannot
//! be written, for the verbs that put a process into a container.
//!
//! [`crate::launch::seal`] says why, and does it where this has not. Done here it is cheap: nothing
//! of the program's memory has been written to yet, and it maps itself anew from a place that cannot
//! be written, instead of executing itself from there (specs/70-budgets.md). There is no
//! thread-local storage yet, no allocator, and no relocated call of a library function: nothing
//! here may copy, compare or print more than the compiler makes instructions of.
//!
//! The linker is told of the entry point by build.rs.

use std::arch::{asm, global_asm};
use std::ffi::{CStr, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

// The kernel hands over argc, argv and envp on the stack, and in no register (System V ABI,
// AMD64 supplement, section 3.4.1). The C library's entry point finds all as it was.
global_asm!(
    // Beside what else begins every verb (link/hot.ld).
    ".pushsection .text.cloison_entry, \"ax\", @progbits",
    ".globl cloison_entry",
    ".type cloison_entry, @function",
    "cloison_entry:",
    "xor ebp, ebp",
    "mov rbx, rsp",
    "mov rdi, rsp",
    "call {begin}",
    "mov rsp, rbx",
    "xor edx, edx",
    "jmp _start",
    ".size cloison_entry, . - cloison_entry",
    ".popsection",
    begin = sym begin,
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

/// Whether the program's file lies where it cannot be written.
static SEALED: AtomicBool = AtomicBool::new(false);

/// Whether it is known since before the start that the program's file lies on a read-only mount.
pub fn is_sealed() -> bool {
    SEALED.load(Ordering::Relaxed)
}

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

/// Where sealing does not go, `main` tries again and says why.
extern "C" fn begin(stack: *mut usize) {
    // SAFETY: what the kernel puts on the stack of a new program: argc, as many arguments, a null
    // pointer, and the environment.
    let (count, args, env) = unsafe {
        let count = stack.read();
        let args = stack.add(1).cast::<*const u8>();
        (count, args, args.add(count + 1))
    };
    let sealed = may_enter(count, args)
        && is_root()
        && (is_on_readonly_mount() || seal(&Given { stack, args, env }));
    // Not before: sealing puts the program's data back to what the file holds.
    SEALED.store(sealed, Ordering::Relaxed);
    STACK.store(stack, Ordering::Relaxed);
}

/// What the kernel hands over: the lists of strings end with a null pointer.
struct Given {
    stack: *const usize,
    args: *const *const u8,
    env: *const *const u8,
}

/// Moves the program to a read-only mount of its file; whether it is there. It is there without a
/// return where it could be executed there alone.
fn seal(given: &Given) -> bool {
    // SAFETY: open_tree, mount_setattr and execveat get strings of the kernel's or of this
    // program, a structure of the size that is said, and the terminated lists from the stack.
    unsafe {
        let clone = (libc::OPEN_TREE_CLONE | libc::O_CLOEXEC as u32) as usize;
        let at = libc::AT_FDCWD as usize;
        let tree = call(libc::SYS_open_tree, [at, EXE as usize, clone]);
        if tree < 0 {
            return false;
        }
        let (tree, empty) = (tree as usize, c"".as_ptr() as usize);
        let path = libc::AT_EMPTY_PATH as usize;
        let readonly: [u64; 4] = [libc::MOUNT_ATTR_RDONLY, 0, 0, 0];
        let (change, size) = ((&raw const readonly) as usize, size_of_val(&readonly));
        let mut sealed = false;
        if call(libc::SYS_mount_setattr, [tree, empty, path, change, size]) == 0 {
            sealed = move_to(tree, given);
            if !sealed {
                let (args, env) = (given.args as usize, given.env as usize);
                call(libc::SYS_execveat, [tree, empty, args, env, path]);
            }
        }
        call(libc::SYS_close, [tree]);
        sealed
    }
}

const PAGE: usize = 4096;

unsafe extern "C" {
    /// The beginning of the file in memory, as linkers call it.
    #[link_name = "__ehdr_start"]
    static FILE: libc::Elf64_Ehdr;
}

/// Maps the program from the same file on another mount, which `tree` refers to (O_PATH), and
/// makes this /proc/self/exe; whether it went. In any case memory holds what it did: that of a
/// static program nobody has written to yet is what the file says.
fn move_to(tree: usize, given: &Given) -> bool {
    let path = ProcPath::of(tree);
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: a terminated path; segments of this program as its own headers tell of them, put
    // over themselves with the same bytes.
    unsafe {
        let file =
            call(libc::SYS_openat, [libc::AT_FDCWD as usize, path.0.as_ptr() as usize, flags]);
        if file < 0 {
            return false;
        }
        let file = file as usize;
        let headers = (&raw const FILE).byte_add(FILE.e_phoff as usize).cast::<libc::Elf64_Phdr>();
        let segments = || (0..FILE.e_phnum as usize).map(|n| headers.add(n).read());
        // A program interpreter, or a place that is chosen at the start, would have left traces.
        let is_plain = segments()
            .all(|segment| segment.p_type != libc::PT_INTERP && segment.p_type != libc::PT_DYNAMIC);
        let moved = is_plain
            && segments()
                .filter(|segment| segment.p_type == libc::PT_LOAD)
                .all(|segment| map(&segment, file));
        let moved = moved && {
            let map = MemoryMap::of(given, segments(), file);
            let (set, all) = (libc::PR_SET_MM as usize, libc::PR_SET_MM_MAP as usize);
            call(libc::SYS_prctl, [set, all, (&raw const map) as usize, size_of_val(&map)]) == 0
        };
        call(libc::SYS_close, [file]);
        moved
    }
}

/// Maps a segment as execve(2) does; whether it went.
///
/// # Safety
/// The segment is one of this program's, and `file` its file.
unsafe fn map(segment: &libc::Elf64_Phdr, file: usize) -> bool {
    let start = segment.p_vaddr as usize & !(PAGE - 1);
    let end = (segment.p_vaddr + segment.p_filesz) as usize;
    let offset = segment.p_offset as usize & !(PAGE - 1);
    let has = |flag: u32, protection: i32| if segment.p_flags & flag != 0 { protection } else { 0 };
    let protection = has(libc::PF_R, libc::PROT_READ)
        | has(libc::PF_W, libc::PROT_WRITE)
        | has(libc::PF_X, libc::PROT_EXEC);
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    // SAFETY: as for the caller; what lies behind the file's part of the last page is cleared, as
    // variables without a value are there.
    unsafe {
        let arguments = [start, end - start, protection as usize, flags as usize, file, offset];
        if call(libc::SYS_mmap, arguments) != start as isize {
            return false;
        }
        if segment.p_memsz > segment.p_filesz && segment.p_flags & libc::PF_W != 0 {
            let mut at = end;
            while !at.is_multiple_of(PAGE) {
                // Volatile, so that no call of memset is made of the loop.
                (at as *mut u8).write_volatile(0);
                at += 1;
            }
        }
    }
    true
}

/// struct prctl_mm_map (PR_SET_MM(2const)): what /proc tells of the program's memory, as it is, and
/// another file for /proc/self/exe. PR_SET_MM_EXE_FILE would change that alone, but wants
/// CAP_SYS_RESOURCE; this wants CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (Linux 5.9), in the user
/// namespace that the program is in.
#[repr(C)]
struct MemoryMap {
    start_code: usize,
    end_code: usize,
    start_data: usize,
    end_data: usize,
    start_brk: usize,
    brk: usize,
    start_stack: usize,
    arg_start: usize,
    arg_end: usize,
    env_start: usize,
    env_end: usize,
    auxv: usize,
    auxv_size: u32,
    exe_fd: u32,
}

impl MemoryMap {
    /// # Safety
    /// What is given is what the kernel put on the stack, and the segments are the program's.
    unsafe fn of(
        given: &Given,
        segments: impl Iterator<Item = libc::Elf64_Phdr>,
        file: usize,
    ) -> Self {
        let mut map = Self {
            start_code: usize::MAX,
            end_code: 0,
            start_data: 0,
            end_data: 0,
            start_brk: 0,
            brk: 0,
            start_stack: given.stack as usize,
            arg_start: 0,
            arg_end: 0,
            env_start: 0,
            env_end: 0,
            auxv: 0,
            auxv_size: 0,
            exe_fd: file as u32,
        };
        // As in load_elf_binary (fs/binfmt_elf.c).
        for segment in segments.filter(|segment| segment.p_type == libc::PT_LOAD) {
            let start = segment.p_vaddr as usize;
            let end = start + segment.p_filesz as usize;
            map.start_data = map.start_data.max(start);
            map.end_data = map.end_data.max(end);
            if segment.p_flags & libc::PF_X != 0 {
                map.start_code = map.start_code.min(start);
                map.end_code = map.end_code.max(end);
            }
        }
        // SAFETY: the environment ends with a null pointer, and after it comes the auxiliary
        // vector: pairs of a key and a value, AT_NULL last. The strings lie behind one another:
        // arguments, environment, the name that was executed (create_elf_tables, fs/binfmt_elf.c;
        // bprm_execve, fs/exec.c). brk(2) takes no memory.
        unsafe {
            map.arg_start = given.args.read() as usize;
            map.env_start = given.env.read() as usize;
            let mut auxiliary = given.env;
            while !auxiliary.read().is_null() {
                auxiliary = auxiliary.add(1);
            }
            let mut auxiliary = auxiliary.add(1).cast::<[usize; 2]>();
            loop {
                match auxiliary.read() {
                    [0, _] => break,
                    [key, value] if key == libc::AT_EXECFN as usize => map.env_end = value,
                    _ => {}
                }
                auxiliary = auxiliary.add(1);
            }
            // Nobody has asked for more yet.
            map.brk = call(libc::SYS_brk, [0]) as usize;
        }
        map.start_brk = map.brk;
        if map.env_start == 0 {
            map.env_start = map.env_end;
        }
        map.arg_end = map.env_start;
        map
    }
}

/// `/proc/self/fd/N` with a NUL behind it.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn of(fd: usize) -> Self {
        let (mut path, prefix) = ([0; 32], *b"/proc/self/fd/");
        let digits = fd.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut at = 0;
        while at < prefix.len() {
            path[at] = prefix[at];
            at += 1;
        }
        let (mut rest, mut at) = (fd, prefix.len() + digits);
        while at > prefix.len() {
            at -= 1;
            path[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Self(path)
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

/// The question is for `main` where another user asks.
fn is_root() -> bool {
    // SAFETY: takes no memory.
    unsafe { call(libc::SYS_geteuid, []) == 0 }
}

fn is_on_readonly_mount() -> bool {
    let mut statfs = MaybeUninit::<libc::statfs64>::uninit();
    // SAFETY: room for what statfs fills in, and nothing read of it before.
    unsafe {
        let room = statfs.as_mut_ptr();
        call(libc::SYS_statfs, [EXE as usize, room as usize]) == 0
            && (&raw const (*room).f_flags).read() & libc::ST_RDONLY as i64 != 0
    }
}

/// A system call of up to six arguments, without the C library and its errno.
///
/// # Safety
/// The arguments are what the call wants.
#[inline(always)]
unsafe fn call<const N: usize>(number: i64, arguments: [usize; N]) -> isize {
    let argument = |n: usize| if n < N { arguments[n] } else { 0 };
    let result: isize;
    // SAFETY: the calling convention of system calls; the rest is up to the caller.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") argument(0), in("rsi") argument(1), in("rdx") argument(2),
            in("r10") argument(3), in("r8") argument(4), in("r9") argument(5),
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

    #[test]
    fn a_descriptor_is_named_by_its_number() {
        for fd in [0, 3, 9, 10, 123, 1_048_576] {
            let path = ProcPath::of(fd);
            let text = CStr::from_bytes_until_nul(&path.0).unwrap().to_str().unwrap();
            assert_eq!(text, format!("/proc/self/fd/{fd}"));
        }
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
