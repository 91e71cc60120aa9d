"""Getting weights from the hub: watched, stopped, continued, and a sentence for every way it can fail.

The hub is a server on loopback that speaks as the real one does; nothing of svdlab is patched.
"""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from svdlab.errors import Cancelled, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights import hub
from svdlab.weights.availability import availability
from svdlab.weights.hub import Plan, Progress, snapshot
from svdlab.weights.hub.fetching import RETRY_WAITS
from tests.hub_server import CHUNK, Answer, HubServer, on_loopback, point_at, small_repository
from tests.waiting import until

TOKEN = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567"
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
GATED = Answer(403, "GatedRepo", "Access to model owner/svd is restricted and you are not in the list.")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of the test's own, online, with an empty cache and no token."""
    with on_loopback(tmp_path, monkeypatch) as server:
        yield server


def checkpoint(
    location: str = "owner/svd",
    variant: str | None = "fp16",
    revision: str | None = None,
    gated: bool = False,
    image_decoder_file: str | None = None,
) -> Checkpoint:
    return Checkpoint(
        id="svd-test",
        name="SVD Test",
        version="1.0",
        summary="",
        source=Source("hub", location, variant, revision, gated, image_decoder_file),
        native_frames=25,
        width=1024,
        height=576,
        size_step=64,
        official={},
        trained_for="",
    )


def fetch(
    what: Checkpoint | None = None, token: str | None = None, plan: Plan | None = None
) -> list[Progress]:
    return list(hub.download(what or checkpoint(), token, plan=plan))


def refused(call: Callable[[], object]) -> str:
    """The sentence, having looked for the token in all that a traceback or a log could show."""
    with pytest.raises(CheckpointUnavailable) as caught:
        call()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert TOKEN not in shown
    assert TOKEN[3:] not in shown
    return str(error)


def needed(server: HubServer) -> dict[str, bytes]:
    unneeded = {"README.md", "svd_xt.safetensors"}
    return {name: content for name, content in server.files.items() if name not in unneeded}


def everything(server: HubServer) -> int:
    """How many bytes there are to fetch."""
    return sum(map(len, needed(server).values()))


def assert_all_here(server: HubServer, folder: Path | None) -> None:
    assert folder is not None
    for name, content in needed(server).items():
        assert (folder / name).read_bytes() == content


# What is fetched


