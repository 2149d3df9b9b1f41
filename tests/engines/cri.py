"""cri METHOD [JSON]: calls containerd's CRI service, as Kubernetes does, and prints the answer.

The packaged tool for this, crictl, is not in Debian. A request is a JSON object of the
fields below, which are those of the Kubernetes CRI (runtime.v1) that scenarios need; curl carries
it. The exit status is 1 if the service refuses, and its message goes to standard error.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.parse

SOCKET = "/run/containerd/containerd.sock"

# {field: (number, type)}: a type is a scalar's name, a message's fields, or a list or a map of it.
NUMBER = {"value": (1, "int")}
USER_NAMESPACE = {
    "mode": (1, "int"),
    "uids": (2, [{"host_id": (1, "int"), "container_id": (2, "int"), "length": (3, "int")}]),
    "gids": (3, [{"host_id": (1, "int"), "container_id": (2, "int"), "length": (3, "int")}]),
}
NAMESPACES = {
    "network": (1, "int"), "pid": (2, "int"), "ipc": (3, "int"), "target_id": (4, "text"),
    "userns_options": (5, USER_NAMESPACE),
}
PROFILE = {"profile_type": (1, "int"), "localhost_ref": (2, "text")}
RESOURCES = {
    "cpu_period": (1, "int"), "cpu_quota": (2, "int"), "cpu_shares": (3, "int"),
    "memory_limit_in_bytes": (4, "int"), "oom_score_adj": (5, "int"),
    "unified": (9, ("map", "text")),
}
POD = {
    "metadata": (1, {"name": (1, "text"), "uid": (2, "text"), "namespace": (3, "text")}),
    "hostname": (2, "text"),
    "log_directory": (3, "text"),
    "linux": (8, {
        "cgroup_parent": (1, "text"),
        "security_context": (2, {"namespace_options": (1, NAMESPACES), "privileged": (6, "int")}),
        "sysctls": (3, ("map", "text")),
    }),
}
CONTAINER = {
    "metadata": (1, {"name": (1, "text")}),
    "image": (2, {"image": (1, "text")}),
    "command": (3, ["text"]),
    "working_dir": (5, "text"),
    "envs": (6, [{"key": (1, "text"), "value": (2, "text")}]),
    "mounts": (7, [{
        "container_path": (1, "text"), "host_path": (2, "text"), "readonly": (3, "int"),
        "propagation": (5, "int"), "recursive_read_only": (8, "int"),
    }]),
    "devices": (8, [{"container_path": (1, "text"), "host_path": (2, "text"), "permissions": (3, "text")}]),
    "log_path": (11, "text"),
    "tty": (14, "int"),
    "linux": (15, {
        "resources": (1, RESOURCES),
        "security_context": (2, {
            "capabilities": (1, {"add_capabilities": (1, ["text"]), "drop_capabilities": (2, ["text"])}),
            "privileged": (2, "int"),
            "namespace_options": (3, NAMESPACES),
            "run_as_user": (5, NUMBER),
            "run_as_username": (6, "text"),
            "readonly_rootfs": (7, "int"),
            "supplemental_groups": (8, ["int"]),
            "no_new_privs": (11, "int"),
            "run_as_group": (12, NUMBER),
            "masked_paths": (13, ["text"]),
            "readonly_paths": (14, ["text"]),
            "seccomp": (15, PROFILE),
            "apparmor": (16, PROFILE),
        }),
    }),
}
POD_ID, CONTAINER_ID = {"pod_sandbox_id": (1, "text")}, {"container_id": (1, "text")}
STATUS = {
    "id": (1, "text"), "state": (3, "int"), "exit_code": (7, "int"), "reason": (10, "text"),
    "message": (11, "text"),
}
VALUE = {"value": (1, "int")}
STATS = {
    "cpu": (2, {"usage_core_nano_seconds": (2, VALUE)}),
    "memory": (3, {"working_set_bytes": (2, VALUE)}),
}
METHODS = {
    "Version": ({}, {"version": (1, "text"), "runtime_name": (2, "text")}),
    "Status": ({"verbose": (1, "int")}, {}),
    "RunPodSandbox": ({"config": (1, POD), "runtime_handler": (2, "text")}, POD_ID),
    "StopPodSandbox": (POD_ID, {}),
    "RemovePodSandbox": (POD_ID, {}),
    "ListPodSandbox": ({}, {"items": (1, [{"id": (1, "text")}])}),
    "CreateContainer": (
        {**POD_ID, "config": (2, CONTAINER), "sandbox_config": (3, POD)}, CONTAINER_ID,
    ),
    "StartContainer": (CONTAINER_ID, {}),
    "StopContainer": ({**CONTAINER_ID, "timeout": (2, "int")}, {}),
    "RemoveContainer": (CONTAINER_ID, {}),
    "ContainerStatus": (CONTAINER_ID, {"status": (1, STATUS)}),
    "ContainerStats": (CONTAINER_ID, {"stats": (1, STATS)}),
    "UpdateContainerResources": ({**CONTAINER_ID, "linux": (2, RESOURCES)}, {}),
    "ExecSync": (
        {**CONTAINER_ID, "cmd": (2, ["text"]), "timeout": (3, "int")},
        {"stdout": (1, "text"), "stderr": (2, "text"), "exit_code": (3, "int")},
    ),
}


def main(method: str, request: str = "{}") -> int:
    asked, answered = METHODS[method]
    body = encode(json.loads(request), asked)
    # A message of gRPC: no compression, length, message.
    frame = b"\0" + len(body).to_bytes(4) + body
    with tempfile.NamedTemporaryFile() as sent, tempfile.NamedTemporaryFile() as heads:
        sent.write(frame)
        sent.flush()
        command = ["curl", "--silent", "--show-error", "--http2-prior-knowledge"]
        command += ["--unix-socket", SOCKET, "--dump-header", heads.name]
        command += ["--header", "content-type: application/grpc", "--header", "te: trailers"]
        command += ["--data-binary", f"@{sent.name}"]
        command += [f"http://localhost/runtime.v1.RuntimeService/{method}"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
        told = headers(pathlib.Path(heads.name).read_text())
    if told.get("grpc-status", "0") != "0":
        print(urllib.parse.unquote(told.get("grpc-message", "no message")), file=sys.stderr)
        return 1
    print(json.dumps(decode(answer[5:], answered)))
    return 0


def headers(text: str) -> dict[str, str]:
    """Headers and trailers by name."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.lower(): value.strip() for name, _, value in pairs}


def encode(message: dict, fields: dict) -> bytes:
    return b"".join(encode_field(*fields[name], value) for name, value in message.items())


def encode_field(number: int, kind, value) -> bytes:
    match kind:
        case "int":
            return varint(number << 3) + varint(int(value) & (2**64 - 1))
        case "text":
            return sized(number, value.encode())
        case [inner]:
            return b"".join(encode_field(number, inner, item) for item in value)
        case ("map", inner):
            pair = {"key": (1, "text"), "value": (2, inner)}
            items = ({"key": key, "value": item} for key, item in value.items())
            return b"".join(encode_field(number, pair, item) for item in items)
        case _:
            return sized(number, encode(value, kind))


def sized(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode(data: bytes, fields: dict) -> dict:
    """The known fields of a message; a number that is 0 is not in it."""
    names = {number: (name, kind) for name, (number, kind) in fields.items()}
    message: dict = {}
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7} is not for fields of the CRI")
        if key >> 3 not in names:
            continue
        name, kind = names[key >> 3]
        match kind:
            case "int":
                message[name] = value
            case "text":
                message[name] = value.decode(errors="replace")
            case [inner]:
                message.setdefault(name, []).append(decode(value, inner))
            case _:
                message[name] = decode(value, kind)
    return message


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
