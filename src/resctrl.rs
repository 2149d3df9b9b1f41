//! Floor 3: the resctrl file system, in which a directory is a class of service, a directory in its
//! `mon_groups` is what is measured apart, and a process is in both by its number in `tasks`.

use crate::plan::resctrl::{Class, Resctrl, Schema, agrees};
use crate::sys::{Errno, errno_of};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where a container is, as later commands need to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResctrlRecord {
    /// The directory of its class.
    pub class: PathBuf,
    /// Whether the class is the container's alone, and ends with it.
    pub own: bool,
    /// The directory of its monitoring group, which ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitor: Option<PathBuf>,
}

/// What resctrl does not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A class that was to be there.
    #[error("/linux/intelRdt/closID: {path} does not exist, and there are no schemata to make it", path = .path.display())]
    NoClass {
        /// Its directory.
        path: PathBuf,
    },
    /// A class that gives something else.
    #[error("{pointer}: {text:?} is not what {path} has", path = .path.display())]
    Disagrees {
        /// JSON pointer of the schema.
        pointer: String,
        /// The schema.
        text: String,
        /// The file.
        path: PathBuf,
    },
    /// A file or directory.
    #[error("{pointer}: {action} {path}", path = .path.display())]
    File {
        /// JSON pointer of what it is for.
        pointer: String,
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Errno,
    },
    /// Schemas that the hardware or the kernel does not take.
    #[error("{pointer}: write {text:?} to {path}: {words}", path = .path.display())]
    Schemata {
        /// JSON pointer of the schemas.
        pointer: String,
        /// The schemas.
        text: String,
        /// The file.
        path: PathBuf,
        /// The kernel's own words.
        words: String,
        /// The cause.
        source: Errno,
    },
}

impl Error {
    /// The file or directory that it is about.
    pub fn path(&self) -> &Path {
        let (Self::NoClass { path }
        | Self::Disagrees { path, .. }
        | Self::File { path, .. }
        | Self::Schemata { path, .. }) = self;
        path
    }
}

const POINTER: &str = "/linux/intelRdt";
const MONITORING: &str = "/linux/intelRdt/enableMonitoring";

fn file<'a>(
    pointer: &'a str,
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> Error + 'a {
    move |error| Error::File {
        pointer: pointer.to_owned(),
        action,
        path: path.to_owned(),
        source: errno_of(&error),
    }
}

/// What a plan will make, before anything of it is made: a class that is there already is not the
/// container's own.
pub fn survey(plan: &Resctrl) -> ResctrlRecord {
    let (class, own) = match &plan.class {
        Class::Own(name) => {
            let class = plan.mount.join(name);
            let own = !class.is_dir();
            (class, own)
        }
        Class::Named(name) => (plan.mount.join(name), false),
        Class::Default => (plan.mount.clone(), false),
    };
    let monitor = plan.monitor.as_ref().map(|name| class.join("mon_groups").join(name));
    ResctrlRecord { class, own, monitor }
}

/// Makes and fills what the plan asks for.
///
/// # Errors
/// What resctrl refuses, or a class that does not give what is asked for. What was made before
/// is gone again.
pub fn prepare(plan: &Resctrl, record: &ResctrlRecord) -> Result<(), Error> {
    let made = make_class(plan, record)?;
    let filled = fill(plan, &record.class).and_then(|()| match &record.monitor {
        Some(dir) => fs::create_dir(dir).map_err(file(MONITORING, "make", dir)),
        None => Ok(()),
    });
    filled.inspect_err(|_| {
        if made {
            let _ = fs::remove_dir(&record.class);
        }
    })
}

/// Makes the class unless it is there and may be used; whether it was made.
fn make_class(plan: &Resctrl, record: &ResctrlRecord) -> Result<bool, Error> {
    let class = &record.class;
    let named = matches!(plan.class, Class::Named(_));
    if named && plan.schemata.is_empty() && !class.is_dir() {
        return Err(Error::NoClass { path: class.clone() });
    }
    match fs::create_dir(class) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file(POINTER, "make", class)(error)),
    }
    if named {
        compare(&plan.schemata, &class.join("schemata"))?;
    }
    Ok(false)
}

fn compare(schemata: &[Schema], path: &Path) -> Result<(), Error> {
    let mut wanted = schemata.iter().filter(|schema| schema.must_agree).peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let present = fs::read_to_string(path).map_err(file(POINTER, "read", path))?;
    match wanted.find(|schema| !agrees(&present, &schema.text)) {
        Some(Schema { pointer, text, .. }) => Err(Error::Disagrees {
            pointer: pointer.clone(),
            text: text.clone(),
            path: path.to_owned(),
        }),
        None => Ok(()),
    }
}

