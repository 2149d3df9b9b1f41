"""What /proc tells of a process."""

import pathlib


def stat(pid):
    """The fields of its stat (proc_pid_stat(5)) from the third on, as text: before them is the name, which may contain
    anything."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def on_cpu(pid):
    """Nanoseconds that it has run."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0])
