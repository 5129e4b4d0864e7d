"""The EC2 and IAM of a fake AWS region: moto's server, with two things as they are here.

RunInstances gives MaxCount instances, as EC2 does (moto gives MinCount), and the machines behind
it have one core and no GPU, whatever type is asked for.
"""

import sys

from moto.ec2.models.instance_types import InstanceTypeBackend
from moto.ec2.responses.instances import InstanceResponse
from moto.server import main

_get = InstanceResponse._get_param


def _get_param(self, name, *more, **options):
    return _get(self, "MaxCount" if name == "MinCount" else name, *more, **options)


InstanceResponse._get_param = _get_param
for kind in InstanceTypeBackend.instance_types:
    kind.pop("GpuInfo", None)
    kind["VCpuInfo"] = {**kind.get("VCpuInfo", {}), "DefaultVCpus": 1}
main(sys.argv[1:])
