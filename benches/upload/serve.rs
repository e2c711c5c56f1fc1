//! The child process: one server on a port of the system's choice, until its parent is gone.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    thread,
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower_tus::{
    TusService,
    storage::{Durability, FileStorage},
};

use crate::{sink_hyper, sink_tcp};

pub(crate) fn serve(role: &str, dir: &Path) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    match role {
        "sink-tcp" => sink_tcp::serve(&listener, dir),
        "sink-hyper-inline" => on_tokio(listener, |listener| sink_hyper::serve(listener, dir)),
        "tower-tus" => on_tokio(listener, |listener| {
            tower_tus(listener, dir, Durability::None)
        }),
        "tower-tus-finish" => on_tokio(listener, |listener| {
            tower_tus(listener, dir, Durability::Finish)
        }),
        _ => Err(io::Error::other(format!("no server is called {role}"))),
    }
}

fn on_tokio<F>(listener: TcpListener, run: impl FnOnce(TcpListener) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    listener.set_nonblocking(true)?;
    tokio::runtime::Runtime::new()?.block_on(run(listener))
}

async fn tower_tus(listener: TcpListener, dir: &Path, durability: Durability) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let storage = FileStorage::open(dir)
        .map_err(io::Error::other)?
        .durability(durability);
    let service = TowerToHyperService::new(TusService::new(storage).base_path("/files"));
    let server = auto::Builder::new(TokioExecutor::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (server, service) = (server.clone(), service.clone());
        tokio::spawn(async move {
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
