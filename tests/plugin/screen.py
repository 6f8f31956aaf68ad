"""A terminal, as far as pytest and the plugin write to one."""

import re

__all__ = ["Screen"]

PIECE = re.compile(r"\x1b\[(\d*)([A-Za-z])|([\r\n\b])|([^\x1b\r\n\b])")


class Screen:
    """The lines that are on a screen without an end, after all that was written to it."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._rows]

    def write(self, text: str) -> None:
        end = 0
        for found in PIECE.finditer(text):
            assert found.start() == end, f"unknown control sequence: {text[end : end + 10]!r}"
            end = found.end()
            number, command, control, character = found.groups()
            if command:
                self._command(command, int(number or 1 if command in "AG" else number or 0))
            elif control:
                self._control(control)
            else:
                self._put(character)

    def _command(self, command: str, number: int) -> None:
        match command:
            case "A":
                self._row = max(0, self._row - number)
            case "G":
                self._column = number - 1
            case "K":
                row = self._rows[self._row]
                del row[self._column if number == 0 else 0 :]
            case "m":
                pass  # a colour
            case _:
                raise AssertionError(f"unknown command {command!r}")

    def _control(self, control: str) -> None:
        if control == "\n":
            self._row += 1
            if self._row == len(self._rows):
                self._rows.append([])
        self._column = max(0, self._column - 1) if control == "\b" else 0 if control == "\r" else self._column

    def _put(self, character: str) -> None:
        assert self._column < self._columns, "written past the end of a line"
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = character
        self._column += 1
