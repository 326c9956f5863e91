//! The faults of the network and of HTTP's framing.

use std::time::Duration;

use super::{
    Endpoint, Entry,
    plan::{Answer, Certificate, Change, Content, Framing, Plan, Silence, Value},
};

const BOTH: &[Endpoint] = &[Endpoint::Token, Endpoint::Api];
const CONNECTION: &[Endpoint] = &[Endpoint::Connection];

const PAGE: Content = Content::Html(
    "<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Error</h1></body></html>\n",
);

const fn framed(
    name: &'static str,
    row: &'static str,
    framing: Framing,
    description: &'static str,
) -> Entry {
    Entry {
        name,
        row,
        endpoints: BOTH,
        description,
        plan: Plan::Framed(framing),
    }
}

const fn silent(
    name: &'static str,
    row: &'static str,
    endpoints: &'static [Endpoint],
    silence: Silence,
    description: &'static str,
) -> Entry {
    Entry {
        name,
        row,
        endpoints,
        description,
        plan: Plan::Silent(silence),
    }
}

const fn instead(
    name: &'static str,
    row: &'static str,
    status: u16,
    headers: &'static [(&'static str, Value)],
    content: Content,
    description: &'static str,
) -> Entry {
    Entry {
        name,
        row,
        endpoints: BOTH,
        description,
        plan: Plan::Instead(Answer {
            status,
            headers,
            content,
        }),
    }
}

