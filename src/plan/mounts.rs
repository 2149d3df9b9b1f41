//! `/mounts`: each entry as the content to attach, where, and with which attributes.

use super::idmap::{self, IdMaps};
use super::namespaces::{Kind, Namespaces};
use super::paths::{self, ContainerPath};
use crate::sys::mount::{AttrChange, Reach, attr, propagation};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

mod cgroup;
mod options;

pub use cgroup::{CgroupView, Hierarchy, OwnCgroup};
pub use options::OPTIONS;
use options::{Effect, effect, is_foreign};

/// One mount to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Index in `/mounts`; several mounts can come from one entry.
    pub index: u32,
    /// Where it goes.
    pub destination: ContainerPath,
    /// How links on the way there are treated.
    pub links: Links,
    /// What is mounted.
    pub content: Content,
    /// How the ids of its files are mapped.
    pub idmap: Option<IdMap>,
    /// Attributes of the mount itself.
    pub attributes: AttrChange,
    /// Attributes of the mount and all below it.
    pub tree_attributes: AttrChange,
    /// Whether it becomes read-only once all of the root is made: a tmpfs begins empty, and what
    /// later entries and devices need has to be made in it first.
    pub sealed: bool,
    /// Propagation changes, in order.
    pub propagation: Vec<(u64, Reach)>,
}

/// The mapping of an id-mapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// From the ids of the file system (inside) to those of the host (outside); `None` maps as
    /// the container's user namespace does.
    pub maps: Option<IdMaps>,
    /// Whether the mounts below it are mapped, too.
    pub reach: Reach,
}

/// How symbolic links in a destination are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Followed inside the root.
    Follow,
    /// Refused, so that no image can choose where procfs and sysfs appear (CVE-2019-19921).
    Refuse,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: CString,
        /// Whether the mounts below it come along.
        reach: Reach,
    },
    /// The container's own directory in a cgroup hierarchy, for containers without a cgroup
    /// namespace.
    OwnCgroup(OwnCgroup),
    /// A file system made for the container.
    FileSystem(FileSystem),
    /// Nothing new: the attributes go to what is mounted there already.
    Existing,
    /// A symbolic link, made where nothing is mounted (names of joined v1 hierarchies).
    Link {
        /// Text of the link.
        target: CString,
    },
}

/// A file system made for the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Type, such as `tmpfs`.
    pub fstype: CString,
    /// What the kernel's `source` parameter gets.
    pub source: CString,
    /// Parameters in the order given.
    pub parameters: Vec<Parameter>,
    /// All of them as the one text of mount(2), where a value is too long for fsconfig(2).
    pub text: Option<CString>,
    /// Whether what the mount covers is copied into it.
    pub copy_up: CopyUp,
    /// A mount of the host that is bound, with all below it, where the kernel refuses (EPERM) to
    /// make the file system.
    pub stand_in: Option<&'static CStr>,
}

impl FileSystem {
    /// Whether the type is `name`.
    pub fn is(&self, name: &CStr) -> bool {
        self.fstype.as_c_str() == name
    }
}

/// A parameter of fsconfig(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub key: CString,
    /// Its value, when it has one.
    pub value: Option<CString>,
}

/// Whether the directory below a tmpfs is copied into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyUp {
    /// It starts empty.
    No,
    /// It starts with a copy.
    Yes,
}

/// What the mounts of a container depend on besides their own entries.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Absolute path of the bundle, from which relative bind sources are taken.
    pub bundle: &'a Path,
    /// How the host's cgroups can be shown.
    pub cgroups: &'a CgroupView,
    /// Whether the container has a user namespace that is not the host's.
    pub own_users: bool,
    /// Its ids, where the configuration gives them.
    pub id_maps: Option<&'a IdMaps>,
    /// SELinux' mount option and its value for file systems made for the container; `None` where
    /// SELinux is off.
    pub label: Option<(&'static CStr, &'a CStr)>,
    /// The container's partitions.
    pub namespaces: &'a Namespaces,
}

