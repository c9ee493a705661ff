"""Nothing that a tool is told to call leads anywhere but where the rules allow: TOOL-1, OPS-4."""

import asyncio
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.providers.patience import patient
from agents.tools import egress
from agents.tools.egress import EgressRefused, clients
from agents.tools.egress.addresses import kind_of
from tests.conftest import NetworkBlocked
from tests.serving import reply, serving

pytestmark = pytest.mark.req("OPS-4")


def to(*addresses: str) -> egress.Resolver:
    """A resolver for which every host has these addresses."""
    return lambda host, port: list(addresses)


INNER = (
    "127.0.0.1", "127.9.9.9", "10.0.0.5", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "169.254.1.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0",
    "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.7", "::1", "::", "fe80::1", "febf::1", "fc00::1", "fd12:3456::1", "fd00:ec2::254",
    "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:1::",
    "2001:0:53aa:64c::1", "2001:db8::1", "100::1",
)  # fmt: skip


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused_behind_any_name(address: str) -> None:
    assert kind_of(ip_address(address))
    with egress.client(resolver=to(address)) as client, pytest.raises(EgressRefused, match="leads to"):
        client.get("https://innocent.example.com/")


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_is_refused_as_a_literal_by_a_rule_for_all(address: str, settings: Any) -> None:
    settings.EGRESS = ["https://*", "http://*"]
    host = f"[{address}]" if ":" in address else address
    for scheme in ("http", "https"):
        with egress.client() as client, pytest.raises(EgressRefused, match="may not be reached"):
            client.get(f"{scheme}://{host}/")


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_a_public_address_is_not(address: str) -> None:
    assert kind_of(ip_address(address)) == ""
    with egress.client(resolver=to(address)) as client, pytest.raises(NetworkBlocked, match=address):
        client.get("https://innocent.example.com/")


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://127.1/", "http://127.0.1/",
        "http://0177.0.0.1/", "http://017700000001/", "http://0/", "http://127.0.0.1./", "http://localhost./",
        "http://1.1.1.1.1/", "http://256.1.1.1/", "http://127。0。0。1/", "http://\uff11\uff12\uff17.0.0.1/", "http://ⓛocalhost/",
        "http://127.0.0.1%2eevil.com/", "http://[::1%25lo]/", "http://[fe80::1%25eth0]/", "http://[::ffff:7f00:1]/",
        "http://user:password@example.com/", "http://example.com@127.0.0.1/", "http://127.0.0.1\\@example.com/",
        "http://exa mple.com/", "http:///etc/passwd", "http://", "//example.com/", "/etc/passwd", "", "example.com",
        "file:///etc/passwd", "ftp://example.com/", "gopher://127.0.0.1:6379/_INFO", "unix:///run/docker.sock",
        "javascript:alert(1)", "http://example.com:0/", "http://example.com:99999/", "http://exam\tple.com/",
        "http://" + "a" * 70 + ".com/", "http://a..b/", "http://*/",
        "ws://example.com/", "http://[::1", "http://[127.0.0.1]/",
    ],
)  # fmt: skip
def test_odd_addresses_are_refused(url: str, settings: Any) -> None:
    settings.EGRESS = ["https://*", "http://*"]

    def never(host: str, port: int) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    with pytest.raises(EgressRefused):
        egress.require(url)
    with (
        egress.client(resolver=never) as client,
        pytest.raises((EgressRefused, httpx2.InvalidURL, httpx2.UnsupportedProtocol)),
    ):
        client.get(url)


@pytest.mark.parametrize(
    ("entry", "admitted", "refused"),
    [
        ("https://*", ["https://a.com", "https://8.8.8.8"], ["http://a.com", "https://a.com:8443"]),
        ("https://api.a.com", ["https://API.a.com/x?y"], ["https://b.api.a.com", "https://a.com"]),
        ("https://*.a.com", ["https://x.a.com", "https://y.x.a.com"], ["https://a.com", "https://xa.com"]),
        ("http://b.com:8080", ["http://b.com:8080/"], ["http://b.com", "https://b.com:8080"]),
        ("https://faß.de", ["https://xn--fa-hia.de"], ["https://fass.de"]),
        ("http://127.0.0.1:9000", ["http://127.0.0.1:9000"], ["http://127.0.0.2:9000", "http://127.0.0.1"]),
        ("http://[::1]:9000", ["http://[0:0:0:0:0:0:0:1]:9000"], ["http://127.0.0.1:9000"]),
        ("http://169.254.169.254", ["http://169.254.169.254/latest"], ["http://[::ffff:169.254.169.254]"]),
    ],
)
def test_entries_admit_what_they_say(
    entry: str, admitted: list[str], refused: list[str], settings: Any
) -> None:
    settings.EGRESS = [entry]
    for url in admitted:
        egress.require(url)
    for url in refused:
        with pytest.raises(EgressRefused, match="GATEHOUSE_EGRESS"):
            egress.require(url)


