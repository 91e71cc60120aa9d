"""A network whose weights wait in main memory and come to the device piece by piece, just before they are needed.

A piece is some tens of megabytes of layers that follow one another. While the layers of one compute, the next is copied
into the other of two places on the device; on CUDA by a stream of its own out of pinned memory, so that it costs no
time as long as a piece computes longer than it travels. What is computed is what the whole network on the device
computes, bit for bit. The weights are there once, in main memory; whatever happens during a call, they are what they
were.

Knows modules, devices and streams; nothing of when it is worth it, or of how much memory there is.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from svdlab.engine.footprint import Call, call_without_numbers
from svdlab.engine.memory import module_bytes
from svdlab.engine.rows import IN_ROWS
from svdlab.engine.shapes import config_of, without_numbers

PIECE_BYTES = 64 << 20  # a bus moves it in 3 to 6 ms, and the widest layer of SVD's UNet is 59 MB in float16
PIECES = 16  # at the least: of a small network they are smaller
PLACES = 2  # on the device: the piece that computes, and the one that comes
ALIGNED = 256  # bytes: where a tensor begins in its piece, as an allocator would have it


@dataclass(frozen=True, eq=False)
class _Piece:
    """Tensors of a network that travel together: one stretch of main memory, and which of them lies where in it."""

    home: torch.Tensor  # (numbers,)
    tensors: tuple[torch.Tensor, ...]
    starts: tuple[int, ...]

    def look_into(self, stretch: torch.Tensor) -> None:
        """Has the tensors show the numbers of this stretch of memory."""
        for tensor, start in zip(self.tensors, self.starts, strict=True):
            tensor.data = torch.as_strided(stretch, tensor.shape, tensor.stride(), start)


class _Place:
    """Room on the device for one piece. On CUDA two events: its numbers have come; nobody needs them any more."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.stretch = torch.empty(size, dtype=dtype, device=device)
        self.piece: int | None = None
        self.came = torch.cuda.Event() if device.type == "cuda" else None
        self.left = torch.cuda.Event() if device.type == "cuda" else None


class Streamed:
    """Streams a network's weights to `device` while it is `flowing`; at all other times they are in main memory.

    `order` names its modules as they are called (`order_of`). Raises `ValueError` if its weights are of several kinds
    of numbers. `fetched` counts the pieces that came. Not for two threads at once, as the network itself is not.
    """

    def __init__(
        self, network: nn.Module, order: Sequence[str], device: torch.device, piece_bytes: int | None = None
    ) -> None:
        self.device = device
        self.fetched = 0
        self._pieces: list[_Piece] = []
        self._handles: list[Any] = []
        self._places: deque[_Place] = deque()  # that of the piece that was needed longest ago first
        self._present: _Place | None = None
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        piece_bytes = piece_bytes or _piece_of(network)
        layers = layers_of(network, piece_bytes)
        known = {name: place for place, name in enumerate(order)}
        ordered = sorted(layers, key=lambda name: known.get(name, len(known)))
        groups = list(_shared_out([layers[name] for name in ordered], piece_bytes))
        kinds = {tensor.dtype for layer in layers.values() for tensor in _tensors(layer)}
        if len(kinds) != 1:
            raise ValueError(f"weights of {len(kinds)} kinds of numbers cannot be streamed together")
        network.to("cpu")
        for number, group in enumerate(groups):
            self._pieces.append(_settled([tensor for layer in group for tensor in _tensors(layer)]))
            for layer in group:
                self._handles.append(layer.register_forward_pre_hook(self._before(number)))
        if self._stream is not None:
            _pin(self, [piece.home for piece in self._pieces])

    @property
    def pieces(self) -> int:
        """Into how many pieces the network is shared out."""
        return len(self._pieces)

    @property
    def bytes(self) -> int:
        """What it takes of the device's memory while flowing."""
        return PLACES * max(piece.home.nbytes for piece in self._pieces)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Has the weights come to the device as they are needed. Not to be nested."""
        try:
            self._make_places()
            yield
        finally:
            self._all_home()

    def stop(self) -> None:
        """Leaves the network as one that nothing is done to; its weights stay in main memory."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    @torch.inference_mode(False)
    def _make_places(self) -> None:
        size, dtype = max(piece.home.numel() for piece in self._pieces), self._pieces[0].home.dtype
        for _ in range(PLACES):
            place = _Place(size, dtype, self.device)
            self._places.append(place)
            self._leave(place)

    def _before(self, number: int) -> Any:
        def bring(*_: Any) -> None:
            if self._places and (self._present is None or self._present.piece != number):
                self._arrive(number)

        return bring

    def _arrive(self, number: int) -> None:
        """Has a piece be there for what is computed from now on, and the one after it come meanwhile."""
        if self._present is not None:
            self._leave(self._present)
        there = self._holding(number) or self._fetch(number)
        if there.came is not None:
            there.came.wait(torch.cuda.current_stream(self.device))
        self._pieces[number].look_into(there.stretch)
        self._present = there
        self._places.remove(there)
        self._places.append(there)
        after = (number + 1) % len(self._pieces)
        if self._holding(after) is None:
            self._fetch(after)

    def _holding(self, number: int) -> _Place | None:
        return next((place for place in self._places if place.piece == number), None)

    def _leave(self, place: _Place) -> None:
        """Notes that all that needs a place's numbers has been asked for by now."""
        if place.left is not None:
            place.left.record(torch.cuda.current_stream(self.device))

    def _fetch(self, number: int) -> _Place:
        """Starts to copy a piece over the one that was needed longest ago."""
        self.fetched += 1
        place, home = self._places[0], self._pieces[number].home
        if place.piece is not None:
            self._pieces[place.piece].look_into(self._pieces[place.piece].home)
        place.piece = number
        if self._stream is None or place.came is None or place.left is None:
            place.stretch[: home.numel()].copy_(home)
            return place
        with torch.cuda.stream(self._stream):
            place.left.wait(self._stream)
            place.stretch[: home.numel()].copy_(home, non_blocking=True)
            place.came.record(self._stream)
        return place

    def _all_home(self) -> None:
        for piece in self._pieces:
            piece.look_into(piece.home)
        self._present = None
        if self._stream is not None:  # what still comes must not write into memory that others have by then
            torch.cuda.current_stream(self.device).wait_stream(self._stream)
        self._places.clear()