/// Why an entry of `/mounts` cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The destination is no path.
    #[error(transparent)]
    Destination(#[from] paths::Error),
    /// The mappings of the mount are no mappings.
    #[error(transparent)]
    IdMaps(#[from] idmap::Error),
    /// config.md: an id-mapped mount needs ids to map.
    #[error(
        "/mounts/{index}/options/{option}: {name:?} needs uidMappings and gidMappings, of the mount or of a user namespace"
    )]
    NoIdMaps {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
        /// The option.
        name: &'static str,
    },
    /// What crun makes of it would be another mount.
    #[error("/mounts/{index}/options/{option}: {name:?} is an option of crun and not known here")]
    Foreign {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
        /// The option.
        name: String,
    },
    /// Mappings in a form of their own.
    #[error(
        "/mounts/{index}/options/{option}: {name:?} is not idmap=uids=FROM-TO-COUNT#…;gids=…, \
         or the container has no such ids"
    )]
    MapForm {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
        /// The option.
        name: String,
    },
    /// Mappings by an option and by members.
    #[error("/mounts/{index}/options/{option}: contradicts uidMappings and gidMappings")]
    TwoMaps {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
    },
    /// A mount over the root would hide everything that follows.
    #[error("/mounts/{index}/destination: \"/\" is given by /root")]
    OverRoot {
        /// Index of the entry.
        index: usize,
    },
    /// Only a few files of /proc may be covered (CVE-2019-16884).
    #[error("/mounts/{index}/destination: {destination} is inside /proc and cannot be covered")]
    InsideProc {
        /// Index of the entry.
        index: usize,
        /// The destination.
        destination: ContainerPath,
    },
    /// The kernel would cut it off and mount something else.
    #[error(
        "/mounts/{index}/options: {length} bytes are more than the {LONGEST_TEXT} that the kernel takes"
    )]
    TooLong {
        /// Index of the entry.
        index: usize,
        /// Of all options for the file system together.
        length: usize,
    },
    /// A bind mount of nothing.
    #[error("/mounts/{index}/source: missing, a bind mount needs one")]
    NoSource {
        /// Index of the entry.
        index: usize,
    },
    /// A file system of no type.
    #[error("/mounts/{index}/type: missing, only bind mounts need none")]
    NoType {
        /// Index of the entry.
        index: usize,
    },
    /// No kernel interface can take such a string.
    #[error("/mounts/{index}/{field}: {value:?} contains a NUL byte")]
    Nul {
        /// Index of the entry.
        index: usize,
        /// Member of the entry.
        field: String,
        /// The value as given.
        value: String,
    },
    /// An option that belongs to another type of mount.
    #[error("/mounts/{index}/options/{option}: {name:?} is for {only} only")]
    Misplaced {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
        /// The option.
        name: String,
        /// What it is for.
        only: &'static str,
    },
    /// The host has no cgroup hierarchy to show.
    #[error("/mounts/{index}: no cgroup file system is mounted at /sys/fs/cgroup on this host")]
    NoCgroups {
        /// Index of the entry.
        index: usize,
    },
}

/// Something that was asked for and means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The specification asks for an absolute path.
    #[error("/mounts/{index}/destination: {given:?} is relative, taken from /")]
    Relative {
        /// Index of the entry.
        index: usize,
        /// The path as given.
        given: String,
    },
    /// The kernel takes no file system parameters for a bind mount.
    #[error("/mounts/{index}/options/{option}: {name:?} has no effect on a mount that exists")]
    BindParameter {
        /// Index of the entry.
        index: usize,
        /// Index of the option.
        option: usize,
        /// The option.
        name: String,
    },
}

/// Files of /proc that a mount may cover: those that per-container views of the machine replace.
const COVERABLE: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// File systems that have labels of their own: SELinux takes no context for them.
const UNLABELLED: [&CStr; 5] = [c"proc", c"sysfs", c"mqueue", c"cgroup", c"cgroup2"];

/// Kernel file systems whose superblock outlives or is shared beyond the mount: only the mount
/// is made read-only, never the superblock.
const KERNEL_TYPES: [&CStr; 6] = [c"proc", c"sysfs", c"mqueue", c"devpts", c"cgroup", c"cgroup2"];

/// Longest value that fsconfig(2) takes.
const LONGEST_VALUE: usize = 255;
/// Longest text of options that mount(2) takes: what does not fit a page is cut off.
const LONGEST_TEXT: usize = 4095;

/// Resolves every entry of `/mounts`.
///
/// # Errors
/// The first entry that cannot be carried out.
pub fn resolve(
    asked: &[oci_spec::runtime::Mount],
    around: Surroundings<'_>,
) -> Result<(Vec<Mount>, Vec<Warning>), Error> {
    let mut mounts = Vec::with_capacity(asked.len());
    let mut warnings = Vec::new();
    for (index, entry) in asked.iter().enumerate() {
        let entry = Entry { index, entry, around };
        entry.resolve(&mut mounts, &mut warnings)?;
    }
    Ok((mounts, warnings))
}

