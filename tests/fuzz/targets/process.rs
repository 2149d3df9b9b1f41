//! The bytes of a process.json, and what exec makes of it.

use cloison::{error, spec};

use super::machine::printable;

/// Never panics; what is read has a program and a working directory.
pub fn hold(data: &[u8]) {
    match spec::parse_process(data) {
        Ok(loaded) => {
            let text = spec::template(&loaded.spec).expect("a template");
            let again = spec::parse(&text).expect("a template is a config");
            assert_eq!(
                format!("{:?}", loaded.spec.process()),
                format!("{:?}", again.spec.process()),
                "what create keeps for exec"
            );
        }
        Err(refusal) => printable(&error::sentence(&refusal)),
    }
}
