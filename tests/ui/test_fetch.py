"""/fetch: weights fetched by a program, with the caller's own login where that is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Source
from svdlab.ui import launch
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from tests.hub_server import HubServer, on_loopback

TOKEN = "hf_of_the_caller"


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with on_loopback(tmp_path, monkeypatch) as server:
        yield server


def catalogue() -> Catalogue:
    gated = replace(Catalogue().get("svd-xt-1-1"), source=Source("hub", "owner/svd", "fp16", gated=True))
    return Catalogue([gated])


def test_gated_weights_are_fetched_with_the_callers_login_alone(online: HubServer, tmp_path: Path) -> None:
    with Lab(tmp_path / "data", catalogue(), environment=Environment(space="someone/svdlab")) as lab:
        address = launch(lab, port=None, block=False)
        nobody = Client(address, verbose=False)
        with pytest.raises(AppError) as refused:
            nobody.predict("svd-xt-1-1", api_name="/fetch")
        assert "weights are fetched by whoever runs this lab" in str(refused.value)
        nobody.close()
        somebody = Client(address, verbose=False, oauth_token=TOKEN)
        assert somebody.predict("demo-1-0", api_name="/fetch")["state"] == "embedded"
        assert somebody.predict("svd-xt-1-1", api_name="/fetch")["checkpoint"] == "svd-xt-1-1"
        assert lab.downloads.wait("svd-xt-1-1", lambda _: None).state == "done"
        assert somebody.predict("svd-xt-1-1", api_name="/fetch")["state"] == "on disk"
        somebody.close()
        assert availability(lab.catalogue.get("svd-xt-1-1")).ready
    assert online.tokens["hub"] == {TOKEN}
    assert all(
        TOKEN.encode() not in path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()
    )


def test_a_checkpoint_that_is_not_there_is_said(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        client = Client(launch(lab, port=None, block=False), verbose=False)
        with pytest.raises(AppError, match="there is no checkpoint 'nothing'"):
            client.predict("nothing", api_name="/fetch")
        client.close()
