//! New inputs out of old ones, the same each time.

/// Texts that many formats treat in their own way.
const WORDS: [&[u8]; 16] = [
    b"\0",
    b"\\u0000",
    b"..",
    b"/",
    b"-1",
    b"4294967296",
    b"1e999",
    b"null",
    b"[]",
    b"{}",
    b"\"\"",
    b"[[[[",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b":",
    b",",
];

pub struct Mutation {
    state: u64,
}

impl Mutation {
    /// A series of its own for each name.
    pub fn new(name: &str) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { state: seed | 1 }
    }

    fn next(&mut self) -> u64 {
        // xorshift64: no more is asked of it than to be the same everywhere.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// One of the seeds with a few changes.
    pub fn of(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let at = self.below(seeds.len());
        let mut input = seeds[at].clone();
        for _ in 0..1 + self.below(6) {
            self.change(&mut input, seeds);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(16)).min(input.len());
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.next() as u8,
            2 => drop(input.splice(at..end, [])),
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                drop(input.splice(at..end, word.iter().copied()));
            }
            4 => {
                let piece = input[at..end].to_vec();
                drop(input.splice(at..at, piece));
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                let piece = other[from..(from + self.below(64)).min(other.len())].to_vec();
                drop(input.splice(at..end, piece));
            }
            _ => {
                let fresh: Vec<u8> = (0..self.below(24)).map(|_| self.next() as u8).collect();
                drop(input.splice(at..at, fresh));
            }
        }
    }
}