/// What the options of one entry say.
#[derive(Default)]
struct Options {
    bind: Option<Reach>,
    idmap: Option<Reach>,
    /// The mappings that it says, with the index of the option.
    id_maps: Option<(usize, IdMaps)>,
    remount: bool,
    copy_up: bool,
    readonly: bool,
    attributes: AttrChange,
    tree_attributes: AttrChange,
    propagation: Vec<(u64, Reach)>,
    /// Superblock flags by name.
    superblock: Vec<&'static CStr>,
    /// Everything unknown here, for the file system: index and text.
    parameters: Vec<(usize, String)>,
}

struct Entry<'a> {
    index: usize,
    entry: &'a oci_spec::runtime::Mount,
    around: Surroundings<'a>,
}

impl Entry<'_> {
    fn resolve(&self, mounts: &mut Vec<Mount>, warnings: &mut Vec<Warning>) -> Result<(), Error> {
        let destination = self.destination(warnings)?;
        let mut options = self.options()?;
        let fstype = self.entry.typ().as_deref().unwrap_or_default();
        let bind = options.bind.or((fstype == "bind").then_some(Reach::Single));
        let idmap = self.idmap(&options, bind)?;
        if bind.is_none() && !options.remount && matches!(fstype, "cgroup" | "cgroup2") {
            return cgroup::expand(self, destination, &options, mounts);
        }
        let sealed = fstype == "tmpfs" && bind.is_none() && !options.remount;
        let sealed = sealed && options.take_readonly();
        let mut links = Links::Follow;
        let content = if options.remount && bind.is_none() {
            self.ignore_parameters(&options, warnings);
            Content::Existing
        } else if let Some(reach) = bind {
            self.ignore_parameters(&options, warnings);
            Content::Bind { source: self.bind_source()?, reach }
        } else {
            if matches!(fstype, "proc" | "sysfs") {
                links = Links::Refuse;
            }
            Content::FileSystem(self.file_system(fstype, &options)?)
        };
        self.check_proc(&destination, &content)?;
        mounts.push(Mount { idmap, sealed, ..self.mount(destination, links, content, &options) });
        Ok(())
    }

    fn mount(
        &self,
        destination: ContainerPath,
        links: Links,
        content: Content,
        options: &Options,
    ) -> Mount {
        Mount {
            index: self.index as u32,
            destination,
            links,
            content,
            idmap: None,
            sealed: false,
            attributes: options.attributes,
            tree_attributes: options.tree_attributes,
            propagation: options.propagation.clone(),
        }
    }

    /// The mapping that the entry's options or its mappings ask for.
    fn idmap(&self, options: &Options, bind: Option<Reach>) -> Result<Option<IdMap>, Error> {
        let entry = self.entry;
        let maps = idmap::resolve(
            &format!("/mounts/{}", self.index),
            entry.uid_mappings().as_deref(),
            entry.gid_mappings().as_deref(),
        )?;
        let maps = match (&options.id_maps, maps) {
            (Some((option, _)), Some(_)) => {
                return Err(Error::TwoMaps { index: self.index, option: *option });
            }
            (Some((option, asked)), None) => {
                idmap::checked(&format!("/mounts/{}/options/{option}", self.index), asked.clone())?
            }
            (None, maps) => maps,
        };
        // Mappings say by themselves that they are meant (config.md: the option SHOULD be there).
        let Some(reach) = options.idmap.or(maps.is_some().then_some(Reach::Single)) else {
            return Ok(None);
        };
        let name = if reach == Reach::Tree { "ridmap" } else { "idmap" };
        if bind.is_none() {
            return Err(self.misplaced(name, "bind mounts"));
        }
        if maps.is_none() && !self.around.own_users {
            let option = self.position(name);
            return Err(Error::NoIdMaps { index: self.index, option, name });
        }
        Ok(Some(IdMap { maps, reach }))
    }

    fn destination(&self, warnings: &mut Vec<Warning>) -> Result<ContainerPath, Error> {
        let index = self.index;
        let given = self.entry.destination();
        let path = ContainerPath::new(format_args!("/mounts/{index}/destination"), given)?;
        if given.is_relative() {
            // config.md: relative destinations are allowed for old configurations.
            warnings.push(Warning::Relative { index, given: given.display().to_string() });
        }
        if path.as_bytes() == b"/" {
            return Err(Error::OverRoot { index });
        }
        Ok(path)
    }

    fn options(&self) -> Result<Options, Error> {
        let mut options = Options::default();
        for (index, name) in self.entry.options().iter().flatten().enumerate() {
            let word = match name.split_once('=') {
                Some((word @ ("idmap" | "ridmap"), maps)) => {
                    let maps = idmap::of_option(maps, self.around.id_maps);
                    let form =
                        || Error::MapForm { index: self.index, option: index, name: name.clone() };
                    options.id_maps = Some((index, maps.ok_or_else(form)?));
                    word
                }
                _ => name,
            };
            match effect(word) {
                Some(effect) => options.apply(effect),
                // What is left of a list that was joined and split again, as engines do.
                None if name.is_empty() => {}
                None if is_foreign(name) => {
                    let name = name.clone();
                    return Err(Error::Foreign { index: self.index, option: index, name });
                }
                None => options.parameters.push((index, name.clone())),
            }
        }
        Ok(options)
    }

    fn ignore_parameters(&self, options: &Options, warnings: &mut Vec<Warning>) {
        let ignored = options.parameters.iter().map(|(option, name)| Warning::BindParameter {
            index: self.index,
            option: *option,
            name: name.clone(),
        });
        warnings.extend(ignored);
    }

    fn bind_source(&self) -> Result<CString, Error> {
        let index = self.index;
        let source = self.entry.source().as_deref().filter(|s| !s.as_os_str().is_empty());
        let source = source.ok_or(Error::NoSource { index })?;
        // config.md: a relative source is taken from the bundle.
        let path = self.around.bundle.join(source);
        self.c_string("source", path.as_os_str().as_bytes())
    }

    fn file_system(&self, fstype: &str, options: &Options) -> Result<FileSystem, Error> {
        if fstype.is_empty() {
            return Err(Error::NoType { index: self.index });
        }
        let source = self.entry.source().as_deref().unwrap_or(Path::new(fstype));
        let mut fs = FileSystem {
            fstype: self.c_string("type", fstype.as_bytes())?,
            source: self.c_string("source", source.as_os_str().as_bytes())?,
            parameters: self.parameters(options)?,
            text: None,
            copy_up: if options.copy_up { CopyUp::Yes } else { CopyUp::No },
            stand_in: self.stand_in(fstype),
        };
        if options.copy_up && fstype != "tmpfs" {
            return Err(self.misplaced("tmpcopyup", "tmpfs"));
        }
        let kernel_type = KERNEL_TYPES.iter().any(|name| fs.is(name));
        let labelled = !UNLABELLED.iter().any(|name| fs.is(name));
        if options.readonly && !kernel_type && !options.copy_up {
            fs.parameters.push(Parameter { key: c"ro".to_owned(), value: None });
        }
        if let (Some((option, label)), true) = (self.around.label, labelled) {
            let value = Some(label.to_owned());
            fs.parameters.push(Parameter { key: option.to_owned(), value });
        }
        fs.text = self.text(&fs.parameters)?;
        Ok(fs)
    }

    /// The parameters as mount(2) takes them, if fsconfig(2) does not: layers of an overlay have
    /// long names.
    fn text(&self, parameters: &[Parameter]) -> Result<Option<CString>, Error> {
        let value = |parameter: &Parameter| parameter.value.as_ref().map_or(0, |v| v.count_bytes());
        if parameters.iter().all(|parameter| value(parameter) <= LONGEST_VALUE) {
            return Ok(None);
        }
        let words: Vec<Vec<u8>> = parameters
            .iter()
            .map(|parameter| match &parameter.value {
                Some(value) => [parameter.key.to_bytes(), value.to_bytes()].join(&b'='),
                None => parameter.key.to_bytes().to_owned(),
            })
            .collect();
        let text = words.join(&b',');
        if text.len() > LONGEST_TEXT {
            return Err(Error::TooLong { index: self.index, length: text.len() });
        }
        self.c_string("options", &text).map(Some)
    }

    /// The caller's own file system, where a new one would show the same: the kernel gives new
    /// ones only to the owner of the namespace that they show.
    fn stand_in(&self, fstype: &str) -> Option<&'static CStr> {
        let shared = |kind| !self.around.namespaces.has(kind);
        match fstype {
            "proc" if shared(Kind::Pid) => Some(c"/proc"),
            "sysfs" if shared(Kind::Network) => Some(c"/sys"),
            _ => None,
        }
    }

    fn misplaced(&self, name: &str, only: &'static str) -> Error {
        Error::Misplaced {
            index: self.index,
            option: self.position(name),
            name: name.to_owned(),
            only,
        }
    }

    fn position(&self, name: &str) -> usize {
        self.entry.options().iter().flatten().position(|option| option == name).unwrap_or(0)
    }

    fn parameters(&self, options: &Options) -> Result<Vec<Parameter>, Error> {
        let flags =
            options.superblock.iter().map(|key| Ok(Parameter { key: (*key).into(), value: None }));
        let given = options.parameters.iter().map(|(option, text)| {
            let field = format!("options/{option}");
            let (key, value) = match text.split_once('=') {
                Some((key, value)) => (key, Some(self.c_string(&field, value.as_bytes())?)),
                None => (text.as_str(), None),
            };
            Ok(Parameter { key: self.c_string(&field, key.as_bytes())?, value })
        });
        flags.chain(given).collect()
    }

    fn c_string(&self, field: &str, value: &[u8]) -> Result<CString, Error> {
        CString::new(value).map_err(|_| Error::Nul {
            index: self.index,
            field: field.to_owned(),
            value: String::from_utf8_lossy(value).into_owned(),
        })
    }

    /// /proc itself may only be procfs (a bind is checked once its source is open), and below
    /// it only a few files may be covered. Links that lead there are seen by init.
    fn check_proc(&self, destination: &ContainerPath, content: &Content) -> Result<(), Error> {
        let allowed = match content {
            Content::FileSystem(fs) if destination.as_bytes() == b"/proc" => fs.is(c"proc"),
            Content::Existing => true,
            _ if destination.as_bytes() == b"/proc" => true,
            _ => !destination.is_below("/proc") || may_cover(destination),
        };
        let destination = || destination.clone();
        if allowed {
            Ok(())
        } else {
            Err(Error::InsideProc { index: self.index, destination: destination() })
        }
    }
}