pub(super) static TABLE: &[Entry] = &[
    silent(
        "reset-connection",
        "N1",
        CONNECTION,
        Silence::Reset,
        "The connection is reset as it is accepted, before a byte is read; the nearest to a refusal that an open port can do.",
    ),
    Entry {
        name: "expired-certificate",
        row: "N21",
        endpoints: CONNECTION,
        description: "The certificate expired long ago. With plain HTTP, the connection is closed.",
        plan: Plan::Certificate(Certificate::Expired),
    },
    Entry {
        name: "certificate-of-another",
        row: "N21",
        endpoints: CONNECTION,
        description: "The certificate is for another name. With plain HTTP, the connection is closed.",
        plan: Plan::Certificate(Certificate::OtherName),
    },
    Entry {
        name: "unknown-issuer",
        row: "N21",
        endpoints: CONNECTION,
        description: "The certificate is signed by an authority that nobody knows. With plain HTTP, the connection is closed.",
        plan: Plan::Certificate(Certificate::UnknownIssuer),
    },
    silent(
        "close-connection",
        "N22",
        CONNECTION,
        Silence::Close,
        "The connection is closed as it is accepted; with HTTPS, within the handshake.",
    ),
    silent(
        "stall-connection",
        "N22",
        CONNECTION,
        Silence::Hang,
        "The connection is accepted and nothing follows; with HTTPS, no handshake.",
    ),
    silent(
        "no-answer",
        "N5",
        BOTH,
        Silence::Hang,
        "The request is read and never answered.",
    ),
    framed(
        "slow-headers",
        "N6",
        Framing::SlowHead,
        "The head of the answer comes one byte every 250 ms.",
    ),
    framed(
        "slow-body",
        "N7",
        Framing::SlowBody,
        "The body of the answer comes one byte every 250 ms.",
    ),
    silent(
        "reset",
        "N8",
        BOTH,
        Silence::Reset,
        "The connection is reset once the request is read.",
    ),
    silent(
        "close",
        "N8",
        BOTH,
        Silence::Close,
        "The connection is closed without an answer once the request is read.",
    ),
    framed(
        "broken-keep-alive",
        "N9",
        Framing::BrokenPromise,
        "A good answer says that the connection is kept, and it is closed.",
    ),
    framed(
        "truncated-headers",
        "N10",
        Framing::HeadCutShort,
        "The connection is closed in the midst of the headers.",
    ),
    framed(
        "garbage-status-line",
        "N10",
        Framing::GarbageStatusLine,
        "The answer begins with a line that is no status line.",
    ),
    framed(
        "truncated-body",
        "N11",
        Framing::BodyCutShort,
        "The length is 100 bytes more than the body, whose JSON is whole, and the connection is closed.",
    ),
    framed(
        "trailing-garbage",
        "N12",
        Framing::TrailingGarbage,
        "Another answer follows the body, though only one was asked for.",
    ),
    framed(
        "truncated-chunks",
        "N13",
        Framing::ChunksCutShort,
        "The body comes in chunks, whose last is missing.",
    ),
    framed(
        "bad-chunk-size",
        "N14",
        Framing::BadChunkSize,
        "The size of a chunk is no number.",
    ),
    framed(
        "huge-chunk-size",
        "N14",
        Framing::HugeChunkSize,
        "The size of a chunk is more than 64 bits hold.",
    ),
    framed(
        "two-lengths",
        "N15",
        Framing::TwoLengths,
        "There are two lengths of the body, and they differ.",
    ),
    framed(
        "length-and-chunks",
        "N15",
        Framing::LengthAndChunks,
        "There is a length of the body, and it comes in chunks.",
    ),
    framed(
        "endless-headers",
        "N16",
        Framing::EndlessHead,
        "There are 100,000 headers, 10 MiB of them.",
    ),
    framed(
        "interim-answers",
        "N17",
        Framing::Interim,
        "Three interim answers (103) precede a good one.",
    ),
    framed(
        "endless-interim-answers",
        "N17",
        Framing::EndlessInterim,
        "64 interim answers (103) come every 10 ms until the client hangs up.",
    ),
    instead(
        "unasked-upgrade",
        "N18",
        101,
        &[
            ("connection", Value::Is("upgrade")),
            ("upgrade", Value::Is("websocket")),
        ],
        Content::None,
        "The answer switches protocols (101).",
    ),
    framed(
        "endless-body",
        "N19",
        Framing::EndlessBody,
        "The body has 1 GiB and no length.",
    ),
    framed(
        "gzip-bomb",
        "N20",
        Framing::GzipBomb,
        "The body is compressed, 3 MiB that inflate to 512 MiB.",
    ),
    Entry {
        name: "false-gzip",
        row: "N20",
        endpoints: BOTH,
        description: "A good answer says that it is compressed, and is not.",
        plan: Plan::Changed(&[Change::Header("content-encoding", "gzip")]),
    },
    instead(
        "server-error",
        "N24",
        500,
        &[],
        Content::Json(r#"{"error":"server_error","error_description":"Something went wrong."}"#),
        "500 with an OAuth error.",
    ),
    instead(
        "bad-gateway",
        "N24",
        502,
        &[],
        PAGE,
        "502 with an HTML page.",
    ),
    instead(
        "unavailable",
        "N25",
        503,
        &[],
        PAGE,
        "503 with an HTML page, and without a time to come back at.",
    ),
    instead(
        "gateway-timeout",
        "N25",
        504,
        &[],
        Content::Empty,
        "504 with an empty body.",
    ),
    instead(
        "proxy-login",
        "N27",
        407,
        &[("proxy-authenticate", Value::Is("Basic realm=\"proxy\""))],
        PAGE,
        "407 with an HTML page, as of a proxy that wants a password.",
    ),
    instead(
        "request-timeout",
        "N29",
        408,
        &[],
        Content::Empty,
        "408 with an empty body.",
    ),
    instead(
        "misdirected",
        "N29",
        421,
        &[],
        Content::Empty,
        "421 with an empty body.",
    ),
    instead(
        "too-early",
        "N29",
        425,
        &[],
        Content::Empty,
        "425 with an empty body.",
    ),
    Entry {
        name: "late-answer",
        row: "N30",
        endpoints: BOTH,
        description: "A good answer comes after 15 s.",
        plan: Plan::Changed(&[Change::Wait(Duration::from_secs(15))]),
    },
];
