"""The code of a function while it is being written: instructions, and local variables by type."""

from __future__ import annotations

from dataclasses import dataclass, field

from layerport_formats.wasm.binary import sized, unsigned, vector
from layerport_formats.wasm.instructions import TYPE_CODES, Type

_GET, _SET, _TEE = 0x20, 0x21, 0x22


@dataclass(frozen=True)
class Slot:
    """A local variable: the number-th one of its type. Parameters come before all of them."""

    type: Type
    number: int
    is_parameter: bool = False


@dataclass
class _Access:
    """Reading or writing of a slot: its index is known when all slots are."""

    code: int
    slot: Slot


@dataclass
class Code:
    """Instructions in order; slots are taken and given back, scope by scope."""

    parameters: int
    _parts: list[bytes | _Access] = field(default_factory=list)
    _free: dict[Type, list[int]] = field(default_factory=dict)
    _counts: dict[Type, int] = field(default_factory=dict)
    _zeros: dict[Type, Slot] = field(default_factory=dict)

    def add(self, *instructions: bytes) -> None:
        """Append instructions."""
        self._parts += [part for part in instructions if part]

    def take(self, kind: Type) -> Slot:
        """A slot that nobody uses."""
        free = self._free.setdefault(kind, [])
        if free:
            free.sort(reverse=True)
            return Slot(kind, free.pop())
        return self._new(kind)

    def zero(self, kind: Type) -> None:
        """Push zero, from a slot that nobody ever writes: shorter than a constant."""
        if kind not in self._zeros:
            self._zeros[kind] = self._new(kind)
        self.get(self._zeros[kind])

    def _new(self, kind: Type) -> Slot:
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return Slot(kind, number)

    def give_back(self, slot: Slot) -> None:
        """A slot is not needed any more."""
        self._free[slot.type].append(slot.number)

    def get(self, slot: Slot, *, only: bool = False) -> None:
        """Push a slot's value; a value that was just put there stays on the stack instead.

        Parameters
        ----------
        only : nobody else reads the slot.
        """
        last = self._parts[-1] if self._parts else None
        if isinstance(last, _Access) and last.code == _SET and last.slot == slot:
            if only:
                self._parts.pop()
            else:
                last.code = _TEE
        else:
            self._parts.append(_Access(_GET, slot))

    def set(self, slot: Slot) -> None:
        """Pop a value into a slot."""
        self._parts.append(_Access(_SET, slot))

    def tee(self, slot: Slot) -> None:
        """Copy the value on top of the stack into a slot."""
        self._parts.append(_Access(_TEE, slot))

    def finish(self) -> bytes:
        """The body with its declarations, as the code section has it.

        Vectors come first, and small numbers are used first: then functions look alike, which
        compresses well.
        """
        kinds = [kind for kind in TYPE_CODES if kind in self._counts]
        first: dict[Type, int] = {}
        total = self.parameters
        for kind in kinds:
            first[kind] = total
            total += self._counts[kind]
        code = bytearray()
        for part in self._parts:
            if isinstance(part, bytes):
                code += part
            else:
                slot = part.slot
                base = 0 if slot.is_parameter else first[slot.type]
                code += bytes([part.code]) + unsigned(base + slot.number)
        declared = vector([unsigned(self._counts[kind]) + TYPE_CODES[kind] for kind in kinds])
        return sized(declared + bytes(code) + b"\x0b")