@pytest.mark.parametrize(
    "entry", ["*", "a.com", "ftp://a.com", "https://a.*.com", "https://a.com/path", "https://"]
)
def test_an_entry_that_cannot_be_read_lets_nothing_out(entry: str, settings: Any) -> None:
    settings.EGRESS = ["https://*", entry]
    with pytest.raises(EgressRefused, match="entry"):
        egress.require("https://a.com")


def test_a_named_host_may_be_inside_but_never_the_metadata_service(settings: Any) -> None:
    settings.EGRESS = ["http://inner.local:8080", "http://*:8080", "http://127.0.0.1:8080"]
    with (
        egress.client(resolver=to("10.1.2.3")) as client,
        pytest.raises(NetworkBlocked, match=r"10\.1\.2\.3"),
    ):
        client.get("http://inner.local:8080/")
    for address in ("169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"):
        with egress.client(resolver=to(address)) as client, pytest.raises(EgressRefused, match="metadata"):
            client.get("http://inner.local:8080/")
    with egress.client(resolver=to("127.0.0.1")) as client, pytest.raises(EgressRefused, match="loopback"):
        client.get("http://rebound.com:8080/")  # that the address is named helps no other name


def test_one_inner_address_among_public_ones_is_enough() -> None:
    with (
        egress.client(resolver=to("93.184.216.34", "10.0.0.5")) as client,
        pytest.raises(EgressRefused, match=r"10\.0\.0\.5"),
    ):
        client.get("https://a.com/")


def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked() -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["93.184.216.34"] if len(asked) == 1 else ["127.0.0.1"]

    with egress.client(resolver=rebinding) as client:
        with pytest.raises(NetworkBlocked, match=r"93\.184\.216\.34"):
            client.get("https://rebinding.com/")
        assert asked == ["rebinding.com"]
        with pytest.raises(EgressRefused, match="loopback"):
            client.get("https://rebinding.com/")


def test_the_async_client_keeps_to_the_same_rules(settings: Any) -> None:
    async def attempt(url: str, *addresses: str) -> None:
        async with egress.async_client(resolver=to(*addresses), max_bytes=10) as client:
            await client.get(url)

    for address in INNER:
        with pytest.raises(EgressRefused):
            asyncio.run(attempt("https://a.com/", address))
    with pytest.raises(EgressRefused):
        asyncio.run(attempt("http://127.0.0.1/"))
    with serving(lambda handler: reply(handler, body=b"x" * 11)) as port:
        settings.EGRESS = [f"http://a.com:{port}"]
        with pytest.raises(egress.Unread, match="longer than 10 bytes"):
            asyncio.run(attempt(f"http://a.com:{port}/", "127.0.0.1"))


