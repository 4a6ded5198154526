"""What docs promise of our own APIs is declared, and `buf breaking` would notice its loss."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from wire.sluice.ratelimit.v1 import ratelimit_pb2

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sysconfig.get_path("scripts")) / "buf"

# method: fields of the request, fields of the response, message and fields of what it lists
ADMIN = {
    "Explain": (
        "domain descriptor",
        "matches",
        ("Match", "rule algorithm limit burst unit key balance would_be"),
    ),
    "GetBalance": ("domain descriptor", "balances", ("Balance", "rule capacity remaining full_in")),
    "Reset": ("domain descriptor", "balances", ("Balance", "rule remaining")),
    "Grant": ("domain descriptor hits expire_in", "balances", ("Balance", "rule remaining")),
    "ListRules": ("domain filter page_size page_token", "rules next_page_token", ("Rule", "rule")),
    "GetConfig": ("", "generation load_time files", ("ConfigFile", "name sha256 error")),
    "ListHotKeys": (
        "domain page_size",
        "keys",
        ("HotKey", "descriptor rule hits_per_second over_limit_share"),
    ),
}


@pytest.mark.parametrize("method", ADMIN)
def test_the_admin_service_has_every_promised_name(method: str) -> None:
    asked, answered, (listed, shown) = ADMIN[method]
    file = ratelimit_pb2.DESCRIPTOR
    found = file.services_by_name["RateLimitAdminService"].methods_by_name[method]
    assert set(asked.split()) <= set(found.input_type.fields_by_name)
    assert set(answered.split()) <= set(found.output_type.fields_by_name)
    fields = found.output_type.fields_by_name.values()
    assert listed in {field.message_type.name for field in fields if field.message_type}
    assert set(shown.split()) <= set(file.message_types_by_name[listed].fields_by_name)


def breaking(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BUF), "breaking", "--exclude-imports", "--against", "protos/baseline.binpb"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize(
    ("promised", "changed", "complaint"),
    [
        ("int64 remaining = 3;", "int64 remaining = 9;", "Balance"),
        ("int64 remaining = 3;", "string remaining = 3;", "remaining"),
        ("rpc Reset(ResetRequest)", "rpc Refill(ResetRequest)", "Reset"),
        ("UNIT_WEEK = 5;", "UNIT_WEEK = 8;", 'value "5" on enum "Unit"'),
    ],
)
def test_a_broken_promise_is_noticed(
    tmp_path: Path, promised: str, changed: str, complaint: str
) -> None:
    shutil.copytree(ROOT / "protos", tmp_path / "protos")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    proto = tmp_path / "protos/sluice/ratelimit/v1/ratelimit.proto"
    before = proto.read_text("utf-8")
    assert breaking(tmp_path).returncode == 0

    proto.write_text(before.replace(promised, changed), "utf-8")
    done = breaking(tmp_path)
    assert done.returncode != 0
    assert complaint in done.stdout
