import sys

import pytest

from limbeck.core.errors import MissingPackage
from limbeck.models.packages import imported


def test_an_installed_module_is_imported():
    assert imported("json", extra="vision").loads("1") == 1


def test_a_missing_package_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data", None)
    with pytest.raises(MissingPackage, match=r"timm is not installed.*pip install 'limbeck\[vision\]'"):
        imported("timm.data", extra="vision")


def test_what_the_package_itself_lacks_is_named(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import missing_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackage, match="missing_dependency is not installed"):
        imported("half_installed", extra="text")
