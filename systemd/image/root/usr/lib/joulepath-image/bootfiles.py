"""What a boot partition's file may say: pure checks. Each returns the value or raises Malformed, which says why."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HASH = re.compile(r"\$(?:y|gy|7|2[abxy]|6|5|1)\$[./A-Za-z0-9$=,+-]{8,}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_KEY = re.compile(r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-\S+) [A-Za-z0-9+/]{40,}=*(?: .*)?")


class Malformed(ValueError):
    """The file cannot be used; the message says why and what it should hold, and never repeats a secret."""


@dataclass(frozen=True)
class User:
    """A login and the crypt(3) hash of its password."""

    name: str
    password_hash: str


def as_text(content: bytes) -> str:
    """Text as any editor leaves it: a byte order mark and Windows line ends are taken off."""
    if len(content) > MAX_BYTES:
        raise Malformed(f"it has {len(content)} bytes; {MAX_BYTES} is the most that is read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} is not UTF-8; save it as plain UTF-8 text") from error
    if "\0" in text:
        raise Malformed("it holds zero bytes; save it as plain UTF-8 text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def user(text: str) -> User:
    """`name:hash`, as Raspberry Pi Imager writes userconf.txt."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1 or ":" not in lines[0]:
        raise Malformed("it must hold one line, name:hash; make the hash with: openssl passwd -6")
    name, _, password_hash = lines[0].partition(":")
    if not _NAME.fullmatch(name):
        raise Malformed("the name before ':' must be small letters, digits, '-' or '_', and begin with a letter")
    if not _HASH.fullmatch(password_hash):
        raise Malformed("after ':' a password hash is needed, not the password; make it with: openssl passwd -6")
    return User(name, password_hash)


def hostname(text: str) -> str:
    """One name of letters, digits and '-'."""
    name = text.strip()
    if not _HOST.fullmatch(name):
        raise Malformed("a host name is 1 to 63 letters, digits or '-', and neither begins nor ends with '-'")
    return name.lower()


def authorized_keys(text: str) -> str:
    """OpenSSH public keys, one a line, without options."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for number, line in enumerate(lines, 1):
        if not _KEY.fullmatch(line):
            raise Malformed(f"entry {number} is no public key; paste the line of your id_ed25519.pub")
    if not lines:
        raise Malformed("it holds no public key; paste the line of your id_ed25519.pub")
    return "\n".join(lines) + "\n"


def wifi(text: str) -> str:
    """A wpa_supplicant configuration: closed blocks, a network with a name, keys of possible length."""
    depth = networks = 0
    named = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if re.fullmatch(r"[a-z_]+=\{", line):
            depth, networks, named = depth + 1, networks + (line == "network={"), False
            if depth > 1:
                raise Malformed(f"line {number}: a block begins before the last one is closed with '}}'")
        elif line == "}":
            if depth == 0:
                raise Malformed(f"line {number}: '}}' closes nothing")
            if not named:
                raise Malformed(f'line {number}: the block that ends here has no ssid="..."')
            depth = 0
        else:
            named = _wifi_line(number, line) or named
    if depth:
        raise Malformed("the last block is not closed with '}'")
    if not networks:
        raise Malformed('it holds no block network={ ssid="..." psk="..." }')
    return text if text.endswith("\n") else text + "\n"


def _wifi_line(number: int, line: str) -> bool:
    """Check one setting; True when it names the network."""
    key, equals, value = line.partition("=")
    if not equals or not re.fullmatch(r"[a-zA-Z0-9_]+", key):
        raise Malformed(f"line {number}: a setting is written name=value")
    if value.startswith('"') and (len(value) < 2 or not value.endswith('"')):
        raise Malformed(f"line {number}: {key} has an opening quote and no closing one")
    if key == "country" and not re.fullmatch(r"[A-Z]{2}", value):
        raise Malformed(f"line {number}: country is two capital letters, such as country=DE")
    if key == "psk":
        quoted = value.startswith('"')
        if quoted and not 8 <= len(value.encode()) - 2 <= 63:
            raise Malformed(f"line {number}: a quoted psk has 8 to 63 characters")
        if not quoted and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise Malformed(f"line {number}: psk is a quoted password or 64 hexadecimal digits")
    return key == "ssid" and len(value) > 2
