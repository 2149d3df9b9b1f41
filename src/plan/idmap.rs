//! `/linux/uidMappings` and `gidMappings`: the ids of a user namespace.

use oci_spec::runtime::LinuxIdMapping;
use std::fmt::Write;

/// One range of ids (user_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// Number of ids.
    pub count: u32,
}

/// The ranges of user and group ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids.
    pub uids: Vec<Range>,
    /// Group ids.
    pub gids: Vec<Range>,
}

impl IdMaps {
    /// The user and group that set the container up: 0 where it is mapped, else the first that
    /// is. In a user namespace of its own any user can have every capability.
    pub fn root(&self) -> (u32, u32) {
        let root = |ranges: &[Range]| match outside(ranges, 0) {
            Some(_) => 0,
            None => ranges.first().map_or(0, |range| range.inside),
        };
        (root(&self.uids), root(&self.gids))
    }
}

/// Most ranges that the kernel takes (user_namespaces(7)).
pub const MAX_RANGES: usize = 340;

/// Why ranges of ids cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A range of no ids.
    #[error("{pointer}/{index}: a mapping of size 0")]
    Empty {
        /// JSON pointer of the list.
        pointer: String,
        /// Index in the list.
        index: usize,
    },
    /// Beyond 2^32 - 1 ids.
    #[error("{pointer}/{index}: {first} + {count} is beyond the last id")]
    Overflow {
        /// JSON pointer of the list.
        pointer: String,
        /// Index in the list.
        index: usize,
        /// First id.
        first: u32,
        /// Number of ids.
        count: u32,
    },
    /// An id that two ranges map, inside or outside.
    #[error("{pointer}/{index}: overlaps {pointer}/{first}")]
    Overlap {
        /// JSON pointer of the list.
        pointer: String,
        /// Index of the later range.
        index: usize,
        /// Index of the earlier range.
        first: usize,
    },
    /// More than the kernel takes, also when neighbours are joined.
    #[error("{pointer}: {count} mappings are more than the {MAX_RANGES} that the kernel takes")]
    TooMany {
        /// JSON pointer of the list.
        pointer: String,
        /// Number of ranges.
        count: usize,
    },
    /// Only one of the two lists is there.
    #[error("{pointer}: missing, but the other of uidMappings and gidMappings is given")]
    OneSided {
        /// JSON pointer of the missing list.
        pointer: String,
    },
}

/// Checks both lists; `parent` is the JSON pointer that holds them (`/linux`, `/mounts/3`).
///
/// # Errors
/// Empty, overflowing or too many ranges, and a list without its counterpart.
pub fn resolve(
    parent: &str,
    uids: Option<&[LinuxIdMapping]>,
    gids: Option<&[LinuxIdMapping]>,
) -> Result<Option<IdMaps>, Error> {
    let ranges = |asked: Option<&[LinuxIdMapping]>| {
        let range = |mapping: &LinuxIdMapping| Range {
            inside: mapping.container_id(),
            outside: mapping.host_id(),
            count: mapping.size(),
        };
        asked.unwrap_or_default().iter().map(range).collect()
    };
    checked(parent, IdMaps { uids: ranges(uids), gids: ranges(gids) })
}

/// Checks ranges, wherever they come from.
///
/// # Errors
/// Those of [`resolve`].
pub fn checked(parent: &str, asked: IdMaps) -> Result<Option<IdMaps>, Error> {
    let list = |name: &str, asked| ranges(&format!("{parent}/{name}"), asked);
    let maps =
        IdMaps { uids: list("uidMappings", asked.uids)?, gids: list("gidMappings", asked.gids)? };
    match (maps.uids.is_empty(), maps.gids.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some(maps)),
        (true, _) => Err(Error::OneSided { pointer: format!("{parent}/uidMappings") }),
        (_, true) => Err(Error::OneSided { pointer: format!("{parent}/gidMappings") }),
    }
}

