//! `/linux/intelRdt`: the container's class of service in the resctrl file system, which shares
//! out caches and memory bandwidth (config-linux.md, IntelRdt; the kernel's
//! Documentation/filesystems/resctrl.rst).

use oci_spec::runtime::LinuxIntelRdt;
use std::path::{Path, PathBuf};

/// A class, and what it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resctrl {
    /// Where the file system is mounted.
    pub mount: PathBuf,
    /// Which class.
    pub class: Class,
    /// What is written to its `schemata`, in order.
    pub schemata: Vec<Schema>,
    /// Name of the container's monitoring group.
    pub monitor: Option<String>,
}

/// A class of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// The container's own, which ends with it.
    Own(String),
    /// One that others may be in, and that stays.
    Named(String),
    /// The file system's root, which is whose process is in no other.
    Default,
}

/// A text for `schemata`: one resource and its share for each domain, or several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// JSON pointer of the text.
    pub pointer: String,
    /// The text, without a newline at its end.
    pub text: String,
    /// Whether a class that is there already has to agree with it instead of getting it.
    pub must_agree: bool,
}

/// Names that the file system has for itself.
const RESERVED: [&str; 5] = [".", "..", "info", "mon_groups", "mon_data"];

/// The longest name of a directory.
const NAME_MAX: usize = 255;

/// Why a class cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// config-linux.md wants an error.
    #[error("/linux/intelRdt: no resctrl file system is mounted on this host")]
    NotMounted,
    /// No directory below resctrl can be called that.
    #[error("{pointer}: {name:?} is no name for a class")]
    Name {
        /// JSON pointer of the name, or of what needs one.
        pointer: &'static str,
        /// The name.
        name: String,
    },
    /// A schema of memory bandwidth is for that alone.
    #[error("/linux/intelRdt/memBwSchema: {text:?} does not begin with MB:")]
    NotBandwidth {
        /// The text as given.
        text: String,
    },
    /// One line is one resource.
    #[error("{pointer}: {text:?} contains a newline")]
    Newline {
        /// JSON pointer of the text.
        pointer: String,
        /// The text as given.
        text: String,
    },
}

/// Something that a configuration asks for in a way that the specification advises against.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The specification wants schemas of caches here.
    #[error("/linux/intelRdt/l3CacheSchema: {text:?} should be one line that begins with L3:")]
    NotCache {
        /// The text as given.
        text: String,
    },
}

/// Resolves `/linux/intelRdt` for container `id` on a host where resctrl is mounted at `mount`.
///
/// # Errors
/// Names and schemas that resctrl cannot have, and a host without it.
pub fn resolve(
    asked: Option<&LinuxIntelRdt>,
    id: &str,
    mount: Option<&Path>,
) -> Result<(Option<Resctrl>, Vec<Warning>), Error> {
    let Some(asked) = asked else { return Ok((None, Vec::new())) };
    let mount = mount.ok_or(Error::NotMounted)?.to_owned();
    let warnings = warnings(asked);
    let class = match asked.clos_id().as_deref() {
        None | Some("") => Class::Own(name(id, "/linux/intelRdt")?),
        Some("/") => Class::Default,
        Some(given) => Class::Named(name(given, "/linux/intelRdt/closID")?),
    };
    let monitor = asked.enable_monitoring().unwrap_or(false);
    let monitor = monitor.then(|| name(id, "/linux/intelRdt/enableMonitoring")).transpose()?;
    Ok((Some(Resctrl { mount, class, schemata: schemata(asked)?, monitor }), warnings))
}

fn warnings(asked: &LinuxIntelRdt) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(text) = given(asked.l3_cache_schema())
        && (!text.starts_with("L3:") || text.contains('\n'))
    {
        warnings.push(Warning::NotCache { text: text.to_owned() });
    }
    warnings
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn name(name: &str, pointer: &'static str) -> Result<String, Error> {
    let plain = !name.contains(['/', '\n', '\0']) && name.len() <= NAME_MAX;
    if plain && !RESERVED.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(Error::Name { pointer, name: name.to_owned() })
}

fn schemata(asked: &LinuxIntelRdt) -> Result<Vec<Schema>, Error> {
    let mut schemata = Vec::new();
    if let Some(text) = given(asked.l3_cache_schema()) {
        let pointer = "/linux/intelRdt/l3CacheSchema".to_owned();
        schemata.push(Schema { pointer, text: text.to_owned(), must_agree: true });
    }
    if let Some(text) = given(asked.mem_bw_schema()) {
        let pointer = "/linux/intelRdt/memBwSchema".to_owned();
        schemata.push(bandwidth(pointer, text)?);
    }
    for (index, text) in asked.schemata().iter().flatten().enumerate() {
        let pointer = format!("/linux/intelRdt/schemata/{index}");
        one_line(&pointer, text)?;
        schemata.push(Schema { pointer, text: text.clone(), must_agree: false });
    }
    Ok(schemata)
}

fn bandwidth(pointer: String, text: &str) -> Result<Schema, Error> {
    one_line(&pointer, text)?;
    if !text.starts_with("MB:") {
        return Err(Error::NotBandwidth { text: text.to_owned() });
    }
    Ok(Schema { pointer, text: text.to_owned(), must_agree: true })
}

fn one_line(pointer: &str, text: &str) -> Result<(), Error> {
    if text.contains('\n') {
        return Err(Error::Newline { pointer: pointer.to_owned(), text: text.to_owned() });
    }
    Ok(())
}