def test_every_redirect_is_checked_and_takes_no_secret_to_another_host(settings: Any) -> None:
    seen: list[tuple[str, str, dict[str, str]]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append(
            (handler.command, handler.path, {name.lower(): value for name, value in handler.headers.items()})
        )
        if target := targets.get(handler.path):
            reply(handler, 302, Location=target, Set_Cookie="session=1")
        else:
            reply(handler, body=b"arrived")

    with serving(answer) as port:
        settings.EGRESS = [f"http://127.0.0.1:{port}", f"http://other.com:{port}", "https://*"]
        targets = {
            "/same": "/there",
            "/other": f"http://other.com:{port}/there",
            "/by-name": f"http://localhost:{port}/there",
            "/by-number": f"http://2130706433:{port}/there",
            "/mapped": f"http://[::ffff:127.0.0.1]:{port}/there",
            "/metadata": "http://169.254.169.254/latest/meta-data/",
            "/file": "file:///etc/passwd",
            "/inside": "https://innocent.com/",
            "/userinfo": f"http://a:b@127.0.0.1:{port}/there",
            "/loop": "/loop",
        }
        with egress.client(resolver=to("127.0.0.1")) as client:

            def get(path: str, method: str = "GET") -> httpx2.Response:
                headers = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret"}
                request = client.build_request(method, f"http://127.0.0.1:{port}{path}", headers=headers)
                with_body = egress.send(client, request)
                with_body.read()
                return with_body

            assert get("/same").text == "arrived"
            assert seen[-1][2]["x-api-key"] == "s3cret"
            assert get("/other").text == "arrived"
            assert "s3cret" not in str(seen[-1])
            assert seen[-1][2]["host"] == f"other.com:{port}"
            assert get("/other", "POST").status_code == 302
            assert seen[-1][:2] == ("POST", "/other")
            before = len(seen)
            inner = ("/by-name", "/by-number", "/mapped", "/metadata", "/inside", "/userinfo")
            for path in inner:
                with pytest.raises(EgressRefused):
                    get(path)
            assert len(seen) == before + len(inner)  # each was asked for, none was followed
            with pytest.raises((EgressRefused, httpx2.HTTPError)):
                get("/file")
            with pytest.raises(egress.EgressRefused.__base__, match="more than 3 times"):  # type: ignore[arg-type]
                get("/loop")
            assert len(client.cookies) == 0
            assert not any("cookie" in headers for _, _, headers in seen)


def test_names_of_this_machine_are_refused_as_the_system_resolves_them(settings: Any) -> None:
    seen: list[str] = []
    with serving(lambda handler: seen.append(handler.path)) as port:
        settings.EGRESS = [f"http://*:{port}", "https://*"]
        with egress.client() as client:
            for host in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"):
                with pytest.raises(EgressRefused, match=r"loopback|unspecified"):
                    client.get(f"http://{host}:{port}/")
    assert not seen


def test_proxies_of_the_environment_are_ignored(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serving(lambda handler: reply(handler, body=b"direct")) as port:
        settings.EGRESS = [f"http://a.com:{port}"]
        with egress.client(resolver=to("127.0.0.1")) as client:
            assert client.get(f"http://a.com:{port}/").text == "direct"


def test_replies_are_bounded_in_length_headers_encoding_and_time(settings: Any) -> None:
    ended = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        match handler.path:
            case "/long":
                reply(handler, body=b"x" * 101)
            case "/headers":
                reply(handler, X_Long="x" * 200_000)
            case "/bomb":
                reply(handler, body=b"\x1f\x8b", Content_Encoding="gzip")
            case "/drip":
                handler.send_response(200)
                handler.end_headers()
                while not ended.wait(0.05):
                    try:
                        handler.wfile.write(b"x")
                    except OSError:
                        return

    with serving(answer) as port:
        settings.EGRESS = [f"http://127.0.0.1:{port}"]
        with egress.client(max_bytes=100) as client:
            url = f"http://127.0.0.1:{port}"
            with pytest.raises(egress.Unread, match="longer than 100 bytes"):
                client.get(f"{url}/long")
            with pytest.raises(httpx2.RemoteProtocolError):
                client.get(f"{url}/headers")
            with pytest.raises(egress.Unread, match="compressed"):
                client.get(f"{url}/bomb")
            with patient(timeout=0.3), pytest.raises(httpx2.ReadTimeout):
                client.get(f"{url}/drip")
        ended.set()


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a host, signed by itself, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + private)
    return path


def test_the_certificate_is_that_of_the_name_whatever_address_is_connected_to(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, "api.a.com")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    names: list[str] = []
    context.sni_callback = lambda sock, name, _: names.append(name)
    trusting = ssl.create_default_context(cafile=str(pem))
    with serving(
        lambda handler: reply(handler, body=handler.headers["Host"].encode()), context=context
    ) as port:
        settings.EGRESS = [f"https://api.a.com:{port}", f"https://b.com:{port}"]
        with (
            egress.client(resolver=to("127.0.0.1")) as client,
            pytest.raises(httpx2.ConnectError, match="certificate"),
        ):
            client.get(f"https://api.a.com:{port}/")
        monkeypatch.setattr(clients, "_ssl_context", lambda: trusting)
        with egress.client(resolver=to("127.0.0.1")) as client:
            assert client.get(f"https://api.a.com:{port}/").text == f"api.a.com:{port}"
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                client.get(f"https://b.com:{port}/")
    assert names == ["api.a.com", "api.a.com", "b.com"]
