# SPDX-License-Identifier: PostgreSQL
"""Log-in rules and user name maps, fed to PgBouncer and to pgweir: is a line taken, whom does it match, which
method does it name. What differs on purpose is in the tables below and in docs/pgbouncer.md, with the reason.
What Debian's PgBouncer is too old for is compared with what a newer one says, which PGBOUNCER may name."""
import os
import pwd
import socket
import ssl
import struct
import subprocess

import psycopg

import bouncer
from lib import equal, limit, needs, patient
from rawpg import startup
from test_auth import Authority, write

BEHIND = "host all all 0.0.0.0/0 md5\nhost all all ::/0 md5\nlocal all all md5\n"
# Who comes: from where, to which database, as whom. "4s" is by TLS, "r" for physical replication.
PAIRS = (("app", "app"), ("app", "joe"), ("shop", "app"), ("joe", "joe"))
PROBES = [(way, *PAIRS[0]) for way in ("4", "4b", "6", "unix")] + \
         [(way, *pair) for pair in PAIRS[1:] for way in ("4", "unix")]
BY_TLS = PROBES + [("4s", *PAIRS[0])]
BEHIND_ALL = "M" * len(PROBES)
SAID = {0: "T", 3: "P", 5: "M", 10: "S"}    # the method, by the code of the first answer; "-": refused