fn fill(plan: &Resctrl, class: &Path) -> Result<(), Error> {
    if plan.schemata.is_empty() {
        return Ok(());
    }
    write_schemata(class, &plan.schemata)
}

/// Gives a class other shares, all of them or, as far as the kernel allows, none.
///
/// # Errors
/// Schemas that are refused.
pub fn update(record: &ResctrlRecord, schemata: &[Schema]) -> Result<Before, Error> {
    let path = record.class.join("schemata");
    let text = fs::read_to_string(&path).map_err(file(POINTER, "read", &path))?;
    let before = Before { path, text };
    if !schemata.is_empty() {
        write_schemata(&record.class, schemata).inspect_err(|_| before.restore())?;
    }
    Ok(before)
}

/// The shares of a class before they were changed.
#[derive(Debug)]
pub struct Before {
    path: PathBuf,
    text: String,
}

impl Before {
    /// Puts them back.
    pub fn restore(&self) {
        // Whoever asks for this is telling of another failure.
        let _ = fs::write(&self.path, &self.text);
    }
}

fn write_schemata(class: &Path, schemata: &[Schema]) -> Result<(), Error> {
    let path = class.join("schemata");
    let text: String = schemata.iter().flat_map(|schema| [schema.text.as_str(), "\n"]).collect();
    fs::write(&path, &text).map_err(|error| Error::Schemata {
        pointer: schemata.first().map_or(POINTER, |schema| &schema.pointer).to_owned(),
        text,
        words: last_words(class),
        path,
        source: errno_of(&error),
    })
}

/// Why the kernel refused the last request: it tells in a file at the file system's root.
fn last_words(class: &Path) -> String {
    let files = class.ancestors().map(|dir| dir.join("info/last_cmd_status"));
    let words = files.take(2).find_map(|path| fs::read_to_string(path).ok());
    let words = words.map(|words| words.trim().to_owned()).filter(|words| !words.is_empty());
    words.unwrap_or_else(|| "refused".to_owned())
}

/// Puts a process into the class and the monitoring group.
///
/// # Errors
/// What resctrl refuses.
pub fn place(record: &ResctrlRecord, pid: i32) -> Result<(), Error> {
    // The class first: entering one leaves the monitoring group.
    for dir in [Some(&record.class), record.monitor.as_ref()].into_iter().flatten() {
        let tasks = dir.join("tasks");
        fs::write(&tasks, pid.to_string()).map_err(file(POINTER, "write", &tasks))?;
    }
    Ok(())
}