/// The ranges of a mount option as podman and crun write them, `uids=0-1000-10#20-30-1;gids=…`:
/// first id of the file system, first id of the host, number. An `@` before the first id says that
/// the second one is an id of the container, whose ids are `container`.
///
/// `None` for what has another form, and for ids that the container does not have in one range.
pub fn of_option(text: &str, container: Option<&IdMaps>) -> Option<IdMaps> {
    let mut maps = IdMaps::default();
    for part in text.split(';') {
        let (name, list) = part.split_once('=')?;
        let (ranges, container) = match name {
            "uids" => (&mut maps.uids, container.map(|maps| &maps.uids)),
            "gids" => (&mut maps.gids, container.map(|maps| &maps.gids)),
            _ => return None,
        };
        for word in list.split('#') {
            ranges.push(match word.strip_prefix('@') {
                Some(word) => within(triplet(word)?, container?)?,
                None => triplet(word)?,
            });
        }
    }
    Some(maps)
}

fn triplet(word: &str) -> Option<Range> {
    let mut numbers = word.split('-').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let range = Range { inside: next()?, outside: next()?, count: next()? };
    numbers.next().is_none().then_some(range)
}

/// The range whose outside ids are meant as inside ones of `ranges`.
fn within(range: Range, ranges: &[Range]) -> Option<Range> {
    let last = range.outside.checked_add(range.count.checked_sub(1)?)?;
    let (first, last) = (outside(ranges, range.outside)?, outside(ranges, last)?);
    (last.checked_sub(first)? == range.count - 1).then_some(Range { outside: first, ..range })
}

fn ranges(pointer: &str, asked: Vec<Range>) -> Result<Vec<Range>, Error> {
    let pointer = || pointer.to_owned();
    for (index, range) in asked.iter().enumerate() {
        if range.count == 0 {
            return Err(Error::Empty { pointer: pointer(), index });
        }
        for first in [range.inside, range.outside] {
            // The last id, 2^32 - 1, means "none" and cannot be mapped.
            if u64::from(first) + u64::from(range.count) > u64::from(u32::MAX) {
                let count = range.count;
                return Err(Error::Overflow { pointer: pointer(), index, first, count });
            }
        }
    }
    if let Some((index, first)) = overlap(&asked) {
        return Err(Error::Overlap { pointer: pointer(), index, first });
    }
    if asked.len() <= MAX_RANGES {
        return Ok(asked);
    }
    let joined = join(&asked);
    if joined.len() > MAX_RANGES {
        return Err(Error::TooMany { pointer: pointer(), count: joined.len() });
    }
    Ok(joined)
}

/// Two ranges that share an id, inside or outside: the later one and the earlier.
fn overlap(ranges: &[Range]) -> Option<(usize, usize)> {
    let by = |first: fn(&Range) -> u32| {
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_unstable_by_key(|&index| first(&ranges[index]));
        let shares = |pair: &&[usize]| {
            let (low, high) = (&ranges[pair[0]], &ranges[pair[1]]);
            u64::from(first(low)) + u64::from(low.count) > u64::from(first(high))
        };
        order.windows(2).find(shares).map(|pair| (pair[0].max(pair[1]), pair[0].min(pair[1])))
    };
    by(|range| range.inside).or_else(|| by(|range| range.outside))
}

/// The same map in fewer ranges: each is joined with the one before it that it continues.
fn join(ranges: &[Range]) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last)
                if last.inside + last.count == range.inside
                    && last.outside + last.count == range.outside =>
            {
                last.count += range.count;
            }
            _ => joined.push(*range),
        }
    }
    joined
}

/// The text that goes into /proc/PID/uid_map or gid_map.
pub fn map_file(ranges: &[Range]) -> String {
    ranges.iter().fold(String::new(), |mut text, range| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.count);
        text
    })
}

