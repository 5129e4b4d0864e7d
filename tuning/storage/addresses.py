"""Addresses of servers: which may be one, and how it is shown.

Whatever may be a secret is masked, here alone.
"""

import re
from importlib.metadata import entry_points
from urllib.parse import unquote, unquote_plus

from kd.errors import UserError

_STORES = (
    r"sqlite:///(?!:memory:).+",
    r"https?://[^/]+.*",
    r"(postgresql|mysql|mssql)(\+\w+)?://.*",
    r"(databricks|databricks-uc)(://.*)?",
)
HIDDEN = "***"
_SHOWN = {
    *("host", "hostaddr", "port", "dbname", "user", "sslmode", "mode"),
    *("region", "scheme", "endpoint_override"),
}
"""Options whose values are shown; every other one may be a secret under some name."""


def check_store(uri: str) -> None:
    """Raise UserError for what is not the address of an MLflow store, or of one in memory."""
    scheme = uri.partition(":")[0]
    if any(re.fullmatch(form, uri, re.DOTALL) for form in _STORES):
        return
    if scheme not in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
        raise UserError(
            f"--tracking-uri is {masked(uri)}, which is no address of an MLflow store; give "
            "sqlite:////FOLDER/FILE.db, http://HOST:PORT or postgresql://…, or leave it away."
        )


def masked(address: str) -> str:
    """`address` to be shown: a password is `***`, and so are all options that may be one."""
    scheme, login, place, options = _parts(address)
    shown = f"{scheme}{_shown(scheme, login)}@" if login else scheme
    if not options:
        return shown + place
    pairs = [pair for pair in re.split(r"[&;\s]", options[1:]) if _harmless(pair)]
    whole = "&".join(pairs) == options[1:]
    return shown + place + options[0] + "&".join(pairs if whole else [*pairs, HIDDEN])


def scrubbed(text: str, address: str) -> str:
    """`text`, which may quote `address` or a part of it, with the same parts masked."""
    text = text.replace(address, masked(address))
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return text


def public(address: str) -> str:
    """`address` as a link for a browser: without login and options."""
    scheme, _, place, _ = _parts(address)
    return scheme + place


def _parts(address: str) -> tuple[str, str, str, str]:
    """Scheme with its `://`, login, what both lead to, and options with what begins them.

    Where it is not certain what is a login and what an option, all of it is a login.
    """
    found = re.match(r"[\w+.-]+://", address)
    scheme = found[0] if found else ""
    rest = address[len(scheme) :]
    login = ""
    if "@" in rest and not rest.startswith("/"):
        login, _, rest = rest.rpartition("@")
        if re.search("[?#;]", login):
            login, rest = f"{login}@{rest}", ""
    if not scheme and "=" in rest:
        # The words of a database driver: host=… password=….
        return "", login, "", f"?{rest}"
    # A file's name may hold anything but the question mark.
    begin = re.search(r"\?" if scheme.startswith("sqlite") else "[?#;]", rest)
    cut = begin.start() if begin else len(rest)
    return scheme, login, rest[:cut], rest[cut:]


def _shown(scheme: str, login: str) -> str:
    """A login without its password; whoever is no database's user may be a token."""
    user, colon, _ = login.partition(":")
    if "sql" not in scheme or not re.fullmatch(r"[\w.-]*", user):
        return HIDDEN
    return f"{user}:{HIDDEN}" if colon else user


def _harmless(pair: str) -> bool:
    name, equals, _ = pair.partition("=")
    return bool(equals) and name in _SHOWN


def _secrets(address: str) -> set[str]:
    """What `masked` hides, as it is written, decoded, and as a wrong reader takes it apart."""
    scheme, login, _, options = _parts(address)
    user, colon, password = login.partition(":")
    hidden = [password if colon else login] if _shown(scheme, login) != login else []
    hidden += [user] if colon and _shown(scheme, login) == HIDDEN else []
    for pair in re.split(r"[&;\s]", options[1:]):
        if not _harmless(pair):
            hidden.append(pair.partition("=")[2] or pair)
    written = {form for text in hidden for form in (text, unquote(text), unquote_plus(text))}
    pieces = {piece for text in written for piece in re.split(r"[@/:?#&;=\s]", text)}
    return (written | {piece for piece in pieces if len(piece) > 3}) - {""}
