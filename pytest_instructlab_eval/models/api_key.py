"""The key of a server: the header that it is sent in, and what people are told where it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

AUTHORIZATION = "Authorization"  # the header of a key, unless another one is named
SECRET = 16  # characters from which on a key is no word, such as "none", that an answer may have
MASK = "[key]"  # what stands for the key in texts
LONGEST_QUOTE = 200  # characters of what a server says; it may be a whole page


@dataclass(frozen=True)
class ApiKey:
    """The key of one server, `text`, which is None where none is sent.

    `source` is the option that names the key's variable, and the variable if it is given. `header` is the
    header that has the key as it is; `Authorization` has it after "Bearer" (RFC 6750).
    """

    text: str | None = field(repr=False)
    source: str
    header: str = AUTHORIZATION

    def headers(self) -> Mapping[str, str]:
        """Return the header that a request has for the key, none without a key."""
        return {} if not self.text else dict([self._sent(self.text)])

    def is_sendable(self) -> bool:
        """Return whether a header can have the key; True where there is none."""
        return not self.text or (self.text.isascii() and self.text.isprintable())

    def masked(self, text: str) -> str:
        """Return a text without the key."""
        return text.replace(self.text, MASK) if self.text else text

    def masked_reply(self, body: bytes) -> bytes:
        """Return a reply without the key, unless the key is so short that it may be a word of an answer."""
        if self.text is None or len(self.text) < SECRET:
            return body
        return body.replace(self.text.encode(), MASK.encode())

    def refusal(self, server: str, status: int | None, message: str) -> str:
        """Return that a server wants a key, or another one, what it says of that, and what to do.

        `message` is what the server says, without the key.
        """
        quote = message if len(message) <= LONGEST_QUOTE else message[:LONGEST_QUOTE] + "…"
        said = f"; the server said: {quote}" if message else ""
        if not self.text:
            return f"{server} asks for a key ({status}), and none was sent: {self.advice()}{said}"
        sent = "{}: {}".format(*self._sent(MASK))
        option = self.source.partition(" ")[0].removesuffix("-env") + "-header"
        return (
            f"{server} refused the key ({status}): {self.advice()}; it was sent as {sent!r}, and {option} "
            f"NAME sends it in another header{said}"
        )

    def advice(self) -> str:
        """Return what to do about a key that is missing or wrong."""
        if self.text is None:
            return f"name the environment variable that holds a key with {self.source}"
        if not self.text:
            return f"the variable that should hold it is empty ({self.source}); export the key"
        return f"check the variable that holds it ({self.source})"

    def _sent(self, text: str) -> tuple[str, str]:
        bearer = "Bearer " if self.header.lower() == AUTHORIZATION.lower() else ""
        return self.header, f"{bearer}{text}"