ADDRESSES = """
127.0.0.1/32 | 127.0.0.0/8 | 127.0.0.8/29 | 127.0.0.8/30 | 0.0.0.0/0 | 128.0.0.0/1 | 0.0.0.0/1 | 127.0.0.1/33 | 127.0.0.1/-1
127.0.0.1/x | 127.0.0.1/8x | 127.0.0.0/08 | 127.0.0.1/32/32 | 127.0.0.1 | 127.0.0.1/255.255.255.255 | 127.1/8
127.0.0.1 255.255.255.255 | 127.0.0.0 255.0.0.0 | 127.0.0.1 255.255.255.256 | 127.0.0.1 32
127.0.0.1 ffff:: | 127.0.0.1, 255.255.255.255 | 127.0.0.1/32,10.0.0.0/8 | 127.0.0.1/32, | 127.00.0.1/32 | 0x7f000001/32
2130706433/32 | 127.0.0.1./32 | 127.0.0/24 | *  | 0/0 | ::1/128 | ::1/129 | ::/0 | ::/1 | 8000::/1 | ::1 255.0.0.0
::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff | :: ffff:: | 0:0:0:0:0:0:0:1/128 | ::0001/128 | ::1%lo/128 | [::1]/128 | ::1/64x
::ffff:127.0.0.1/128 | ::ffff:127.0.0.0/104 | ::127.0.0.1/128 | 2001:db8::/32 | ALL | All | samehost | samenet | localhost
localhost/32 | .example.com | db.example.com | /8 | 127.0.0.1/32#c | "all" | 127.0.0.1/32 127.0.0.1/32 | 10.0.0.0/8
256.0.0.1/32 | 1.2.3/24 | ::1/128/1 | fe80::/10
"""
DATABASES = """
all | app | shop | joe | app,shop | app, shop | app ,shop | app , shop | app,,shop | ,app | app, | "app" | "app","shop" | "app", shop
"all" | "sameuser" | "replication" | sameuser | sameuser,shop | all,shop | App | APP | "app | app"
a"pp | 'app' | app* | a.p | app;x | samerole | samegroup | shop,samerole | +app | app,+shop | "+app" | @nope
@none/nope | "@nope" | "samerole" | @one | @two | @list | @empty | shop,@one | @one,shop | @{folder}/one | @sub/one | @nested
app#c | "app#c" | "my db" | \\app | "" | app,"" | pgbouncer | * | "*" | all,all | host | local | @chain
"""
USERS = """
all | app | joe | app,joe | app, joe | app ,joe | "app" | "all" | "app","joe" | all,joe | App | +app | app,+joe | "+app"
@nope | @one | @list | @empty | joe,@one | "app""x" | "" | app,,joe | app, | * | public | @two | @nested
"""
METHODS = """
password | md5 | scram-sha-256 | reject | trust | plain | any | crypt | ident | pam | gss | sspi | radius | bsd | krb5 | hba | PASSWORD
Password | password; | password, | password,md5 | password md5 | password # c | password#c | password x=y | password clientcert
passwor | scram-sha-256-plus | scram_sha_256 | oauth | none | password= | password ldapserver=x | "" | reject reject | disable
password pamservice=x | password include_realm=0 | password ,
"""
LINES = """
 | # c |   # c | #host all all all password | host | host all | host all all | host all all 127.0.0.1/32 | local | local all | local all all
local all all password | local all all 127.0.0.1/32 password | hostssl all all 127.0.0.1/32 password | host\tall\tall\t127.0.0.1/32\tpassword
hostnossl all all 127.0.0.1/32 password |  host  all  all  127.0.0.1/32  password  | hostgssenc all all 127.0.0.1/32 password
hostnogssenc all all 127.0.0.1/32 password | HOST all all 127.0.0.1/32 password | Local all all password | localssl all all password
host, all all 127.0.0.1/32 password | "host" all all 127.0.0.1/32 password | host all all 127.0.0.1/32 password\r | \r
host all all 127.0.0.1/32 password\t# c | hostssl,hostnossl all all 127.0.0.1/32 password
include x | include one | include_if_exists x | include_dir . | @one | %include one | unix all all password | tcp all all 127.0.0.1/32 password
host all all 127.0.0.1/32 password \\ | [rules] | a = b | -- c | // c | \ufeffhost all all 127.0.0.1/32 password | host all;c
local all all md5 | local sameuser all password | local "my db" "joe" password | hostssl all all ::1/128 password | local all all reject
hostssl all all 127.0.0.1/32 scram-sha-256 | hostnossl all all 127.0.0.1/32 reject | local all all # password | local # all all password
host all # c | host all "#" 127.0.0.1/32 password
"""
FILES = [
    "", "\n", "\n\n# c\n", "host all all 127.0.0.1/32 password", "host all all 127.0.0.1/32 password\r\nlocal all all md5\r\n",
    "host all joe 127.0.0.1/32 reject\nhost all all 127.0.0.1/32 password\nhost all all 127.0.0.0/8 md5\n",
    "host all all 127.0.0.0/8 md5\nhost all all 127.0.0.1/32 password\n", "local all all md5\nlocal all all reject\n",
    "hostssl all all 127.0.0.0/8 password\nhostnossl all all 127.0.0.0/8 scram-sha-256\nlocal all joe reject\nlocal all all md5\n",
    "host sameuser all 127.0.0.0/8 md5\nhost shop all 127.0.0.0/8 password\n", "local shop,joe app password\nlocal app app,joe md5\n",
    "# c \\\nhost all all 127.0.0.1/32 password\n", "host all all \\\n127.0.0.1/32 password\n",
    "host all all 127.0.0.1/32 password\nhost all all 127.0.0.9/32 md5\nhost all all ::1/128 scram-sha-256\nlocal all all password\n",
    "include one\nhost all all 127.0.0.1/32 password\n", "host " + "a," * 3000 + "app all 127.0.0.1/32 password\n",
    "host app " + "x" * 1000 + ",app 127.0.0.1/32 password\n", "host all all 127.0.0.1/32 password" + " " * 20000 + "\n",
    "# " + "c" * 100000 + "\nhost all all 127.0.0.1/32 password\n", "\n" * 5000 + "host all all 127.0.0.1/32 password\n",
    "local all joe md5\n" * 3000 + "local all all password\n", "host all all 127.0.0.1/32 password\n\n\n   \n\t\n",
]
# What the two make of a line; None: skipped there with a line in the log, or here nothing of the file is loaded.
OTHERWISE = {    # here as in PostgreSQL
    'host all all "127.0.0.1/32" password': (None, "PMMMPMPMPM"),
    'host all all 127.0.0.1/32 "password"': (None, "PMMMPMPMPM"),
    'host all all 127.0.0.1/32 password""': (None, "PMMMPMPMPM"),
    'host all all 127.0.0.1 "255.255.255.255" password': (None, "PMMMPMPMPM"),
    'host a"pp" all 127.0.0.1/32 password': (None, "PMMMPMMMMM"),
    'local all "jo"e password': (None, "MMMMMPMMMP"),
    'local al"l" all password': (None, "MMMPMPMPMP"),
    'local @"one" all password': (None, "MMMPMPMMMM"),
    "local @spread all password": ("MMMMMMMPMM", "MMMPMPMPMM"),
    "local @commented all password": (None, "MMMMMMMMMP"),
    "local all @commented password": (None, "MMMMMPMMMP"),
    "host all all 127.0.0.1/08 password": (BEHIND_ALL, "PPMMPMPMPM"),
    "host all all ::1 ffff:: password": (BEHIND_ALL, "MMPMMMMMMM"),
    "local all sameuser password": ("MMMPMMMMMP", BEHIND_ALL),
    "local all samerole password": (None, BEHIND_ALL),
    "; c": (None, BEHIND_ALL), "\t; c": (None, BEHIND_ALL),
}
REFUSED_HERE = {
    "host all all 0.0.0.0/ password": "PPMMPMPMPM", "host all all 127.0.0.0/+8 password": "PPMMPMPMPM",
    "host\fall all 127.0.0.1/32 password": "PMMMPMPMPM", "host all all 127.0.0.1/32 password\0 junk": "PMMMPMPMPM",
    "host all all 127.0.0.1/32 peer": "-MMM-M-M-M", "host all all 127.0.0.1/32 cert": "-MMM-M-M-M",
    "hostnossl all all 127.0.0.1/32 cert": "-MMM-M-M-M", "local all all cert": "MMM-M-M-M-",
    "local all /app password": BEHIND_ALL, "local /app all password": BEHIND_ALL, "local @ all password": BEHIND_ALL,
}
# Newer than Debian's, with nothing behind the line; the last probes are a physical replication connection and
# one to a database of that name.
OF_REPLICATION = [("r", "app", "app"), ("4", "replication", "app")]
NEWER = {
    "host all all all password": "PPP-P-P-P--P",
    "host replication all 127.0.0.1/32 password": "----------P-",
    "host replication app 127.0.0.1/32 password": "----------P-",
    "host replication joe 127.0.0.1/32 password": "------------",
    "local replication all password": "------------",
    "host all,replication all 127.0.0.1/32 password": "P---P-P-P-PP",
    "local all replication password": "------------",
    "host all all all, password": None, 'host all all "all" password': None, "host all all 127.0.0.1/32 md5 map=m": None,
}
# Maps, newer as well: may whom the system knows as {me} be app, postgres by `local all all peer map=m`?
MAPPED = [("unix", "app", "app"), ("unix", "app", "postgres")]
MAPS = {
    "m {me} app": "T-", "m {me} all": "TT", 'm "{me}" "app"': "T-", "m x{me} app": "--", "m {me} postgres\nm {me} app": "TT",
    "# c\n\nm {me} app # c": "T-", 'm {me} "all"': "--", "m {me} App": "--", "m {me} +app": "--", "m\t{me}\tapp\r": "T-",
    "m {me}x app\nm {me} postgres": "-T", "m all app": "--", "m {me} ap*": "--", "m {me} app\nx {me} postgres": "T-",
    "m {me}": None, "m {me} app x": None, "m {me} app,postgres": None, ", m x y": None, "m": None, "m {me} app ; c": None,
    "m {me} app\nm {me}": None, "include x": None,
}
MAPS_OTHERWISE = {    # here as in PostgreSQL
    "m /^(.*)$ app": ("--", "T-"),    # an expression
    '"m" {me} app': (None, "T-"), 'm {me} a"pp"': (None, "T-"), "; c": (None, "--"),
    "": (None, "--"), "x {me} app": (None, "--"), "M {me} app": (None, "--"),    # a map without lines allows nobody
}
MAP_OPTIONS = {"peer map=m": ("T-", "T-"), "peer": ("--", "--"), "peer map": (None, None), "peer map=": (None, None),
               "peer map=m x": (None, None), "peer map=n": (None, "--"), 'peer map="m"': (None, "T-"),
               "peer map=m map=n": (None, "--")}
