#!/bin/sh
# The OCI's validation programs, aimed at RUNTIME; specs/51-conformance.md says what they are.
programs=/lab/validation
if [ ! -d $programs ]; then
    echo "test validation ... ignored, VALIDATION=DIR was not given"
    exit
fi
# One of them wants a profile of this name to be loaded.
apparmor_parser --replace <<END
profile acme_secure_profile flags=(attach_disconnected,mediate_deleted) {
    file,
    capability,
    network,
    mount,
    signal,
    ptrace,
}
END
exec python3 -B /opt/lab/conformance/run --lines --runtime "$RUNTIME" $programs
