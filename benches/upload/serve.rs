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

#[cfg(feature = "actix")]
use crate::process::{IN_ACTIX, IN_AXUM};
use crate::{sink_hyper, sink_tcp};

pub(crate) fn serve(role: &str, dir: &Path) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    match role {
        #[cfg(feature = "actix")]
        IN_AXUM => on_tokio(listener, |listener| in_axum(listener, dir)),
        #[cfg(feature = "actix")]
        IN_ACTIX => in_actix(listener, dir),
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

fn service(dir: &Path, durability: Durability) -> io::Result<TusService> {
    let storage = FileStorage::open(dir).map_err(io::Error::other)?;
    Ok(TusService::new(storage.durability(durability)).base_path("/files"))
}

#[cfg(feature = "actix")]
async fn in_axum(listener: TcpListener, dir: &Path) -> io::Result<()> {
    use axum::serve::ListenerExt;

    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let tus = service(dir, Durability::None)?;
    let app: axum::Router = axum::Router::new().nest_service("/files", tus);
    axum::serve(listener, app).await
}

#[cfg(feature = "actix")]
fn in_actix(listener: TcpListener, dir: &Path) -> io::Result<()> {
    use actix_web::{App, HttpServer, rt::System};

    let tus = service(dir, Durability::None)?;
    let app = move || App::new().service(tower_tus::actix::scope("/files", tus.clone()));
    System::new().block_on(async { HttpServer::new(app).listen(listener)?.run().await })
}

async fn tower_tus(listener: TcpListener, dir: &Path, durability: Durability) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let service = TowerToHyperService::new(service(dir, durability)?);
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