/// Removes what is the container's alone.
///
/// # Errors
/// What resctrl refuses; what is gone is not missed.
pub fn remove(record: &ResctrlRecord) -> Result<(), Error> {
    let own = record.own.then_some(&record.class);
    for dir in [record.monitor.as_ref(), own].into_iter().flatten() {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file(POINTER, "remove", dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn plan(mount: &TempDir, class: Class, texts: &[&str], monitor: bool) -> Resctrl {
        let schema = |text: &&str| Schema {
            pointer: "/linux/intelRdt/l3CacheSchema".to_owned(),
            text: (*text).to_owned(),
            must_agree: true,
        };
        Resctrl {
            mount: mount.path().to_owned(),
            class,
            schemata: texts.iter().map(schema).collect(),
            monitor: monitor.then(|| "box".to_owned()),
        }
    }

    fn own() -> Class {
        Class::Own("box".to_owned())
    }

    fn named() -> Class {
        Class::Named("gold".to_owned())
    }

    /// RDT-4
    #[test]
    fn a_class_of_ones_own_is_made_and_removed() {
        let mount = tempfile::tempdir().unwrap();
        let plan = plan(&mount, own(), &[], false);
        let record = survey(&plan);
        assert!(record.own);
        prepare(&plan, &record).unwrap();
        place(&record, 7).unwrap();
        let tasks = mount.path().join("box/tasks");
        assert_eq!(fs::read_to_string(&tasks).unwrap(), "7");
        assert!(!mount.path().join("box/schemata").exists(), "nothing was to be written");
        // The kernel's files go with their directory.
        fs::remove_file(tasks).unwrap();
        remove(&record).unwrap();
        remove(&record).unwrap();
        assert!(!mount.path().join("box").exists());
    }

    /// RDT-4
    #[test]
    fn a_class_that_was_there_is_used_and_stays() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("box")).unwrap();
        let plan = plan(&mount, own(), &[], false);
        let record = survey(&plan);
        prepare(&plan, &record).unwrap();
        remove(&record).unwrap();
        assert!(mount.path().join("box").exists());
    }

    /// RDT-2
    #[test]
    fn a_named_class_is_made_if_there_is_something_to_write() {
        let mount = tempfile::tempdir().unwrap();
        let bare = plan(&mount, named(), &[], false);
        let error = prepare(&bare, &survey(&bare)).unwrap_err();
        assert!(matches!(error, Error::NoClass { .. }), "{error}");
        let full = plan(&mount, named(), &["L3:0=f", "MB:0=10"], false);
        let record = survey(&full);
        prepare(&full, &record).unwrap();
        let written = fs::read_to_string(mount.path().join("gold/schemata")).unwrap();
        assert_eq!(written, "L3:0=f\nMB:0=10\n");
        remove(&record).unwrap();
        assert!(mount.path().join("gold").exists());
        prepare(&bare, &survey(&bare)).unwrap();
    }

    /// RDT-2
    #[test]
    fn a_named_class_that_is_there_has_to_agree() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("gold")).unwrap();
        let schemata = mount.path().join("gold/schemata");
        fs::write(&schemata, "    L3:0=000f;1=00ff\n").unwrap();
        let other = plan(&mount, named(), &["L3:0=ff"], false);
        let error = prepare(&other, &survey(&other)).unwrap_err();
        let text = format!(
            "/linux/intelRdt/l3CacheSchema: \"L3:0=ff\" is not what {} has",
            schemata.display()
        );
        assert_eq!(error.to_string(), text);
        let same = plan(&mount, named(), &["L3:0=f"], false);
        prepare(&same, &survey(&same)).unwrap();
    }

    /// RDT-5
    #[test]
    fn a_monitoring_group_lies_in_the_class_and_is_the_containers() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("mon_groups")).unwrap();
        let plan = plan(&mount, Class::Default, &[], true);
        let record = survey(&plan);
        prepare(&plan, &record).unwrap();
        place(&record, 9).unwrap();
        let group = mount.path().join("mon_groups/box");
        assert_eq!(fs::read_to_string(group.join("tasks")).unwrap(), "9");
        assert_eq!(fs::read_to_string(mount.path().join("tasks")).unwrap(), "9");
        let again = prepare(&plan, &record).unwrap_err();
        assert!(matches!(again, Error::File { source: Errno::EEXIST, .. }), "{again}");
        fs::remove_file(group.join("tasks")).unwrap();
        remove(&record).unwrap();
        assert!(!group.exists() && mount.path().exists());
    }

    /// RDT-6
    #[test]
    fn a_failed_preparation_takes_its_class_back() {
        let mount = tempfile::tempdir().unwrap();
        // A class that is new has no mon_groups where no kernel makes it.
        let plan = plan(&mount, own(), &[], true);
        prepare(&plan, &survey(&plan)).unwrap_err();
        assert!(!mount.path().join("box").exists());
    }

    #[test]
    fn the_kernels_words_are_passed_on() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir_all(mount.path().join("info")).unwrap();
        fs::write(mount.path().join("info/last_cmd_status"), "mask f has holes\n").unwrap();
        fs::create_dir_all(mount.path().join("box/schemata")).unwrap();
        let plan = plan(&mount, own(), &["L3:0=5"], false);
        let error = prepare(&plan, &survey(&plan)).unwrap_err().to_string();
        assert!(error.ends_with("box/schemata: mask f has holes"), "{error}");
    }

    #[test]
    fn an_update_can_be_taken_back() {
        let mount = tempfile::tempdir().unwrap();
        let plan = plan(&mount, own(), &["L3:0=f"], false);
        let record = survey(&plan);
        prepare(&plan, &record).unwrap();
        let change = crate::plan::resctrl::change(Some("L3:0=3"), Some("MB:0=10")).unwrap();
        let before = update(&record, &change).unwrap();
        let file = mount.path().join("box/schemata");
        assert_eq!(fs::read_to_string(&file).unwrap(), "L3:0=3\nMB:0=10\n");
        before.restore();
        assert_eq!(fs::read_to_string(&file).unwrap(), "L3:0=f\n");
    }
}