/// Whether a path below /proc may be covered by a mount.
pub fn may_cover(destination: &ContainerPath) -> bool {
    COVERABLE.iter().any(|path| destination.as_bytes() == path.as_bytes())
}

impl Options {
    /// Whether the mount is to be read-only, which is then no more to be done.
    fn take_readonly(&mut self) -> bool {
        let asked = (self.attributes.set | self.tree_attributes.set) & attr::RDONLY != 0;
        self.attributes.set &= !attr::RDONLY;
        self.tree_attributes.set &= !attr::RDONLY;
        self.readonly = false;
        asked
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Nothing => {}
            Effect::Set(bit, Reach::Single) => set(&mut self.attributes, bit),
            Effect::Set(bit, Reach::Tree) => {
                self.tree_says(bit);
                set(&mut self.tree_attributes, bit);
            }
            Effect::Clear(bit, Reach::Single) => clear(&mut self.attributes, bit),
            Effect::Clear(bit, Reach::Tree) => {
                self.tree_says(bit);
                clear(&mut self.tree_attributes, bit);
            }
            Effect::Atime(mode, Reach::Single) => atime(&mut self.attributes, mode),
            Effect::Atime(mode, Reach::Tree) => {
                self.tree_says(attr::ATIME_MASK);
                atime(&mut self.tree_attributes, mode);
            }
            Effect::Superblock(key, opposite) => {
                self.superblock.retain(|&k| k != key && k != opposite);
                self.superblock.push(key);
            }
            Effect::Propagation(kind, reach) => self.propagation.push((kind, reach)),
            Effect::Bind(reach) => self.bind = Some(reach),
            Effect::IdMap(reach) => self.idmap = Some(reach),
            Effect::Remount => self.remount = true,
            Effect::CopyUp => self.copy_up = true,
        }
        self.readonly = self.attributes.set & attr::RDONLY != 0;
    }

    /// What was said before of the mount alone no longer counts: the last option does.
    fn tree_says(&mut self, bits: u64) {
        self.attributes.set &= !bits;
        self.attributes.clear &= !bits;
    }
}

fn set(change: &mut AttrChange, bit: u64) {
    change.set |= bit;
    change.clear &= !bit;
}

fn clear(change: &mut AttrChange, bit: u64) {
    change.set &= !bit;
    change.clear |= bit;
}

/// The access time modes are a field, not bits: it is cleared as a whole before it is set
/// (mount_setattr(2)).
fn atime(change: &mut AttrChange, mode: u64) {
    change.set = (change.set & !attr::ATIME_MASK) | mode;
    change.clear |= attr::ATIME_MASK;
}

/// The root's propagation, by the name that `/linux/rootfsPropagation` uses.
///
/// `None` for a name that is none.
pub fn root_propagation(name: &str) -> Option<(u64, Reach)> {
    let (name, reach) = match name.strip_prefix('r') {
        Some(rest) => (rest, Reach::Tree),
        None => (name, Reach::Single),
    };
    let kind = match name {
        "shared" => propagation::SHARED,
        "slave" => propagation::SLAVE,
        "private" => propagation::PRIVATE,
        "unbindable" => propagation::UNBINDABLE,
        _ => return None,
    };
    Some((kind, reach))
}

#[cfg(test)]
mod tests;