/// The outside id of an inside one.
pub fn outside(ranges: &[Range], inside: u32) -> Option<u32> {
    let range = ranges.iter().find(|r| inside >= r.inside && inside - r.inside < r.count)?;
    Some(range.outside + (inside - range.inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uids: &str, gids: &str) -> Result<Option<IdMaps>, Error> {
        let list = |json| serde_json::from_str::<Vec<LinuxIdMapping>>(json).unwrap();
        resolve("/linux", Some(&list(uids)), Some(&list(gids)))
    }

    const ONE: &str = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;

    #[test]
    fn maps_become_the_kernels_text() {
        let maps = parse(ONE, r#"[{"containerID":5,"hostID":7,"size":3}]"#).unwrap().unwrap();
        assert_eq!(map_file(&maps.uids), "0 1000 1\n");
        assert_eq!(outside(&maps.gids, 7), Some(9));
        assert_eq!(outside(&maps.gids, 8), None);
    }

    /// IDM-7
    #[test]
    fn an_option_has_ranges_too() {
        let text = |text: &str, container: Option<&IdMaps>| {
            let maps = of_option(text, container)?;
            Some(format!("{}/ {}", map_file(&maps.uids), map_file(&maps.gids)).replace('\n', " "))
        };
        assert_eq!(
            text("uids=0-1-10#10-11-10;gids=0-100-10", None).unwrap(),
            "0 1 10 10 11 10 / 0 100 10 "
        );
        let two =
            r#"[{"containerID":0,"hostID":0,"size":1},{"containerID":1,"hostID":2,"size":9}]"#;
        let container = parse(two, ONE).unwrap();
        assert_eq!(text("uids=@1-3-5", container.as_ref()).unwrap(), "1 4 5 / ");
        for none in [
            "uids=@1-0-2",
            "uids=@1-3-99",
            "uids=@1-3-0",
            "gids=@0-1-1",
            "uids=1-2",
            "uids=1-2-3-4",
            "uids=",
            "ids=1-2-3",
            "uids",
            "",
            "uids=1-2-x",
            "uids=1--2-3",
            "uids=-1-2-3",
        ] {
            assert_eq!(text(none, container.as_ref()), None, "{none}");
        }
        assert_eq!(text("uids=@0-0-1", None), None);
    }

    #[test]
    fn half_a_map_is_refused() {
        assert_eq!(
            parse(ONE, "[]").unwrap_err().to_string(),
            "/linux/gidMappings: missing, but the other of uidMappings and gidMappings is given"
        );
        assert_eq!(parse("[]", "[]").unwrap(), None);
    }

    #[test]
    fn ranges_outside_the_id_space_are_refused() {
        let far = r#"[{"containerID":0,"hostID":4294967295,"size":1}]"#;
        assert!(matches!(parse(far, ONE), Err(Error::Overflow { index: 0, .. })));
        let none = r#"[{"containerID":0,"hostID":0,"size":0}]"#;
        assert!(matches!(parse(ONE, none), Err(Error::Empty { index: 0, .. })));
    }

    fn list(mappings: impl Iterator<Item = (u32, u32, u32)>) -> Result<Vec<Range>, Error> {
        let range = |(inside, outside, count)| Range { inside, outside, count };
        ranges("/l", mappings.map(range).collect())
    }

    /// NS-5
    #[test]
    fn more_ranges_than_the_kernel_takes_are_joined_or_refused() {
        let neighbours = list((0..400).map(|n| (n, 1000 + n, 1))).unwrap();
        assert_eq!(neighbours, [Range { inside: 0, outside: 1000, count: 400 }]);
        let few = list((0..3).map(|n| (n, 1000 + n, 1))).unwrap();
        assert_eq!(few.len(), 3, "what fits stays as it was given");
        let scattered = list((0..400).map(|n| (n, 1000 + 2 * n, 1))).unwrap_err();
        assert_eq!(
            scattered.to_string(),
            "/l: 400 mappings are more than the 340 that the kernel takes"
        );
    }

    #[test]
    fn ranges_that_share_an_id_are_refused() {
        let inside = list([(0, 1000, 10), (9, 3000, 1)].into_iter()).unwrap_err();
        assert_eq!(inside.to_string(), "/l/1: overlaps /l/0");
        let outside = list([(0, 1005, 10), (20, 1000, 6)].into_iter()).unwrap_err();
        assert_eq!(outside, Error::Overlap { pointer: "/l".into(), index: 1, first: 0 });
        list([(0, 1000, 10), (10, 3000, 1)].into_iter()).unwrap();
    }
}
