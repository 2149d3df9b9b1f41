//! The suite's own static binary as a program inside containers, for what a
//! shell cannot do: `probe syscall NUMBER ARGUMENT…` prints the result or the
//! name of the errno, `probe syscall32` the same by the 32-bit table; `probe ids` the real and the
//! effective uid; `probe tell TEXT` sends a message to the socket of sd_notify(3); `probe plant NAME`
//! makes a session keyring of that name for all to find and prints its serial number; `probe watch`
//! looks into every process that appears in its /proc and prints the programs that it sees.

// SAFETY of the whole module: a raw system call with plain numbers as
// arguments; the tests pass no pointers but null.
#![allow(unsafe_code)]

use std::process::ExitCode;

use nix::errno::Errno;

/// Acts as the probe where the binary was started under that name.
pub fn main() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().collect();
    let name = std::path::Path::new(args.first()?).file_name()?;
    if name == "newuidmap" || name == "newgidmap" {
        map_ids(name.to_str()?, &args[1..]);
        return Some(ExitCode::SUCCESS);
    }
    if name != "probe" {
        return None;
    }
    match args.get(1).map(String::as_str) {
        Some("syscall") => syscall(&args[2..]),
        Some("syscall32") => syscall32(&args[2..]),
        Some("ids") => println!("{} {}", nix::unistd::getuid(), nix::unistd::geteuid()),
        Some("tell") => tell(&args[2]),
        Some("plant") => plant(&args[2]),
        Some("watch") => watch(),
        Some("wait") => std::thread::sleep(std::time::Duration::from_secs(600)),
        other => {
            eprintln!("probe: no such act: {other:?}");
            return Some(ExitCode::from(64));
        }
    }
    Some(ExitCode::SUCCESS)
}

/// As the programs of those names: `newuidmap PID INSIDE OUTSIDE COUNT …`, but
/// for any ids.
fn map_ids(name: &str, args: &[String]) {
    let file = format!("/proc/{}/{}", args[0], name.replace("new", "").replace("map", "_map"));
    let text: Vec<String> = args[1..].chunks(3).map(|range| range.join(" ")).collect();
    std::fs::write(file, text.join("\n")).expect("write the map");
}

fn tell(text: &str) {
    let name = std::env::var("NOTIFY_SOCKET").expect("a socket's name");
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    socket.send_to(text.as_bytes(), name).expect("somebody listens");
}

fn syscall(numbers: &[String]) {
    let mut call = [0_i64; 7];
    for (slot, number) in call.iter_mut().zip(numbers) {
        *slot = number.parse().expect("a number");
    }
    let [number, a, b, c, d, e, f] = call;
    // SAFETY: see the head of the module.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    match Errno::result(result) {
        Ok(value) => println!("{value}"),
        Err(errno) => println!("{errno:?}"),
    }
}

fn plant(name: &str) {
    const JOIN: i64 = 1;
    const SETPERM: i64 = 5;
    const EVERYTHING_FOR_ALL: i64 = 0x3f3f_3f3f;
    let name = std::ffi::CString::new(name).expect("no NUL");
    // SAFETY: the name is NUL-terminated and outlives the call.
    let serial = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, name.as_ptr(), 0, 0, 0) };
    println!("{}", Errno::result(serial).expect("join"));
    // SAFETY: takes no memory.
    let set = unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, serial, EVERYTHING_FOR_ALL, 0, 0) };
    Errno::result(set).expect("let all find it");
    println!("planted");
    std::thread::sleep(std::time::Duration::from_secs(600));
}

fn watch() {
    let own = std::process::id();
    let mut seen = std::collections::BTreeSet::new();
    println!("watching");
    loop {
        for entry in std::fs::read_dir("/proc").expect("list /proc").flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(pid) = pid.filter(|pid| *pid != own) else { continue };
            let program = std::fs::read_link(format!("/proc/{pid}/exe"));
            let root = std::fs::read_link(format!("/proc/{pid}/root"));
            let link = std::fs::read_link(format!("/proc/{pid}/fd/0"));
            for (what, told) in [("program", program), ("root", root), ("file", link)] {
                let Ok(told) = told else { continue };
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                let line = format!("{what} {} {}", told.display(), name.unwrap_or_default().trim());
                if seen.insert(line.clone()) {
                    println!("{line}");
                }
            }
        }
    }
}

/// A system call with one argument by the 32-bit table.
#[cfg(target_arch = "x86_64")]
fn call32(number: i32, argument: u64) -> i32 {
    let result: i32;
    // SAFETY: as for the module; rbx, which the compiler keeps for itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {argument}",
            "int 0x80",
            "xchg rbx, {argument}",
            argument = inout(reg) argument => _,
            inout("eax") number => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn call32(_: i32, _: u64) -> i32 {
    -(Errno::ENOSYS as i32)
}

fn syscall32(numbers: &[String]) {
    let (number, argument) =
        (numbers[0].parse().expect("a number"), numbers[1].parse().expect("a number"));
    match call32(number, argument) {
        value @ 0.. => println!("{value}"),
        errno => println!("{:?}", Errno::from_raw(-errno)),
    }
}

/// Whether the kernel has a 32-bit table: without one the door to it is no door.
pub fn has_32_bit_calls() -> bool {
    use nix::sys::wait::{WaitStatus, waitpid};
    // SAFETY: the child makes one call and ends.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => {
            // getpid
            let found = call32(20, 0) > 0;
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(!found)) }
        }
        Ok(nix::unistd::ForkResult::Parent { child }) => {
            matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0)))
        }
        Err(_) => false,
    }
}
