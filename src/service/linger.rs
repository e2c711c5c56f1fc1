use std::time::Duration;

use tokio::time::timeout;

use super::body::{Piece, RequestBody};

/// How much of a body that nobody wants is read away, and for how long.
const MAX_BYTES: usize = 16 << 20;
const MAX_TIME: Duration = Duration::from_secs(5);

/// A client that has been silent for that long has the answer.
const QUIET: Duration = Duration::from_secs(1);

/// Reads on in the background after an early answer, within a bound.
///
/// An HTTP/1.1 server that closes while its client still sends makes the client's system drop the
/// answer that has arrived: the client sees a broken connection instead of the 4xx.
pub(super) fn linger(body: RequestBody) {
    if body.is_unread() {
        tokio::spawn(timeout(MAX_TIME, read_away(body)));
    }
}

async fn read_away(mut body: RequestBody) {
    let mut left = MAX_BYTES;
    while let Ok(Some(Ok(piece))) = timeout(QUIET, body.next()).await {
        let Piece::Data(data) = piece else { continue };
        match left.checked_sub(data.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}
