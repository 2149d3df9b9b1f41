//! How a program tells its supervisor that it is ready (sd_notify(3)): the socket that the caller
//! of the runtime names is out of the container's reach, so it gets one of its own, behind which
//! the runtime listens.

use oci_spec::runtime::Mount;
use std::ffi::{CStr, CString};
use std::path::Path;

/// Directory in the container, as runc has it.
const DIRECTORY: &str = "/run/notify";

/// The variable that names the socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Name of the socket in its directory.
pub const SOCKET: &CStr = c"notify.sock";

/// The mount that shows the directory of the socket in the container.
pub(super) fn mount(directory: &Path) -> Mount {
    let options = ["bind", "nosuid", "noexec", "nodev", "ro"].map(str::to_owned).to_vec();
    let mut mount = Mount::default();
    mount.set_destination(DIRECTORY.into()).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(directory.to_owned())).set_options(Some(options));
    mount
}

/// Makes an environment name that socket, and no other.
pub(super) fn announce(env: &mut Vec<CString>) {
    let entry = format!("{VARIABLE}={DIRECTORY}/{}", SOCKET.to_string_lossy());
    let (name, _) = entry.split_at(VARIABLE.len() + 1);
    env.retain(|other| !other.to_bytes().starts_with(name.as_bytes()));
    // Constants without NUL.
    env.extend(CString::new(entry));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_named_once() {
        let mut env = vec![c"NOTIFY_SOCKET=/host".to_owned(), c"NOTIFY_SOCKETS=1".to_owned()];
        announce(&mut env);
        assert_eq!(
            env,
            [c"NOTIFY_SOCKETS=1".to_owned(), c"NOTIFY_SOCKET=/run/notify/notify.sock".to_owned()]
        );
    }
}
