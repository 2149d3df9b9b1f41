//! Compiled programs as bytes under a key, so that the next container with the same profile
//! compiles nothing. Where they are kept is the state directory's affair.

use super::{MAX_LENGTH, Program};
use crate::plan::seccomp::Profile;
use crate::sys::seccomp::SockFilter;

/// Changes whenever [`compile`](super::compile) makes another program of the same profile.
const GENERATION: u32 = 2;

/// All that a program depends on, as text: the same text, the same program.
pub fn identity(profile: &Profile) -> String {
    // Where the listener goes is not in the program.
    let profile = Profile { listener: None, ..profile.clone() };
    let library = libseccomp::ScmpVersion::current().map_or_else(
        |_| "unknown".to_owned(),
        |version| format!("{}.{}.{}", version.major, version.minor, version.micro),
    );
    format!(
        "cloison {} generation {GENERATION} libseccomp {library} {}\n{profile:?}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )
}

/// A program and its warnings as bytes, for [`decode`].
pub fn encode(program: &Program, warnings: &[String]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + program.filter.len() * 8);
    for number in [program.flags, program.filter.len() as u32, warnings.len() as u32] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for SockFilter { code, jt, jf, k } in &program.filter {
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes.extend_from_slice(&[*jt, *jf]);
        bytes.extend_from_slice(&k.to_le_bytes());
    }
    for warning in warnings {
        bytes.extend_from_slice(&(warning.len() as u32).to_le_bytes());
        bytes.extend_from_slice(warning.as_bytes());
    }
    bytes
}

/// What [`encode`] was given; `None` for anything else.
pub fn decode(bytes: &[u8]) -> Option<(Program, Vec<String>)> {
    let mut rest = bytes;
    let [flags, length, count] = [word(&mut rest)?, word(&mut rest)?, word(&mut rest)?];
    let length = usize::try_from(length).ok().filter(|length| (1..=MAX_LENGTH).contains(length))?;
    let (code, mut rest) = rest.split_at_checked(length * 8)?;
    let (instructions, _) = code.as_chunks::<8>();
    let filter = instructions.iter().map(|&[c0, c1, jt, jf, k0, k1, k2, k3]| SockFilter {
        code: u16::from_le_bytes([c0, c1]),
        jt,
        jf,
        k: u32::from_le_bytes([k0, k1, k2, k3]),
    });
    let mut warnings = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(word(&mut rest)?).ok()?;
        let (warning, after) = rest.split_at_checked(length)?;
        warnings.push(String::from_utf8(warning.to_vec()).ok()?);
        rest = after;
    }
    rest.is_empty().then(|| (Program { filter: filter.collect(), flags }, warnings))
}

fn word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*word))
}