/// The schemas that `update` was given, in the order in which they are written.
///
/// # Errors
/// A text that is no schema.
pub fn change(l3: Option<&str>, bandwidth_schema: Option<&str>) -> Result<Vec<Schema>, Error> {
    let mut schemata = Vec::new();
    if let Some(text) = l3 {
        let pointer = "/linux/intelRdt/l3CacheSchema".to_owned();
        schemata.push(Schema { pointer, text: text.to_owned(), must_agree: true });
    }
    if let Some(text) = bandwidth_schema {
        schemata.push(bandwidth("/linux/intelRdt/memBwSchema".to_owned(), text)?);
    }
    Ok(schemata)
}

/// Whether a class whose `schemata` file is `present` already gives what `wanted` asks for. The
/// kernel pads names and numbers, and may know more domains.
pub fn agrees(present: &str, wanted: &str) -> bool {
    let present: Vec<_> = present.lines().filter_map(parse).collect();
    wanted.lines().filter(|line| !line.trim().is_empty()).all(|line| {
        parse(line).is_some_and(|(resource, wanted)| {
            let known = present.iter().find(|(name, _)| *name == resource);
            known.is_some_and(|(_, shares)| wanted.iter().all(|share| shares.contains(share)))
        })
    })
}

/// A resource, and the share of each domain without leading zeroes.
fn parse(line: &str) -> Option<(&str, Vec<(&str, String)>)> {
    let (resource, shares) = line.split_once(':')?;
    let share = |share: &'_ str| {
        share.split_once('=').map(|(_, value)| {
            let plain = value.trim().trim_start_matches('0').to_ascii_lowercase();
            if plain.is_empty() { "0".to_owned() } else { plain }
        })
    };
    let shares = shares.split(';').map(|text| Some((text.split_once('=')?.0.trim(), share(text)?)));
    Some((resource.trim(), shares.collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<(Resctrl, Vec<Warning>), Error> {
        let asked = serde_json::from_str(json).unwrap();
        let (plan, warnings) = resolve(Some(&asked), "box", Some(Path::new("/r")))?;
        Ok((plan.unwrap(), warnings))
    }

    #[test]
    fn a_class_is_the_containers_own_or_named_or_the_default_one() {
        let class = |json| parse(json).unwrap().0.class;
        assert_eq!(class("{}"), Class::Own("box".into()));
        assert_eq!(class(r#"{"closID":""}"#), Class::Own("box".into()));
        assert_eq!(class(r#"{"closID":"gold"}"#), Class::Named("gold".into()));
        assert_eq!(class(r#"{"closID":"/"}"#), Class::Default);
    }

    /// RDT-3
    #[test]
    fn caches_come_first_and_schemata_last() {
        let (plan, warnings) = parse(
            r#"{"schemata":["L2:0=f","MB:1=5"],"memBwSchema":"MB:0=20","l3CacheSchema":"L3:0=f"}"#,
        )
        .unwrap();
        let texts: Vec<_> = plan.schemata.iter().map(|s| (&*s.text, s.must_agree)).collect();
        let wanted = [("L3:0=f", true), ("MB:0=20", true), ("L2:0=f", false), ("MB:1=5", false)];
        assert_eq!(texts, wanted);
        assert_eq!(warnings, []);
    }

    #[test]
    fn names_that_are_no_directory_of_a_class_are_refused() {
        for id in ["a/b", "..", ".", "info", "mon_groups", "a\n"] {
            let json = serde_json::json!({ "closID": id }).to_string();
            assert_eq!(
                parse(&json).unwrap_err(),
                Error::Name { pointer: "/linux/intelRdt/closID", name: id.into() }
            );
        }
        let asked = serde_json::from_str(r#"{"closID":"x","enableMonitoring":true}"#).unwrap();
        let error = resolve(Some(&asked), "info", Some(Path::new("/r"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/linux/intelRdt/enableMonitoring: \"info\" is no name for a class"
        );
    }

    #[test]
    fn schemas_are_lines_of_their_kind() {
        for (json, text) in [
            (
                r#"{"memBwSchema":"L3:0=f"}"#,
                "/linux/intelRdt/memBwSchema: \"L3:0=f\" does not begin with MB:",
            ),
            (
                r#"{"memBwSchema":"MB:0=1\nL3:0=f"}"#,
                "/linux/intelRdt/memBwSchema: \"MB:0=1\\nL3:0=f\" contains a newline",
            ),
            (
                r#"{"schemata":["L2:0=f","a\nb"]}"#,
                "/linux/intelRdt/schemata/1: \"a\\nb\" contains a newline",
            ),
        ] {
            assert_eq!(parse(json).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn what_the_specification_advises_against_is_warned_of() {
        let (_, warnings) = parse(r#"{"l3CacheSchema":"L2:0=f"}"#).unwrap();
        let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["/linux/intelRdt/l3CacheSchema: \"L2:0=f\" should be one line that begins with L3:"]
        );
    }

    #[test]
    fn a_host_without_resctrl_has_no_classes() {
        let asked = serde_json::from_str("{}").unwrap();
        assert_eq!(resolve(Some(&asked), "box", None).unwrap_err(), Error::NotMounted);
        assert_eq!(resolve(None, "box", None), Ok((None, Vec::new())));
    }

    #[test]
    fn agreement_is_of_numbers_not_of_text() {
        let present = "    L3:0=007f0;1=0001f\n    MB:0= 20;1=100\n";
        for wanted in ["L3:0=7f0", "L3:1=1F;0=7f0", "MB:0=20;1=100", "L3:0=7f0\nMB:1=100", ""] {
            assert!(agrees(present, wanted), "{wanted}");
        }
        for wanted in ["L3:0=7f1", "L3:2=1", "L2:0=f", "MB:0=2", "nonsense", "L3:"] {
            assert!(!agrees(present, wanted), "{wanted}");
        }
    }
}
