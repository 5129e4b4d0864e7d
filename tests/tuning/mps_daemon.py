"""A program that stands for nvidia-cuda-mps-control where there is no GPU: it answers as that does.

`-f` serves in the foreground, `-d` in a process of its own; without either the lines of standard
input are told to the daemon of CUDA_MPS_PIPE_DIRECTORY. MPS_STAND_IN says what goes wrong: `fails`,
`hangs` (it never answers), `serverless` (its server does not start).
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

PIPE = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
CONTROL, NUMBER = PIPE / "control", PIPE / "nvidia-cuda-mps-control.pid"


def tell(lines: list[str]) -> int:
    for line in lines:
        with socket.socket(socket.AF_UNIX) as daemon:
            try:
                daemon.connect(str(CONTROL))
            except OSError:
                print("Cannot find MPS control daemon process")
                return 1
            daemon.sendall(line.encode())
            print(daemon.makefile().read(), end="")
    return 0


def serve(fault: str) -> None:
    PIPE.mkdir(parents=True, exist_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(CONTROL))
    door.listen()
    NUMBER.write_text(str(os.getpid()))
    print(f"Starting control daemon using socket {CONTROL}", flush=True)
    servers: list[subprocess.Popen[bytes]] = []
    while True:
        client, _ = door.accept()
        command = client.recv(1000).decode().split()
        if fault == "hangs":
            servers.append(client)  # type: ignore[arg-type]
            continue
        with client:
            if command[:1] == ["start_server"] and fault != "serverless":
                servers.append(subprocess.Popen(["sleep", "600"], start_new_session=True))
            if command == ["get_server_list"]:
                client.sendall("".join(f"{server.pid}\n" for server in servers).encode())
            if command == ["quit"]:
                break
    for server in servers:
        server.kill()
    CONTROL.unlink()
    NUMBER.unlink()


def main() -> int:
    fault = os.environ.get("MPS_STAND_IN", "")
    if fault == "fails" and sys.argv[1:]:
        print("An error that the daemon prints\nNo CUDA-capable device is there", file=sys.stderr)
        return 1
    if sys.argv[1:] == ["-d"]:
        if os.fork():
            return 0
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
    elif sys.argv[1:] != ["-f"]:
        return tell(sys.stdin.read().splitlines())
    serve(fault)
    return 0


if __name__ == "__main__":
    sys.exit(main())
