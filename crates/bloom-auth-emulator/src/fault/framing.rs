//! Answers whose bytes are framed in a way that HTTP does not know, or hardly.

use std::time::Duration;

use super::{
    answer::{Answered, Setting},
    gzip,
    plan::Framing,
};
use crate::wire::{End, Script, Step};

/// Slow enough to outlast any time limit on the whole, quick enough for one on
/// each byte.
const PAUSE: Duration = Duration::from_millis(250);

const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";

const KIB: usize = 1024;

pub(super) fn script(framing: Framing, due: &Answered, setting: Setting<'_>) -> Script {
    let steps = steps(framing, due, setting);
    let status = match framing {
        Framing::HeadCutShort
        | Framing::GarbageStatusLine
        | Framing::EndlessHead
        | Framing::EndlessInterim => None,
        _ => Some(due.status),
    };
    Script {
        status,
        steps,
        end: End::Close,
    }
}

fn steps(framing: Framing, due: &Answered, setting: Setting<'_>) -> Vec<Step> {
    let usual = due.framing();
    let head = due.bytes_of_head(&usual, setting);
    let body = due.body();
    let length = body.len();
    // The same with other headers of the framing, and another body.
    let other = |framing: &str, body: &[u8]| {
        let head = due.bytes_of_head(&format!("{framing}connection: close\r\n"), setting);
        Step::Send([&head, body].concat())
    };
    let chunked = "transfer-encoding: chunked\r\n";
    let chunk = [format!("{length:x}\r\n").as_bytes(), body, b"\r\n"].concat();
    match framing {
        Framing::SlowHead => vec![Step::Drip(head, PAUSE), Step::Send(body.to_vec())],
        Framing::SlowBody => vec![Step::Send(head), Step::Drip(body.to_vec(), PAUSE)],
        Framing::HeadCutShort => {
            let whole = due.head(setting);
            let cut = whole.len().saturating_sub(10);
            vec![Step::Send(whole.get(..cut).unwrap_or_default().to_vec())]
        }
        Framing::BodyCutShort => {
            vec![other(
                &format!("content-length: {}\r\n", length + 100),
                body,
            )]
        }
        Framing::TrailingGarbage => vec![
            other(&format!("content-length: {length}\r\n"), body),
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ],
        Framing::ChunksCutShort => vec![other(chunked, &chunk)],
        Framing::BadChunkSize => vec![other(
            chunked,
            &[b"xyz\r\n", body, b"\r\n0\r\n\r\n"].concat(),
        )],
        Framing::HugeChunkSize => {
            vec![other(chunked, &[b"10000000000000000\r\n", body].concat())]
        }
        Framing::TwoLengths => {
            let lengths = format!(
                "content-length: {length}\r\ncontent-length: {}\r\n",
                length + 1
            );
            vec![other(&lengths, body)]
        }
        Framing::LengthAndChunks => {
            let both = format!("content-length: {length}\r\n{chunked}");
            vec![other(&both, &[&chunk, &b"0\r\n\r\n"[..]].concat())]
        }
        Framing::EndlessHead => vec![
            Step::Send(due.head(setting)),
            Step::Repeat(
                format!("x-endless: {}\r\n", "x".repeat(92)).into_bytes(),
                100_000,
            ),
            Step::Send([usual.as_bytes(), b"\r\n", body].concat()),
        ],
        Framing::Interim => vec![
            Step::Repeat(INTERIM.to_vec(), 3),
            Step::Send([&head, body].concat()),
        ],
        Framing::EndlessInterim => {
            vec![Step::Pulse(INTERIM.repeat(64), Duration::from_millis(10))]
        }
        Framing::EndlessBody => vec![
            other("", b"{\"endless\":\""),
            Step::Repeat(vec![b'x'; 64 * KIB], 16 * 1024),
        ],
        Framing::GzipBomb => vec![
            other("content-encoding: gzip\r\n", &gzip::start()),
            // 64 times 8192 of them are 512 MiB and some more.
            Step::Repeat(
                gzip::matches().repeat(4 * KIB),
                (512 << 20) / (gzip::INFLATED * 4 * 1024) + 1,
            ),
            Step::Send(gzip::end()),
        ],
        Framing::GarbageStatusLine => vec![Step::Send(
            [b"\x16\x03\x01 NOT HTTP AT ALL\r\n\r\n", body].concat(),
        )],
        Framing::BrokenPromise => {
            let kept = format!(
                "content-length: {length}\r\nconnection: keep-alive\r\nkeep-alive: timeout=60\r\n"
            );
            let head = due.bytes_of_head(&kept, setting);
            vec![Step::Send([&head, body].concat())]
        }
    }
}
