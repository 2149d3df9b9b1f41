#!/bin/sh
# The tests of the integration suite that rest on cgroups.
exec it "$@" cgroups:: delegation:: devices:: events:: gc:: leaks:: lifecycle:: limits:: nesting:: \
    pause:: ps:: systemd:: update::
