//! As much of the kernel's classic BPF machine as seccomp programs use.

use cloison::sys::seccomp::SockFilter;

/// What seccomp(2) checks: every jump ends within the program, the last
/// instruction answers, loads are of words of struct seccomp_data.
pub fn verify(program: &[SockFilter]) {
    assert!((1..=4096).contains(&program.len()), "{} instructions", program.len());
    assert_eq!(program.last().map(|last| last.code), Some(0x06), "the end is no answer");
    for (at, instruction) in program.iter().enumerate() {
        let SockFilter { code, jt, jf, k } = *instruction;
        let far = match code {
            0x05 => k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => jt.max(jf).into(),
            0x20 => {
                assert!(k.is_multiple_of(4) && k < 64, "load of {k} at {at}");
                continue;
            }
            0x06 => continue,
            0x54 => 0,
            other => panic!("instruction {other:#x} at {at}"),
        };
        assert!(at + 1 + far < program.len(), "{at} leads beyond the end");
    }
}

/// What the program answers for one system call.
pub fn run(program: &[SockFilter], architecture: u32, number: u32, args: [u64; 6]) -> u32 {
    let word = |offset: u32| match offset {
        0 => number,
        4 => architecture,
        8 | 12 => 0,
        _ => {
            let value = args[(offset as usize - 16) / 8];
            if offset.is_multiple_of(8) { value as u32 } else { (value >> 32) as u32 }
        }
    };
    let (mut at, mut a) = (0, 0u32);
    loop {
        let SockFilter { code, jt, jf, k } = program[at];
        at += 1;
        let taken = match code {
            0x15 => a == k,
            0x25 => a > k,
            0x35 => a >= k,
            0x45 => a & k != 0,
            0x20 => {
                a = word(k);
                continue;
            }
            0x54 => {
                a &= k;
                continue;
            }
            0x05 => {
                at += k as usize;
                continue;
            }
            _ => return k,
        };
        at += usize::from(if taken { jt } else { jf });
    }
}