NAMES = {"one": "app", "two": "app,joe\n", "list": "app\nshop\njoe\n", "empty": "", "nested": "@one\n", "sub/one": "shop\n",
         "chain": "@sub/../nested\n", "spread": "shop app\n", "commented": "# c\njoe\n\n"}


def parts(text):
    return [part for line in text.strip("\n").split("\n") for part in line.split(" | ")]


def lines():
    """Every line, and the group that it stands in."""
    yield from (("address", f"host all all {x} password") for x in parts(ADDRESSES))
    yield from (("database", f"{t} password") for x in parts(DATABASES)
                for t in (f"host {x} all 127.0.0.1/32", f"local {x} all"))
    yield from (("user", f"{t} password") for x in parts(USERS)
                for t in (f"host all {x} 127.0.0.1/32", f"local shop {x}"))
    yield from (("method", f"host all all 127.0.0.1/32 {x}") for x in parts(METHODS))


class Judges:
    """Both read the same rules and maps; `primary` is where they lead who gets in."""

    def __init__(self, start, folder, primary=1, with_tls=False):
        self.folder, self.session = folder, start.__self__
        self.rules, self.maps = (os.path.join(folder, name) for name in ("judged.hba", "judged.ident"))
        self.log = os.path.join(folder, "judge.log")
        for name, text in {**NAMES, "judged.hba": "host all all 127.0.0.1/32 trust\n", "judged.ident": "", "judge.log": ""}.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(self.session, path, text)
        text = (f"admin_users = postgres\nlisten_addr = 127.0.0.1, ::1\nunix_socket_dir = {folder}\n"
                f"auth_hba_file = {self.rules}\nlogfile = {self.log}\n{self.tls_options() if with_tls else ''}"
                f"{{more}}[databases]\n* = host=127.0.0.1 port={primary} dbname=app\n")
        version = tuple(int(x) for x in subprocess.run(
            [bouncer.PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.split()[1].split(".")[:2])
        self.is_new = version >= (1, 25)
        maps = f"auth_ident_file = {self.maps}\n"
        self.real = bouncer.Bouncer(folder, text.format(more="auth_type = hba\n" + maps * self.is_new))
        self.ours = self.session.prepare({})
        bouncer.write(self.ours.ini, text.format(more="auth_type = hba\n" + maps).replace(self.log, ""), self.ours.port)
        self.ours.start()
        start.__self__.extra.append(self.ours)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def tls_options(self):
        """By TLS too; each RELOAD of PgBouncer takes its time then."""
        server = Authority(self.folder, self.session).make("judge", "/CN=localhost")
        return (f"client_tls_sslmode = allow\nclient_tls_cert_file = {server['sslcert']}\n"
                f"client_tls_key_file = {server['sslkey']}\n")

    def __enter__(self):
        self.real.__enter__()
        self.their_console, self.our_console = self.real.console(), self.ours.console()
        return self

    def __exit__(self, *_):
        self.our_console.close()
        self.their_console.close()
        self.real.__exit__()

    def open(self, port, way):
        if way == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(patient(10))
            sock.connect(os.path.join(self.folder, f".s.PGSQL.{port}"))
            return sock
        source = {"4b": ("127.0.0.9", 0)}.get(way)
        sock = socket.create_connection(("::1" if way == "6" else "127.0.0.1", port), patient(10), source)
        if way == "4s":
            sock.sendall(struct.pack("!II", 8, 80877103))
            equal(sock.recv(1), b"S")
            sock = self.tls.wrap_socket(sock)
        return sock

    def method(self, port, way, database, user):
        """What the first answer asks for."""
        more = {"replication": "true"} if way == "r" else {}
        with self.open(port, way) as sock:
            sock.sendall(startup({"user": user, "database": database, **more}))
            answer = sock.recv(9)
            return SAID[struct.unpack("!I", answer[5:9])[0]] if answer[:1] == b"R" else "-"

    def outcome(self, port, probes):
        return "".join(self.method(port, *probe) for probe in probes)

    def give(self, text, maps):
        with open(self.rules, "w", encoding="utf-8", newline="") as f:
            f.write(text.replace("{folder}", self.folder))
        with open(self.maps, "w", encoding="utf-8", newline="") as f:
            f.write(maps)

    def theirs(self, probes):
        """The outcome of each probe; None: a line was skipped."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            f.seek(0, 2)
            self.their_console.execute("RELOAD")
            if "could not parse" in f.read():
                return None
        return self.outcome(self.real.port, probes)

    def mine(self, probes):
        """The same, and what is said of a file that is refused."""
        try:
            self.our_console.execute("RELOAD")
        except psycopg.Error as e:
            return None, str(e)
        return self.outcome(self.ours.port, probes), None

    def ask(self, text, maps="", probes=PROBES):
        self.give(text, maps)
        return self.theirs(probes), *self.mine(probes)

    def agree(self, text, probes):
        theirs, ours, said = self.ask(text, probes=probes)
        equal(ours, theirs, f"{text[:90]!r}; {said}")

    def differ(self, text, want, maps="", probes=PROBES):
        """What the two are known to say; theirs counts if it is new enough for it."""
        theirs, ours, said = self.ask(text, maps, probes)
        equal(ours, want[1], f"{text!r}, here; {said}")
        if self.is_new or probes is PROBES:
            equal(theirs, want[0], f"{text!r}, there")


@needs("pgbouncer")
@limit(240)
def test_lines(start, tier, folder, sub):
    with Judges(start, folder, tier.primary_port()) as judges:
        for group, line in lines():
            with sub(f"rules::{group} {line}"):
                judges.agree(f"{line}\n{BEHIND}", PROBES)
        for line, want in OTHERWISE.items():
            with sub(f"rules::{line!r}, read here otherwise"):
                judges.differ(f"{line}\n{BEHIND}", want)
        for line, want in REFUSED_HERE.items():
            with sub(f"rules::{line!r}, refused here alone"):
                judges.differ(f"{line}\n{BEHIND}", (want, None))


@needs("pgbouncer")
@limit(120)
def test_types(start, folder, sub):
    with Judges(start, folder, with_tls=True) as judges:
        for line in parts(LINES):
            with sub(f"rules::line {line}"):
                judges.agree(f"{line}\n{BEHIND}", BY_TLS)
        for text in FILES:
            with sub(f"rules::file {text[:60]!r}"):
                judges.agree(text, BY_TLS)


@needs("pgbouncer")
@limit(120)
def test_newer(start, tier, folder, sub):
    me = pwd.getpwuid(os.geteuid()).pw_name
    with Judges(start, folder, tier.primary_port()) as judges:
        for line, want in NEWER.items():
            with sub(f"rules::{line}"):
                judges.differ(f"{line}\n", (want, want), probes=PROBES + OF_REPLICATION)
        for text, want in {**{text: (want, want) for text, want in MAPS.items()}, **MAPS_OTHERWISE}.items():
            with sub(f"rules::map {text!r}"):
                judges.differ(f"local all all peer map=m\n{BEHIND}", want, text.replace("{me}", me) + "\n", MAPPED)
        for option, want in MAP_OPTIONS.items():
            with sub(f"rules::{option}"):
                judges.differ(f"local all all {option}\n{BEHIND}", want, f"m {me} app\n", MAPPED)
