import importlib
import subprocess
import sys

from limbeck.models import ZOO
from limbeck.models.names import network_names


def test_names_come_without_torch():
    program = (
        "import sys; from limbeck.models.names import network_names; "
        "assert 'resnet20' in network_names(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_name_leads_to_a_function():
    for name, path in ZOO.items():
        file, _, function = path.partition(":")
        assert callable(getattr(importlib.import_module(f"limbeck.models.{file}"), function)), name


def test_names_are_sorted():
    assert list(ZOO) == network_names()
