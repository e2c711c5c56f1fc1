//! Connections that behave badly: `slow`, `resume`, `takeover`.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Connection, patch},
    process::{all_read, open_files},
    rates::create_all,
    scenarios::{Bench, Outcome},
};

const MIB: u64 = 1 << 20;

/// Many connections that send 1 KiB every 250 ms.
pub(crate) fn slow(bench: &Bench<'_>) -> Outcome {
    const PIECE: u64 = 1 << 10;
    let pieces = bench.sizes.slow_pieces;
    let length = pieces * PIECE;
    // Each is one open file here and about two in a server.
    let room = open_files().map_or(usize::MAX, |(soft, _)| {
        (soft.saturating_sub(64) / 2) as usize
    });
    let count = bench.sizes.slow_connections.min(room);

    let paths = create_all(bench, count, length)?;
    let meter = bench.server.meter();
    let mut connections = Vec::new();
    let mut request = Vec::new();
    for path in &paths {
        let mut connection = bench.connect()?;
        request.clear();
        patch(&mut request, path, 0, length, "");
        connection.send(&request)?;
        connections.push(connection);
    }
    let mut errors = 0;
    for _ in 0..pieces {
        let next = Instant::now() + Duration::from_millis(250);
        connections.retain_mut(|connection| {
            let sent = connection.send(bench.block.start(PIECE));
            errors += u32::from(sent.is_err());
            sent.is_ok()
        });
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for connection in &mut connections {
        let answered = connection
            .receive()
            .is_ok_and(|response| response.status == 204);
        errors += u32::from(!answered);
    }
    let reading = meter.stop();
    Ok(vec![
        reading.peak_mib,
        reading.cpu_seconds,
        Some(f64::from(errors)),
    ])
}

/// How a connection ends.
#[derive(Clone, Copy)]
enum Cut {
    Fin,
    Reset,
    /// A reset after the server's process has read every byte; nothing excuses a loss then.
    ResetOnceRead,
}

/// One upload whose PATCHes are all cut but the last; each goes on at the offset that HEAD tells.
pub(crate) fn resume(bench: &Bench<'_>) -> Outcome {
    const CUTS: [Cut; 3] = [Cut::Fin, Cut::Reset, Cut::ResetOnceRead];
    let plan: Vec<(Cut, u64)> = (0..bench.sizes.cuts)
        .map(|number| {
            // From 0.5 to 8 MiB, and never a round number.
            let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            (
                CUTS[number as usize % 3],
                MIB / 2 + 1 + spread % (15 * MIB / 2),
            )
        })
        .collect();
    let total = plan.iter().map(|(_, count)| count).sum::<u64>() + MIB;

    let mut asking = bench.connect()?;
    let path = asking.create(total)?;
    let started = Instant::now();
    let mut again = [Some(0.0); CUTS.len()];
    let mut offset = 0;
    for (cut, count) in plan {
        let mut connection = bench.connect()?;
        let mut request = Vec::new();
        patch(&mut request, &path, offset, total - offset, "");
        connection.send(&request)?;
        // A server that refuses may close early; what is lost then is counted below.
        let _ = bench.block.send(&mut connection.stream, count);
        let known = end(connection.stream, cut, bench.address())?;
        let kept = settled_offset(&mut asking, &path, cut, offset + count)?;
        let lost = (offset + count).saturating_sub(kept) as f64 / MIB as f64;
        let sum = &mut again[cut as usize];
        *sum = sum.filter(|_| known).map(|sum| sum + lost);
        offset = kept;
    }
    asking
        .append(&path, offset, total - offset, "", &bench.block)?
        .expect(204)?;
    let mut values = vec![Some(started.elapsed().as_secs_f64())];
    values.extend(again);
    Ok(values)
}

/// Ends a connection; whether what this kind of cut promises could be had.
fn end(stream: TcpStream, cut: Cut, server: SocketAddr) -> io::Result<bool> {
    let mut known = true;
    match cut {
        Cut::Fin => return Ok(true),
        Cut::Reset => {}
        Cut::ResetOnceRead => {
            let client = stream.local_addr()?;
            let deadline = Instant::now() + Duration::from_secs(5);
            known = loop {
                match all_read(server, client) {
                    Some(true) => break true,
                    Some(false) if Instant::now() < deadline => thread::yield_now(),
                    _ => break false,
                }
            };
        }
    }
    // std cannot set SO_LINGER to zero, tokio can; no runtime is involved.
    tokio::net::TcpSocket::from_std_stream(stream).set_zero_linger()?;
    Ok(known)
}

/// What the server has kept, once it has everything or no longer changes its mind.
fn settled_offset(asking: &mut Connection, path: &str, cut: Cut, sent: u64) -> io::Result<u64> {
    // After a bare reset the system has thrown away what was not read, and the server goes on with nothing. Otherwise it
    // still works on what it has, for as long as the machine lets it.
    let quiet = match cut {
        Cut::Reset => Duration::from_millis(20),
        Cut::Fin | Cut::ResetOnceRead => Duration::from_millis(500),
    };
    let mut last = asking.offset(path)?;
    let mut since = Instant::now();
    while last != Some(sent) && since.elapsed() < quiet {
        thread::sleep(Duration::from_millis(1));
        let now = asking.offset(path)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last.ok_or_else(|| io::Error::other("HEAD without Upload-Offset"))
}

/// A PATCH hangs halfway; another connection asks with HEAD and goes on. Until its 204.
pub(crate) fn takeover(bench: &Bench<'_>) -> Outcome {
    const LENGTH: u64 = 2 * MIB;
    let mut times = Vec::new();
    let mut again = 0.0;
    let mut errors = 0;
    for _ in 0..bench.sizes.takeovers {
        let mut hanging = bench.connect()?;
        let path = hanging.create(LENGTH)?;
        let mut request = Vec::new();
        patch(&mut request, &path, 0, LENGTH, "");
        hanging.send(&request)?;
        bench.block.send(&mut hanging.stream, MIB)?;
        // It hangs, it is not merely slow: this is what the scenario is about.
        thread::sleep(Duration::from_millis(50));

        let started = Instant::now();
        match take_over(bench, &path, LENGTH) {
            Ok(from) => {
                times.push(started.elapsed().as_secs_f64() * 1e3);
                again += MIB.saturating_sub(from) as f64 / MIB as f64;
            }
            Err(_) => errors += 1,
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![
        times.get(times.len() / 2).copied(),
        times.last().copied(),
        Some(again),
        Some(f64::from(errors)),
    ])
}

/// Completes an upload as a client does that lost its connection; from which offset.
fn take_over(bench: &Bench<'_>, path: &str, length: u64) -> io::Result<u64> {
    let mut connection = bench.connect()?;
    for _ in 0..10 {
        let missing = || io::Error::other("HEAD without Upload-Offset");
        let offset = connection.offset(path)?.ok_or_else(missing)?;
        let response = connection.append(path, offset, length - offset, "", &bench.block)?;
        if response.status != 409 {
            response.expect(204)?;
            return Ok(offset);
        }
        // A refusal may close the connection, as the body is still on its way.
        connection = bench.connect()?;
    }
    Err(io::Error::other("refused again and again"))
}