def order_of(unet: UNetSpatioTemporalConditionModel) -> tuple[str, ...]:
    """The names of a UNet's modules in the order in which a call needs them, found by calling one without numbers."""
    called: dict[str, None] = {}
    shadow = without_numbers(config_of(unet), unet.dtype)
    side = 2 ** (len(unet.config.block_out_channels) - 1)

    def hear(name: str) -> Any:
        return lambda *_: called.setdefault(name)

    handles = [layer.register_forward_pre_hook(hear(name)) for name, layer in shadow.named_modules()]
    try:
        call_without_numbers(shadow, Call(1, 2, side, side, unet.dtype))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(called)


def _piece_of(network: nn.Module) -> int:
    return min(PIECE_BYTES, max(1, module_bytes(network) // PIECES))


def bytes_of(network: nn.Module, piece_bytes: int | None = None) -> int:
    """What streaming a network takes of the device's memory at the most."""
    piece_bytes = piece_bytes or _piece_of(network)
    each = [module_bytes(layer) for layer in layers_of(network, piece_bytes).values()]
    return PLACES * min(sum(each), max(piece_bytes, *each))


def layers_of(network: nn.Module, most: int, name: str = "") -> dict[str, nn.Module]:
    """The layers that come whole, by name: those with numbers of their own, and those of `rows` up to `most` bytes.

    What is asked for one piece of rows after another calls its layers in turn many times: they are there together.
    Larger ones are where a frame has few places, and all its rows are one piece.
    """
    own = [*network.parameters(recurse=False), *network.buffers(recurse=False)]
    if own or (isinstance(network, IN_ROWS) and module_bytes(network) <= most):
        return {name: network}
    children = (
        layers_of(child, most, f"{name}.{own}" if name else own) for own, child in network.named_children()
    )
    return {name: layer for found in children for name, layer in found.items()}


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]


def _shared_out(layers: Iterable[nn.Module], most: int) -> Iterator[list[nn.Module]]:
    """Layers that follow one another, in groups of at most so many bytes, or one layer that is larger."""
    group: list[nn.Module] = []
    for layer in layers:
        if group and sum(map(module_bytes, (*group, layer))) > most:
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


@torch.inference_mode(False)
@torch.no_grad()
def _settled(tensors: list[torch.Tensor]) -> _Piece:
    """These tensors moved into one stretch of main memory."""
    dtype = tensors[0].dtype
    step = ALIGNED // dtype.itemsize
    starts, end = [], 0
    for tensor in tensors:
        starts.append(end)
        end += -(-tensor.numel() // step) * step
    piece = _Piece(torch.empty(end, dtype=dtype), tuple(tensors), tuple(starts))
    for tensor, start in zip(tensors, starts, strict=True):
        torch.as_strided(piece.home, tensor.shape, tensor.stride(), start).copy_(tensor)
    piece.look_into(piece.home)
    return piece


def _pin(owner: Streamed, stretches: list[torch.Tensor]) -> None:
    """Tells CUDA that memory stays where it is, as long as `owner` lives; where it refuses, copies are only slower.

    Registered and not allocated as pinned: PyTorch's own pinned memory is given out in powers of two.
    """
    refused = False
    runtime = torch.cuda.cudart()
    for stretch in stretches:
        pointer, size = stretch.data_ptr(), stretch.nbytes
        if int(runtime.cudaHostRegister(pointer, size, 1)) == 0:  # 1: for all contexts
            weakref.finalize(owner, _unpin, pointer).atexit = False
        else:
            refused = True
    if refused:  # CUDA would tell of it at the next operation, as if that had failed
        with suppress(RuntimeError):
            torch.zeros(1, device=owner.device)


def _unpin(pointer: int) -> None:
    with suppress(RuntimeError):
        torch.cuda.cudart().cudaHostUnregister(pointer)
