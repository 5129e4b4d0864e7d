"""A fake AWS region: moto answers the API, and every instance that it reports is a machine.

`ray up ray_cluster.yaml` runs on it unchanged: instances have the addresses that EC2 gave them,
accept the key pair that was named, and end when they are terminated.
"""

import json
import pathlib
import shlex
import sys
import threading
import time

from lan import NET, Lan, Machine, wait_for

NOTICE = "/run/notice"
"""The file on a spot instance that says that it is taken back."""
ADDRESS = "169.254.169.254"
"""Where a machine of EC2's asks about itself."""
IMDS = f"{sys.executable} {pathlib.Path(__file__).with_name('imds.py')} {NOTICE}"
API = f"http://{NET}.2:5000"
CREDENTIALS = f"""
mkdir -p ~/.aws
printf '[default]\\nregion = us-west-2\\nendpoint_url = {API}\\n' > ~/.aws/config
printf '[default]\\naws_access_key_id = x\\naws_secret_access_key = x\\n' > ~/.aws/credentials
"""
LIST = """
import boto3, json
ec2 = boto3.client("ec2")
pairs = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
keys = {pair["KeyName"]: pair.get("PublicKey", "") for pair in pairs}
print(json.dumps([
    {"id": i["InstanceId"], "ip": i.get("PrivateIpAddress"), "public": i.get("PublicIpAddress"),
     "state": i["State"]["Name"], "key": keys.get(i.get("KeyName"), ""),
     "spot": i.get("InstanceLifecycle") == "spot",
     "kind": {t["Key"]: t["Value"] for t in i.get("Tags", [])}.get("ray-node-type", "")}
    for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]))
"""
# An account where `ray up` ran before: otherwise Ray waits half a minute for IAM to spread.
PROFILE = """
import boto3
iam, name = boto3.client("iam"), "ray-autoscaler-v1"
iam.create_instance_profile(InstanceProfileName=name)
iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
"""


class Region:
    """The region, seen from the laptop of `lan`; `bake` is what its machine image holds."""

    def __init__(self, lan: Lan, bake: str) -> None:
        self.lan, self.bake = lan, bake
        self.instances: dict[str, dict] = {}
        lan.laptop.run(CREDENTIALS)
        lan.laptop.run("for n in 54 52 3; do ip route add $n.0.0.0/8 dev lan0; done")
        routes = "for n in 54 52 3; do ip route add $n.0.0.0/8 dev eth0; done"
        self.api = lan.add("api", f"{NET}.2", ROUTES=routes, BAKE=CREDENTIALS)
        server = pathlib.Path(__file__).with_name("moto_ec2.py")
        self.server = self.api.start(
            f"exec {sys.executable} {server} -H 0.0.0.0 -p 5000 > /tmp/moto.log 2>&1",
            env={"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        )
        answers = f"curl -s {API}/moto-api/ > /dev/null && echo yes"
        wait_for(lambda: lan.laptop.run(answers, code=None), "the EC2 API answers", 60)
        self._python(PROFILE)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._power, daemon=True)
        self._thread.start()

    def workers(self) -> list[Machine]:
        """The worker machines that run now."""
        return self._running("worker")

    def head(self) -> Machine:
        return self._running("head")[0]

    def _running(self, kind: str) -> list[Machine]:
        ids = [i for i, about in self.instances.items() if about["kind"] == kind]
        return [m for i in ids if (m := self.lan.machines.get(i)) and m.alive]

    def notify(self, machine: Machine) -> None:
        """Say on a spot instance that it will be taken back in two minutes."""
        action = {
            "action": "terminate",
            "time": time.strftime("%FT%TZ", time.gmtime(time.time() + 120)),
        }
        machine.run(f"echo {shlex.quote(json.dumps(action))} > {NOTICE}")

    def reclaim(self, machine: Machine) -> None:
        """Take a spot instance back, now."""
        machine.power_off()
        self._python(
            f'import boto3; boto3.client("ec2").terminate_instances(InstanceIds=["{machine.name}"])'
        )

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.server.terminate()

    def _python(self, code: str) -> str:
        return self.api.run(f"{sys.executable} - <<'END'\n{code}\nEND")

    def _power(self) -> None:
        """Do with machines what the API says of instances."""
        while not self._ended.is_set():
            for about in json.loads(self._python(LIST)):
                machine = self.lan.machines.get(about["id"])
                self.instances[about["id"]] = about
                if about["state"] in ("pending", "running"):
                    if machine is None:
                        self._boot(about)
                elif machine is not None:
                    machine.power_off()
            time.sleep(1.5)

    def _boot(self, about: dict) -> None:
        public = about["public"] or about["ip"]
        routes = f"ip route add {NET}.0/24 dev eth0 src {public}"
        if about["spot"]:
            routes += f"; ip addr add {ADDRESS}/32 dev lo; {IMDS} > /tmp/imds.log 2>&1 &"
        self.lan.add(
            about["id"],
            about["ip"],
            KEY=about["key"],
            HOME="/home/ubuntu",
            PUBLIC=about["public"] or "",
            ROUTES=routes,
            BAKE=CREDENTIALS + self.bake,
        )
