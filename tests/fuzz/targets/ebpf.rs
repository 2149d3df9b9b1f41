//! As much of the kernel's eBPF machine as device programs use, and of its
//! verifier as protects them.

use cloison::plan::device_filter::Insn;

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND_NUMBER: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const SHIFT_LEFT_BY_REGISTER: u8 = 0x6f;
const UNLESS_EQUAL: u8 = 0x55;
const IF_EQUAL: u8 = 0x15;
const IF_GREATER: u8 = 0x25;
const IF_ANY_BIT: u8 = 0x45;
const ALWAYS: u8 = 0x05;
const EXIT: u8 = 0x95;

/// Jumps go forward to an instruction, the end is an exit, nothing is read
/// that was not written, all can be reached.
pub fn verify(program: &[Insn]) {
    let mut reached = vec![false; program.len()];
    reached[0] = true;
    for (at, insn) in program.iter().enumerate() {
        assert!(reached[at], "{at} cannot be reached");
        let far = usize::try_from(insn.off);
        let (next, jump) = match insn.code {
            EXIT => (false, None),
            ALWAYS => (false, Some(at + 1 + far.expect("forward"))),
            UNLESS_EQUAL | IF_EQUAL | IF_GREATER | IF_ANY_BIT => {
                (true, Some(at + 1 + far.expect("forward")))
            }
            _ => (true, None),
        };
        for to in next.then_some(at + 1).into_iter().chain(jump) {
            *reached.get_mut(to).unwrap_or_else(|| panic!("{at} leads beyond the end")) = true;
        }
    }
}

/// What the program answers for `struct bpf_cgroup_dev_ctx`.
pub fn run(program: &[Insn], context: [u32; 3]) -> u64 {
    let mut registers: [Option<u64>; 11] = [None; 11];
    registers[1] = Some(u64::MAX);
    let mut at = 0;
    loop {
        let Insn { code, regs, off, imm } = program[at];
        let (to, from) = (usize::from(regs & 15), usize::from(regs >> 4));
        let number = i64::from(imm) as u64;
        let get = |register: usize| registers[register].expect("a register that was written");
        at += 1;
        match code {
            LOAD_WORD => {
                assert_eq!((from, off % 4), (1, 0), "only of the context");
                registers[to] = Some(context[off as usize / 4].into());
            }
            MOVE => registers[to] = Some(get(from)),
            MOVE_NUMBER => registers[to] = Some(number),
            AND_NUMBER => registers[to] = Some(get(to) & number),
            SHIFT_RIGHT => registers[to] = Some(get(to) >> number),
            SHIFT_LEFT_BY_REGISTER => {
                let places = u32::try_from(get(from)).ok().and_then(|n| get(to).checked_shl(n));
                registers[to] = Some(places.expect("a shift within the register"));
            }
            UNLESS_EQUAL if get(to) != number => at += off as usize,
            IF_EQUAL if get(to) == number => at += off as usize,
            IF_GREATER if get(to) > number => at += off as usize,
            IF_ANY_BIT if get(to) & number != 0 => at += off as usize,
            UNLESS_EQUAL | IF_EQUAL | IF_GREATER | IF_ANY_BIT => {}
            ALWAYS => at += off as usize,
            EXIT => return get(0),
            other => panic!("instruction {other:#x}"),
        }
    }
}
