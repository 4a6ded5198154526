"""Requests that two servers read differently: the known ways to smuggle one past a proxy.

Gathered from the test tables of HTTP parsers and from what was published about desynchronisation
(CL.TE, TE.CL, TE.0, chunk extensions, line terminators, hidden fields). Each must be refused, with
what follows it unread. `H` stands for an honest beginning.
"""

from __future__ import annotations

from typing import Final

H: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
C: Final = H + b"Transfer-Encoding: chunked\r\n\r\n"
G: Final = b"GET / HTTP/1.1\r\nHost: a\r\n"
END: Final = b"\r\n\r\n"

BOTH_FRAMINGS: Final = {
    "CL.TE": H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE.CL": H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "CL.TE, empty": H + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL.TE of a GET": G + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "CL.TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}

LENGTHS: Final = {
    f"length {value!r}": H + b"Content-Length: " + value + b"\r\n\r\nabc"
    for value in (
        *(b"+3", b"-3", b"3,3", b"3, 3", b"3 3", b"0x3", b"3.0", b"3;a", b"", b"three", b"3a"),
        *(b"\x0b3", b"3\x00", b"9" * 19, b"9" * 400, b'"3"', b"\xef\xbc\x93", b"3\r\n 3", b"1e1"),
    )
} | {
    "two lengths": H + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "one length twice": H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "lengths of two cases": H + b"Content-Length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "space before its colon": H + b"Content-Length : 3\r\n\r\nabc",
    "tab before its colon": H + b"Content-Length\t: 3\r\n\r\nabc",
    "folded length": H + b"Content-Length:\r\n 3\r\n\r\nabc",
}

CODINGS: Final = {
    f"coding {value!r}": H + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
    for value in (
        *(b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked, identity"),
        *(b"chunked, chunked", b"xchunked", b"chunkedx", b"chunked;a=b", b"chunked;", b"chunk"),
        *(b"x", b"", b"cow", b'"chunked"', b"'chunked'", b",chunked", b"chunked,", b", chunked"),
        *(b"\x0bchunked", b"chunked\x0b", b"chunked\x0c", b"\x00chunked", b"chun\x00ked"),
        *(b"chunked\xa0", b"\xa0chunked", b"chunked\x85", b"identity, chunked", b"\r\n chunked"),
    )
} | {
    "two codings": H
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "one coding twice": H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0"
    b"\r\n\r\n",
    "an empty one first": H + b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": H + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "tab before the colon": H + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "NUL in the name": H + b"Transfer\x00-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "after a fold": H + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "after a bare LF": H + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "after a bare CR": H + b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "after the request line": b"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n",
    "nominated by Connection": H + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked"
    b"\r\n\r\n0\r\n\r\n",
}

LINES: Final = {
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: a\n\n" + END,
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after a field": G + b"X: a\nY: b\r\n\r\n",
    "bare LF ends the head": G + b"\nX: a\r\n\r\n",
    "bare CR in a value": G + b"X: a\rY: b\r\n\r\n",
    "bare CR ends the head": G + b"\rX\r\n\r\n",
    "CR CR LF": G + b"X: a\r\r\n\r\n",
    "LF CR": G + b"X: a\n\rY: b\r\n\r\n",
    "a fold of spaces": G + b"X: a\r\n b\r\n\r\n",
    "a fold of tabs": G + b"X: a\r\n\tb\r\n\r\n",
    "an empty fold": G + b"X: a\r\n \r\n\r\n",
    "a fold first": b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
    "two empty lines first": b"\r\n\r\n" + G + END,
    "an LF first": b"\n" + G + END,
    "a space first": b" " + G + END,
    "a NUL first": b"\x00" + G + END,
}

REQUEST_LINES: Final = {
    f"line {line!r}": line + b"\r\nHost: a\r\n\r\n"
    for line in (
        *(b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1"),
        *(b"GET / HTTP/1.1 ", b"GET / HTTP/1.1\x00", b"GET / http/1.1", b"GET / HTTP/1", b"GET / "),
        *(b"GET / HTTP/11", b"GET / HTTP/1.1.1", b"GET / HTTP/+1.1", b"GET / HTTP /1.1"),
        *(b"GET / HTTP/1. 1", b"GET / HTTP/01.1", b"GET / HTTP/1.01", b"GET / HTTP/1.1x"),
        *(b"GET HTTP/1.1", b"GET /a b HTTP/1.1", b"GET / HTTP/1.1 HTTP/1.1", b" GET / HTTP/1.1"),
        *(b"G(T / HTTP/1.1", b"G\x00T / HTTP/1.1", b"GET: / HTTP/1.1", b"\xc7ET / HTTP/1.1"),
        *(b"GET \x00/ HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x7f HTTP/1.1"),
        *(b"GET /\xff HTTP/1.1", b"GET /\x0b HTTP/1.1", b"GET /#a HTTP/1.1", b"GET a HTTP/1.1"),
        *(b"GET a:80 HTTP/1.1", b"GET * HTTP/1.1", b"GET ftp://a/ HTTP/1.1"),
        *(b"GET http:///b HTTP/1.1", b"GET http://a\x0b/ HTTP/1.1", b"GET //a\\b\x00 HTTP/1.1"),
        *(b"OPTIONS / RTSP/1.0", b"PLAY / RTSP/1.0", b"SOURCE / ICE/1.0"),
    )
}

HOSTS: Final = {
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "one host twice": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "a list of hosts": b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a URL that names another": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a URL and no host": b"GET http://b/ HTTP/1.1\r\n\r\n",
    "a URL with another port": b"GET http://a:81/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "user information in the URL": b"GET http://a@b/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
} | {
    f"host {value!r}": b"GET / HTTP/1.1\r\nHost: " + value + b"\r\n\r\n"
    for value in (
        *(b"a b", b"a/b", b"a@b", b"u:p@a", b"a?b", b"a#b", b"a\\b", b"a:b", b"a:80:80"),
        *(b"a\x00", b"\xe4", b"a\tb", b"http://a", b"[::1", b"::1", b"a:123456", b"<a>", b'"a"'),
    )
}

FIELDS: Final = {
    f"field {line!r}": G + line + b"\r\n\r\n"
    for line in (
        *(b": a", b"a", b"a b: c", b"a : b", b"a\t: b", b"a\x00: b", b"a\x7f: b", b"(a): b"),
        *(b"a@b: c", b"\xe4: b", b"a[]: b", b"a{}: b", b"a;: b", b"a/b: c", b"a\\: b", b'"a": b'),
        *(b"a: \x00", b"a: b\x00c", b"a: \x01", b"a: b\x08", b"a: b\x0bc", b"a: b\x0cc"),
        *(
            b"Content_Length: 3",
            b"transfer_encoding: chunked",
            b"a: \x1f",
            b"a: \x7f",
            b" a: b",
            b"\ta: b",
            b"\x0ba: b",
            b",: a",
            b"a:b\x1b[0m",
        ),
    )
}

CHUNKS: Final = {
    f"chunks {body!r}": C + body
    for body in (
        *(b"3\nabc\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\r\n0\n\r\n\r\n\r\n"),
        *(b"0x3\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n", b"-3\r\nabc\r\n0\r\n\r\n"),
        *(b"3 \r\nabc\r\n0\r\n\r\n", b" 3\r\nabc\r\n0\r\n\r\n", b"3\t\r\nabc\r\n0\r\n\r\n"),
        *(b"3\x00\r\nabc\r\n0\r\n\r\n", b"3\x0b\r\nabc\r\n0\r\n\r\n", b"3_\r\nabc\r\n0\r\n\r\n"),
        *(b"3;\nabc\r\n0\r\n\r\n", b"3;a\nabc\r\n0\r\n\r\n", b"3;a\rX\r\nabc\r\n0\r\n\r\n"),
        *(b"3;\r\nabc\r\n0\r\n\r\n", b"3;a=\r\nabc\r\n0\r\n\r\n", b"3 ;a\r\nabc\r\n0\r\n\r\n"),
        *(b'3;a="\r\n"\r\nabc\r\n0\r\n\r\n', b"3,3\r\nabc\r\n0\r\n\r\n", b"g\r\n\r\n0\r\n\r\n"),
        *(b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nab\r\n0\r\n\r\n", b"\r\n3\r\nabc\r\n0\r\n\r\n"),
        *(b"3\r\nabcXX0\r\n\r\n", b"3\r\nabc\rX0\r\n\r\n", b"3\r\nabc\r\n\r\n0\r\n\r\n"),
        *(b"10000000000000000\r\nabc\r\n", b"ffffffffffffffff\r\nabc", b"3;" + b"a" * 300),
        *(b"0\r\nX\r\n\r\n", b"0\r\nX : a\r\n\r\n", b"0\r\nX: a\n\r\n\r\n", b"0\r\n X: a\r\n\r\n"),
        *(b"0\r\nContent-Length: 9\r\n\r\n", b"0\r\nHost: b\r\n\r\n", b"0\r\nX: \x00\r\n\r\n"),
        *(b"0\r\nTransfer-Encoding: chunked\r\n\r\n", b"0\r\n\rX\r\n\r\n"),
    )
}

HOP_BY_HOP: Final = {
    f"connection names {name!r}": G + b"Connection: close, " + name + b"\r\n\r\n"
    for name in (
        *(b"Host", b"Content-Length", b"Authorization", b"Cookie", b"X-Forwarded-For"),
        *(b"Cache-Control", b"X-Real-IP", b"Forwarded"),
    )
}

HEADS: Final = (
    BOTH_FRAMINGS | LENGTHS | CODINGS | LINES | REQUEST_LINES | HOSTS | FIELDS | HOP_BY_HOP
)
