"""Machines on one Linux box, made of namespaces: no cloud, no containers, no daemon left behind.

Each has its own network, processes, mounts and host name: its own address and port 22, and an
empty home and /tmp. "laptop" owns the bridge, the others run sshd. Needs root.
"""

import ctypes
import os
import pathlib
import shlex
import signal
import subprocess
import time

NET = "10.77.0"
LAPTOP = f"{NET}.1"

INIT = r"""
set -e
mount --make-rprivate /
hostname "$NAME"
mount -t tmpfs tmpfs /srv
i=0; for d in $KEEP; do i=$((i+1)); mkdir /srv/$i; mount --bind "$d" /srv/$i; done
for d in /tmp /root /run /home; do mount -t tmpfs -o mode=755 tmpfs $d; done
chmod 1777 /tmp
mount -t tmpfs -o size=4g,mode=1777 tmpfs /dev/shm
i=0; for d in $KEEP; do i=$((i+1)); mkdir -p "$d"; mount --bind /srv/$i "$d"; done
printf '127.0.0.1 localhost\n%s %s\n' "$IP" "$NAME" > /run/hosts; mount --bind /run/hosts /etc/hosts
mkdir -p /run/sshd $HOME/.ssh
if [ $HOME != /root ]; then   # a second name for uid 0: there is no sudo in here
  (echo "ubuntu:x:0:0::$HOME:/bin/bash"; cat /etc/passwd) > /run/passwd
  mount --bind /run/passwd /etc/passwd
fi
cd $HOME
touch .bashrc; echo '. ~/.bashrc' > .profile
eval "$BAKE"
ip link set lo up
there() { ip link show $1 > /dev/null 2>&1; }
while ! there eth0 && ! there lan0; do sleep 0.05; done
if there eth0; then
  ip addr add $IP/16 dev eth0; ip link set eth0 up
  for a in $PUBLIC; do ip addr add $a/32 dev eth0; done
  eval "$ROUTES"
  ip route add default via $GATEWAY dev eth0 onlink src $IP
fi
if [ -n "$KEY" ]; then
  echo "$KEY" > .ssh/authorized_keys
  ssh-keygen -q -t ed25519 -N '' -f /run/hostkey
  printf '%s\n' 'AuthorizedKeysFile .ssh/authorized_keys' 'StrictModes no' 'HostKey /run/hostkey' \
    'PidFile /run/sshd.pid' 'PasswordAuthentication no' 'MaxSessions 50' 'MaxStartups 50' \
    > /run/sshd_config
  /usr/sbin/sshd -D -e -f /run/sshd_config 2> /run/sshd.log &
fi
touch /run/ready
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $! || true; done
"""


class Machine:
    """One machine; ends with `power_off`, or with the process that made it."""

    def __init__(self, name: str, ip: str, keep: list[str], **settings: str) -> None:
        self.name, self.ip = name, ip
        inside = {"HOME": "/root", "KEY": "", "PUBLIC": "", "ROUTES": "", "BAKE": "", **settings}
        path = "/usr/sbin:/usr/bin:/sbin:/bin"
        self.home = inside["HOME"]
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child",
             "--mount-proc", "bash", "-c", INIT],
            env={"PATH": path, "LANG": "C.UTF-8", "NAME": name, "IP": ip, "GATEWAY": LAPTOP,
                 "KEEP": " ".join(keep), **inside},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL),
        )  # fmt: skip
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        wait_for(children.read_text, f"{name} has a first process", 60)
        self.pid = int(children.read_text().split()[0])
        self.env = {"PATH": path, "LANG": "C.UTF-8", "TERM": "dumb", "HOME": self.home}

    def start(self, command: str, **more) -> subprocess.Popen:
        """Start a shell command on the machine, in the home of its user."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-n", "-p", "-u", "-i", "--"]
        shell = f"cd {shlex.quote(more.pop('cwd', self.home))} && {command}"
        env = {**self.env, **more.pop("env", {})}
        more = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | more
        return subprocess.Popen([*enter, "bash", "-c", shell], env=env, **more)

    def run(self, command: str, code: int | None = 0, timeout: float = 300, **more) -> str:
        """What a shell command says; its exit code must be `code`, if that is given."""
        process = self.start(command, **more)
        try:
            said, _ = process.communicate(timeout=timeout)
        finally:
            process.kill()
        assert code is None or process.returncode == code, (
            f"{command}: {process.returncode}\n{said}"
        )
        return said

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def power_off(self) -> None:
        """The machine's first process dies, and the kernel takes all the rest."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait(60)


class Lan:
    """The laptop, and the machines that it can reach."""

    def __init__(self, keep: list[str], bake: str) -> None:
        self.keep = keep
        self.machines: dict[str, Machine] = {}
        self.laptop = self.machines["laptop"] = Machine("laptop", LAPTOP, keep, BAKE=bake)
        self._ip("link", "add", "lan0", "type", "bridge")
        self._ip("addr", "add", f"{LAPTOP}/24", "dev", "lan0")
        self._ip("link", "set", "lan0", "up")
        self._wait(self.laptop)
        self.laptop.run("ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/cluster")
        self.key = self.laptop.run("cat ~/.ssh/cluster.pub").strip()

    def add(self, name: str, ip: str, **settings: str) -> Machine:
        machine = self.machines[name] = Machine(name, ip, self.keep, **settings)
        link = "v" + "-".join(ip.split(".")[2:])
        self._ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns",
                 str(machine.pid))  # fmt: skip
        self._ip("link", "set", link, "master", "lan0", "up")
        self._wait(machine)
        return machine

    def close(self) -> None:
        for machine in reversed(self.machines.values()):
            machine.power_off()

    def _ip(self, *words: str) -> None:
        enter = ["nsenter", "-t", str(self.laptop.pid), "-n", "ip"]
        subprocess.run([*enter, *words], check=True)

    def _wait(self, machine: Machine) -> None:
        ready = "test -e /run/ready && echo yes"
        wait_for(lambda: machine.run(ready, code=None), machine.name, 120)


def wait_for(condition, what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
