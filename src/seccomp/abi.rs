//! The architectures that a filter covers, and the numbers that system calls have on them.
//!
//! Names and numbers are libseccomp's, and those of calls that came later ([`NEWER`]).

use std::ops::Range;
use std::str::FromStr;

use libseccomp::{ScmpArch, ScmpSyscall};

use super::Warning;
use crate::plan::seccomp::{ARCHITECTURES, Architecture, Profile};

/// System calls that came after Linux 5.17, which libseccomp 2.5.4 knows up
/// to, with the numbers they have on every architecture (but for the ABI's
/// own base, see [`base`]): include/uapi/asm-generic/unistd.h of Linux 7.0.
pub(super) const NEWER: [(&str, u32); 21] = [
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
    ("rseq_slice_yield", 471),
];

/// The bit that tells the numbers of x32 calls from those of x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// x32 has calls of its own from here on, of whatever age (syscall_64.tbl).
pub(super) const X32_OWN: u32 = X32_BIT + 512;

/// AUDIT_ARCH_X86_64 of linux/audit.h, which x32 has, too.
pub(super) const AUDIT_X86_64: u32 = 0xc000_003e;

/// What an ABI adds to every number (asm/unistd.h of x86 and mips).
pub(super) fn base(arch: ScmpArch) -> u32 {
    match arch {
        ScmpArch::X32 => X32_BIT,
        ScmpArch::Mips | ScmpArch::Mipsel => 4000,
        ScmpArch::Mips64 | ScmpArch::Mipsel64 => 5000,
        ScmpArch::Mips64N32 | ScmpArch::Mipsel64N32 => 6000,
        _ => 0,
    }
}

/// One of the ABIs that a filter covers.
pub(super) struct Abi {
    pub arch: ScmpArch,
    /// What filters are told of the architecture.
    pub audit: u32,
    /// Whether arguments have 64 bits.
    pub wide: bool,
}

/// A way to make a system call.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub number: u32,
    /// What the first argument is when this is socketcall(2) or ipc(2).
    pub operation: Option<u64>,
}

/// Bits of tokens and of audit's values (linux/audit.h).
const WIDE: u32 = 0x8000_0000;
const LITTLE_ENDIAN: u32 = 0x4000_0000;
const N32: u32 = 0x2000_0000;

impl Abi {
    /// None for an architecture that libseccomp does not know, or whose byte
    /// order is another: no process of it can run under this kernel.
    fn of(architecture: &Architecture) -> Option<Self> {
        let little = architecture.token & LITTLE_ENDIAN != 0;
        let arch = ScmpArch::from_str(architecture.name).ok()?;
        if little != cfg!(target_endian = "little") || !is_known(arch) {
            return None;
        }
        let audit = if arch == ScmpArch::X32 { AUDIT_X86_64 } else { architecture.token };
        let wide = architecture.token & (WIDE | N32) == WIDE;
        Some(Self { arch, audit, wide })
    }

    /// How to make the call of this name. One that can be multiplexed may have a
    /// number of its own as well, which libseccomp tells only by [`Self::name`].
    pub fn call(&self, name: &str) -> Option<Call> {
        let own = |number| Some(Call { number, operation: None });
        let Ok(syscall) = ScmpSyscall::from_name_by_arch(name, self.arch) else {
            return own(base(self.arch) + newer(name)?);
        };
        if let Some(number) = number(syscall) {
            return own(number);
        }
        let through = ScmpSyscall::from_name_by_arch_rewrite(name, self.arch).ok()?;
        // Negative numbers are libseccomp's: those of socketcall's operations lie below -100,
        // those of ipc's below -200.
        let operation = u64::from(syscall.as_raw_syscall().unsigned_abs()) % 100;
        Some(Call { number: number(through)?, operation: Some(operation) })
    }

    /// Numbers that may be those of calls that can be multiplexed.
    pub fn numbers(&self) -> Range<u32> {
        base(self.arch)..base(self.arch) + NEWER[0].1
    }

    /// The name of the call with a number.
    pub fn name(&self, number: u32) -> Option<String> {
        let number = i32::try_from(number).ok()?;
        ScmpSyscall::from_raw_syscall(number).get_name_by_arch(self.arch).ok()
    }
}

/// None for calls that the architecture does not have, or not by a number of their own.
fn number(syscall: ScmpSyscall) -> Option<u32> {
    u32::try_from(syscall.as_raw_syscall()).ok()
}

fn newer(name: &str) -> Option<u32> {
    NEWER.iter().find(|(newer, _)| *newer == name).map(|(_, number)| *number)
}

/// Whether any architecture has a call of this name, as far as is known.
pub(super) fn is_call(name: &str) -> bool {
    ScmpSyscall::from_name(name).is_ok() || newer(name).is_some()
}

/// All architectures of the filter: the native one and those of the profile.
pub(super) fn covered(profile: &Profile, warnings: &mut Vec<Warning>) -> Vec<Abi> {
    let native = ScmpArch::native();
    let is_native =
        |known: &&Architecture| ScmpArch::from_str(known.name).is_ok_and(|arch| arch == native);
    let mut covered: Vec<Abi> =
        ARCHITECTURES.iter().find(is_native).and_then(Abi::of).into_iter().collect();
    for (index, architecture) in &profile.architectures {
        match Abi::of(architecture) {
            Some(abi) if abi.arch == native => {}
            Some(abi) => covered.push(abi),
            None => {
                warnings.push(Warning::Architecture { index: *index, name: architecture.name });
            }
        }
    }
    covered
}

/// The architectures for which filters can be made here, for `features`.
pub fn architectures() -> Vec<&'static str> {
    let can = |known: &&Architecture| ScmpArch::from_str(known.name).is_ok_and(is_known);
    ARCHITECTURES.iter().filter(can).map(|known| known.name).collect()
}

fn is_known(arch: ScmpArch) -> bool {
    ScmpSyscall::from_name_by_arch("read", arch).is_ok()
}