def test_needed_are_the_configurations_and_the_weights_of_the_variant() -> None:
    assert hub.needed_files(Source("hub", "owner/svd", "fp16")) == [
        "model_index.json",
        "*/*.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "image_encoder/model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    with_decoder = Source("hub", "owner/svd", None, image_decoder_file="decoder.safetensors")
    assert hub.needed_files(with_decoder)[2:] == [
        "unet/diffusion_pytorch_model.safetensors",
        "image_encoder/model.safetensors",
        "decoder.safetensors",
    ]


def test_a_plan_names_files_sizes_and_one_commit(server: HubServer) -> None:
    plan = hub.plan(checkpoint())
    assert (plan.repo, plan.commit, plan.absent) == ("owner/svd", "a" * 40, ())
    assert {file.name: file.bytes for file in plan.files} == {n: len(c) for n, c in needed(server).items()}
    assert not any(file.cached for file in plan.files)
    assert plan.bytes_missing == plan.bytes_total == sum(map(len, needed(server).values()))
    assert plan.files[-1].name == "model_index.json"  # with it a snapshot counts as there
    assert not any("/resolve/" in asked for asked in server.asked)


def test_a_download_ends_in_the_hubs_own_cache(server: HubServer, tmp_path: Path) -> None:
    told = fetch()
    assert told[-1].bytes_done == told[-1].bytes_total == hub.plan(checkpoint()).bytes_total
    folder = snapshot(checkpoint().source)
    assert_all_here(server, folder)
    assert folder == hub.snapshot(checkpoint().source)
    assert availability(checkpoint()).state == "on disk"
    home = tmp_path / "hub" / "models--owner--svd"
    assert (home / "refs" / "main").read_text() == "a" * 40
    assert {path.name for path in (home / "blobs").iterdir()} == {server.etag(n) for n in needed(server)}
    assert (folder / UNET).readlink() == Path("../../../blobs") / server.etag(UNET)


def test_other_tools_find_what_was_downloaded(server: HubServer, tmp_path: Path) -> None:
    fetch()
    folder = huggingface_hub.snapshot_download(
        "owner/svd", allow_patterns=hub.needed_files(checkpoint().source), local_files_only=True
    )
    assert_all_here(server, Path(folder))
    scan = huggingface_hub.scan_cache_dir(tmp_path / "hub")
    assert not scan.warnings
    assert [(repo.repo_id, repo.nb_files) for repo in scan.repos] == [("owner/svd", len(needed(server)))]
    server.asked.clear()
    huggingface_hub.hf_hub_download("owner/svd", UNET)
    assert all(asked.startswith("HEAD") for asked in server.asked)


def test_what_other_tools_downloaded_is_not_fetched_again(server: HubServer) -> None:
    huggingface_hub.hf_hub_download("owner/svd", UNET)
    huggingface_hub.hf_hub_download("owner/svd", "vae/config.json")
    server.sent.clear()
    plan = hub.plan(checkpoint())
    assert {file.name for file in plan.files if file.cached} == {UNET, "vae/config.json"}
    fetch()
    assert set(server.sent) == set(needed(server)) - {UNET, "vae/config.json"}
    assert_all_here(server, hub.snapshot(checkpoint().source))


def test_a_second_download_asks_for_nothing(server: HubServer) -> None:
    fetch()
    plan = hub.plan(checkpoint())
    assert plan.bytes_missing == 0
    server.asked.clear()
    for told in (fetch(), fetch(plan=plan)):
        assert told[-1].bytes_done == told[-1].bytes_total == plan.bytes_total
    assert server.asked == []


def test_a_file_two_snapshots_share_is_fetched_once(server: HubServer) -> None:
    fetch()
    server.commits["main"] = "c" * 40
    server.files["vae/config.json"] = b"{}"
    server.sent.clear()
    plan = hub.plan(checkpoint())
    assert plan.bytes_missing == 2
    fetch(plan=plan)
    assert dict(server.sent) == {"vae/config.json": 2}
    folder = snapshot(checkpoint().source)
    assert folder is not None
    assert folder.name == "c" * 40
    assert_all_here(server, folder)


def test_a_download_keeps_to_the_commit_of_its_plan(server: HubServer) -> None:
    plan = hub.plan(checkpoint())
    server.commits = {"main": "c" * 40, "old": "a" * 40}
    server.asked.clear()
    fetch(plan=plan)
    assert {asked.split("/resolve/")[1][:40] for asked in server.asked if "/resolve/" in asked} == {"a" * 40}
    folder = hub.snapshot(checkpoint().source)
    assert folder is not None
    assert folder.name == "a" * 40


def test_a_revision_may_be_a_branch_or_a_commit(server: HubServer, tmp_path: Path) -> None:
    server.commits["refs/pr/1"] = "d" * 40
    for revision in ("refs/pr/1", "a" * 40):
        fetch(checkpoint(revision=revision))
        folder = snapshot(checkpoint(revision=revision).source)
        assert folder is not None
        assert folder.name == server.commits.get(revision, revision)
    assert (tmp_path / "hub/models--owner--svd/refs/refs/pr/1").read_text() == "d" * 40
    assert not (tmp_path / "hub/models--owner--svd/refs/main").exists()


def test_without_the_variant_the_plain_files_are_taken(server: HubServer) -> None:
    server.files = small_repository(variant=None)
    plan = hub.plan(checkpoint())
    assert set(plan.absent) == set(hub.needed_files(checkpoint().source)[2:])
    fetch()
    assert_all_here(server, hub.snapshot(checkpoint().source))
    server.asked.clear()
    fetch()
    assert server.asked == []  # it is remembered that there is no variant


def test_plain_files_here_are_the_weights_too(server: HubServer) -> None:
    server.files |= small_repository(variant=None)
    fetch(checkpoint(variant=None))
    server.asked.clear()
    fetch()
    assert server.asked == []
    assert availability(checkpoint()).state == "on disk"


def test_the_image_decoder_comes_instead_of_the_vaes_weights(server: HubServer) -> None:
    what = checkpoint(image_decoder_file="svd_xt.safetensors")
    fetch(what)
    assert "svd_xt.safetensors" in server.sent
    assert "vae/diffusion_pytorch_model.fp16.safetensors" not in server.sent
    assert snapshot(what.source) is not None


# Progress, stop, continue


def test_progress_never_goes_back_and_ends_at_the_total(server: HubServer) -> None:
    server.chunk_seconds = 0.02
    told = fetch()
    done = [progress.bytes_done for progress in told]
    assert len(told) > 4
    assert done == sorted(done)
    assert done[-1] == told[-1].bytes_total == hub.plan(checkpoint()).bytes_total
    assert any(0 < d < done[-1] for d in done)
    assert {UNET, "model_index.json"} <= {progress.file for progress in told} | {"model_index.json"}
    late = told[-2]
    assert late.bytes_per_second == pytest.approx(CHUNK / 0.02, rel=0.6)
    assert late.seconds_left is not None
    assert told[-1].seconds_left == 0


def test_a_broken_line_says_how_much_is_here_and_the_next_download_goes_on(server: HubServer) -> None:
    server.line_bytes = 10 * CHUNK
    sentence = refused(fetch)
    assert "the connection broke during the download of SVD Test" in sentence
    assert "82.0 kB of 0.6 MB is here already, start it again and it goes on from there" in sentence
    assert hub.snapshot(checkpoint().source) is None
    assert snapshot(checkpoint().source) is None
    here = sum(server.sent.values())
    plan = hub.plan(checkpoint())
    assert plan.bytes_total - plan.bytes_missing == here > 10 * CHUNK
    server.line_bytes = None
    told = fetch()
    assert told[0].bytes_done >= here
    assert server.ranges[-1] == f"bytes={10 * CHUNK}-"
    assert dict(server.sent) == {name: len(content) for name, content in needed(server).items()}
    assert_all_here(server, snapshot(checkpoint().source))


def test_a_line_that_breaks_now_and_then_is_taken_up_again(server: HubServer) -> None:
    server.break_every = 15 * CHUNK  # of the 25 that a file has
    fetch()
    assert dict(server.sent) == {name: len(content) for name, content in needed(server).items()}
    assert len(server.ranges) == 3
    assert_all_here(server, snapshot(checkpoint().source))


def test_a_server_that_ignores_ranges_does_no_harm(server: HubServer) -> None:
    server.line_bytes = 10 * CHUNK
    refused(fetch)
    server.line_bytes, server.ignores_ranges = None, True
    fetch()
    assert_all_here(server, snapshot(checkpoint().source))


def test_a_stopped_download_ends_at_once_and_goes_on_later(server: HubServer) -> None:
    server.chunk_seconds = 0.02
    stopped = threading.Event()
    downloading = hub.download(checkpoint(), stop=stopped.is_set)
    while next(downloading).bytes_done < 10 * CHUNK:
        pass
    server.chunk_seconds = 1.0  # what is left would take long
    stopped.set()
    with pytest.raises(
        Cancelled, match="the download of SVD Test was stopped; the next one goes on from there"
    ):
        next(downloading)
    until(lambda: not server.answering, "the server's noticing")
    assert sum(server.sent.values()) < everything(server)
    server.chunk_seconds = 0
    here = hub.plan(checkpoint())
    assert here.bytes_total - here.bytes_missing >= 10 * CHUNK
    server.sent.clear()
    fetch()
    assert sum(server.sent.values()) == here.bytes_missing
    assert_all_here(server, snapshot(checkpoint().source))


@pytest.mark.parametrize("hang", ["mid-file", "before any answer"])
def test_a_hub_that_hangs_can_be_stopped_at_once(server: HubServer, hang: str) -> None:
    if hang == "mid-file":
        server.hang_after = 2 * CHUNK
    else:
        server.silent = True
    with pytest.raises(Cancelled):
        list(hub.download(checkpoint(), stop=lambda: server.hanging > 0))
    assert server.hanging > 0  # it hangs on, and nobody waits for it


def test_a_download_nobody_looks_at_any_more_stops(server: HubServer) -> None:
    server.chunk_seconds = 0.05
    others = set(threading.enumerate())
    downloading = hub.download(checkpoint())
    next(downloading)
    server.chunk_seconds = 1.0
    downloading.close()
    until(lambda: "svdlab-hub" not in {one.name for one in set(threading.enumerate()) - others})
    until(lambda: not server.answering, "the server's noticing")
    assert sum(server.sent.values()) < everything(server)


def test_one_already_stopped_asks_for_nothing(server: HubServer) -> None:
    with pytest.raises(Cancelled):
        list(hub.download(checkpoint(), stop=lambda: True))
    assert server.asked == []


def test_two_downloads_at_once_fetch_everything_once(server: HubServer) -> None:
    server.chunk_seconds = 0.005
    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(server.sent) == {name: len(content) for name, content in needed(server).items()}
    assert_all_here(server, snapshot(checkpoint().source))


def test_what_does_not_have_its_hash_is_thrown_away(server: HubServer, tmp_path: Path) -> None:
    server.damaged = {UNET}
    assert refused(fetch) == (
        f"{UNET} of SVD Test arrived damaged and was thrown away; start the download again"
    )
    assert not list(tmp_path.rglob("*.incomplete"))
    server.damaged = set()
    fetch()
    assert_all_here(server, snapshot(checkpoint().source))


# Every way it can fail


@pytest.mark.parametrize(
    ("gated", "token", "where", "fault", "sentence"),
    [
        (
            False,
            TOKEN,
            "api",
            Answer(401, "", "Invalid credentials in Authorization header"),
            "the hub does not know the token, so SVD Test cannot be downloaded; make a new one at "
            "https://huggingface.co/settings/tokens",
        ),
        (
            True,
            None,
            "file",
            Answer(401, "GatedRepo", "Access to model owner/svd is restricted. Please log in."),
            "SVD Test is given out to those who accepted its terms: log in at https://huggingface.co/owner/svd, "
            "accept them there, then set HF_TOKEN or run `hf auth login`",
        ),
        (
            True,
            TOKEN,
            "file",
            GATED,
            "the terms of SVD Test are not accepted by this token's account: accept them at "
            "https://huggingface.co/owner/svd, then try again",
        ),
        (
            True,
            TOKEN,
            "file",
            Answer(
                403,
                "GatedRepo",
                "Your request to access model owner/svd is awaiting a review from its authors.",
            ),
            "the request for SVD Test is waiting for its makers to agree; see https://huggingface.co/owner/svd, "
            "and try again when they have",
        ),
        (
            True,
            TOKEN,
            "file",
            Answer(
                403,
                "",
                "Please enable access to public gated repositories in your fine-grained token settings "
                "to view this repository.",
            ),
            "this token may not read gated repositories such as SVD Test: edit it at "
            "https://huggingface.co/settings/tokens and allow read access to all public gated repositories "
            "you can access",
        ),
        (
            False,
            TOKEN,
            "file",
            Answer(403, "", "Forbidden"),
            "the hub does not let this token read SVD Test; see at https://huggingface.co/settings/tokens what it may "
            "read, and at https://huggingface.co/owner/svd",
        ),
        (
            False,
            None,
            "api",
            Answer(403, "", "Access to this resource is disabled."),
            "SVD Test has been taken off the hub by its makers or by the hub; see https://huggingface.co/owner/svd",
        ),
        (
            False,
            None,
            "api",
            Answer(404, "RepoNotFound", "Repository not found"),
            "the hub has no repository owner/svd, or does not show it without a token; look at "
            "https://huggingface.co/owner/svd",
        ),
        (
            False,
            None,
            "file",
            Answer(404, "EntryNotFound", "Entry not found"),
            "https://huggingface.co/owner/svd has no feature_extractor/preprocessor_config.json, which",
        ),
        (
            False,
            None,
            "api",
            Answer(500),
            "the hub has trouble of its own (500), so SVD Test cannot be downloaded now; try again later",
        ),
        (
            False,
            None,
            "file",
            Answer(503),
            "the hub has trouble of its own (503), so SVD Test cannot be downloaded now; try again later",
        ),
        (
            False,
            None,
            "api",
            Answer(429, headers={"Retry-After": "120"}),
            "the hub has had too many requests from here; try again in 120 s, or set HF_TOKEN, with which more are "
            "allowed",
        ),
        (
            False,
            TOKEN,
            "file",
            Answer(429, headers={"RateLimit": '"resolvers";r=0;t=55'}),
            "the hub has had too many requests from here; try again in 55 s",
        ),
        (
            False,
            None,
            "file",
            Answer(451),
            "the hub refused SVD Test (451); look at https://huggingface.co/owner/svd",
        ),
        (
            False,
            None,
            "api",
            Answer(200, headers={"Content-Type": "text/html"}, body=b"<html>Welcome to the hotel</html>"),
            "what answers at 127.0.0.1 is not the hub (a network's login page or a proxy?), so SVD Test cannot be "
            "downloaded; open https://huggingface.co/owner/svd in a browser to see",
        ),
        (
            False,
            None,
            "file",
            Answer(200, headers={"Content-Type": "text/html"}, body=b"<html>Welcome to the hotel</html>"),
            "what answers at 127.0.0.1 is not the hub",
        ),
    ],
)
def test_a_refusal_says_what_to_do(
    server: HubServer,
    caplog: pytest.LogCaptureFixture,
    gated: bool,
    token: str | None,
    where: str,
    fault: Answer,
    sentence: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    setattr(server, f"{where}_fault", fault)
    said = refused(lambda: fetch(checkpoint(gated=gated), token))
    assert said.startswith(sentence)
    if where == "api":
        assert refused(lambda: hub.plan(checkpoint(gated=gated), token)) == said
    assert TOKEN not in caplog.text
    assert (TOKEN in server.tokens["hub"]) is (token is not None)


def test_terms_not_accepted_are_met_before_any_large_file(server: HubServer) -> None:
    server.file_fault = GATED
    refused(lambda: fetch(checkpoint(gated=True), TOKEN))
    assert not server.sent


def test_an_unknown_repository_is_named(server: HubServer) -> None:
    assert refused(lambda: hub.plan(checkpoint("owner/gone"), TOKEN)).startswith(
        "the hub does not know the token"
    )
    assert refused(lambda: hub.plan(checkpoint("owner/gone"))) == (
        "the hub has no repository owner/gone, or does not show it without a token; "
        "look at https://huggingface.co/owner/gone"
    )
    for call in (hub.plan, fetch):
        assert refused(lambda call=call: call(checkpoint("no such/name at all"))) == (
            "'no such/name at all' cannot be a repository of the hub; it should read owner/name"
        )


def test_an_unknown_revision_is_named(server: HubServer) -> None:
    assert refused(lambda: hub.plan(checkpoint(revision="v9"))) == (
        "https://huggingface.co/owner/svd has no branch, tag or commit 'v9', which SVD Test names; "
        "choose one that is there"
    )
    assert "cannot have '../../x' as its revision" in refused(
        lambda: hub.plan(checkpoint(revision="../../x"))
    )


def test_a_repository_without_a_needed_file_says_which(server: HubServer) -> None:
    del server.files["vae/config.json"]
    assert refused(fetch) == (
        "https://huggingface.co/owner/svd has no vae/config.json, which SVD Test needs; "
        "only safetensors weights in diffusers layout are read"
    )
    server.files = small_repository()
    server.files["unet/diffusion_pytorch_model.fp16.bin"] = server.files.pop(UNET)
    assert UNET in refused(fetch)


def test_a_listing_that_leads_out_of_the_cache_is_refused(server: HubServer, tmp_path: Path) -> None:
    server.files["../outside.json"] = b"{}"
    assert "is not the hub" in refused(fetch)
    assert not list(tmp_path.rglob("outside.json"))


def test_offline_says_which_switch(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for call in (lambda: hub.plan(checkpoint()), fetch):
        assert refused(call) == (
            "SVD Test is not on disk, and HF_HUB_OFFLINE is set; unset it to download it from "
            "https://huggingface.co/owner/svd"
        )
    assert server.asked == []


def test_what_is_here_needs_no_network(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch()[-1].bytes_done > 0


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-hub.invalid"])
def test_no_connection_says_so(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_at(f"http://{host}:{unused_port()}", tmp_path, monkeypatch)
    for call in (lambda: hub.plan(checkpoint(), TOKEN), lambda: fetch(token=TOKEN)):
        assert refused(call) == (
            f"{host} cannot be reached, so SVD Test cannot be downloaded; "
            "check the connection, and HTTPS_PROXY if one is needed"
        )
    huggingface_hub.close_session()


def test_no_answer_in_time_says_so(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    server.silent = True
    assert refused(fetch) == (
        "127.0.0.1 did not answer within 0.3 s, so SVD Test cannot be downloaded now; "
        "try again, or set HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
    )


def test_a_read_that_hangs_is_tried_again_then_said(
    server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    server.hang_after = 0
    assert "the connection broke during the download of SVD Test" in refused(fetch)
    assert sum("/store/" in asked for asked in server.asked) == 1 + len(RETRY_WAITS)


def test_a_disk_too_small_is_found_before_anything_is_fetched(server: HubServer, tmp_path: Path) -> None:
    server.sizes[UNET] = 10**18
    sentence = refused(fetch)
    assert sentence.startswith("SVD Test needs 1000000000.0 GB more, but only ")
    assert f" GB are free in {tmp_path / 'hub'}; make room there, or set HF_HOME to a folder" in sentence
    assert not server.sent
    assert not (tmp_path / "hub").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_becomes_full_says_so(server: HubServer, tmp_path: Path) -> None:
    blobs = tmp_path / "hub/models--owner--svd/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{server.etag(UNET)}.incomplete").symlink_to("/dev/full")
    sentence = refused(fetch)
    assert sentence.startswith(
        f"the disk with {tmp_path / 'hub'} became full during the download of SVD Test; make"
    )
    assert sentence.endswith("0.2 MB of 0.6 MB")


def test_a_cache_that_cannot_be_written_says_so(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    assert refused(fetch) == (
        f"{tmp_path / 'file' / 'hub'} cannot be written (Not a directory), so SVD Test cannot be downloaded; "
        "set HF_HOME to a folder that can"
    )


def test_a_checkpoint_not_on_the_hub_is_not_looked_for(server: HubServer) -> None:
    local = Checkpoint(**{**vars(checkpoint()), "source": Source("folder", "/models/mine")})
    assert refused(lambda: hub.plan(local)) == "SVD Test is not on the hub, its weights are at /models/mine"
    assert server.asked == []


# Tokens


def test_the_machines_token_is_used_unless_one_is_given(
    server: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert hub.machine_token() is None
    hub.plan(checkpoint())
    assert server.tokens["hub"] == set()
    (tmp_path / "token").write_text("hf_stored")
    assert hub.machine_token() == "hf_stored"
    monkeypatch.setenv("HF_TOKEN", "hf_machine")
    assert hub.machine_token() == "hf_machine"
    hub.plan(checkpoint())
    hub.plan(checkpoint(), TOKEN)
    assert server.tokens["hub"] == {"hf_machine", TOKEN}


def test_a_token_stays_with_the_hub_and_is_kept_nowhere(
    server: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    plan = hub.plan(checkpoint(), TOKEN)
    told = fetch(token=TOKEN)
    assert server.tokens == {"hub": {TOKEN}, "store": set()}
    assert TOKEN not in caplog.text + repr(plan) + repr(told)
    assert caplog.text  # the requests are in it
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]
    assert hub.machine_token() is None


@pytest.mark.parametrize("token", [TOKEN + "\nX-Other: 1", TOKEN + "é", "two words " + TOKEN])
def test_a_token_that_cannot_be_one_is_not_sent(server: HubServer, token: str) -> None:
    for call in (lambda: hub.plan(checkpoint(), token), lambda: fetch(token=token)):
        assert refused(call) == (
            "the token holds characters that no token has; copy it again from "
            "https://huggingface.co/settings/tokens"
        )
    assert server.asked == []


def test_what_looks_like_a_token_is_taken_out_of_every_sentence(server: HubServer) -> None:
    assert "(token)" in refused(lambda: hub.plan(checkpoint("owner/" + TOKEN)))


def test_importing_it_loads_no_library(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = "import sys, svdlab.weights.hub; print(*{'huggingface_hub', 'torch', 'gradio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
