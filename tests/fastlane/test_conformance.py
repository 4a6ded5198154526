"""h2spec in both shapes: every case passes, the strict ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import golang
from tests.fastlane import h2spec
from tests.fastlane.processes import interop_server

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not golang.has_go(), reason="Go builds h2spec: apt install golang-go"),
]


@pytest.mark.parametrize("shape", list(h2spec.Shape))
def test_every_case_of_h2spec_passes(shape: h2spec.Shape, tmp_path: Path) -> None:
    program = h2spec.build(shape, tmp_path)
    with interop_server() as port:
        passed, printed = h2spec.run(program, port, shape)
    assert passed == 146, printed
