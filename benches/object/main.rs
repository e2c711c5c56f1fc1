//! Uploads into a bucket, next to `WriteMultipart` of object_store, which is fed from memory.
//!
//! `cargo bench --bench object --features aws,conformance` measures against *sinks*: servers in this process that speak
//! just enough S3, forget the bytes, and so leave our own cost. `sink` is as fast as it can be, so every cycle shows;
//! `sink-tls` is the same with what is sent to stores with TLS (unsigned, with checksums), but without the TLS;
//! `sink-distant` answers as late and takes as much per connection as a real store does: there it shows whether the way
//! to the store is kept busy. Stores of the environment join: `TUS_TEST_S3` and `TUS_TEST_MINIO`.
//!
//! What is measured runs in its own process: its CPU time, memory and requests are its own, those of the client and of
//! the sink are not counted. All candidates use the same `AmazonS3`, connector, part size and parts in flight.
//! Read ratios, not absolute figures. See `--help`.

#[path = "../upload/client.rs"]
#[allow(dead_code, reason = "the bench `upload` needs more of it")]
mod client;
mod counting;
mod latency;
mod memory;
mod options;
mod process;
mod report;
mod serve;
mod sink;
mod store;
mod throughput;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use options::{Invocation, Options, Scenario};
use report::Results;
use store::Store;

fn main() -> ExitCode {
    let outcome = match Invocation::parse(std::env::args().skip(1)) {
        Ok(Invocation::Serve(settings)) => serve::serve(&settings),
        Ok(Invocation::Measure(options)) => measure(&options),
        Ok(Invocation::Help) => {
            println!("{}", options::HELP);
            Ok(())
        }
        Ok(Invocation::Nothing) => {
            println!("object: a benchmark, run it with `cargo bench --bench object`");
            Ok(())
        }
        Err(error) => Err(io::Error::other(error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("object: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<()> {
    let stores = Store::all(options)?;
    println!("{}", report::heading(options));
    let mut results = Results::default();
    for round in 0..options.rounds {
        for store in &stores {
            if options.wants(Scenario::Big) {
                throughput::measure(store, options, round, &mut results)?;
            }
            if options.wants(Scenario::Small) {
                latency::measure(store, options, round, &mut results)?;
            }
        }
    }
    if options.wants(Scenario::Memory) {
        memory::measure(options, &mut results)?;
    }
    println!("{}", results.markdown());
    Ok(())
}

/// Says on standard error how far it is.
fn progress(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
