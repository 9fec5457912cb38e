"""Finds regular expressions that may backtrack: two ways to match one text, over and over.

A pattern becomes a nondeterministic automaton. It is ambiguous when a repeat p leads to a repeat q, or back to itself
another way, by a text that also leads each of the two back to itself: then the time to fail grows faster than the text
(A. Weber, H. Seidl, "On the degree of ambiguity of finite automata", 1991).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_ALPHABET = [*map(chr, range(0x80)), "\x85", "\xa0", "é", "٣", "中", "\u2028", "\U0001f600"]
_ALL = (1 << len(_ALPHABET)) - 1
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_ENDS = (op.AT_END, op.AT_END_STRING)
_MOST_COPIES = 2
"""A bounded repeat stands for this many of its kind: it cannot make time grow without bound."""


def _letters(fits: Iterable[bool]) -> int:
    return sum(1 << place for place, fit in enumerate(fits) if fit)


@dataclass
class Automaton:
    """States are numbers; `moves` are by letters, given as bits of the alphabet, `free` by none; `repeats` are its loops.

    `end` is where all is matched. The end of the text is a move that no letter makes: it can fail.
    """

    moves: list[list[tuple[int, int]]] = field(default_factory=list)
    free: list[list[int]] = field(default_factory=list)
    repeats: list[int] = field(default_factory=list)
    end: int = 0

    def state(self) -> int:
        """A new state."""
        self.moves.append([])
        self.free.append([])
        return len(self.moves) - 1

    def repeat(self, body: Any, start: int, flags: int) -> int:
        """Add a loop over what `body` matches; its state."""
        loop = self.state()
        self.free[start].append(loop)
        self.repeats.append(loop)
        self.free[self.add(body, loop, flags)].append(loop)
        return loop

    def add(self, pattern: Any, start: int, flags: int) -> int:
        """Add what a parsed pattern matches, from that state; the state behind it."""
        for node, argument in pattern:
            start = self._add(node, argument, start, flags)
        return start

    def _add(self, node: Any, argument: Any, start: int, flags: int) -> int:
        if node in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeated(*argument, start, flags)
        if node in (op.SUBPATTERN, op.ATOMIC_GROUP):
            on, off, inner = argument[1:] if node is op.SUBPATTERN else (0, 0, argument)
            return self.add(inner, start, (flags | on) & ~off)
        if node is op.BRANCH:
            end = self.state()
            for branch in argument[1]:
                self.free[self.add(branch, start, flags)].append(end)
            return end
        if node in (op.ASSERT, op.ASSERT_NOT) or (node is op.AT and argument not in _ENDS):
            return start
        if node is op.AT:
            end = self.state()
            self.moves[start].append((0, end))
            return end
        end = self.state()
        self.moves[start].append((_matched(node, argument, flags), end))
        return end

    def _repeated(self, least: int, most: Any, body: Any, start: int, flags: int) -> int:
        for _ in range(min(int(least), _MOST_COPIES)):
            start = self.add(body, start, flags)
        if most is op.MAXREPEAT:
            return self.repeat(body, start, flags)
        end = self.state()
        for _ in range(min(int(most) - int(least), _MOST_COPIES)):
            self.free[start].append(end)
            start = self.add(body, start, flags)
        self.free[start].append(end)
        return end

    def reached(self, state: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """What one letter leads to from a state: letters, the next state, and the free steps that lead to it."""
        waiting, seen = [(state, (state,))], set()
        while waiting:
            here, path = waiting.pop()
            if here in seen:
                continue
            seen.add(here)
            yield from ((letters, there, path) for letters, there in self.moves[here])
            waiting.extend((there, (*path, there)) for there in self.free[here])


def _matched(node: Any, argument: Any, flags: int) -> int:
    if node is op.ANY:
        return _ALL if flags & re.DOTALL else _letters(letter != "\n" for letter in _ALPHABET)
    if node is op.IN:
        return _letters(_in_class(letter, argument, flags) for letter in _ALPHABET)
    if node in (op.LITERAL, op.NOT_LITERAL):
        same = _letters(_same(letter, argument, flags) for letter in _ALPHABET)
        return same if node is op.LITERAL else _ALL & ~same
    raise ValueError(f"a pattern with {node} is not judged")


def _same(letter: str, code: int, flags: int) -> bool:
    return letter == chr(code) or bool(flags & re.IGNORECASE and letter.lower() == chr(code).lower())


def _in_class(letter: str, items: Any, flags: int) -> bool:
    negated = items[0][0] is op.NEGATE
    cases = {letter, letter.lower(), letter.upper()} if flags & re.IGNORECASE else {letter}
    return negated != any(_is(case, item, argument) for item, argument in items[negated:] for case in cases)


def _is(letter: str, item: Any, argument: Any) -> bool:
    if item is op.RANGE:
        return bool(argument[0] <= ord(letter) <= argument[1])
    if item is op.CATEGORY:
        return re.match(_CATEGORIES[argument], letter) is not None
    return letter == chr(argument)


def automaton(pattern: re.Pattern[Any], method: str) -> Automaton:
    """The automaton of a pattern as that method of it matches; where it is searched for, anything may stand before it."""
    text = pattern.pattern
    source, flags = (text, pattern.flags) if isinstance(text, str) else (text.decode("latin-1"), pattern.flags | re.ASCII)
    parsed = _parser.parse(source, flags)
    made = Automaton()
    start = made.state()
    first = parsed[0] if len(parsed) else (None, None)
    if method not in ("fullmatch", "match") and first != (op.AT, op.AT_BEGINNING_STRING):
        if first != (op.AT, op.AT_BEGINNING):
            start = made.repeat([(op.ANY, None)], start, re.DOTALL)
        elif flags & re.MULTILINE:
            before = made.repeat([(op.ANY, None)], start, re.DOTALL)
            start = made.state()
            made.moves[before].append((_letters(letter == "\n" for letter in _ALPHABET), start))
    behind = [(op.AT, op.AT_END_STRING)] if method == "fullmatch" else []
    made.end = made.add([*parsed, *behind], start, flags)
    return made


def ambiguous(pattern: re.Pattern[Any], method: str) -> bool:
    """Whether the time to match may grow faster than the text. A repeat behind which nothing can fail never backtracks."""
    made = automaton(pattern, method)
    failing = [repeat for repeat in made.repeats if not _is_at(made, repeat, made.end)]
    return any(_two_ways(made, one, other) for one in made.repeats for other in failing)


def _two_ways(made: Automaton, one: int, other: int) -> bool:
    """Whether a text leads from `one` to itself and to `other`, and from `other` to itself; by two ways, if alike."""
    start = (one, one, other, False)
    waiting, seen = [start], {start}
    while waiting:
        a, b, c, apart = waiting.pop()
        for letters_a, next_a, path_a in made.reached(a):
            for letters_b, next_b, path_b in made.reached(b):
                if not letters_a & letters_b:
                    continue
                for letters_c, next_c, _ in made.reached(c):
                    if not letters_a & letters_b & letters_c:
                        continue
                    now = (next_a, next_b, next_c, apart or path_a != path_b or next_a != next_b)
                    if now[3] and _is_at(made, next_a, one) and _is_at(made, next_b, other) and _is_at(made, next_c, other):
                        return True
                    if now not in seen:
                        seen.add(now)
                        waiting.append(now)
    return False


def _is_at(made: Automaton, state: int, wanted: int) -> bool:
    waiting, seen = [state], set[int]()
    while waiting:
        here = waiting.pop()
        if here == wanted:
            return True
        if here not in seen:
            seen.add(here)
            waiting.extend(made.free[here])
    return False
